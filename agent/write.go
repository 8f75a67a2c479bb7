package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/ratchet-ota/ratchet/agent/cipher"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// again verifies and decides the update in progress once more, at a stop point. A revert by an
// operator has no manifest to decide: its plan is zero.
func (a *Agent) again(stage policy.Stage) (policy.Decision, error) {
	if a.rec.Ext.Revert {
		return policy.Decision{Outcome: policy.Install}, nil
	}
	if err := a.poll(); err != nil {
		return policy.Decision{}, err
	}
	m, err := a.verify(offer{envelope: a.st.bytes(keyEnvelope), origin: "journal"})
	var r *Refused
	if errors.As(err, &r) {
		return policy.Decision{Outcome: policy.Refuse, Findings: []policy.Finding{{Reason: r.Reason, Detail: r.Detail, Final: true}}}, nil
	}
	if err != nil {
		return policy.Decision{}, err
	}
	if m.Digest().String() != a.rec.Digest {
		return policy.Decision{Outcome: policy.Refuse, Findings: []policy.Finding{{Reason: reason.DigestMismatch, Final: true}}}, nil
	}
	return a.decide(m, stage, a.rec.Ext.Local, a.slot(a.rec.Target)), nil
}

// stop ends the update at a stop point whose decision is not to install. It returns false to go on.
func (a *Agent) stop(d policy.Decision) (bool, error) {
	if d.Outcome == policy.Install {
		return false, nil
	}
	why, said, _ := summary(d)
	if d.Outcome == policy.Defer && !a.rec.Ext.Local {
		return true, a.give(why, said, false)
	}
	return true, a.end("failed", why, said)
}

// preparing makes the target unbootable before its first byte is written.
//
// Crash: before Disable -> the target may hold a bootable older system: it stays what it is; after ->
// it cannot boot, and the running slot, confirmed, can (I1).
func (a *Agent) preparing(ctx context.Context) error {
	d, err := a.again(policy.Download)
	if err != nil {
		return err
	}
	if done, err := a.stop(d); done || err != nil {
		return err
	}
	st, err := a.o.Boot.State(ctx)
	switch {
	case err != nil:
		return a.metadataFailed(ctx, err)
	case !st.Slots[a.run].Confirmed || !st.Slots[a.run].Bootable:
		// Brick 3: the only good slot may be the target. Nothing is touched.
		return a.give(reason.RunningUnconfirmed, "slot "+string(a.run), true)
	}
	step, disarm := a.abort.arm(ctx)
	defer disarm()
	for _, i := range d.Plan.Installs() {
		if err := a.answers(step, i); err != nil {
			return a.writeFailed(ctx, disarm(), i.Component, err)
		}
	}
	if by := disarm(); by != "" {
		return a.aborted(by)
	}
	if err := a.disableTarget(ctx); err != nil {
		return a.metadataFailed(ctx, err)
	}
	return a.move(Writing, reason.None, nil, evidence.Event{})
}

// metadataFailed puts an update back because the boot metadata stood against it, for the moment.
func (a *Agent) metadataFailed(ctx context.Context, err error) error {
	why := reason.BootMetadataIO
	switch {
	case ctx.Err() != nil:
		return nil // shutdown, which is no failure
	case errors.Is(err, bootctl.ErrInvalid):
		why = reason.BootMetadataInvalid
	case errors.Is(err, bootctl.ErrChanged):
		why = reason.BootMetadataChanged
	}
	return a.give(why, err.Error(), true)
}

func (a *Agent) disableTarget(ctx context.Context) error {
	if err := a.o.Boot.Disable(ctx, a.rec.Target); err != nil {
		return err
	}
	st, err := a.o.Boot.State(ctx)
	if err != nil {
		return err
	}
	if st.Slots[a.rec.Target].Bootable || st.Next == a.rec.Target {
		return fmt.Errorf("slot %s is still bootable after it was disabled", a.rec.Target)
	}
	return nil
}

var (
	errInterrupted = errors.New("the local install was interrupted")
	errNoCopy      = errors.New("this device loads every image from its source")
)

// storedCheckpoint binds a checkpoint to the update that made it.
type storedCheckpoint struct {
	Digest string           `cbor:"1,keyasint"`
	Image  []byte           `cbor:"2,keyasint"`
	Done   bool             `cbor:"3,keyasint"`
	At     slots.Checkpoint `cbor:"4,keyasint"`
}

