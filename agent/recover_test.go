package agent_test

import (
	"fmt"
	"testing"

	"github.com/ratchet-ota/ratchet/agent"
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
					out = append(out, bootctl.SlotState{Bootable: bootable, Confirmed: confirmed, Exhausted: exhausted, Tries: tries})
				}
			}
		}
	}
	return out
}

// views walks the whole product of what a start of the daemon can find.
func views(fn func(agent.View)) int {
	phases := []agent.Phase{"", "no-such-phase"}
	for _, r := range agent.Table {
		phases = append(phases, r.Phase)
	}
	n := 0
	for _, have := range []bool{false, true} {
		for _, p := range phases {
			if have && !p.Known() {
				continue // decodeRecord never hands those over
			}
			if !have && p != "" {
				continue
			}
			for _, runs := range []agent.Where{agent.RunsUnknown, agent.RunsTarget, agent.RunsOther} {
				for _, same := range []bool{false, true} {
					for _, valid := range []bool{false, true} {
						for _, target := range slotStates() {
							for _, other := range []bootctl.SlotState{{}, {Bootable: true, Confirmed: true, Tries: 3}, {Bootable: true, Tries: 1}} {
								for _, boots := range []int{0, 1, 4, 5} {
									for _, never := range []int{0, 1} {
										v := agent.View{HaveRecord: have, Runs: runs, SameBoot: same, BootValid: valid, MaxBoots: 4}
										v.Record = agent.Record{Phase: p, Target: "B", Digest: "sha256:00", Boots: boots,
											Ext: agent.Ext{Tries: 3, NeverTried: never, Origin: "A"}}
										if !have {
											v.Record = agent.Record{Phase: agent.Idle}
										}
										if valid {
											v.Target, v.Fallback = target, other
										}
										switch runs {
										case agent.RunsTarget:
											v.Running, v.Self = "B", v.Target
										case agent.RunsOther:
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

// TestReconcileTotal walks the product and holds every answer against what must never happen.
func TestReconcileTotal(t *testing.T) {
	failed := 0
	n := views(func(v agent.View) {
		s := agent.Reconcile(v)
		if why := unsafe(v, s); why != "" {
			if failed++; failed <= 10 {
				t.Errorf("%s\n  view %+v\n  step %+v", why, v, s)
			}
		}
	})
	t.Logf("%d views", n)
}

// unsafe says which rule a step breaks.
func unsafe(v agent.View, s agent.Step) string {
	from := v.Record.Phase
	switch {
	case !s.To.Known():
		return "the step leads to no phase"
	case v.Runs == agent.RunsUnknown && !s.Hold:
		return "brick 5: acting while what runs is not proven"
	case v.Runs != agent.RunsUnknown && s.Hold:
		return "a proven system must not hold"
	case s.Hold:
		return ""
	case v.HaveRecord && s.To != from && !from.May(s.To):
		return fmt.Sprintf("transition %s -> %s is not in the table", from, s.To)
	case v.Runs == agent.RunsTarget && (s.To == agent.Writing || s.To == agent.Checking || s.To == agent.Preparing || s.To == agent.Arming):
		return "I3: leads to writing or checking the running slot"
	case s.To == agent.Arming && !(s.Same && v.SameBoot):
		return "I2: arming without a check in the same boot"
	case s.To == agent.Ready:
		return "loss 23: ready after a restart without another check"
	case s.To == agent.Trial && v.HaveRecord && v.Runs != agent.RunsTarget && from != agent.Idle:
		return "a trial of a slot that does not run"
	case s.To == agent.Trial && !v.SameBoot && from == agent.Trial && !s.Count:
		return "loop 10: a trial boot that is not counted"
	case s.To == agent.Trial && s.Count && from == agent.Trial && v.Record.Boots >= v.MaxBoots && !v.Target.Confirmed:
		return "I8: more trial boots than allowed"
	case s.To == agent.Sealing && !(v.Runs == agent.RunsTarget && v.Target.Confirmed):
		return "lie 18: sealing what does not run or is not confirmed"
	case s.To == agent.Confirming && v.Runs != agent.RunsTarget:
		return "confirming what does not run"
	case (from == agent.Confirming || from == agent.Sealing) && s.To == agent.Reverting && v.Runs == agent.RunsTarget:
		return "lie 16: reverting a running target after its health has passed"
	case from == agent.Trial && v.Runs == agent.RunsTarget && v.SameBoot && s.Count:
		return "a restart of the daemon counted as a boot"
	case s.Cause == reason.TrialBootsExhausted && v.Record.Boots < v.MaxBoots && !v.Target.Exhausted:
		return "lie: exhausted, and it is not"
	case s.Cause == reason.FellBack && s.To == agent.Reverting && from == agent.Rebooting && v.Runs == agent.RunsOther && v.Target.Bootable && v.Target.Tries == 3:
		return "lie 15: never tried reported as fell back"
	case s.Redo && v.Record.Ext.NeverTried >= 1:
		return "I8: armed again and again without being tried"
	case from == agent.Reverting && s.To != agent.Reverting:
		return "a way back that was given up half way"
	case !v.HaveRecord && v.BootValid && !v.Self.Confirmed && s.To != agent.Trial:
		return "loop 11: an unconfirmed system runs without a trial"
	}
	return ""
}

// TestReconcileStories names the cases that people ask about.
func TestReconcileStories(t *testing.T) {
	armed := bootctl.SlotState{Bootable: true, Tries: 3}
	good := bootctl.SlotState{Bootable: true, Confirmed: true, Tries: 3}
	tests := []struct {
		name string
		view agent.View
		want agent.Step
	}{
		{"power cut while writing", agent.View{HaveRecord: true, Record: agent.Record{Phase: agent.Writing, Target: "B"}, Runs: agent.RunsOther, BootValid: true, Self: good},
			agent.Step{To: agent.Writing, Same: true, Cause: reason.Interrupted}},
		{"power cut in the middle of arming, not landed", agent.View{HaveRecord: true, Record: agent.Record{Phase: agent.Arming, Target: "B"}, Runs: agent.RunsOther, BootValid: true, Self: good},
			agent.Step{To: agent.Checking, Cause: reason.Interrupted}},
		{"power cut right after arming", agent.View{HaveRecord: true, Record: agent.Record{Phase: agent.Arming, Target: "B"}, Runs: agent.RunsTarget, BootValid: true, Target: armed, Self: armed, MaxBoots: 4},
			agent.Step{To: agent.Trial, Count: true}},
		{"kernel panics until the tries are gone", agent.View{HaveRecord: true, Record: agent.Record{Phase: agent.Rebooting, Target: "B", Ext: agent.Ext{Tries: 3}}, Runs: agent.RunsOther, BootValid: true, Self: good, Target: bootctl.SlotState{Exhausted: true}},
			agent.Step{To: agent.Reverting, Cause: reason.TrialBootsExhausted}},
		{"BootNext lost", agent.View{HaveRecord: true, Record: agent.Record{Phase: agent.Rebooting, Target: "B", Ext: agent.Ext{Tries: 3}}, Runs: agent.RunsOther, BootValid: true, Self: good, Target: armed},
			agent.Step{To: agent.Checking, Redo: true, Cause: reason.NeverTried}},
		{"BootNext lost again", agent.View{HaveRecord: true, Record: agent.Record{Phase: agent.Rebooting, Target: "B", Ext: agent.Ext{Tries: 3, NeverTried: 1}}, Runs: agent.RunsOther, BootValid: true, Self: good, Target: armed},
			agent.Step{To: agent.Reverting, Cause: reason.NeverTried}},
		{"initramfs fallback", agent.View{HaveRecord: true, Record: agent.Record{Phase: agent.Trial, Target: "B"}, Runs: agent.RunsUnknown, BootValid: true},
			agent.Step{To: agent.Trial, Hold: true, Same: true, Cause: reason.RunningUnproven}},
		{"journal lost in the trial", agent.View{Record: agent.Record{Phase: agent.Idle}, Runs: agent.RunsOther, BootValid: true, Self: armed},
			agent.Step{To: agent.Trial, Began: true, Count: true, Cause: reason.JournalLost}},
		{"first boot", agent.View{Record: agent.Record{Phase: agent.Idle}, Runs: agent.RunsOther, BootValid: true, Self: good},
			agent.Step{To: agent.Idle}},
		{"confirm landed, power cut before the record", agent.View{HaveRecord: true, Record: agent.Record{Phase: agent.Confirming, Target: "B"}, Runs: agent.RunsTarget, BootValid: true, Target: good, Self: good},
			agent.Step{To: agent.Confirming, Same: true}},
		{"confirmed, and the old slot runs", agent.View{HaveRecord: true, Record: agent.Record{Phase: agent.Sealing, Target: "B"}, Runs: agent.RunsOther, BootValid: true, Target: good, Self: good},
			agent.Step{To: agent.Idle, Ended: true, Cause: reason.LostAfterConfirm}},
	}
	for _, tt := range tests {
		if got := agent.Reconcile(tt.view); got != tt.want {
			t.Errorf("%s:\n got  %+v\n want %+v", tt.name, got, tt.want)
		}
	}
}
