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

// reverted ends the way back in the old slot: the digest is quarantined where the image is to blame,
// else the offer waits for another attempt, of which there are not many (I8).
func (t *turn) reverted(disablePending bool) {
	cause := t.Rec.Ext.Cause
	t.bar(cause)
	e := ending{result: "reverted", why: cause}
	if t.Rec.Ext.Revert && cause != reason.OperatorRevert {
		e.result = "failed" // the operator's way back was tried, and the device is where it was
	}
	if disablePending {
		e.pending = reason.DisablePending
	}
	b, left := t.Budget.Charge(Reverts, t.limits())
	if left && t.Waits() && !t.blamed(cause) && !cause.Info().Closes && !t.Rec.Ext.Local && !t.Rec.Ext.Revert {
		b, _ = b.Charge(Failures, t.limits())
		if cause.Info().Blame.FallsBack() {
			b, _ = b.Charge(Fell, t.limits())
		}
		b.Broker = t.judged()
		t.quar(Count{}) // another attempt counts its boots from the beginning
		t.again(b, cause, string(cause))
		t.ops(DropCheckpoints{})
		e.keep = true
	}
	t.end(e)
}

// blamed: the cause lies in the image for certain. A fall-back after a single boot may have been a
// power cut: the second one counts.
func (t *turn) blamed(cause reason.Reason) bool {
	if t.judged() || t.Rec.Digest == "" {
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

func stuckAtLook(t *turn) {
	e := t.e.(Done)
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
func (t *turn) stuck(text string) {
	t.Stayed = true
	t.end(ending{result: "stuck", why: reason.RevertImpossible, detail: string(t.Rec.Ext.Cause) + "; " + text})
}
