package life_test

import (
	"testing"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// The power goes at every start of a trial behind the quarantine file's count and before the record's: no
// count goes beyond the boots that are allowed (I8), and the first start behind them turns back.
func TestBootsAreBoundedThoughTheRecordIsLate(t *testing.T) {
	var tally life.Tally
	for boot := 1; boot <= dev.MaxBoots+3; boot++ {
		s := life.State{Dev: dev}
		s.Have, s.BootID, s.Tally = true, "y", tally
		s.Rec = life.Record{Phase: life.Rebooting, Target: "B", Digest: "sha256:22",
			Ext: life.Ext{BootID: "x", Tries: 3, Images: []life.SlotImage{{Component: "rootfs"}}}}
		s.Budget = s.Rec.Budget()
		trial := bootctl.SlotState{Bootable: true, Tries: 2}
		old := bootctl.SlotState{Bootable: true, Confirmed: true, Tries: 3}
		var e life.Event = life.Started{Run: "B", BootOK: true,
			Boot: bootctl.State{Slots: map[bootctl.Slot]bootctl.SlotState{"A": old, "B": trial}, Next: "B"}}
		for ok := true; ok; {
			var eff life.Effects
			s, eff = life.Step(s, e)
			for _, op := range eff.Commit.Quar {
				if c, is := op.(life.Count); is {
					tally = life.Tally{Key: c.Key, Boots: c.Boots}
				}
			}
			e, ok = life.Immediate(eff.Do, life.Moment{})
		}
		want := life.Trial
		if boot > dev.MaxBoots {
			want = life.Reverting
		}
		if n := min(boot, dev.MaxBoots); s.Rec.Phase != want || s.Budget.Boots != n || tally.Boots != n {
			t.Errorf("boot %d: %s with %d boots on record and %d in the file, want %s with %d in both",
				boot, s.Rec.Phase, s.Budget.Boots, tally.Boots, want, n)
		}
	}
}
