package agent

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

const (
	maxReboots   = 3 // reboots asked for in one phase (I8)
	confirmTries = 3
	confirmPause = 2 * time.Second
)

// arming hands the target to the bootloader, in one atomic record that also refills the fallback.
//
// Crash: before the record -> the target is disabled, the running slot boots; inside -> the backend's
// atomicity, old or new; after -> the target boots on trial, which phase arming leads to as well.
// The opposite order, rebooting first recorded, could reboot for ever into the old slot.
func (a *Agent) arming(ctx context.Context) error {
	st, err := a.o.Boot.State(ctx)
	if err != nil {
		return a.metadataFailed(ctx, err)
	}
	tries := a.o.Tries
	if most := st.Caps.MaxTries; most > 0 {
		tries = min(tries, most) // GRUB can count one
	}
	err = a.o.Boot.Try(ctx, a.rec.Target, tries)
	st, serr := a.o.Boot.State(ctx)
	switch {
	case serr == nil && st.Next == a.rec.Target:
		a.release()
		return a.move(Rebooting, reason.None, func(r *Record) { r.Ext.Tries = tries },
			evidence.Event{Kind: evidence.KindBoot, Detail: map[string]string{"armed": "yes", "tries": itoa(tries)}})
	case ctx.Err() != nil:
		return nil // shutdown: whether it has landed is found out by the next start
	case err == nil && serr == nil:
		err = errors.New("the bootloader would still boot slot " + string(st.Next))
	}
	err = errors.Join(err, serr)
	if serr == nil && !st.Slots[a.rec.Target].Bootable {
		return a.give(reason.ArmNotLanded, err.Error(), true)
	}
	return a.revert(reason.ArmNotLanded, err.Error())
}

// rebooting asks for the reboot that the record already announces.
func (a *Agent) rebooting(ctx context.Context) error {
	done, err := a.reboot(ctx)
	if done || err != nil {
		return err
	}
	return a.revert(reason.RebootFailed, "the machine did not reboot")
}

// reboot asks for a reboot, forces it after a while, and returns false when neither happened in
// maxReboots tries. It returns true when ctx ended: the machine goes down.
func (a *Agent) reboot(ctx context.Context) (bool, error) {
	most := maxReboots
	if a.rec.Phase == Reverting {
		most += a.o.MaxBoots // a target that cannot be disabled starts again until its tries are used up
	}
	if a.rec.Ext.Reboots >= most {
		return false, nil
	}
	// Crash: the count is durable before the reboot -> a machine that never reboots is noticed.
	err := a.move(a.rec.Phase, a.rec.Ext.Cause, func(r *Record) { r.Ext.Reboots++ },
		evidence.Event{Kind: evidence.KindBoot, Detail: map[string]string{"reboot": "asked"}})
	if err != nil {
		return false, err
	}
	a.flush(ctx)
	st, _ := a.o.Boot.State(ctx)
	ask, cancel := context.WithTimeout(ctx, a.o.ForceAfter) // a command that hangs is one that was not heard
	err = a.o.Power.Reboot(ask, st.Caps.RebootArg)
	cancel()
	if ctx.Err() != nil {
		// Whoever is told to end while it asks was heard, and the command may be killed with us. To force
		// a reboot now would cut an orderly one short. Was it only the agent that ends, its next start asks again.
		return true, nil
	}
	if err != nil {
		a.fail("cannot ask for a reboot", err)
	} else if !a.wait(ctx, a.o.ForceAfter) {
		return true, nil
	}
	if err := a.o.Power.Force(); err != nil {
		a.fail("cannot force a reboot", err)
	}
	return !a.wait(ctx, a.o.ForceAfter/4), nil
}

// confirming ends the trial in the boot metadata.
//
// Crash: before -> the slot is still on trial, health is proven again or the loader goes back;
// after -> confirmed; the record follows, and confirming again writes nothing.
func (a *Agent) confirming(ctx context.Context) error {
	var err error
	for try := 0; try < confirmTries; try++ {
		if try > 0 && !a.wait(ctx, confirmPause) {
			return nil
		}
		err = a.o.Boot.Confirm(ctx, a.rec.Target)
		if errors.Is(err, bootctl.ErrInvalid) {
			// Health has passed and the metadata is broken: the minimum is restored around us.
			err = a.o.Boot.Refresh(ctx, a.rec.Target)
		}
		// Lie 16: what counts is what is there, not what the write said.
		if st, serr := a.o.Boot.State(ctx); serr == nil && st.Slots[a.rec.Target].Confirmed {
			return a.sealed(a.rec.Ext.Cause)
		} else if err == nil {
			err = errors.Join(serr, errors.New("the slot is not confirmed after it was confirmed"))
		}
	}
	a.fail("cannot confirm", err)
	if a.rec.Boots < a.o.MaxBoots {
		// Never Disable after health has passed: reboot unconfirmed, and confirm in the next boot.
		if done, err := a.reboot(ctx); done || err != nil {
			return err
		}
	}
	return a.waitRequest(ctx, a.o.Clock.After(time.Minute))
}

