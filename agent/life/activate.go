package life

import (
	"cmp"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// try hands the target to the bootloader, in one atomic record that also refills the fallback.
//
// Crash: before the record -> the target is disabled, the running slot boots; inside -> the backend's
// atomicity, old or new; after -> the target boots on trial, which phase arming leads to as well.
// The opposite order, rebooting first recorded, could reboot for ever into the old slot.
func try(t *turn) {
	t.do(Try{t.Rec.Target, t.tries()})
}

func armed(t *turn) bool {
	e := t.e.(Done)
	return e.BootOK && e.Boot.Next == t.Rec.Target
}

func toRebooting(t *turn) {
	tries := t.e.(Done).Do.(Try).Tries
	t.Rec.Ext.Tries = tries
	t.move(Rebooting, reason.None,
		evidence.Event{Kind: evidence.KindBoot, Detail: detail("armed", "yes", "tries", itoa(tries))})
}

// notLanded: what counts is what is there. A target that cannot boot is left as it is; one of which
// that is not known is disabled on the way back.
func notLanded(t *turn) {
	e := t.e.(Done)
	text := e.Text
	if e.Class == OK && e.BootOK {
		text = "the bootloader would still boot slot " + string(e.Boot.Next)
	}
	text = strings.Join(compact(text, e.BootText), "\n")
	if e.BootOK && !e.Boot.Slots[t.Rec.Target].Bootable {
		t.give(reason.ArmNotLanded, text, true)
		return
	}
	t.back(reason.ArmNotLanded, text)
}

func compact(texts ...string) (out []string) {
	for _, s := range texts {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

// reboot asks for a reboot that the record announces.
//
// Crash: the count is durable before the reboot -> a machine that never reboots is noticed.
func reboot(t *turn) {
	t.charge(Reboots)
	t.move(t.Rec.Phase, t.Rec.Ext.Cause, evidence.Event{Kind: evidence.KindBoot, Detail: detail("reboot", "asked")})
	t.do(Reboot{})
}

func rebootsLeft(t *turn) bool {
	_, ok := t.Budget.Charge(Reboots, t.limits())
	return ok
}

func noReboot(t *turn) { t.back(reason.RebootFailed, "the machine did not reboot") }

// confirm ends the trial in the boot metadata.
//
// Crash: before -> the slot is still on trial, health is proven again or the loader goes back;
// after -> confirmed; the record follows, and confirming again writes nothing.
func confirm(t *turn) { t.do(Confirm{t.Rec.Target}) }

// confirmed: what counts is what is there, not what the write said (lie 16).
func confirmed(t *turn) bool {
	e := t.e.(Done)
	return e.BootOK && e.Boot.Slots[t.Rec.Target].Confirmed
}

func sealAfterConfirm(t *turn) { t.seal(t.Rec.Ext.Cause) }

func confirmSoon(t *turn) {
	t.Tried++
	t.do(Wait{Until: t.now() + confirmPause})
}

func confirmLeft(t *turn) bool { return t.Tried+1 < confirmTries }

// confirmInVain: never Disable after health has passed: reboot unconfirmed, and confirm in the next boot.
func confirmInVain(t *turn) {
	e := t.e.(Done)
	t.Tried = 0
	t.failed("cannot confirm", strings.Join(compact(e.Text, e.BootText), "\n"))
	if t.Budget.Boots < t.Dev.MaxBoots && rebootsLeft(t) {
		reboot(t)
		return
	}
	confirmLater(t)
}

func confirmLater(t *turn) { t.do(Wait{Until: t.now() + confirmAgain, Requests: true}) }

// seal is the commit that makes a confirmed slot the last confirmed one: floor, binding and content of
// the slot go with the transition. The counter follows it, never leads (I4).
func (t *turn) seal(why reason.Reason) {
	r := t.Rec
	t.Rec.Ext.Cause = why
	if !r.Ext.Synthetic {
		t.Slots[t.index(r.Target)] = Content{Manifest: r.Digest, Sequence: r.Ext.Sequence,
			Version: cmp.Or(r.Ext.Version, t.Dev.Running), Images: Content{}.there(r.Ext.Images), Confirmed: true}
		if !r.Ext.Revert {
			t.Wear = 0
			if t.Barred.Sequence <= r.Ext.Sequence && covers(r.writes(), t.Barred.Components) {
				t.Barred = Barred{} // it is never taken again
			}
			t.raiseFloors(r)
			t.ops(PutFinal{Digest: r.Digest, Why: reason.AlreadyInstalled})
		}
	}
	d := detail("confirmed", "yes")
	if !t.Floors.Same() {
		d["floors"] = t.Floors.String()
	}
	t.move(Sealing, why, evidence.Event{Kind: evidence.KindVerdict, Detail: d})
}

// raiseFloors gives the number of a confirmed manifest to the components that it wrote, and to no
// others: what was carried keeps its own.
func (t *turn) raiseFloors(r Record) {
	wrote := r.writes()
	for _, c := range wrote {
		t.Floors = t.Floors.Raised(Floor{Component: c, Sequence: r.Ext.Sequence, Digest: r.Digest})
	}
	if len(wrote) > 0 {
		t.ops(Bind{r.Ext.Sequence, r.Digest, wrote})
	}
}

// unsealed: somebody took the confirmation back. Only a slot that runs and is confirmed is sealed (lie 18).
func unsealed(t *turn) { t.move(Confirming, reason.BootMetadataInvalid, evidence.Event{}) }

func raise(t *turn) {
	if t.Rec.Ext.Synthetic {
		t.updated("", false)
		return
	}
	t.do(Raise{})
}

func raised(t *turn) {
	e := t.e.(Done)
	if e.Class != OK {
		t.failed("cannot raise the counter", e.Text) // loss 22: it is tried again, and blocks nothing
	}
	t.updated(e.Counter, e.Class != OK)
}

// updated closes an update whose slot is confirmed.
func (t *turn) updated(counter string, pending bool) {
	e := ending{result: "updated", why: t.Rec.Ext.Cause, counter: counter}
	if t.Rec.Ext.Revert {
		e.result, e.why = "reverted", reason.OperatorRevert
	}
	if pending {
		e.why, e.pending = reason.FloorPending, reason.FloorPending
	}
	t.quar(Count{}, Clear{t.Rec.Digest})
	t.end(e)
}
