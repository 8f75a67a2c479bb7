package agent_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// TestMissingPartIsTold: what is missing is told to the fleet and to a person, and no more when it is there.
func TestMissingPartIsTold(t *testing.T) {
	bubble(t, 684, func(r *rig) {
		m := &mailbox{}
		problems := []reason.Problem{reason.Lacks("ratchet.toml:7: mqtt.ca: no such file")}
		r.options = func(o *agent.Options) {
			o.Outbox, o.Problems = m, func() []reason.Problem { return problems }
		}
		if st := m.status(r); st.Problem != reason.PartMissing {
			t.Errorf("the fleet is told %q", st.Problem)
		}
		shown := func() (st control.Status) {
			r.awake(func(ctx context.Context, a *agent.Agent) { st = a.Console().Status(ctx) })
			return st
		}
		st := shown()
		text := problems[0].Text
		if !slices.Equal(st.Problems, []string{text}) || !strings.Contains(strings.Join(st.Advice, "\n"), text) {
			t.Errorf("a person is told %q, and %q to do", st.Problems, st.Advice)
		}
		// A directory that does not last is told, with what to do, where nothing worse is.
		volatile := reason.Problem{Reason: reason.StateVolatile, Text: "/var is on a tmpfs"}
		problems = append([]reason.Problem{volatile}, problems...)
		if st := m.status(r); st.Problem != reason.PartMissing {
			t.Errorf("of two problems the fleet is told %q", st.Problem)
		}
		problems = problems[:1]
		if st := m.status(r); st.Problem != reason.StateVolatile {
			t.Errorf("the fleet is told %q", st.Problem)
		}
		st = shown()
		advice := strings.Join(st.Advice, "\n")
		if !slices.Equal(st.ProblemReasons, []reason.Reason{reason.StateVolatile}) ||
			!strings.Contains(advice, volatile.Text) || !strings.Contains(advice, "state.volatile") {
			t.Errorf("a person is told %q for %q", st.Advice, st.ProblemReasons)
		}
		problems = nil
		if st := m.status(r); st.Problem != reason.None || len(shown().Advice) > 0 {
			t.Errorf("when it is there the fleet is told %q, and a person %q", st.Problem, shown().Advice)
		}
	})
}

// TestNothingIsArmedFromAHiddenState: as long as another directory is in the place of the state directory, nothing is
// begun, and what is written already is not armed: the new system would start with a state that knows nothing of it.
func TestNothingIsArmedFromAHiddenState(t *testing.T) {
	for _, at := range []life.Phase{life.Idle, life.Writing} {
		bubble(t, 685, func(r *rig) {
			moved := at == life.Idle
			r.options = func(o *agent.Options) { o.StateMoved = func() bool { return moved } }
			envelopes := [][]byte{r.release(2, 2)}
			if at == life.Writing {
				r.source = func(uri string, off int64) (body, error) {
					moved = true
					<-r.w.Clock().After(time.Minute)
					return r.right(uri, off)
				}
			}
			movable, half := true, false
			end := r.w.Clock().Uptime() + 3*time.Hour
			if r.boot(&envelopes, func(a *agent.Agent) bool {
				movable = a.Movable()
				half = half || !movable
				return r.w.Clock().Uptime() > end
			}) {
				t.Errorf("%s: the device rebooted", at)
			}
			if r.is("A", 1, "state-moved", "!arming"); !movable {
				t.Errorf("%s: the daemon would not start again", at)
			}
			if half != (at == life.Writing) {
				t.Errorf("%s: the daemon would start again while a slot is half written, or not at rest", at)
			}
			moved, r.source = false, nil
			r.spend(time.Hour)
			r.is("B", 2)
		})
	}
}

// TestNoVerdictFromAHiddenState: a trial is neither confirmed nor reverted as long as what armed it is on record in
// another directory.
func TestNoVerdictFromAHiddenState(t *testing.T) {
	for _, sick := range []bool{false, true} {
		bubble(t, 686, func(r *rig) {
			moved, phase := true, ""
			r.sick[2] = sick
			r.options = func(o *agent.Options) {
				o.StateMoved = func() bool { return moved && r.runs() == "B" }
			}
			envelopes := [][]byte{r.release(2, 2)}
			for r.boot(&envelopes, func(a *agent.Agent) bool {
				st := a.Console().Status(context.Background())
				if moved && r.runs() == "B" && r.w.Clock().Uptime() > 3*time.Hour {
					moved, phase = false, st.Phase
				}
				return !moved && st.Phase == "idle"
			}) {
				r.loader()
			}
			if phase != "trial" {
				t.Errorf("sick %v: phase %s after three hours", sick, phase)
			}
			if sick {
				r.is("A", 1, "health-failed")
			} else {
				r.is("B", 2)
			}
		})
	}
}