// sealed is the commit that makes a confirmed slot the last confirmed one: floor, binding and
// content of the slot go with the transition. The counter follows it, never leads (I4).
func (a *Agent) sealed(why reason.Reason) error {
	r := a.rec
	digest, images := r.Digest, r.Ext.Images
	version := cmp.Or(r.Ext.Version, a.o.Running)
	return a.move(Sealing, why, func(n *Record) { n.Ext.Cause = why }, evidence.Event{Kind: evidence.KindVerdict, Detail: map[string]string{"confirmed": "yes"}},
		func(tx journal.Tx) error {
			if r.Ext.Synthetic {
				return nil
			}
			c := SlotContent{Manifest: digest, Sequence: r.Ext.Sequence, Version: version, Images: images, Confirmed: true}
			if err := put(tx, prefixSlot+string(r.Target), c); err != nil || r.Ext.Revert {
				return err
			}
			var f storedFloor
			if get(tx, keyFloor, &f); r.Ext.Sequence >= f.Sequence {
				if err := put(tx, keyFloor, storedFloor{Sequence: r.Ext.Sequence, Digest: digest}); err != nil {
					return err
				}
			}
			return errors.Join(bind(tx, r.Ext.Sequence, digest), dropWaiting(tx, digest),
				setFinal(tx, digest, a.st.head.Seq, reason.AlreadyInstalled))
		})
}

// bind remembers under which sequence a digest was confirmed; the lowest sequence is dropped.
func bind(tx journal.Tx, seq uint64, digest string) error {
	first, n := "", 0
	err := tx.Scan(journal.State, prefixBound, func(k string, _ []byte) bool {
		if len(k) < len(prefixBound) || k[:len(prefixBound)] != prefixBound {
			return false
		}
		if n == 0 {
			first = k
		}
		n++
		return true
	})
	if err == nil && n >= maxBound {
		err = tx.Delete(journal.State, first)
	}
	return errors.Join(err, put(tx, prefixBound+seqKey(seq), digest))
}

// sealing raises the counter; only a slot that runs and is confirmed gets here (lie 18).
func (a *Agent) sealing(ctx context.Context) error {
	st, err := a.o.Boot.State(ctx)
	if err == nil && !st.Slots[a.rec.Target].Confirmed {
		return a.move(Confirming, reason.BootMetadataInvalid, nil, evidence.Event{})
	}
	end := ending{result: "updated", why: a.rec.Ext.Cause}
	if a.rec.Ext.Revert {
		end = ending{result: "reverted", why: reason.OperatorRevert}
	}
	if a.o.Counter != nil && a.rootVersion() > 0 && !a.rec.Ext.Synthetic {
		if err := a.o.Counter.Raise(ctx, a.rootVersion()); err != nil {
			a.fail("cannot raise the counter", err) // loss 22: it is tried again, and blocks nothing
			end.why, end.pending = reason.FloorPending, reason.FloorPending
		}
		end.counter = a.counterName(ctx)
	}
	a.q.setBoots("", 0)
	a.q.drop(a.rec.Digest)
	a.saveQuarantine()
	return a.endAs(end)
}

// revert begins the way back.
func (a *Agent) revert(why reason.Reason, detail string) error { return a.revertWith(why, detail) }

func (a *Agent) revertWith(why reason.Reason, detail string, also ...txFunc) error {
	return a.move(Reverting, why, func(r *Record) { r.Ext.Cause = why }, evidence.Event{Detail: map[string]string{"why": detail}}, also...)
}

// reverting disables the target and, where it runs, reboots into the fallback.
//
// Crash: before Disable -> the target may boot again, and phase reverting disables it then; after ->
// the fallback boots, and reverting ends there.
func (a *Agent) reverting(ctx context.Context) error {
	a.release()
	cause := a.rec.Ext.Cause
	if a.run != a.rec.Target {
		err := a.o.Boot.Disable(ctx, a.rec.Target)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			a.fail("cannot disable slot "+string(a.rec.Target), err)
		}
		return a.reverted(cause, err != nil)
	}
	fallback := a.other(a.rec.Target).Name
	st, err := a.o.Boot.State(ctx)
	for try := 1; err != nil && !errors.Is(err, bootctl.ErrInvalid) && try < confirmTries && a.wait(ctx, confirmPause); try++ {
		st, err = a.o.Boot.State(ctx) // somebody may hold the lock
	}
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return a.stuck(cause, err.Error())
	case !st.Slots[fallback].Bootable:
		return a.stuck(cause, "slot "+string(fallback)+" is not bootable")
	}
	a.quarantine(cause)
	if err := a.o.Boot.Disable(ctx, a.rec.Target); err != nil {
		a.fail("cannot disable slot "+string(a.rec.Target), err)
		if errors.Is(err, bootctl.ErrNoFallback) {
			return a.stuck(cause, err.Error())
		}
	}
	done, err := a.reboot(ctx)
	if done || err != nil {
		return err
	}
	return a.stuck(cause, "the machine does not reboot")
}

