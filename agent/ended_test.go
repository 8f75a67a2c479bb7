package agent_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// TestEndedTooLate: a person who asks to end an update while its own failure is being recorded is not told that it
// was ended, and the look after the boot metadata takes place all the same.
func TestEndedTooLate(t *testing.T) {
	bubble(t, 9001, func(r *rig) {
		failing, refreshes, answers := true, 0, []string{}
		var now *agent.Agent
		armed := false
		var mark time.Duration
		r.source = func(uri string, off int64) (body, error) {
			if failing {
				armed = true
				return nil, errors.New("no route to host")
			}
			return simSource{&rig{images: r.images, w: r.w}, uri}.open(off)
		}
		r.fault = func() error {
			if armed && now != nil {
				armed, failing = false, false
				d, err := now.Console().Revert(context.Background(), "uid 7", "")
				answers = append(answers, d.Says)
				if err != nil {
					answers = append(answers, err.Error())
				}
			}
			return nil
		}
		r.options = func(o *agent.Options) {
			o.Boot = fakeBoot{Backend: o.Boot, state: func(st bootctl.State, err error) (bootctl.State, error) { refreshes++; return st, err }}
		}
		env := r.release(2, 2)
		var envs [][]byte
		clock := r.w.Clock()
		first := true
		for r.boot(&envs, func(a *agent.Agent) bool {
			now = a
			if first {
				first, envs, refreshes = false, [][]byte{env}, 0
				return false
			}
			if len(answers) > 0 && mark == 0 {
				mark = clock.Uptime()
			}
			return mark > 0 && clock.Uptime() > mark+7*time.Hour
		}) {
			r.loader()
		}
		if len(answers) > 0 && strings.Contains(answers[0], "is ended") && r.runs() == "B" {
			t.Errorf("the person was told %q, and the update was installed", answers[0])
		}
	})
}

func (s simSource) open(off int64) (body, error) {
	b, _, err := s.Open(context.Background(), off, "")
	return b, err
}

// TestEndedAndStopped: a person ends the update, and the daemon is told to end right after. What the person was told
// is durable.
func TestEndedAndStopped(t *testing.T) {
	lost := 0
	for seed := uint64(0); seed < 5; seed++ {
		bubble(t, 9100+seed, func(r *rig) {
			slow := make(chan struct{})
			r.source = func(string, int64) (body, error) { return &hanging{gone: slow}, nil }
			env := r.release(2, 2)
			envs := [][]byte{env}
			var d control.Done
			r.boot(&envs, func(a *agent.Agent) bool {
				if a.Console().Status(context.Background()).Phase != "writing" {
					return false
				}
				var err error
				if d, err = a.Console().Revert(context.Background(), "uid 7", ""); err != nil {
					t.Error(err)
				}
				return true // the daemon ends now
			})
			r.source = nil
			close(slow)
			r.play()
			if strings.Contains(d.Says, "is ended") && r.runs() == "B" {
				lost++
			}
		})
	}
	if lost > 0 {
		t.Errorf("%d of 5: told that it was ended, and installed", lost)
	}
}
