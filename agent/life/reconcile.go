package life

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

// View is all that Reconcile looks at. It is read once at the start of the daemon. Where there is no record, its
// phase is Idle.
type View struct {
	HaveRecord bool // false: first boot, or the journal was lost
	Record     Record
	Budget     Budget
	Runs       Where
	Running    bootctl.Slot // proven running slot; "" when RunsUnknown
	SameBoot   bool         // the phase was entered in this boot
	BootValid  bool         // the boot metadata validated; else Target, Other are zero
	Target     bootctl.SlotState
	Self       bootctl.SlotState // the running slot
	Fallback   bootctl.SlotState // the slot that is not the target
	MaxBoots   int               // trial boots that are allowed
	Power      bool              // this boot began when the power came back, and no panic is on record since the arming
}

// Resume is how to go on after a start: take up the phase To. It never acts on a slot itself.
type Resume struct {
	To    Phase
	Cause reason.Reason
	Hold  bool // write neither slot nor metadata; report, and look again at the next boot
	Count bool // a new trial boot began: boots+1 is made durable with the transition
	Began bool // a trial begins that no record announced: synthetic
	Ended bool // the update is over; Cause says how
	Redo  bool // a trial was armed and never tried: Untried is charged
	Cut   bool // a loss of power ended the last boot of the target: Cuts and Excused are charged
	Same  bool // take up the recorded phase where it was
}

// Reconcile decides what a start of the daemon means. It is total: every combination of phase,
// running system, boot metadata and boot has an answer, and the last case of each switch is the
// catch-all. Its test walks the whole product.
//
// Crash: Reconcile has no side effect; what it returns is made durable before it is acted on,
// so that a cut at any moment leads here again with the same or a later view.
func Reconcile(v View) Resume {
	if v.Runs == RunsUnknown {
		// Brick 5: metadata says A, an initramfs runs. Whatever was in progress waits for a proven boot.
		return Resume{To: v.Record.Phase, Hold: true, Same: true, Cause: reason.RunningUnproven}
	}
	if !v.HaveRecord {
		return reconcileIdle(v, reason.JournalLost)
	}
	switch v.Record.Phase {
	case Preparing, Writing, Checking, Ready:
		return reconcileBeforeArm(v)
	case Arming:
		return excuse(v, reconcileArming(v))
	case Rebooting:
		return excuse(v, reconcileRebooting(v))
	case Trial:
		return excuse(v, reconcileTrial(v))
	case Confirming, Sealing:
		return excuse(v, reconcileConfirmed(v))
	case Reverting:
		return Resume{To: Reverting, Same: true, Cause: v.Record.Ext.Cause}
	default: // Idle
		return reconcileIdle(v, reason.RunningUnconfirmed)
	}
}

// reconcileIdle: nothing was in progress that we know of. A running slot that the metadata holds
// on trial is proven on trial all the same: nothing runs unconfirmed for ever (loop 8, loop 11).
func reconcileIdle(v View, cause reason.Reason) Resume {
	if v.BootValid && !v.Self.Confirmed {
		return Resume{To: Trial, Began: true, Count: true, Cause: cause}
	}
	return Resume{To: Idle, Same: v.HaveRecord}
}

// reconcileBeforeArm: the target is disabled or about to be, and not armed.
func reconcileBeforeArm(v View) Resume {
	if v.Runs == RunsTarget {
		// The fallback order brought the target's old content up before it was disabled. It is
		// never written now (I3). Where it is confirmed, this is a fall-back outside any update.
		if v.BootValid && v.Target.Confirmed {
			return Resume{To: Idle, Ended: true, Cause: reason.FellBack}
		}
		return Resume{To: Reverting, Cause: reason.Interrupted}
	}
	switch v.Record.Phase {
	case Ready:
		// A restart gave up the exclusive hold on the target: check again (loss 23).
		return Resume{To: Checking, Cause: reason.Interrupted}
	default:
		return Resume{To: v.Record.Phase, Same: true, Cause: reason.Interrupted}
	}
}

