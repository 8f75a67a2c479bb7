package life

import (
	"fmt"
	"reflect"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

//go:noinline
func (a Asked) event(to string) evidence.Event {
	e := evidence.Event{Kind: evidence.KindOperator, To: to, Actor: a.Actor}
	if a.Note != "" {
		e.Detail = detail("note", a.Note)
	}
	return e
}

//go:noinline
func (t *turn) says(format string, args ...any) {
	t.eff.Tell.Answer = &Answer{Says: fmt.Sprintf(format, args...)}
}

func verb(v Verb) func(*turn) bool { return func(t *turn) bool { return t.e.(Asked).Verb == v } }

func asksInHold(t *turn) bool { return t.Hold != "" && t.e.(Asked).Verb != VerbApprove }

func refuseInHold(t *turn) { t.refused(t.Hold, "nothing is changed in this boot", false) }

// confirmNow ends a trial at once, on a person's word.
func confirmNow(t *turn) {
	t.says("The running system is being confirmed without waiting for its health checks.")
	t.Rec.Ext.Cause = reason.OperatorConfirm
	t.move(Confirming, reason.OperatorConfirm, t.e.(Asked).event(""))
}

func nothingOnTrial(t *turn) {
	t.refused(reason.NothingToDo, "nothing is on trial; the phase is "+string(t.Rec.Phase), false)
}

// leaveNow ends a trial the other way.
func leaveNow(t *turn) {
	t.says("The trial of slot %s is ended; the machine reboots into slot %s.", t.Rec.Target, t.other(t.Rec.Target))
	t.eff.Tell.Answer.Reboots = true
	t.Rec.Ext.Cause = reason.OperatorRevert
	t.move(Reverting, reason.OperatorRevert, t.e.(Asked).event("revert"))
}

// dropNow ends an update that is not armed yet. No action of it is in progress any more.
func dropNow(t *turn) {
	a := t.e.(Asked)
	t.says("The update is ended before it was armed; the running system was not touched.")
	t.note(a.event("revert"))
	by := a.Actor
	if a.Note != "" {
		by += ": " + a.Note
	}
	t.fail(reason.OperatorRevert, "ended by "+by)
}

func inProgress(t *turn) {
	t.refused(reason.UpdateInProgress, "phase "+string(t.Rec.Phase), false)
}

// goBack takes the other slot up as if it had just been written: it is read back against what it is
// known to hold, armed, tried and confirmed or left again (loss 25).
func goBack(t *turn) {
	a := t.e.(Asked)
	if len(t.Safe) > 0 || t.Run == "" {
		t.refused(reason.RunningUnproven, "the device is not in a state to go back", false)
		return
	}
	target := t.other(t.Run)
	c := t.Slots[t.index(target)]
	s := a.Boot.Slots[target]
	switch {
	case !c.Confirmed && !reflect.DeepEqual(c, Content{}):
		t.refused(reason.RevertImpossible, "what slot "+string(target)+" holds was never confirmed here", false)
	case !a.BootOK:
		t.refused(reason.BootMetadataInvalid, a.BootText, false)
	case !a.Boot.Slots[t.Run].Confirmed:
		t.refused(reason.RunningUnconfirmed, "slot "+string(t.Run), false)
	case c.lacks(t.Dev.Parts) != "":
		t.refused(reason.SlotIncomplete, "it is not on record what slot "+string(target)+" holds of "+
			c.lacks(t.Dev.Parts), false)
	case len(c.Images) == 0 && !(s.Bootable && s.Confirmed):
		t.refused(reason.RevertImpossible, "slot "+string(target)+" is disabled, and what it holds is not known", false)
	case a.Barred != "":
		t.refused(a.Barred, a.BarredBy, false)
	default:
		t.says("Slot %s is checked, and then tried like an update.", target)
		t.eff.Tell.Answer.Reboots = true
		from := t.Rec
		t.Rec = Record{Phase: Checking, Target: target, Digest: c.Manifest,
			Ext: Ext{Sequence: c.Sequence, Version: c.Version, Images: c.Images, Revert: true}}
		t.Budget = Budget{Digest: c.Manifest}
		t.become(from, reason.OperatorRevert, a.event("revert"))
	}
}

// approve gives a person's consent to one manifest, by digest, or to the one that waits. There is room
// for one approval: it is not wasted on what nobody offers.
func approve(t *turn) {
	a := t.e.(Asked)
	waits := t.Waiting.Digest != "" && t.Waiting.Digest != t.Rec.Digest // else it is in progress
	digest := a.Digest
	switch {
	case digest != "":
	case t.Rec.Phase == Ready:
		digest = t.Rec.Digest
	case waits:
		digest = t.Waiting.Digest
	default:
		t.refused(reason.NothingToDo, "no update waits for approval", false)
		return
	}
	if digest == "" {
		t.refused(reason.NothingToDo, "what is in progress has no manifest to approve", false)
		return
	}
	if digest == t.Rec.Digest && t.Rec.Phase != Idle && !t.Rec.Phase.beforeArm() {
		t.refused(reason.NothingToDo, "it needs no approval any more; the phase is "+string(t.Rec.Phase), false)
		return
	}
	if digest != t.Rec.Digest && digest != t.Waiting.Digest && !a.Final {
		t.refused(reason.NothingToDo, "no update with this digest was offered here", false)
		return
	}
	e := a.event("approved")
	e.Manifest = digest
	t.note(e)
	t.ops(PutApproved{digest}, DropFinal{digest})
	t.says("The update is approved. It goes on when no other rule is against it.")
	if t.Rec.Phase == Idle {
		t.wake()
	}
}
