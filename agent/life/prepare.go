package life

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

func ask(t *turn) { t.do(Ask{Stage: Download}) }

// stop ends the update at a stop point whose decision is not to install.
func stop(t *turn) { t.forbidden(t.e.(Decided).Ruling) }

// stopped ends the update in the middle of an action: a root, a plan, a pulse or the loss of a permit forbids it.
//
// Crash: the action has ended, and the newest checkpoint is durable -> before the commit: the next start decides
// again, by the same documents, which were durable before the action was stopped; after: it is idle, and the
// target is disabled throughout.
func stopped(t *turn) {
	e := t.e.(Done)
	t.wore(e)
	t.forbidden(e.Forbids)
}

func (t *turn) forbidden(r Ruling) {
	if r.Outcome == Defer {
		t.give(r.Why, r.Said, false)
		return
	}
	t.fail(r.Why, r.Said)
}

func look(t *turn)  { t.do(Look{}) }
func reach(t *turn) { t.do(Reach{}) }

// nameParts begins once more with a record that names every part of the slot. What was written is kept.
//
// Crash: one commit -> before: the record is partial, and the next decision leads here; after: preparing is
// run again.
func nameParts(t *turn) {
	t.Rec.Ext.Images = t.e.(Decided).Ruling.Images
	t.move(Preparing, reason.SlotIncomplete, evidence.Event{Detail: t.carried()})
}

// markImages says of the images of the record again what an agent of the version before has dropped, which wrote the
// record meanwhile.
func (t *turn) markImages(decided []SlotImage) {
	images := slices.Clone(t.Rec.Ext.Images)
	for n, i := range images {
		if is, ok := (Content{Images: decided}).Holds(i); ok {
			images[n].Sequence, images[n].Manifest, images[n].Carried = is.Sequence, is.Manifest, is.Carried
			images[n].Anywhere = is.Anywhere
		}
	}
	t.Rec.Ext.Images = images
}

