package life_test

import (
	"slices"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// restarted is the state after a start in a new boot in which a slot runs, up to what the start made of it.
func restarted(s life.State, run string) (life.State, life.Effects) {
	s.Live = life.Live{BootID: "boot-2", Starting: true, Run: "A", Found: life.Started{Moment: moment, Run: "A"}}
	s.Live.Found.Boot, s.Live.Found.BootOK = metadata(full, off, "A"), true
	if run == "B" {
		s.Live.Run, s.Live.Found.Run = "B", "B"
	}
	return life.Step(s, life.Begun{Moment: moment})
}

// TestLostAfterConfirmIsNotInstalled: a release that was confirmed and that the loader left is not called installed
// while the old system runs: its verdict goes, and its offer is tried again, later and later.
func TestLostAfterConfirmIsNotInstalled(t *testing.T) {
	s, eff := life.Step(usual(life.Confirming), life.Done{Moment: moment, Do: life.Confirm{Slot: "B"},
		Boot: metadata(full, full, "B"), BootOK: true})
	if s.Rec.Phase != life.Sealing || finalOf(eff) != reason.AlreadyInstalled || s.Waiting.Digest != offered {
		t.Fatalf("confirmed: %s, %+v", s.Rec.Phase, eff.Commit)
	}
	next, eff := restarted(s, "A")
	if next.Rec.Phase != life.Idle || next.Rec.Ext.Cause != reason.LostAfterConfirm {
		t.Fatalf("the old system runs: %s %s", next.Rec.Phase, next.Rec.Ext.Cause)
	}
	if !slices.Contains(eff.Commit.Ops, life.Op(life.DropFinal{Digest: offered})) || finalOf(eff) != "" {
		t.Errorf("it is still called installed: %+v", eff.Commit.Ops)
	}
	if w := next.Waiting; w.Digest != offered || w.Budget.Reverts == 0 || next.RetryAt <= now {
		t.Errorf("it is not tried again: %+v, at %v", w, next.RetryAt)
	}
	s.Rec.Ext.Revert = true
	if _, eff := restarted(s, "A"); slices.Contains(eff.Commit.Ops, life.Op(life.DropFinal{Digest: offered})) {
		t.Error("after an operator's way back that was lost, the release that he left is offered again")
	}
}

// TestFellBackWhileWriting: the loader left the running slot for the target before that was disabled. The update goes
// to the other slot, and begins there from zero.
func TestFellBackWhileWriting(t *testing.T) {
	s := usual(life.Preparing)
	s.Live = life.Live{BootID: "boot-2", Starting: true, Run: "B", Found: life.Started{Moment: moment, Run: "B",
		Boot: metadata(full, full, "B"), BootOK: true}}
	next, eff := life.Step(s, life.Begun{Moment: moment})
	if next.Rec.Phase != life.Idle || next.Waiting.Digest != offered ||
		!slices.Contains(eff.Commit.Ops, life.Op(life.DropCheckpoints{})) {
		t.Errorf("%s, waits %q, %+v", next.Rec.Phase, next.Waiting.Digest, eff.Commit.Ops)
	}
}

// TestFrozenRecordKeepsWhatIsNotOurs: a trial that ends under a record of another version leaves that version's
// envelope and checkpoints to it.
func TestFrozenRecordKeepsWhatIsNotOurs(t *testing.T) {
	for _, frozen := range []bool{true, false} {
		s := usual(life.Sealing)
		s.Rec, s.Frozen, s.Waiting = life.Record{Phase: life.Sealing, Target: "B",
			Ext: life.Ext{Synthetic: true}}, frozen, life.Waiting{}
		next, eff := life.Step(s, life.Done{Moment: moment, Do: life.Look{}, Boot: metadata(full, full, "B"),
			BootOK: true})
		if next.Rec.Phase != life.Idle {
			t.Fatalf("phase %s", next.Rec.Phase)
		}
		kept := true
		for _, op := range eff.Commit.Ops {
			switch op.(type) {
			case life.DropCheckpoints, life.PutEnvelope:
				kept = false
			}
		}
		if kept != frozen {
			t.Errorf("frozen %v: kept %v", frozen, kept)
		}
	}
}

// TestArmedThreeTimes: a cut in each arming leads to three of them and not to a fourth, wherever it comes from.
func TestArmedThreeTimes(t *testing.T) {
	s, armings := usual(life.Ready), 0
	install := life.Decided{Moment: moment, Ask: life.Ask{Stage: life.Arm}, Ruling: ruling()}
	for s.Rec.Phase == life.Ready && armings < 10 {
		if s, _ = life.Step(s, install); s.Rec.Phase != life.Arming {
			break
		}
		armings++
		if s, _ = restarted(s, "A"); s.Rec.Phase == life.Checking {
			s, _ = life.Step(s, life.Done{Moment: moment, Do: life.Check{}})
		}
	}
	if armings != 3 || s.Rec.Phase != life.Reverting || s.Rec.Ext.Cause != reason.ArmNotLanded {
		t.Errorf("armed %d times, then %s %s", armings, s.Rec.Phase, s.Rec.Ext.Cause)
	}
	s = usual(life.Ready)
	s.Budget.Arms = 3
	if s, _ = life.Step(s, install); s.Rec.Phase != life.Idle || s.Waiting.Digest != offered {
		t.Errorf("ready, armed three times before: %s, waits %q", s.Rec.Phase, s.Waiting.Digest)
	}
}

// TestTriesAreKnownAfterACut: the record says with how many tries the target is armed before it is, so that after a
// cut in between a loader that counted down is seen to have tried it.
func TestTriesAreKnownAfterACut(t *testing.T) {
	for most, want := range map[int]int{0: 3, 1: 1, 7: 3} {
		s := usual(life.Writing)
		boot := metadata(full, off, "A")
		boot.Caps.MaxTries = most
		s, _ = life.Step(s, life.Done{Moment: moment, Do: life.Disable{Slot: "B"}, Boot: boot, BootOK: true})
		s.Rec.Phase, s.Held, s.CheckedAt = life.Ready, true, now
		s, _ = life.Step(s, life.Decided{Moment: moment, Ask: life.Ask{Stage: life.Arm}, Ruling: ruling()})
		if s.Rec.Phase != life.Arming || s.Rec.Ext.Tries != want {
			t.Errorf("a loader that counts to %d: %s with %d tries, want %d", most, s.Rec.Phase, s.Rec.Ext.Tries, want)
		}
	}
}
