package life_test

import (
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// TestReconcilePower walks the product: that the power had gone changes nothing but the count of trial boots and the
// word for a fall-back, never to an accusation, and never where nothing of the target was tried or nothing is left to
// excuse.
func TestReconcilePower(t *testing.T) {
	failed, excused := 0, 0
	views(func(v life.View) {
		for _, b := range []struct{ cuts, excused int }{{0, 0}, {2, 2}, {0, 8}} {
			v := v
			v.Budget.Cuts, v.Budget.Excused = b.cuts, b.excused
			was := life.Reconcile(v)
			v.Power = true
			is := life.Reconcile(v)
			why := ""
			switch same := is; {
			case is == was:
				continue
			case b.excused == 8:
				why = "more boots are excused than are allowed"
			case v.SameBoot:
				why = "excused twice"
			case !is.Cut:
				why = "something changes, and nothing is excused"
			case is.To == life.Trial && was.Cause == reason.TrialBootsExhausted:
				if same.Cut, same.Count = false, false; same != (life.Resume{To: life.Trial}) {
					why = "another trial boot, and not counted"
				}
			case is.To != was.To || is.Count != was.Count:
				why = "it goes on in another way"
			case is.Cause != was.Cause && is.Cause != reason.PowerLost && is.Cause != reason.FellBack:
				why = "an accusation"
			case is.Cause == reason.FellBack && was.Cause == reason.PowerLost:
				why = "worse than before"
			}
			if excused++; why != "" {
				if failed++; failed < 5 {
					t.Errorf("%s\n  view %+v\n  was %+v\n  is  %+v", why, v, was, is)
				}
			}
		}
	})
	if excused == 0 {
		t.Error("nothing is excused")
	}
}

// playStarts plays the starts of one attempt with three tries, from the reboot into the target on. Each start has what
// ran, the tries that the loader has left, and how the boot before it ended.
func playStarts(t *testing.T, b life.Budget, starts []life.Started) (life.State, []string) {
	t.Helper()
	s := life.State{Dev: dev}
	s.Have, s.Budget = true, b
	s.Rec = life.Record{Phase: life.Rebooting, Target: "B", Digest: offered,
		Ext: life.Ext{BootID: "0", Tries: 3, Panics: life.Panics{Count: 1, Newest: 100},
			Images: []life.SlotImage{{Component: "rootfs"}}}}
	var told []string
	for i, e := range starts {
		s.BootID = string(rune('1' + i))
		for ev, ok := life.Event(e), true; ok; {
			var eff life.Effects
			s, eff = life.Step(s, ev)
			for _, x := range eff.Commit.Events {
				told = append(told, x.Detail["not-counted"]+x.Detail["reset"])
			}
			if _, is := eff.Do.(life.Refresh); is {
				ev, ok = life.Done{Do: eff.Do}, true
				continue
			}
			ev, ok = life.Immediate(eff.Do, life.Moment{})
		}
	}
	return s, told
}

// startOf is a start in slot, with so many tries of B left; ended is how the boot before it ended.
func startOf(slot bootctl.Slot, tries int, ended string) life.Started {
	old := bootctl.SlotState{Bootable: true, Confirmed: true, Tries: 3}
	trial := bootctl.SlotState{Bootable: tries > 0 || slot == "B", Tries: tries, Exhausted: tries == 0 && slot == "A"}
	e := life.Started{Run: slot, BootOK: true,
		Boot: bootctl.State{Slots: map[bootctl.Slot]bootctl.SlotState{"A": old, "B": trial}, Next: slot}}
	e.Reset.Panics = life.Panics{Count: 1, Newest: 100}
	switch ended {
	case "power":
		e.Reset.Power, e.Reset.Says = true, "power-on (test)"
	case "panic":
		e.Reset.Power, e.Reset.Panics.Count = true, 2
	case "panic later": // and the archive of the other records is another slot's
		e.Reset.Power, e.Reset.Panics.Newest = true, 101
	case "?":
	}
	return e
}

// TestPowerInTrial: how a trial ends, by what each start tells of the boot before it.
func TestPowerInTrial(t *testing.T) {
	b := func(tries int, ended string) life.Started { return startOf("B", tries, ended) }
	a := func(tries int, ended string) life.Started { return startOf("A", tries, ended) }
	for _, c := range []struct {
		name    string
		starts  []life.Started
		budget  life.Budget
		phase   life.Phase
		cause   reason.Reason
		boots   int
		excused int
	}{
		{"no cut", []life.Started{b(2, "?")}, life.Budget{}, life.Trial, "", 1, 0},
		{"the reboot into it was a cut", []life.Started{b(2, "power")}, life.Budget{}, life.Trial, "", 1, 0},
		{"a cut", []life.Started{b(2, "?"), b(1, "power")}, life.Budget{}, life.Trial, "", 1, 1},
		{"a boot that nobody saw, and a cut", []life.Started{b(1, "power")}, life.Budget{}, life.Trial, "", 1, 1},
		{"two", []life.Started{b(2, "?"), b(1, "power"), b(0, "power")}, life.Budget{}, life.Trial, "", 1, 2},
		{"three, and the loader goes back", []life.Started{b(2, "?"), b(1, "power"), b(0, "power"), a(0, "power")},
			life.Budget{}, life.Reverting, reason.PowerLost, 0, 3},
		{"two, and something else", []life.Started{b(2, "?"), b(1, "power"), b(0, "power"), a(0, "?")},
			life.Budget{}, life.Reverting, reason.FellBack, 1, 2},
		{"one, and something else twice", []life.Started{b(2, "?"), b(1, "?"), b(0, "power"), a(0, "?")},
			life.Budget{}, life.Reverting, reason.TrialBootsExhausted, 2, 1},
		{"nothing is known", []life.Started{b(2, "?"), b(1, "?"), b(0, "?"), a(0, "?")},
			life.Budget{}, life.Reverting, reason.TrialBootsExhausted, 3, 0},
		{"panics that no agent sees, then a cut", []life.Started{a(0, "power")}, life.Budget{}, life.Reverting,
			reason.TrialBootsExhausted, 0, 1},
		{"a panic, then a person pulls the plug", []life.Started{b(2, "?"), b(1, "panic"), b(0, "panic"),
			a(0, "panic")}, life.Budget{}, life.Reverting, reason.TrialBootsExhausted, 3, 0},
		{"the same, and its record is newer", []life.Started{b(2, "?"), b(1, "panic later"), b(0, "panic later"),
			a(0, "panic later")}, life.Budget{}, life.Reverting, reason.TrialBootsExhausted, 3, 0},
		{"as many as are excused", []life.Started{b(2, "?"), b(1, "power"), b(0, "power"), a(0, "power")},
			life.Budget{Excused: 5}, life.Reverting, reason.PowerLost, 0, 8},
		{"one more", []life.Started{b(2, "?"), b(1, "power"), b(0, "power"), a(0, "power")},
			life.Budget{Excused: 6}, life.Reverting, reason.FellBack, 1, 8},
		{"many more", []life.Started{b(2, "?"), b(1, "power"), b(0, "power"), a(0, "power")},
			life.Budget{Excused: 8}, life.Reverting, reason.TrialBootsExhausted, 3, 8},
	} {
		c.budget.Digest = offered
		s, told := playStarts(t, c.budget, c.starts)
		if s.Rec.Phase != c.phase || s.Rec.Ext.Cause != c.cause || s.Budget.Boots != c.boots ||
			s.Budget.Excused != c.excused {
			t.Errorf("%s: %s (%s) with %d boots and %d excused, want %s (%s) with %d and %d", c.name, s.Rec.Phase,
				s.Rec.Ext.Cause, s.Budget.Boots, s.Budget.Excused, c.phase, c.cause, c.boots, c.excused)
		}
		if c.excused > c.budget.Excused && !strings.Contains(strings.Join(told, " "), "power-on (test)") {
			t.Errorf("%s: the evidence does not say why the machine started: %q", c.name, told)
		}
	}
}

// TestPowerIsNotBelievedWithoutABootID: each start of the daemon looks like another boot then, and one that crashes
// would be excused each time.
func TestPowerIsNotBelievedWithoutABootID(t *testing.T) {
	s := life.State{Dev: dev}
	s.Have, s.Budget = true, life.Budget{Digest: offered, Boots: 1}
	s.Rec = life.Record{Phase: life.Trial, Target: "B", Digest: offered,
		Ext: life.Ext{Tries: 3, Panics: life.Panics{Count: 1, Newest: 100}}}
	e := life.Event(startOf("B", 1, "power"))
	for ok := true; ok; {
		var eff life.Effects
		s, eff = life.Step(s, e)
		e, ok = life.Immediate(eff.Do, life.Moment{})
	}
	if s.Budget.Boots != 2 || s.Budget.Excused != 0 {
		t.Errorf("%d boots, %d excused", s.Budget.Boots, s.Budget.Excused)
	}
}