// reverted ends the way back in the old slot: the digest is quarantined where the image is to blame,
// else the offer waits for another try, of which there are not many (I8).
func (a *Agent) reverted(cause reason.Reason, disablePending bool) error {
	a.quarantine(cause)
	e := ending{result: "reverted", why: cause}
	if a.rec.Ext.Revert && cause != reason.OperatorRevert {
		e.result = "failed" // the operator's way back was tried, and the device is where it was
	}
	if disablePending {
		e.pending = reason.DisablePending
	}
	var w storedOffer
	again := a.st.load(keyWaiting, &w) && w.Digest == a.rec.Digest && w.Reverts < maxArms &&
		!a.imageToBlame(cause) && !cause.Info().Closes && !a.rec.Ext.Local && !a.rec.Ext.Revert
	if again {
		w.Failures++
		w.Reverts++
		if cause.Info().Blame.FallsBack() {
			w.Fell++
		}
		w.Reason, w.Said, w.Rules = cause, string(cause), ""
		_, w.Broker = a.judging(a.rec.Digest)
		a.q.setBoots("", 0) // another try counts its boots from the beginning
		a.saveQuarantine()
		a.retryAt = a.o.Clock.Uptime() + a.backoff(w.Failures)
		e.keep = true
		return a.endAs(e, func(tx journal.Tx) error { return errors.Join(put(tx, keyWaiting, w), forget(tx, prefixCheck)) })
	}
	return a.endAs(e)
}

// stuck is brick 4 not happening: there is nothing to go back to, so what runs goes on running.
func (a *Agent) stuck(cause reason.Reason, detail string) error {
	a.stayed = true
	return a.end("stuck", reason.RevertImpossible, string(cause)+"; "+detail)
}

// imageToBlame: the cause lies in the image for certain.
func (a *Agent) imageToBlame(cause reason.Reason) bool {
	if _, judged := a.judging(a.rec.Digest); judged || a.rec.Digest == "" {
		return false
	}
	fallen := 0
	if w := (storedOffer{}); a.st.load(keyWaiting, &w) && w.Digest == a.rec.Digest {
		fallen = w.Fell
	}
	return cause.Info().Blame.OnImage(a.rec.Ext.Tries, fallen)
}

// quarantine bars the digest where the image itself is to blame (I8).
func (a *Agent) quarantine(cause reason.Reason) {
	if !a.imageToBlame(cause) {
		return
	}
	var images []string
	for _, i := range a.rec.Ext.Images {
		images = append(images, i.text())
	}
	a.q.add(quarantineEntry{Digest: a.rec.Digest, Images: images, Cause: cause})
	a.q.setBoots("", 0)
	a.saveQuarantine()
}

// ending is how an update is closed.
type ending struct {
	result  string
	why     reason.Reason
	detail  string
	keep    bool          // the offer waits and its checkpoints stay, so that a later try resumes
	final   bool          // the same envelope is not decided again
	pending reason.Reason // what is left to do in idle
	counter string        // where the counter stands after it
}

// end closes an update for good.
func (a *Agent) end(result string, why reason.Reason, detail string, also ...txFunc) error {
	return a.endAs(ending{result: result, why: why, detail: detail}, also...)
}

// endAs goes to idle with the outcome on record.
func (a *Agent) endAs(e ending, also ...txFunc) error {
	a.release()
	a.local = nil
	r := a.rec
	o := Outcome{Result: e.result, Reason: e.why, Detail: e.detail, Manifest: r.Digest, Sequence: r.Ext.Sequence, Version: r.Ext.Version, Slot: r.Target}
	if !r.Ext.Synthetic || e.result != "updated" { // a slot that was on trial without an update is confirmed, and nothing is updated
		also = append(also, a.ended(o), keepReport(a.reportOf(r, e)))
	}
	also = append([]txFunc{func(tx journal.Tx) error {
		if err := a.dropPermit(tx, r.Digest); err != nil || e.keep {
			return err
		}
		return errors.Join(forget(tx, prefixCheck), tx.Delete(journal.State, keyEnvelope), dropWaiting(tx, r.Digest),
			a.finalAfter(tx, r, e))
	}}, also...)
	a.tendAt = 0
	return a.move(Idle, e.why, func(n *Record) {
		*n = Record{Phase: Idle, Ext: Ext{BootID: a.bootID, Cause: e.why, Pending: e.pending}}
	}, evidence.Event{Kind: evidence.KindVerdict, Manifest: r.Digest, Sequence: r.Ext.Sequence, Slot: string(r.Target),
		Detail: e.details()}, also...)
}

func (e ending) details() map[string]string {
	d := map[string]string{"result": e.result, "why": e.detail}
	if e.counter != "" {
		d["counter"] = e.counter
	}
	return d
}

// finalAfter makes the way an update ended final for its digest, where trying again cannot help or
// somebody said no.
func (a *Agent) finalAfter(tx journal.Tx, r Record, e ending) error {
	if r.Digest == "" || r.Ext.Local || e.result == "updated" || e.result == "reverted" && r.Ext.Revert {
		return nil
	}
	why := e.why.Info()
	if why.ThisCopy {
		return nil
	}
	if e.final || e.result == "reverted" || why.Final || why.Closes {
		return setFinal(tx, r.Digest, a.st.head.Seq, e.why)
	}
	return nil
}