// writing streams every image of the plan into its part of the target.
//
// Crash: before a checkpoint's commit -> the bytes since the one before are written again, the same
// bytes to the same place; after -> writing resumes behind them. The target is disabled throughout.
func (a *Agent) writing(ctx context.Context) error {
	d, err := a.again(policy.Download)
	if err != nil {
		return err
	}
	if done, err := a.stop(d); done || err != nil {
		return err
	}
	if err := a.disableTarget(ctx); err != nil { // no-op but for a second writer (loss 27)
		return a.metadataFailed(ctx, err)
	}
	step, disarm := a.abort.arm(ctx)
	defer disarm()
	for _, i := range d.Plan.Installs() {
		if err := a.write(step, i); err != nil {
			return a.writeFailed(ctx, disarm(), i.Component, err)
		}
	}
	if by := disarm(); by != "" {
		return a.aborted(by)
	}
	a.local = nil
	return a.move(Checking, reason.None, nil, evidence.Event{})
}

func (a *Agent) write(ctx context.Context, i manifest.Install) error {
	var c storedCheckpoint
	key := prefixCheck + i.Component
	ours := a.st.load(key, &c) && c.Digest == a.rec.Digest && string(c.Image) == i.Image.Sum
	if ours && c.Done {
		return nil
	}
	dev, err := a.openTarget(i.Component)
	if err != nil {
		return err
	}
	defer dev.Close()
	src, err := a.source(i)
	if err != nil {
		return err
	}
	img := slots.Image{Alg: i.Image.Alg, Digest: []byte(i.Image.Sum), Size: i.Size, Encoding: slots.Encoding(i.Encoding), PayloadSize: plainSize(i)}
	save := func(at slots.Checkpoint, done bool) error {
		s := storedCheckpoint{Digest: a.rec.Digest, Image: []byte(i.Image.Sum), Done: done, At: at}
		return a.st.commit(nil, nil, func(tx journal.Tx) error { return put(tx, key, s) })
	}
	o := slots.Options{Every: a.o.Checkpoint, Serial: a.o.Serial, Progress: a.showProgress(i.Component),
		Save: func(at slots.Checkpoint) error { return save(at, false) }}
	if ours {
		o.From = &c.At
		a.log.Info("writing resumes", "component", i.Component, "at", c.At.Written, "of", i.Size)
	}
	res, err := slots.Write(ctx, dev, img, src, o)
	if errors.Is(err, slots.ErrCheckpoint) {
		o.From = nil
		res, err = slots.Write(ctx, dev, img, src, o)
	}
	if err != nil {
		return err
	}
	if err := save(slots.Checkpoint{}, true); err != nil {
		return err
	}
	return a.note(evidence.Event{Kind: evidence.KindProgress, Slot: string(a.rec.Target), Component: i.Component,
		Manifest: a.rec.Digest, Sequence: a.rec.Ext.Sequence, Image: i.Image.String(),
		Detail: map[string]string{"written": fmt.Sprint(res.Written), "fetched": fmt.Sprint(res.Fetched), "resumed-from": fmt.Sprint(res.Resumed)}})
}

// plainSize is the size of the payload as the slot's writer reads it: decrypted.
func plainSize(i manifest.Install) int64 {
	if i.PayloadSize == 0 || i.Encryption.IsZero() {
		return i.PayloadSize
	}
	return i.PayloadSize - i.Encryption.Overhead()
}

// openTarget opens a part of the target; hal refuses the running slot by identity (I3).
func (a *Agent) openTarget(component string) (hal.Medium, error) {
	root, err := a.o.Blocks.Identify(a.slot(a.run).Parts[component])
	if err != nil {
		return nil, fmt.Errorf("cannot tell the running slot apart: %w", err)
	}
	return a.o.Blocks.OpenTarget(a.slot(a.rec.Target).Parts[component], root)
}

// writeFailed decides the fate of a failed download or write: try again, begin again, or give up.
func (a *Agent) writeFailed(ctx context.Context, by, component string, err error) error {
	var medium *slots.MediumError
	clear := func(tx journal.Tx) error { return forget(tx, prefixCheck) }
	switch {
	case by != "":
		return a.aborted(by)
	case ctx.Err() != nil:
		return nil // shutdown: taken up again by the next start
	case errors.Is(err, errDurable):
		return err // neither source nor slot is to blame; nothing could be put on record anyway
	case errors.As(err, &medium):
		return a.give(reason.SlotIO, err.Error(), true, clear)
	case errors.Is(err, hal.ErrRunning):
		return a.end("failed", reason.RunningUnproven, err.Error())
	case errors.Is(err, hal.ErrBusy):
		return a.give(reason.SlotBusy, err.Error(), true)
	case errors.Is(err, cipher.ErrKey):
		return a.end("failed", reason.DecryptionKeyMissing, err.Error())
	case errors.Is(err, errNoCopy):
		return a.end("failed", reason.ManifestUnsupported, err.Error())
	case errors.Is(err, errInterrupted):
		return a.end("failed", reason.Interrupted, err.Error())
	case errors.Is(err, transport.ErrForbidden):
		return a.end("failed", reason.SourceNotAllowed, err.Error())
	case errors.Is(err, transport.ErrGone):
		return a.give(reason.SourceGone, err.Error(), true)
	case errors.Is(err, cipher.ErrTag), errors.Is(err, slots.ErrDigest), errors.Is(err, slots.ErrEncoding), errors.Is(err, slots.ErrShort),
		errors.Is(err, slots.ErrTooLarge), errors.Is(err, transport.ErrChanged):
		why := reason.ImageCorrupt
		if errors.Is(err, transport.ErrChanged) {
			why = reason.SourceChanged
		}
		if a.rec.Phase == Writing && a.rec.Ext.Restarts == 0 {
			return a.move(Writing, why, func(r *Record) { r.Ext.Restarts++ },
				evidence.Event{Component: component, Detail: map[string]string{"why": err.Error(), "again": "from zero"}}, clear)
		}
		return a.give(why, err.Error(), true, clear)
	}
	return a.give(reason.SourceUnreachable, err.Error(), true)
}

