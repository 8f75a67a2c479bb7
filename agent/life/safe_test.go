package life_test

import (
	"testing"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// start plays a start until the machine does something outside of it.
func start(phase life.Phase, run bootctl.Slot, safe bool, a, b bootctl.SlotState) (life.State, life.Action) {
	s := life.State{Dev: dev}
	s.Have = true
	s.Rec = life.Record{Phase: phase, Target: "B", Digest: "sha256:22",
		Ext: life.Ext{BootID: "x", Tries: 3, Images: []life.SlotImage{{Component: "rootfs"}}}}
	s.BootID = "y"
	s.Budget = s.Rec.Budget()
	if safe {
		s.Safe = []string{"config cannot be read"}
	}
	boot := bootctl.State{Slots: map[bootctl.Slot]bootctl.SlotState{"A": a, "B": b}, Next: "B"}
	var e life.Event = life.Started{Run: run, Boot: boot, BootOK: true}
	for range 20 {
		next, eff := life.Step(s, e)
		s = next
		if im, ok := life.Immediate(eff.Do, life.Moment{}); ok {
			e = im
			continue
		}
		if r, ok := eff.Do.(life.Refresh); ok {
			e = life.Done{Do: r, Boot: boot, BootOK: true}
			continue
		}
		return s, eff.Do
	}
	return s, nil
}

// TestSafeStart: boot-safe mode reconciles like any other start; only then it waits.
func TestSafeStart(t *testing.T) {
	full := bootctl.SlotState{Bootable: true, Confirmed: true, Tries: 3}
	trial := bootctl.SlotState{Bootable: true, Tries: 2}
	for _, c := range []struct {
		p    life.Phase
		run  bootctl.Slot
		want life.Phase
	}{{life.Arming, "B", life.Reverting}, {life.Writing, "B", life.Reverting}, {life.Arming, "A", life.Reverting},
		{life.Ready, "A", life.Checking}} {
		s, do := start(c.p, c.run, true, full, trial)
		if s.Rec.Phase != c.want || s.Starting {
			t.Errorf("safe %s, %s runs: old agent ends in %s; new: phase %s starting %v do %#v",
				c.p, c.run, c.want, s.Rec.Phase, s.Starting, do)
		}
	}
}
