package agent_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/control"
)

// TestEndedTooLate: a person who asks to end an update while its own failure is being recorded is not told that it
// was ended, and the look after the boot metadata takes place all the same.
func TestEndedTooLate(t *testing.T) {
	bubble(t, 9001, func(r *rig) {
		var failing, failed atomic.Bool
		var now atomic.Pointer[agent.Agent]
		var answer atomic.Pointer[string]
		failing.Store(true)
		r.source = func(uri string, off int64) (body, error) {
			if failing.Load() {
				failed.Store(true)
				return nil, errors.New("no route to host")
			}
			return simSource{&rig{images: r.images, w: r.w}, uri}.open(off)
		}
		r.fault = func() error {
			if a := now.Load(); a != nil && failed.Swap(false) {
				failing.Store(false)
				d, _ := a.Console().Revert(context.Background(), "uid 7", "")
				answer.Store(&d.Says)
			}
			return nil
		}
		env := r.release(2, 2)
		var envs [][]byte
		clock := r.w.Clock()
		var mark time.Duration
		for r.boot(&envs, func(a *agent.Agent) bool {
			if now.Swap(a) == nil {
				envs = [][]byte{env}
				return false
			}
			if answer.Load() != nil && mark == 0 {
				mark = clock.Uptime()
			}
			return mark > 0 && clock.Uptime() > mark+7*time.Hour
		}) {
			r.loader()
		}
		says := answer.Load()
		if says == nil {
			t.Fatal("nobody asked")
		}
		if strings.Contains(*says, "is ended") && r.runs() == "B" {
			t.Errorf("the person was told %q, and the update was installed", *says)
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

// TestEndedIsDurable: a person ends the update while it is written, and the journal does not take it. The person is
// told so, and not that the update was ended; it goes on.
func TestEndedIsDurable(t *testing.T) {
	for _, broken := range []bool{false, true} {
		bubble(t, 9200, func(r *rig) {
			slow := make(chan struct{})
			var failing, well atomic.Bool
			r.source = func(uri string, off int64) (body, error) {
				if well.Load() {
					return r.right(uri, off)
				}
				return &hanging{gone: slow}, nil
			}
			r.fault = func() error {
				if failing.Swap(false) {
					return errors.New("no space left on device")
				}
				return nil
			}
			envs, asked := [][]byte{r.release(2, 2)}, false
			var d control.Done
			var err error
			r.boot(&envs, func(a *agent.Agent) bool {
				if a.Console().Status(context.Background()).Phase == "writing" && !asked {
					asked = true
					failing.Store(broken)
					d, err = a.Console().Revert(context.Background(), "uid 7", "")
					well.Store(true)
				}
				return asked
			})
			close(slow)
			r.play()
			want := map[bool]string{false: "A", true: "B"}[broken]
			told := strings.Contains(d.Says, "is ended")
			if told == broken || (err != nil) != broken || r.runs() != want {
				t.Errorf("broken %v: told %q, %v; slot %s runs", broken, d.Says, err, r.runs())
			}
		})
	}
}
