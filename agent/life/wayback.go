package life

import (
	"github.com/ratchet-ota/ratchet/agent/reason"
)

func leftTarget(t *turn) bool { return t.Run != t.Rec.Target }

// leftDisabled: the old slot runs and the target is disabled, or will be by the next look in idle.
//
// Crash: before Disable -> the target may boot again, and phase reverting disables it then; after ->
// the fallback boots, and reverting ends there.
func leftDisabled(t *turn) {
	e := t.e.(Done)
	if e.Class != OK {
		t.failed("cannot disable slot "+string(t.Rec.Target), e.Text)
	}
	t.reverted(e.Class != OK)
}

// reverted ends the way back in the old slot. Where the image is to blame, it has a final verdict for as long
// as it is quarantined, and is kept apart, to be given back; else it waits for another attempt (I8).
func (t *turn) reverted(disablePending bool) {
	cause := t.Rec.Ext.Cause
	t.bar(cause)
	e := ending{result: "reverted", why: cause}
	if t.Rec.Ext.Revert && cause != reason.OperatorRevert {
		e.result = "failed" // the operator's way back was tried, and the device is where it was
	}
	if t.Rec.Ext.BootID == t.BootID && (cause == reason.PowerLost || cause == reason.FellBack ||
		cause == reason.TrialBootsExhausted) {
		e.detail = t.Found.Reset.Says
	}
	if disablePending {
		e.pending = reason.DisablePending
	}
	switch {
	case !t.Waits() || cause.Info().Closes || t.Rec.Ext.Local || t.Rec.Ext.Revert:
	case t.blamed(cause):
		t.Barred = Barred{Envelope: t.Waiting.Envelope, Digest: t.Waiting.Digest, Sequence: t.Waiting.Sequence,
			Components: t.Waiting.Components}
		e.final = true
	default:
		t.afterTrial(cause)
		e.keep = true
	}
	t.end(e)
}

// afterTrial lets an update wait that was armed and left, and that is not to blame. What was written stays:
// where it is still there, it is armed again without being written.
func (t *turn) afterTrial(cause reason.Reason) {
	b, _ := t.Budget.Charge(Reverts, t.limits())
	b, _ = b.Charge(Failures, t.limits())
	if cause.Info().Blame.FallsBack() {
		b, _ = b.Charge(Fell, t.limits())
	}
	b.Broker = b.Broker && cause == reason.HealthUnreachable
	b.Whole = t.Rec.Ext.Tries > 0
	t.quar(Count{}) // another attempt counts its boots from the beginning
	t.again(b, cause, string(cause))
}

// blamed: the cause lies in the image for certain. A fall-back after a single boot may have been a
// power cut: the second one counts.
func (t *turn) blamed(cause reason.Reason) bool {
	if t.Rec.Digest == "" {
		return false
	}
	_, first := t.Budget.Charge(Fell, t.limits())
	return cause.Info().Blame.OnImage(t.Rec.Ext.Tries, !first)
}

// bar quarantines the digest where the image itself is to blame (I8).
func (t *turn) bar(cause reason.Reason) {
	if t.blamed(cause) {
		t.quar(Bar{Digest: t.Rec.Digest, Images: t.imageTexts(), Cause: cause}, Count{})
	}
}

func noFallback(t *turn) bool {
	e := t.e.(Done)
	return e.Class == Invalid || !e.Boot.Slots[t.other(t.Rec.Target)].Bootable
}

func lookAgain(t *turn) {
	t.Tried++
	t.do(Wait{Until: t.now() + confirmPause})
}

// somebody may hold the metadata's lock: it is read a few times.
func lookLeft(t *turn) bool {
	e := t.e.(Done)
	return e.Class != OK && e.Class != Invalid && t.Tried+1 < confirmTries
}

// stuckAtLook: there is no way back. What is to blame is quarantined all the same, or it would be taken again.
func stuckAtLook(t *turn) {
	e := t.e.(Done)
	t.bar(t.Rec.Ext.Cause)
	if e.Class != OK {
		t.stuck(e.Text)
		return
	}
	t.stuck("slot " + string(t.other(t.Rec.Target)) + " is not bootable")
}

// leave quarantines what is to blame, and makes the target that runs unbootable.
func leave(t *turn) {
	t.bar(t.Rec.Ext.Cause)
	t.do(Disable{t.Rec.Target})
}

func leaveDisabled(t *turn) {
	e := t.e.(Done)
	if e.Class != OK {
		t.failed("cannot disable slot "+string(t.Rec.Target), e.Text)
	}
	switch {
	case e.Class == NoFallback:
		t.stuck(e.Text)
	case rebootsLeft(t):
		reboot(t)
	default:
		t.stuck("the machine does not reboot")
	}
}

func stuckNoReboot(t *turn) { t.stuck("the machine does not reboot") }

// stuck is brick 4 not happening: there is nothing to go back to, so what runs goes on running.
//
//go:noinline
func (t *turn) stuck(text string) {
	t.Stayed = true
	t.end(ending{result: "stuck", why: reason.RevertImpossible, detail: string(t.Rec.Ext.Cause) + "; " + text})
}
