package agent_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/journal"
)

// forgets runs boots in which the state directory is empty at each start, as one on a tmpfs is, until one lasts for
// three hours; it says how many did not.
func (r *rig) forgets(offer []byte, most int) (reboots int) {
	r.t.Helper()
	for ; reboots < most; reboots++ {
		r.mem = journal.NewMemory()
		for _, name := range r.w.Files() {
			if strings.HasPrefix(name, "/state/") {
				_ = r.w.FS().Remove(name)
			}
		}
		clock, envelopes := r.w.Clock(), [][]byte{offer}
		if !r.boot(&envelopes, func(*agent.Agent) bool { return clock.Uptime() > 3*time.Hour }) {
			return reboots
		}
		r.loader()
	}
	return reboots
}

// A device whose state does not last installs a retained offer once: what runs is not installed again, and what came
// back sick is not begun again, until a person does.
func TestStateThatDoesNotLast(t *testing.T) {
	for name, c := range map[string]struct {
		sick bool
		runs string
		most int // reboots: into the trial, and for a sick one those of the trial and the way back
		says string
	}{
		"healthy": {false, "B", 2, "already-installed"},
		"sick":    {true, "A", 5, "started-before"},
	} {
		bubble(t, 94, func(r *rig) {
			r.sick[2] = c.sick
			if n := r.forgets(r.release(2, 2), 12); n > c.most || n == 0 || r.runs() != c.runs {
				t.Errorf("%s: %d reboots, want %d at most; slot %s runs, want %s\n%s", name, n, c.most, r.runs(),
					c.runs, r.told())
			}
			if !strings.Contains(r.told(), c.says) {
				t.Errorf("%s: the evidence does not say %s\n%s", name, c.says, r.told())
			}
			if n := r.forgets(r.release(2, 2), 12); n > 0 {
				t.Errorf("%s: %d reboots more", name, n)
			}
			if n := r.forgets(r.release(3, 3), 12); n == 0 || r.runs() == c.runs {
				t.Errorf("%s: the next release is not installed: %d reboots, slot %s runs", name, n, r.runs())
			}
		})
	}
}

// In new state that lasts, an update that failed once it was written is tried again: the state knows why it is there.
func TestNewStateTriesAgain(t *testing.T) {
	bubble(t, 95, func(r *rig) {
		failures := 2
		r.options = func(o *agent.Options) {
			o.Boot = fakeBoot{Backend: o.Boot, try: func(real func() error) error {
				if failures--; failures >= 0 {
					return syscall.EIO
				}
				return real()
			}}
		}
		r.spend(6*time.Hour, r.release(2, 2))
		r.is("B", 2, "arm-not-landed", "!started-before")
	})
}
