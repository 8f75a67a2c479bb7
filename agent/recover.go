package agent

import (
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// Where says what runs, relative to the slots of the table.
type Where int

const (
	// RunsUnknown: the running system could not be proven (no marker, or marker and root disagree,
	// or it is none of the slots: an initramfs, a recovery system). Nothing is written.
	RunsUnknown Where = iota
	// RunsTarget: the record's target runs.
	RunsTarget
	// RunsOther: a slot of the table runs, and it is not the record's target.
	RunsOther
)

// View is all that Reconcile looks at. It is read once at the start of the daemon.
type View struct {
	HaveRecord bool // false: first boot, or the journal was lost
	Record     Record
	Runs       Where
	Running    bootctl.Slot // proven running slot; "" when RunsUnknown
	SameBoot   bool         // the phase was entered in this boot
	BootValid  bool         // the boot metadata validated; else Target, Other are zero
	Target     bootctl.SlotState
	Self       bootctl.SlotState // the running slot
	Fallback   bootctl.SlotState // the slot that is not the target
	MaxBoots   int               // trial boots that are allowed
}

// Step is what to do: take up the phase To. Steps never act on a slot themselves.
type Step struct {
	To    Phase
	Cause reason.Reason
	Hold  bool // write neither slot nor metadata; report, and look again at the next boot
	Count bool // a new trial boot began: boots+1 is made durable with the transition
	Began bool // a trial begins that no record announced: synthetic
	Ended bool // the update is over; Cause says how
	Redo  bool // a trial was armed and never tried: NeverTried+1
	Same  bool // take up the recorded phase where it was
}

// Reconcile decides what a start of the daemon means. It is total: every combination of phase,
// running system, boot metadata and boot has an answer, and the last case of each switch is the
// catch-all. Its test walks the whole product.
//
// Crash: Reconcile has no side effect; the step it returns is made durable before it is acted on,
// so that a cut at any moment leads here again with the same or a later view.
func Reconcile(v View) Step {
	if v.Runs == RunsUnknown {
		// Brick 5: metadata says A, an initramfs runs. Whatever was in progress waits for a proven boot.
		return Step{To: v.Record.phase(v.HaveRecord), Hold: true, Same: true, Cause: reason.RunningUnproven}
	}
	if !v.HaveRecord {
		return reconcileIdle(v, reason.JournalLost)
	}
	switch v.Record.Phase {
	case Preparing, Writing, Checking, Ready:
		return reconcileBeforeArm(v)
	case Arming:
		return reconcileArming(v)
	case Rebooting:
		return reconcileRebooting(v)
	case Trial:
		return reconcileTrial(v)
	case Confirming, Sealing:
		return reconcileConfirmed(v)
	case Reverting:
		return Step{To: Reverting, Same: true, Cause: v.Record.Ext.Cause}
	default: // Idle
		return reconcileIdle(v, reason.RunningUnconfirmed)
	}
}

func (r Record) phase(have bool) Phase {
	if !have {
		return Idle
	}
	return r.Phase
}

// reconcileIdle: nothing was in progress that we know of. A running slot that the metadata holds
// on trial is proven on trial all the same: nothing runs unconfirmed for ever (brick 8, loop 11).
func reconcileIdle(v View, cause reason.Reason) Step {
	if v.BootValid && !v.Self.Confirmed {
		return Step{To: Trial, Began: true, Count: true, Cause: cause}
	}
	return Step{To: Idle, Same: v.HaveRecord}
}

// reconcileBeforeArm: the target is disabled or about to be, and not armed.
func reconcileBeforeArm(v View) Step {
	if v.Runs == RunsTarget {
		// The fallback order brought the target's old content up before it was disabled. It is
		// never written now (I3). Where it is confirmed, this is a fall-back outside any update.
		if v.BootValid && v.Target.Confirmed {
			return Step{To: Idle, Ended: true, Cause: reason.FellBack}
		}
		return Step{To: Reverting, Cause: reason.Interrupted}
	}
	switch v.Record.Phase {
	case Ready:
		// A restart gave up the exclusive hold on the target: check again (loss 23).
		return Step{To: Checking, Cause: reason.Interrupted}
	default:
		return Step{To: v.Record.Phase, Same: true, Cause: reason.Interrupted}
	}
}

// reconcileArming: the one atomic record may or may not have landed.
func reconcileArming(v View) Step {
	switch {
	case v.Runs == RunsTarget: // landed, whatever the record says; also when somebody confirmed it already
		return Step{To: Trial, Count: true}
	case !v.BootValid:
		return Step{To: Reverting, Cause: reason.BootMetadataInvalid}
	case v.Target.Exhausted:
		return Step{To: Reverting, Cause: reason.TrialBootsExhausted}
	case v.Target.Bootable && !v.Target.Confirmed && v.SameBoot:
		return Step{To: Rebooting}
	case v.Target.Bootable && !v.Target.Confirmed: // a confirmed one was not disabled before: an operator goes back
		return landed(v)
	case v.Record.Ext.Arms > maxArms:
		return Step{To: Reverting, Cause: reason.ArmNotLanded}
	default: // not landed: the target is still disabled; what it holds is checked again (I2)
		return Step{To: Checking, Cause: reason.Interrupted}
	}
}

// landed: the target is armed, yet in a new boot the other slot runs.
func landed(v View) Step {
	tried := v.Target.Tries >= 0 && v.Target.Tries < v.Record.Ext.Tries
	if tried {
		// The loader started the target and came back: a panic, a hang, a watchdog.
		return Step{To: Reverting, Cause: reason.FellBack}
	}
	if v.Record.Ext.NeverTried >= 1 {
		return Step{To: Reverting, Cause: reason.NeverTried}
	}
	// Lie 15: BootNext or tryboot was lost. The image is not to blame.
	return Step{To: Checking, Redo: true, Cause: reason.NeverTried}
}

func reconcileRebooting(v View) Step {
	switch {
	case v.Runs == RunsTarget:
		return Step{To: Trial, Count: true}
	case v.SameBoot:
		return Step{To: Rebooting, Same: true}
	case !v.BootValid:
		return Step{To: Reverting, Cause: reason.BootMetadataInvalid}
	case v.Target.Exhausted:
		return Step{To: Reverting, Cause: reason.TrialBootsExhausted}
	case v.Target.Bootable:
		return landed(v)
	default: // disabled by somebody else, or by a loader that drops what it gave up
		return Step{To: Reverting, Cause: reason.FellBack}
	}
}

func reconcileTrial(v View) Step {
	switch {
	case v.Runs != RunsTarget:
		if v.Record.Boots >= v.MaxBoots {
			return Step{To: Reverting, Cause: reason.TrialBootsExhausted}
		}
		return Step{To: Reverting, Cause: reason.FellBack}
	case v.SameBoot:
		return Step{To: Trial, Same: true}
	case v.Record.Boots >= v.MaxBoots && !(v.BootValid && v.Target.Confirmed):
		return Step{To: Reverting, Cause: reason.TrialBootsExhausted}
	default:
		return Step{To: Trial, Count: true}
	}
}

// reconcileConfirmed: health has passed. The target is never disabled by us any more while it runs.
func reconcileConfirmed(v View) Step {
	switch {
	case v.Runs == RunsTarget && v.BootValid && v.Target.Confirmed && v.Record.Phase == Sealing:
		return Step{To: Sealing, Same: true}
	case v.Runs == RunsTarget:
		return Step{To: Confirming, Same: v.Record.Phase == Confirming}
	case v.Record.Phase == Sealing || v.BootValid && v.Target.Confirmed:
		return Step{To: Idle, Ended: true, Cause: reason.LostAfterConfirm}
	default: // the confirmation never landed and the loader went back
		return Step{To: Reverting, Cause: reason.FellBack}
	}
}

// maxArms bounds how often one update is armed (I8).
const maxArms = 3
