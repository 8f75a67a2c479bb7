package life_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// slotStates are all that a loader's metadata can say of a slot, as far as Reconcile looks.
func slotStates() []bootctl.SlotState {
	var out []bootctl.SlotState
	for _, bootable := range []bool{false, true} {
		for _, confirmed := range []bool{false, true} {
			for _, exhausted := range []bool{false, true} {
				for _, tries := range []int{-1, 0, 1, 3} {
					out = append(out,
						bootctl.SlotState{Bootable: bootable, Confirmed: confirmed, Exhausted: exhausted, Tries: tries})
				}
			}
		}
	}
	return out
}

// views walks the whole product of what a start of the daemon can find.
func views(fn func(life.View)) int {
	phases := []life.Phase{"", "no-such-phase"}
	phases = append(phases, life.Phases()...)
	n := 0
	for _, have := range []bool{false, true} {
		for _, p := range phases {
			if have && !p.Known() {
				continue // decodeRecord never hands those over
			}
			if !have && p != "" {
				continue
			}
			for _, runs := range []life.Where{life.RunsUnknown, life.RunsTarget, life.RunsOther} {
				for _, same := range []bool{false, true} {
					for _, valid := range []bool{false, true} {
						for _, target := range slotStates() {
							for _, other := range []bootctl.SlotState{{}, {Bootable: true, Confirmed: true, Tries: 3},
								{Bootable: true, Tries: 1}} {
								for _, boots := range []int{0, 1, 4, 5} {
									for _, c := range []struct{ never, arms, tries int }{{0, 3, 3}, {1, 4, 3},
										{0, 0, 1}, {0, 0, 2}} {
										v := life.View{HaveRecord: have, Runs: runs, SameBoot: same, BootValid: valid,
											MaxBoots: 4}
										v.Record = life.Record{Phase: p, Target: "B", Digest: "sha256:00",
											Ext: life.Ext{Tries: c.tries, Cause: reason.HealthFailed}}
										v.Budget = life.Budget{Boots: boots, Untried: c.never, Arms: c.arms}
										if !have {
											v.Record = life.Record{Phase: life.Idle}
										}
										if valid {
											v.Target, v.Fallback = target, other
										}
										switch runs {
										case life.RunsTarget:
											v.Running, v.Self = "B", v.Target
										case life.RunsOther:
											v.Running, v.Self = "A", v.Fallback
										}
										fn(v)
										n++
									}
								}
							}
						}
					}
				}
			}
		}
	}
	return n
}

// TestReconcileTotal walks the product and holds every answer against what must never happen. testdata/reconcile.txt
// has the answers to read: for each phase, what runs and what is known, how many of the views have which answer.
func TestReconcileTotal(t *testing.T) {
	failed := 0
	answers := map[string]map[string]int{}
	n := views(func(v life.View) {
		s := life.Reconcile(v)
		q := question(v)
		if answers[q] == nil {
			answers[q] = map[string]int{}
		}
		answers[q][answer(s)]++
		if why := unsafe(v, s); why != "" {
			if failed++; failed <= 10 {
				t.Errorf("%s\n  view %+v\n  step %+v", why, v, s)
			}
		}
	})
	t.Logf("%d views", n)
	var b strings.Builder
	for _, q := range slices.Sorted(maps.Keys(answers)) {
		b.WriteString(q + "\n")
		for _, a := range slices.Sorted(maps.Keys(answers[q])) {
			fmt.Fprintf(&b, "%8d  %s\n", answers[q][a], a)
		}
	}
	golden(t, "testdata/reconcile.txt", b.String())
}

func question(v life.View) string {
	phase := string(v.Record.Phase)
	if !v.HaveRecord {
		phase = "no record"
	}
	runs := [...]string{"it is not known what runs", "the target runs", "the other slot runs"}[v.Runs]
	boot, valid := "another boot", "metadata invalid"
	if v.SameBoot {
		boot = "same boot"
	}
	if v.BootValid {
		valid = "metadata valid"
	}
	return strings.Join([]string{phase, runs, boot, valid}, ", ")
}

func answer(r life.Resume) string {
	out := string(r.To)
	for _, x := range []struct {
		is   bool
		name string
	}{{r.Same, "as it was"}, {r.Hold, "hold"}, {r.Count, "count the boot"}, {r.Began, "a trial begins"},
		{r.Ended, "the update is over"}, {r.Redo, "once more"}} {
		if x.is {
			out += ", " + x.name
		}
	}
	if r.Cause != "" {
		out += " (" + string(r.Cause) + ")"
	}
	return out
}

