package agent_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// TestPersonAndDocumentAtOnce: a person ends an update at the moment in which a document forbids it, and another person
// asks for the same. Everybody is answered, in either order, and the update has ended.
func TestPersonAndDocumentAtOnce(t *testing.T) {
	for _, first := range []string{"person", "document"} {
		bubble(t, 1326, func(r *rig) {
			g := gated{gate: &gate{opened: make(chan struct{})}}
			b := r.beginning()
			r.wrap = func(o *agent.Options) {
				g.Blocks = o.Blocks
				o.Blocks = g
			}
			r.awake(func(ctx context.Context, a *agent.Agent) {
				r.send(b.msgs...)
				if s := a.Console().Status(ctx); s.Phase != "checking" {
					t.Fatalf("the phase is %s", s.Phase)
				}
				answers := make(chan error, 2)
				asks := func() {
					_, err := a.Console().Revert(ctx, "uid 7", "")
					answers <- err
				}
				halt := doc(transport.Pulse, b.pulse(b.digest, campaign.StateHalted))
				if first == "document" {
					r.send(halt)
				}
				go asks()
				synctest.Wait()
				go asks()
				synctest.Wait()
				if first == "person" {
					r.send(halt)
				}
				close(g.gate.opened) // the read-back ends, in which all of it came
				synctest.Wait()
				time.Sleep(3 * time.Second) // of the bubble: nobody waits for an answer any more
				if len(answers) != 2 {
					t.Errorf("%s first: %d of two are answered", first, len(answers))
					return
				}
				if one, two := <-answers, <-answers; (one == nil) == (two == nil) { // the second finds nothing left
					t.Errorf("%s first: %v, %v", first, one, two)
				}
				if s := a.Console().Status(ctx); s.Phase != "idle" || says(s) != reason.OperatorRevert {
					t.Errorf("%s first: phase %s, %s", first, s.Phase, says(s))
				}
			})
			r.is("A", 1, "!armed=")
		})
	}
}

// bomb is a source that panics.
type bomb struct{}

func (bomb) Open(context.Context, int64, string) (io.ReadCloser, string, error) { panic("a defect") }

// TestPanicInTheBackgroundIsOne: a defect in an action that takes long ends the daemon like any other: the loader's
// counter and the start decide, and nobody waits for ever.
func TestPanicInTheBackgroundIsOne(t *testing.T) {
	bubble(t, 1327, func(r *rig) {
		b := r.beginning()
		r.from(func(string) slots.Source { return bomb{} })
		a, came := r.agent(), make(chan any, 1)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go func() {
			defer func() { came <- recover() }()
			_ = a.Run(ctx)
		}()
		synctest.Wait()
		r.send(b.msgs...)
		select {
		case p := <-came:
			if p == nil || !strings.Contains(fmt.Sprint(p), "a defect") || !strings.Contains(fmt.Sprint(p), "bomb") {
				t.Errorf("Run ended with %v", p)
			}
		default:
			t.Error("Run goes on")
		}
	})
}

// TestImageKnowsItsOwnNumber: the whole state is lost, and with it the floors. What the running image says of itself is
// the least: an older release is refused.
func TestImageKnowsItsOwnNumber(t *testing.T) {
	bubble(t, 1328, func(r *rig) {
		r.play(r.release(5, 2))
		r.is("B", 2)
		r.options = func(o *agent.Options) { o.Sequence = 5 }
		r.mem = journal.NewMemory()
		for _, f := range r.w.Files() {
			if strings.HasPrefix(f, "/state/") {
				_ = r.w.FS().Remove(f)
			}
		}
		if n := r.play(r.release(4, 3)); n != 0 {
			t.Errorf("an older release made the device boot %d times", n)
		}
		r.is("B", 2, "refuse slot= seq=4 sequence-below-floor")
		r.play(r.release(6, 4))
		r.is("A", 4)
	})
}