// carried names the parts that are carried, for evidence; nil for none.
func (t *turn) carried() map[string]string {
	var all []string
	for _, i := range t.Rec.Ext.Images {
		if i.Carried {
			all = append(all, i.Component)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return detail("carries", strings.Join(all, " "))
}

// compare reads back what is carried, before anything is written: what cannot be proven to be what was
// confirmed leaves the target as it is.
func compare(t *turn) { t.do(Compare{}) }

// disable makes the target unbootable before its first byte is written, and once more before each
// attempt to write it, in case a second writer undid it (loss 27).
//
// Crash: before Disable -> the target may hold a bootable older system: it stays what it is; after ->
// it cannot boot, and the running slot, confirmed, can (I1).
func disable(t *turn) { t.do(Disable{t.Rec.Target}) }

// metadataFailed puts an update back because the boot metadata stood against it, for the moment.
func metadataFailed(t *turn) {
	e := t.e.(Done)
	t.give(metadataReason(e.Class), e.Text, true)
}

func metadataReason(c Class) reason.Reason {
	switch c {
	case Invalid:
		return reason.BootMetadataInvalid
	case Changed:
		return reason.BootMetadataChanged
	}
	return reason.BootMetadataIO
}

// unconfirmed: the only good slot may be the target. Nothing is touched (brick 3).
func unconfirmed(t *turn) { t.give(reason.RunningUnconfirmed, "slot "+string(t.Run), true) }

// notDisabled: the disable failed, or the target would still boot after it.
func notDisabled(t *turn) {
	e := t.e.(Done)
	switch {
	case e.Class != OK:
		t.give(metadataReason(e.Class), e.Text, true)
	case !e.BootOK:
		t.give(metadataReason(e.BootNot), e.BootText, true)
	default:
		t.give(reason.BootMetadataIO,
			fmt.Sprintf("slot %s is still bootable after it was disabled", t.Rec.Target), true)
	}
}

func disabledOK(t *turn) bool {
	e := t.e.(Done)
	return e.Class == OK && e.BootOK && !e.Boot.Slots[t.Rec.Target].Bootable && e.Boot.Next != t.Rec.Target
}

// toWriting forgets what the target is known to hold. Until now it holds it, and an update that ends before (a server
// that is down, a part that cannot be carried) leaves a fallback that `ratchet revert` can prove.
//
// Crash: one commit -> before: the target is as it was, and disabled; after: it is written, and nothing says what
// it holds.
func toWriting(t *turn) {
	t.Slots[t.index(t.Rec.Target)] = Content{}
	t.move(Writing, reason.None, evidence.Event{})
}

// writeFirst begins with the first part. Write commits its own checkpoints, and changes no record.
//
// Crash: before a checkpoint's commit -> the bytes since the one before are written again, the same
// bytes to the same place; after -> writing resumes behind them. The target is disabled throughout.
func writeFirst(t *turn) { t.do(Write{0}) }

func wrote(t *turn) {
	e := t.e.(Done)
	t.wore(e)
	if !e.Skipped {
		d := detail("written", fmt.Sprint(e.Written), "fetched", fmt.Sprint(e.Fetched),
			"resumed-from", fmt.Sprint(e.Resumed))
		if e.Carried {
			d["carried-from"] = string(t.Run)
		}
		t.note(evidence.Event{Kind: evidence.KindProgress, Slot: string(t.Rec.Target), Component: e.Component,
			Manifest: t.Rec.Digest, Sequence: t.Rec.Ext.Sequence, Image: e.Image, Detail: d})
	}
	t.do(Write{e.Do.(Write).Part + 1})
}

func toChecking(t *turn) { t.move(Checking, reason.None, evidence.Event{}) }

// writeReasons say what a failed download or write is called.
var writeReasons = map[Class]reason.Reason{
	Uncarried:     reason.SlotIncomplete,
	Runs:          reason.AlreadyInstalled,
	Unremembered:  reason.StartedBefore,
	Medium:        reason.SlotIO,
	Running:       reason.RunningUnproven,
	Busy:          reason.SlotBusy,
	NoKey:         reason.DecryptionKeyMissing,
	NoCopy:        reason.ManifestUnsupported,
	NoFile:        reason.Interrupted,
	Forbidden:     reason.SourceNotAllowed,
	Gone:          reason.SourceGone,
	Mismatch:      reason.ImageCorrupt,
	SourceChanged: reason.SourceChanged,
	Unusable:      reason.SourceUnusable,
}

// writeFailed decides the fate of a failed download or write: try again, begin again, or give up.
func writeFailed(t *turn) {
	e := t.e.(Done)
	why, ok := writeReasons[e.Class]
	if !ok {
		why = reason.SourceUnreachable
	}
	t.wore(e)
	switch e.Class {
	case NoCopy, NoFile:
		t.fail(why, e.Text)
	case Runs:
		t.end(ending{result: "refused", why: why, detail: e.Text})
	case Medium:
		t.give(why, e.Text, true, DropCheckpoints{})
	case Uncarried:
		if t.Rec.Phase == Writing { // it has changed since it was compared
			t.give(why, e.Text, true, DropCheckpoints{})
			return
		}
		t.give(why, e.Text, true)
	case Mismatch, SourceChanged:
		if t.Rec.Phase == Writing && t.rewrite() {
			t.fromZero(why, e.Component, e.Text)
			return
		}
		t.give(why, e.Text, true, DropCheckpoints{})
	default:
		t.give(why, e.Text, true)
	}
}

// rewrite counts another write from zero; false when there was one already, or the slot is worn enough.
func (t *turn) rewrite() bool { return !t.worn() && t.charge(Rewrites) }

// fromZero writes the target once more from its first byte.
func (t *turn) fromZero(why reason.Reason, component, text string) {
	d := detail("again", "from zero")
	if text != "" {
		d["why"] = text
	}
	t.Rec.Ext.Images = Content{}.there(t.Rec.Ext.Images) // nothing that is there counts any more
	t.ops(DropCheckpoints{})
	t.Budget.Whole = false
	t.move(Writing, why, evidence.Event{Component: component, Detail: d})
}

// check reads the target back from the medium and compares. The target stays held exclusively until
// it is armed, so that nothing alters it in between (loss 23, I2).
func check(t *turn) { t.do(Check{}) }

func checkFailed(t *turn) {
	e := t.e.(Done)
	switch {
	case e.Class == Busy:
		t.give(reason.SlotBusy, e.Text, true)
	case e.Class != Mismatch:
		t.give(reason.SlotIO, e.Text, true, DropCheckpoints{})
	case t.Budget.Whole && !t.worn():
		// A system that was on trial writes to its own slot: that accuses nobody.
		t.Budget.Whole = false
		t.fromZero(reason.None, e.Component, "the slot has changed since its trial")
	case t.Rec.Ext.Revert || t.Rec.Ext.Local || !t.rewrite():
		t.give(reason.ReadBackMismatch, e.Text, true, DropCheckpoints{})
	default:
		// What was written is not what is there: once more from zero, then the medium is given up.
		t.fromZero(reason.ReadBackMismatch, e.Component, "")
	}
}

// unnamed: an extension of the record was lost, and nothing says what the target must hold.
func unnamed(t *turn) { t.fail(reason.RecordUnknown, "the record does not say what the target holds") }

func checked(t *turn) {
	readBack := "equal"
	if len(t.Rec.Ext.Images) == 0 {
		// The factory's system: never written by us, so that there is nothing to compare it with. It was
		// bootable and confirmed before, which goBack has made sure of.
		readBack = "unknown content"
	}
	t.CheckedAt, t.Held = t.now(), true
	t.move(Ready, reason.None, evidence.Event{Detail: detail("read-back", readBack)})
}

// checkAgain: a restart gave up the exclusive hold on the target (loss 23).
func checkAgain(t *turn) { t.move(Checking, reason.Interrupted, evidence.Event{}) }

func askToArm(t *turn) { t.do(Ask{Stage: Arm}) }

func refusedToArm(t *turn) {
	r := t.e.(Decided).Ruling
	t.fail(r.Why, r.Said)
}

// voided: what was meant for this device is not any more: it does not wait armed or half-armed (loop 9).
func voided(t *turn) {
	r := t.e.(Decided).Ruling
	t.fail(r.Ends, r.Said)
}

// checkedLongAgo is asked only when the target would be armed, so that waiting for a window costs neither
// reads nor records.
func checkedLongAgo(t *turn) {
	t.move(Checking, reason.None, evidence.Event{Detail: detail("why", "waited long; reading back again")})
}

// toArming counts before it arms, and puts on record with how many tries: after a cut, the record says of
// what the loader counted down.
func toArming(t *turn) {
	t.markImages(t.e.(Decided).Ruling.Images)
	if !t.charge(Arms) {
		t.give(reason.ArmNotLanded, "it was armed as often as is allowed", true)
		return
	}
	t.Rec.Ext.Tries, t.Rec.Ext.Panics = t.tries(), t.Found.Reset.Panics
	t.move(Arming, reason.None, evidence.Event{})
}

// tries is how often the loader may try the target, as far as it can count.
func (t *turn) tries() int {
	if t.Most > 0 {
		return min(t.Dev.Tries, t.Most) // GRUB can count one
	}
	return t.Dev.Tries
}

// waitReady waits for window, power and consent. A decision is on record once per change of its rules.
func waitReady(t *turn) {
	r := t.e.(Decided).Ruling
	if r.Rules != t.Rules {
		t.Rules = r.Rules
		t.note(evidence.Event{Kind: evidence.KindDecision, Reason: r.Why, To: string(Defer), Manifest: t.Rec.Digest,
			Sequence: t.Rec.Ext.Sequence, Detail: r.Detail})
	}
	t.eff.Tell.Waits, t.eff.Tell.WaitFor = r.Why, r.Said
	t.do(Wait{Until: t.now() + r.Retry, Requests: true, Messages: t.Dev.Inbox && !t.Rec.Ext.Local && !t.Rec.Ext.Revert})
}