// unsafe says which rule a step breaks.
func unsafe(v life.View, s life.Resume) string {
	from := v.Record.Phase
	switch {
	case !s.To.Known():
		return "the step leads to no phase"
	case v.Runs == life.RunsUnknown && !s.Hold:
		return "brick 5: acting while what runs is not proven"
	case v.Runs != life.RunsUnknown && s.Hold:
		return "a proven system must not hold"
	case s.Hold:
		return ""
	case v.HaveRecord && s.To != from && !from.May(s.To):
		return fmt.Sprintf("transition %s -> %s is not in the table", from, s.To)
	case v.Runs == life.RunsTarget &&
		(s.To == life.Writing || s.To == life.Checking || s.To == life.Preparing || s.To == life.Arming):
		return "I3: leads to writing or checking the running slot"
	case s.To == life.Arming && !(s.Same && v.SameBoot):
		return "I2: arming without a check in the same boot"
	case s.To == life.Ready:
		return "loss 23: ready after a restart without another check"
	case s.To == life.Trial && v.HaveRecord && v.Runs != life.RunsTarget && from != life.Idle:
		return "a trial of a slot that does not run"
	case s.To == life.Trial && !v.SameBoot && from == life.Trial && !s.Count:
		return "loop 10: a trial boot that is not counted"
	case s.To == life.Trial && s.Count && from == life.Trial && v.Budget.Boots >= v.MaxBoots && !v.Target.Confirmed:
		return "I8: more trial boots than allowed"
	case s.To == life.Sealing && !(v.Runs == life.RunsTarget && v.Target.Confirmed):
		return "lie 18: sealing what does not run or is not confirmed"
	case s.To == life.Confirming && v.Runs != life.RunsTarget:
		return "confirming what does not run"
	case (from == life.Confirming || from == life.Sealing) && s.To == life.Reverting && v.Runs == life.RunsTarget:
		return "lie 16: reverting a running target after its health has passed"
	case from == life.Trial && v.Runs == life.RunsTarget && v.SameBoot && s.Count:
		return "a restart of the daemon counted as a boot"
	case s.Cause == reason.TrialBootsExhausted && v.Budget.Boots < v.MaxBoots && !v.Target.Exhausted:
		return "lie: exhausted, and it is not"
	case s.Cause == reason.FellBack && s.To == life.Reverting && from == life.Rebooting && v.Runs == life.RunsOther &&
		v.Target.Bootable && v.Target.Tries == 3:
		return "lie 15: never tried reported as fell back"
	case s.Redo && v.Budget.Untried >= 1:
		return "I8: armed again and again without being tried"
	case from == life.Reverting && s.To != life.Reverting:
		return "a way back that was given up half way"
	case !v.HaveRecord && v.BootValid && !v.Self.Confirmed && s.To != life.Trial:
		return "loop 11: an unconfirmed system runs without a trial"
	}
	return ""
}

// TestReconcileStories names the cases that people ask about.
func TestReconcileStories(t *testing.T) {
	armed := bootctl.SlotState{Bootable: true, Tries: 3}
	good := bootctl.SlotState{Bootable: true, Confirmed: true, Tries: 3}
	at := func(p life.Phase, x life.Ext) life.Record { return life.Record{Phase: p, Target: "B", Ext: x} }
	tests := []struct {
		name string
		view life.View
		want life.Resume
	}{
		{"power cut while writing",
			life.View{HaveRecord: true, Record: at(life.Writing, life.Ext{}), Runs: life.RunsOther,
				BootValid: true, Self: good},
			life.Resume{To: life.Writing, Same: true, Cause: reason.Interrupted}},
		{"power cut in the middle of arming, not landed",
			life.View{HaveRecord: true, Record: at(life.Arming, life.Ext{}), Runs: life.RunsOther,
				BootValid: true, Self: good},
			life.Resume{To: life.Checking, Cause: reason.Interrupted}},
		{"power cut right after arming",
			life.View{HaveRecord: true, Record: at(life.Arming, life.Ext{}), Runs: life.RunsTarget, BootValid: true,
				Target: armed, Self: armed, MaxBoots: 4},
			life.Resume{To: life.Trial, Count: true}},
		{"kernel panics until the tries are gone",
			life.View{HaveRecord: true, Record: at(life.Rebooting, life.Ext{Tries: 3}), Runs: life.RunsOther,
				BootValid: true, Self: good, Target: bootctl.SlotState{Exhausted: true}},
			life.Resume{To: life.Reverting, Cause: reason.TrialBootsExhausted}},
		{"BootNext lost",
			life.View{HaveRecord: true, Record: at(life.Rebooting, life.Ext{Tries: 3}), Runs: life.RunsOther,
				BootValid: true, Self: good, Target: armed},
			life.Resume{To: life.Checking, Redo: true, Cause: reason.NeverTried}},
		{"BootNext lost again",
			life.View{HaveRecord: true, Record: at(life.Rebooting, life.Ext{Tries: 3}), Budget: life.Budget{Untried: 1},
				Runs: life.RunsOther, BootValid: true, Self: good, Target: armed},
			life.Resume{To: life.Reverting, Cause: reason.NeverTried}},
		{"initramfs fallback",
			life.View{HaveRecord: true, Record: at(life.Trial, life.Ext{}), Runs: life.RunsUnknown, BootValid: true},
			life.Resume{To: life.Trial, Hold: true, Same: true, Cause: reason.RunningUnproven}},
		{"journal lost in the trial",
			life.View{Record: life.Record{Phase: life.Idle}, Runs: life.RunsOther, BootValid: true, Self: armed},
			life.Resume{To: life.Trial, Began: true, Count: true, Cause: reason.JournalLost}},
		{"first boot",
			life.View{Record: life.Record{Phase: life.Idle}, Runs: life.RunsOther, BootValid: true, Self: good},
			life.Resume{To: life.Idle}},
		{"confirm landed, power cut before the record",
			life.View{HaveRecord: true, Record: at(life.Confirming, life.Ext{}), Runs: life.RunsTarget, BootValid: true,
				Target: good, Self: good},
			life.Resume{To: life.Confirming, Same: true}},
		{"confirmed, and the old slot runs",
			life.View{HaveRecord: true, Record: at(life.Sealing, life.Ext{}), Runs: life.RunsOther, BootValid: true,
				Target: good, Self: good},
			life.Resume{To: life.Idle, Ended: true, Cause: reason.LostAfterConfirm}},
	}
	for _, tt := range tests {
		if got := life.Reconcile(tt.view); got != tt.want {
			t.Errorf("%s:\n got  %+v\n want %+v", tt.name, got, tt.want)
		}
	}
}