// reconcileArming: the one atomic record may or may not have landed.
func reconcileArming(v View) Resume {
	switch {
	case v.Runs == RunsTarget: // landed, whatever the record says; also when somebody confirmed it already
		return Resume{To: Trial, Count: true}
	case !v.BootValid:
		return Resume{To: Reverting, Cause: reason.BootMetadataInvalid}
	case v.Target.Exhausted:
		return Resume{To: Reverting, Cause: reason.TrialBootsExhausted}
	case v.Target.Bootable && !v.Target.Confirmed && v.SameBoot:
		return Resume{To: Rebooting}
	case v.Target.Bootable && !v.Target.Confirmed: // a confirmed one was not disabled before: an operator goes back
		return landed(v)
	}
	if _, left := v.Budget.Charge(Arms, Limits{MaxBoots: v.MaxBoots}); !left {
		return Resume{To: Reverting, Cause: reason.ArmNotLanded}
	}
	// Not landed: the target is still disabled; what it holds is checked again (I2).
	return Resume{To: Checking, Cause: reason.Interrupted}
}

// landed: the target is armed, yet in a new boot the other slot runs.
func landed(v View) Resume {
	tried := v.Target.Tries >= 0 && v.Target.Tries < v.Record.Ext.Tries
	if tried {
		// The loader started the target and came back: a panic, a hang, a watchdog.
		return Resume{To: Reverting, Cause: reason.FellBack}
	}
	if _, ok := v.Budget.Charge(Untried, Limits{MaxBoots: v.MaxBoots}); !ok {
		return Resume{To: Reverting, Cause: reason.NeverTried}
	}
	// Lie 15: BootNext or tryboot was lost. The image is not to blame.
	return Resume{To: Checking, Redo: true, Cause: reason.NeverTried}
}

func reconcileRebooting(v View) Resume {
	switch {
	case v.Runs == RunsTarget:
		return Resume{To: Trial, Count: true}
	case v.SameBoot:
		return Resume{To: Rebooting, Same: true}
	case !v.BootValid:
		return Resume{To: Reverting, Cause: reason.BootMetadataInvalid}
	case v.Target.Exhausted:
		return Resume{To: Reverting, Cause: reason.TrialBootsExhausted}
	case v.Target.Bootable:
		return landed(v)
	default: // disabled by somebody else, or by a loader that drops what it gave up
		return Resume{To: Reverting, Cause: reason.FellBack}
	}
}

func reconcileTrial(v View) Resume {
	switch {
	case v.Runs != RunsTarget:
		// Either counter ends it, ours or the loader's; one single try may have met a power cut.
		if v.Budget.Boots >= v.MaxBoots || v.Target.Exhausted && v.Record.Ext.Tries > 1 {
			return Resume{To: Reverting, Cause: reason.TrialBootsExhausted}
		}
		return Resume{To: Reverting, Cause: reason.FellBack}
	case v.SameBoot:
		return Resume{To: Trial, Same: true}
	case v.Budget.Boots >= v.MaxBoots && !v.cut() && !(v.BootValid && v.Target.Confirmed):
		return Resume{To: Reverting, Cause: reason.TrialBootsExhausted}
	default:
		return Resume{To: Trial, Count: true}
	}
}

// reconcileConfirmed: health has passed. The target is never disabled by us any more while it runs.
func reconcileConfirmed(v View) Resume {
	switch {
	case v.Runs == RunsTarget && v.BootValid && v.Target.Confirmed && v.Record.Phase == Sealing:
		return Resume{To: Sealing, Same: true}
	case v.Runs == RunsTarget:
		return Resume{To: Confirming, Same: v.Record.Phase == Confirming}
	case v.Record.Phase == Sealing || v.BootValid && v.Target.Confirmed:
		return Resume{To: Idle, Ended: true, Cause: reason.LostAfterConfirm}
	default: // the confirmation never landed and the loader went back
		return Resume{To: Reverting, Cause: reason.FellBack}
	}
}
