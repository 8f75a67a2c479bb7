package life_test

import (
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/bootctl"
)

var (
	inTrial = bootctl.SlotState{Bootable: true, Tries: 2}
	before  = bootctl.SlotState{Bootable: true, Confirmed: true, Tries: 3}
)

// startedIn takes a start up in slot B, which is on trial, and returns the state and the count in the quarantine file.
func startedIn(s life.State, at life.Moment) (life.State, life.Tally) {
	tally := s.Tally
	var e life.Event = life.Started{Moment: at, Run: "B", BootOK: true,
		Boot: bootctl.State{Slots: map[bootctl.Slot]bootctl.SlotState{"A": before, "B": inTrial}, Next: "B"}}
	for n, ok := 0, true; ok && n < 20; n++ {
		var eff life.Effects
		s, eff = life.Step(s, e)
		for _, op := range eff.Commit.Quar {
			if c, is := op.(life.Count); is {
				tally = life.Tally{Key: c.Key, Boots: c.Boots}
			}
		}
		e, ok = life.Immediate(eff.Do, at)
	}
	return s, tally
}

// The journal is lost in each boot of a trial: the quarantine file goes on counting.
func TestBootsOfATrialWithoutARecordAreCounted(t *testing.T) {
	var tally life.Tally
	for boot := 1; boot <= dev.MaxBoots; boot++ {
		s := life.State{Dev: dev}
		s.BootID, s.Tally, s.Rec = "y", tally, life.Record{Phase: life.Idle}
		s, tally = startedIn(s, life.Moment{})
		if s.Rec.Phase != life.Trial || !s.Rec.Ext.Synthetic || s.Budget.Boots != boot || tally.Boots != boot {
			t.Errorf("boot %d: %s, %d boots on record and %d in the file",
				boot, s.Rec.Phase, s.Budget.Boots, tally.Boots)
		}
	}
}

// Each boot of a trial has the whole time: what the one before used up says nothing about this one.
func TestEachTrialBootHasTheWholeTime(t *testing.T) {
	for _, synthetic := range []bool{false, true} {
		for _, phase := range []life.Phase{life.Rebooting, life.Trial} {
			s := life.State{Dev: dev}
			s.Have, s.BootID = true, "y"
			s.Rec = life.Record{Phase: phase, Target: "B", Digest: "sha256:22", Ext: life.Ext{BootID: "x", Tries: 3,
				Began: time.Minute, Synthetic: synthetic, Images: []life.SlotImage{{Component: "rootfs"}}}}
			s.Budget = s.Rec.Budget()
			s, _ = startedIn(s, life.Moment{Uptime: time.Hour})
			if s.Rec.Phase != life.Trial || s.Rec.Ext.Began != time.Hour {
				t.Errorf("from %s, synthetic %v: %s, begun at %v", phase, synthetic, s.Rec.Phase, s.Rec.Ext.Began)
			}
		}
	}
}

// Where the kernel tells no boot id, each start is taken for a new boot: what was read back before is read again.
func TestNoBootIDIsAnotherBoot(t *testing.T) {
	for _, c := range []struct {
		stored, now string
		same        bool
	}{{"x", "x", true}, {"x", "y", false}, {"x", "", false}, {"", "x", false}, {"", "", false}} {
		s := life.State{Dev: dev}
		s.Have, s.BootID = true, c.now
		s.Rec = life.Record{Phase: life.Trial, Target: "B", Digest: "sha256:22", Ext: life.Ext{BootID: c.stored,
			Tries: 3, Images: []life.SlotImage{{Component: "rootfs"}}}}
		s.Budget = s.Rec.Budget()
		s, tally := startedIn(s, life.Moment{})
		if counted := tally.Boots == 1; counted == c.same {
			t.Errorf("recorded in boot %q, started in %q: %s, counted %v", c.stored, c.now, s.Rec.Phase, counted)
		}
	}
}

// A permit may allow a lower number. The floor of before stays: the permit is for one release.
func TestFloorsNeverFall(t *testing.T) {
	f := life.Floors{}.Raised(life.Floor{Component: "rootfs", Sequence: 9, Digest: "nine"})
	for _, n := range []uint64{0, 1, 8} {
		got := f.Raised(life.Floor{Component: "rootfs", Sequence: n, Digest: "lower"}).Of("rootfs")
		if got.Sequence != 9 || got.Digest != "nine" {
			t.Errorf("after %d was confirmed: %+v", n, got)
		}
	}
	if got := f.Raised(life.Floor{Component: "rootfs", Sequence: 10}).Of("rootfs").Sequence; got != 10 {
		t.Errorf("after 10 was confirmed: %d", got)
	}
}
