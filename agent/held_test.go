package agent_test

import (
	"context"
	"errors"
	"testing"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal"
)

// heldBoot looks whether somebody could open the target while it is armed.
type heldBoot struct {
	bootctl.Backend
	try func()
}

func (b heldBoot) Try(ctx context.Context, target bootctl.Slot, tries int) error {
	b.try()
	return b.Backend.Try(ctx, target, tries)
}

// TestTargetIsHeldUntilItIsArmed: what was read back is what will boot. Nobody can open the slot in between.
func TestTargetIsHeldUntilItIsArmed(t *testing.T) {
	bubble(t, 3, func(r *rig) {
		armed := 0
		r.wrap = func(o *agent.Options) {
			o.Boot = heldBoot{o.Boot, func() {
				armed++
				m, err := r.w.Blocks().OpenMedium("/dev/b")
				if !errors.Is(err, hal.ErrBusy) {
					t.Errorf("the target can be opened while it is armed: %v", err)
				}
				if err == nil {
					_ = m.Close()
				}
			}}
		}
		r.play(r.release(2, 2))
		if armed != 1 {
			t.Errorf("the target was armed %d times", armed)
		}
	})
}
