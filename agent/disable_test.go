package agent_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// TestNothingIsWrittenUnlessDisabled: the boot metadata cannot be written. Not a byte goes into the
// target then, also where it was not bootable before: what could not be proven is not relied upon (I1).
func TestNothingIsWrittenUnlessDisabled(t *testing.T) {
	for _, from := range []int{1, 2} { // the first comes before the phase writing, the second in it
		bubble(t, 601, func(r *rig) {
			before := r.w.Disk("/dev/b", 0, slotSize)
			n, broken := 0, true
			r.options = func(o *agent.Options) {
				o.Boot = fakeBoot{Backend: o.Boot, disable: func(real func() error) error {
					if n++; broken && n >= from {
						return errors.New("input/output error")
					}
					return real()
				}}
			}
			if st := r.state(); st.Slots["B"].Bootable {
				t.Fatalf("the target is bootable before: %+v", st)
			}
			r.spend(30*time.Minute, r.release(2, 2))
			if n < from {
				t.Fatalf("the target was disabled %d times", n)
			}
			if !bytes.Equal(r.w.Disk("/dev/b", 0, slotSize), before) {
				t.Errorf("failing from disable %d on: the target was written", from)
			}
			r.is("A", 1, "boot-metadata-io-error", "!armed")
			broken = false
			r.spend(3 * time.Hour)
			r.is("B", 2)
		})
	}
}

// TestDisableThatDoesNothing: the write is said to have happened, and the target is as bootable as before.
func TestDisableThatDoesNothing(t *testing.T) {
	bubble(t, 602, func(r *rig) {
		r.play(r.release(2, 2))
		lies := true
		r.options = func(o *agent.Options) {
			o.Boot = fakeBoot{Backend: o.Boot, disable: func(real func() error) error {
				if lies {
					return nil
				}
				return real()
			}}
		}
		r.spend(30*time.Minute, r.release(3, 3))
		if !r.holds("/dev/a", 1) || !good(r.state()) {
			t.Errorf("the target was written while it could boot: %+v", r.state())
		}
		r.is("B", 2, "boot-metadata-io-error")
		lies = false
		r.spend(3 * time.Hour)
		r.is("A", 3)
	})
}

// TestNextIsNotWritten: a loader whose next boot is the target, whatever the slot's own entry says, is
// one whose target may boot.
func TestNextIsNotWritten(t *testing.T) {
	bubble(t, 603, func(r *rig) {
		r.options = func(o *agent.Options) {
			o.Boot = fakeBoot{Backend: o.Boot, state: func(st bootctl.State, err error) (bootctl.State, error) {
				if len(r.opened) > 0 {
					st.Next = "B"
				}
				return st, err
			}}
		}
		before := r.w.Disk("/dev/b", 0, slotSize)
		envs := [][]byte{r.release(2, 2)}
		for r.boot(&envs, func(a *agent.Agent) bool { return a.Console().Status(context.Background()).Last != nil }) {
			r.loader()
		}
		if !bytes.Equal(r.w.Disk("/dev/b", 0, slotSize), before) {
			t.Error("the target was written although it is booted next")
		}
	})
}