// maxCostly bounds how often an image is loaded or written for nothing (I8).
const maxCostly = 3

// give puts a network update back among the waiting offers: it is decided again later, with what
// was written so far kept. failed counts toward the back-off.
func (a *Agent) give(why reason.Reason, detail string, failed bool, also ...txFunc) error {
	if a.rec.Ext.Local || a.rec.Ext.Revert {
		return a.end("failed", why, detail, also...)
	}
	var w storedOffer
	a.st.load(keyWaiting, &w)
	w.Reason, w.Said, w.Rules = why, string(why)+": "+detail, ""
	if failed {
		w.Failures++
	}
	if why.Info().Costly {
		w.Costly++
	}
	if w.Costly > maxCostly {
		// A server that goes on sending other bytes than the manifest names is not asked for ever, and a
		// worn-out slot not written for ever. A person may approve it again.
		return a.endAs(ending{result: "failed", why: why, detail: detail, final: true}, also...)
	}
	a.retryAt = a.o.Clock.Uptime() + a.backoff(max(w.Failures, 1))
	also = append(also, func(tx journal.Tx) error { return put(tx, keyWaiting, w) })
	return a.endAs(ending{result: "failed", why: why, detail: detail, keep: true}, also...)
}

// checking reads the target back from the medium and compares. The target stays held exclusively
// until it is armed, so that nothing alters it in between (loss 23, I2).
func (a *Agent) checking(ctx context.Context) error {
	a.release()
	step, disarm := a.abort.arm(ctx)
	defer disarm()
	for _, i := range a.rec.Ext.Images {
		dev, err := a.o.Blocks.OpenMedium(a.slot(a.rec.Target).Parts[i.Component])
		if err == nil {
			if a.held == nil {
				a.held = map[string]hal.Medium{}
			}
			a.held[i.Component] = dev
			err = slots.Check(step, dev, slots.Image{Alg: i.Alg, Digest: i.Digest, Size: i.Size}, a.showProgress(i.Component))
		}
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil:
			return nil
		}
		a.release()
		if by := disarm(); by != "" {
			return a.aborted(by)
		}
		clear := func(tx journal.Tx) error { return forget(tx, prefixCheck) }
		switch {
		case errors.Is(err, hal.ErrBusy):
			return a.give(reason.SlotBusy, err.Error(), true)
		case !errors.Is(err, slots.ErrDigest):
			return a.give(reason.SlotIO, err.Error(), true, clear)
		case a.rec.Ext.Revert || a.rec.Ext.Local || a.rec.Ext.Restarts > 0:
			return a.give(reason.ReadBackMismatch, err.Error(), true, clear)
		}
		// What was written is not what is there: once more from zero, then the medium is given up.
		return a.move(Writing, reason.ReadBackMismatch, func(r *Record) { r.Ext.Restarts++ },
			evidence.Event{Component: i.Component, Detail: map[string]string{"again": "from zero"}}, clear)
	}
	if by := disarm(); by != "" {
		return a.aborted(by)
	}
	readBack := "equal"
	if len(a.rec.Ext.Images) == 0 {
		if !a.rec.Ext.Revert { // an extension that was lost: nothing says what the target must hold
			return a.end("failed", reason.RecordUnknown, "the record does not say what the target holds")
		}
		// The factory's system: never written by us, so that there is nothing to compare it with. It
		// was bootable and confirmed before, which goBack has made sure of.
		readBack = "unknown content"
	}
	a.checked = a.o.Clock.Uptime()
	return a.move(Ready, reason.None, nil, evidence.Event{Detail: map[string]string{"read-back": readBack}})
}
