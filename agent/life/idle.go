package life

import (
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

const tending = "cannot look after the boot metadata"

// tend keeps the running slot bootable: tries refilled before network and policy (brick 1), a stray
// armed slot disabled (loop 8), a pending raise or disable done.
func tend(t *turn) {
	t.First = t.TendAt == 0
	t.TendAt, t.Tending, t.Invalid = t.now()+tendEvery, true, false
	t.settleWear()
	t.serve()
	if t.Tally.Dirty {
		t.quar(Save{})
	}
	t.do(Look{})
}

func tendLooked(t *turn) {
	e := t.e.(Done)
	switch {
	case e.Class != OK && e.Class != Invalid:
		t.lapse(e.Text)
		return
	case e.Class == OK && !e.Boot.Slots[t.Run].Confirmed && !t.Frozen:
		if t.Stayed {
			t.tended() // its trial has failed in this boot, and there is nothing to go back to (I8)
			return
		}
		t.synthetic(reason.RunningUnconfirmed)
		return
	}
	t.Invalid = e.Class == Invalid
	t.do(Refresh{t.Run})
}

func tendRefreshed(t *turn) {
	e := t.e.(Done)
	switch {
	case e.Class != OK:
		t.lapse(e.Text)
		return
	case !e.BootOK:
		t.lapse(e.BootText)
		return
	}
	if t.Invalid {
		t.note(evidence.Event{Kind: evidence.KindBoot, Reason: reason.BootMetadataInvalid, Slot: string(t.Run),
			Detail: detail("restored", "running bootable, others disabled")})
	}
	other := t.other(t.Run)
	if s := e.Boot.Slots[other]; s.Bootable && !s.Confirmed {
		t.do(Disable{other})
		return
	}
	t.tendCounter()
}

func tendDisabled(t *turn) {
	e := t.e.(Done)
	if e.Class != OK {
		t.lapse(e.Text)
		return
	}
	t.note(evidence.Event{Kind: evidence.KindBoot, Slot: string(t.other(t.Run)),
		Detail: detail("disabled", "it was armed outside of a trial")})
	t.tendCounter()
}

// tendCounter puts on record, once for each, which hardware counter guards the device.
func (t *turn) tendCounter() {
	if t.Dev.Counter && !t.Known {
		t.do(Origin{})
		return
	}
	t.tendPending()
}

// tendOrigin: another origin than the one before means that somebody deleted the counter and made it
// again, or exchanged the TPM. The last known one may be gone with the journal; it is in the evidence
// that was sent. What needs a counter that cannot be read waits, and status says why.
func tendOrigin(t *turn) {
	e := t.e.(Done)
	t.Known = e.Origin != ""
	if e.Origin != "" && e.Origin != t.Counter {
		n := evidence.Event{Kind: evidence.KindCounter, Detail: detail("counter", e.Counter, "origin", e.Origin)}
		if t.Counter != "" {
			n.Reason, n.Detail["was"] = reason.CounterReplaced, t.Counter
		}
		t.note(n)
		t.Counter = e.Origin
	}
	t.tendPending()
}

// tendPending does what an update left open. The failed slot has just been disabled.
func (t *turn) tendPending() {
	switch {
	case t.Rec.Ext.Pending == "":
		t.tended()
	case t.Rec.Ext.Pending == reason.FloorPending && t.Dev.Counter:
		t.do(Raise{})
	default:
		t.pendingDone()
	}
}

func tendRaised(t *turn) {
	if e := t.e.(Done); e.Class != OK {
		t.lapse(e.Text)
		return
	}
	t.pendingDone()
}

func (t *turn) pendingDone() {
	why := t.Rec.Ext.Pending
	t.Rec.Ext.Pending = ""
	t.move(Idle, why, evidence.Event{Detail: detail("done", "yes")})
	t.tended()
}

func (t *turn) tended() {
	t.Lapses = 0
	t.eff.Tell.Well = tending
	t.tendingOver()
}

// lapse: it could not be looked after; again soon, later and later.
func (t *turn) lapse(text string) {
	t.TendAt = t.now() + min(tendAgain<<min(t.Lapses, maxShift), tendEvery)
	t.Lapses++
	t.failed(tending, text)
	t.tendingOver()
}

func (t *turn) tendingOver() {
	if t.First {
		t.wake()
	}
	t.Tending, t.First = false, false
}

// wake makes a start of the daemon, or a changed fact, decide a waiting offer again (loss 21).
func (t *turn) wake() {
	if t.Waiting.Digest == "" || len(t.Safe) > 0 {
		return
	}
	b := t.Waiting.Budget
	switch {
	case b.Failures == 0:
		t.RetryAt = max(t.now(), 1)
	case t.RetryAt == 0:
		// After a start nobody knows how long it has waited already, and a device may be up for less than the
		// longest back-off each time. What comes in later makes it wait neither shorter nor longer.
		t.RetryAt = max(t.now(), 1) + min(b.backoff(t.Dev.RetryMax), t.Dev.RetryMax)
	}
}

func tendNotTaken(t *turn) { t.lapse(t.e.(NotTaken).Text) }

func documented(t *turn) {
	if t.Rec.Phase == Idle {
		t.wake()
	}
}

// stepped decides again what waits for a time. Whoever can set the clock must not shorten the pause after a failure.
func stepped(t *turn) {
	if t.Rec.Phase == Idle && t.Waiting.Budget.Failures == 0 {
		t.wake()
	}
}

func idleWait(t *turn) {
	until := t.TendAt
	if t.RetryAt > 0 {
		until = min(until, max(t.RetryAt, t.now()))
	}
	room := t.genuineAgain(t.now())
	if room > 0 {
		until = min(until, room)
	}
	t.do(Wait{Until: until, Requests: true, Messages: t.Dev.Inbox && len(t.Safe) == 0, Missed: room == 0})
}

// retry decides the waiting offer again.
func retry(t *turn) {
	t.RetryAt = 0
	switch {
	case t.Waiting.Digest == "":
	case t.Waiting.Budget.Broker && !t.e.moment().Online:
		t.RetryAt = t.now() + brokerAgain // its trial could only fail again (loss 24)
	default:
		t.do(Ask{Stage: Download, Offer: true, Waiting: true})
	}
}

func came(t *turn) { t.do(Ask{Stage: Download, Offer: true, Over: t.Rec.Phase == Ready}) }
