package agent

import (
	"context"
	"errors"
	"io"

	"github.com/ratchet-ota/ratchet/agent/cipher"
	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// perform does the one action and returns its end.
func (a *Agent) perform(ctx context.Context, do life.Action) life.Event {
	if e, ok := life.Immediate(do, a.moment()); ok {
		return e
	}
	if _, goes := do.(life.Prove); !goes {
		a.stopProof()
	}
	if longs(do) {
		return a.errand(ctx, do)
	}
	switch do := do.(type) {
	case life.Start:
		return a.start(ctx)
	case life.Wait:
		return a.waitFor(ctx, do)
	case life.Ask:
		return a.decide(do)
	case life.Prove:
		return a.prove(ctx, do)
	}
	d := life.Done{Do: do}
	switch do := do.(type) {
	case life.Look:
		if do.Proof {
			d.Run, _ = a.proveRunning()
		}
		a.look(ctx, &d)
		d.Text = d.BootText
	case life.Disable:
		a.changeBoot(ctx, &d, a.o.Boot.Disable(ctx, do.Slot))
	case life.Refresh:
		a.changeBoot(ctx, &d, a.o.Boot.Refresh(ctx, do.Slot))
	case life.Try:
		a.changeBoot(ctx, &d, a.o.Boot.Try(ctx, do.Slot, do.Tries))
	case life.Confirm:
		a.confirm(ctx, do.Slot, &d)
	case life.Reboot:
		a.reboot(ctx, do)
	case life.Raise:
		a.raise(ctx, &d)
	case life.Origin:
		d.Origin, _ = a.o.Counter.Origin(ctx)
		if d.Origin != a.s.Counter {
			d.Counter = a.counterName(ctx)
		}
	}
	d.Moment = a.moment()
	return d
}

// look reads the boot metadata.
func (a *Agent) look(ctx context.Context, d *life.Done) {
	st, err := a.o.Boot.State(ctx)
	d.Boot, d.BootOK, d.BootText, d.BootNot = st, err == nil, errText(err), classOf(err)
	if d.Do == life.Action(life.Look{}) || d.Do == life.Action(life.Look{Proof: true}) {
		d.Class = classOf(err)
	}
}

// changeBoot takes the end of a change of the boot metadata, and reads it again: what counts is what is
// there.
func (a *Agent) changeBoot(ctx context.Context, d *life.Done, err error) {
	d.Class, d.Text = classOf(err), errText(err)
	a.look(ctx, d)
}

func (a *Agent) confirm(ctx context.Context, slot bootctl.Slot, d *life.Done) {
	err := a.o.Boot.Confirm(ctx, slot)
	if errors.Is(err, bootctl.ErrInvalid) {
		// Health has passed and the metadata is broken: the minimum is restored around us.
		err = a.o.Boot.Refresh(ctx, slot)
	}
	if a.changeBoot(ctx, d, err); err == nil && !d.Boot.Slots[slot].Confirmed {
		d.Text = "the slot is not confirmed after it was confirmed"
	}
}

// reboot asks for a reboot and forces it after a while. It returns when the machine stays, or ctx ended.
func (a *Agent) reboot(ctx context.Context, do life.Reboot) {
	arg := ""
	if do.Plain {
		if !a.wait(ctx, a.o.ForceAfter) { // a person may look
			return
		}
	} else {
		a.reporter.Flush(ctx)
		st, _ := a.o.Boot.State(ctx)
		arg = st.Caps.RebootArg
	}
	ask, cancel := context.WithTimeout(ctx, a.o.ForceAfter) // a command that hangs is one that was not heard
	err := a.o.Power.Reboot(ask, arg)
	cancel()
	if ctx.Err() != nil {
		// Whoever is told to end while it asks was heard, and the command may be killed with us. To force
		// a reboot now would cut an orderly one short. Was it only the agent that ends, its next start asks again.
		return
	}
	if err != nil {
		a.fail("cannot ask for a reboot", err)
	} else if !a.wait(ctx, a.o.ForceAfter) {
		return
	}
	force, cancel := context.WithTimeout(ctx, a.o.ForceAfter)
	err = a.o.Power.Force(force)
	cancel()
	if err != nil {
		a.fail("cannot force a reboot", err)
	}
	if !do.Plain {
		a.wait(ctx, a.o.ForceAfter/4)
	}
}

func (a *Agent) raise(ctx context.Context, d *life.Done) {
	if a.o.Counter == nil || a.in.RootVersion() == 0 {
		return // there is nothing to raise
	}
	if why, _ := a.in.Problem(); why == reason.RootBehind {
		// The version of this moment is not the one that what runs was taken under: it waits for that one.
		d.Class, d.Text = life.IO, "the device does not have its newest trust root ("+string(why)+")"
		d.Counter = a.counterName(ctx)
		return
	}
	if err := a.o.Counter.Raise(ctx, a.in.RootVersion()); err != nil {
		d.Class, d.Text = life.IO, err.Error()
	}
	d.Counter = a.counterName(ctx)
}

var (
	errInterrupted = errors.New("the local install was interrupted")
	errRuns        = errors.New("the running slot holds this update")
	errStarted     = errors.New("the other slot holds this update, and the state directory was empty at the start")
	errUncarried   = errors.New("the running slot does not hold what was confirmed")
	errNoCopy      = errors.New("this device loads every image from its source")
)

// classOf is the one place where an error becomes a class. What nobody knows is taken for a failure
// that may pass.
func classOf(err error) life.Class {
	var medium *slots.MediumError
	switch {
	case err == nil:
		return life.OK
	case errors.Is(err, store.ErrDurable):
		return life.NotDurable
	case errors.Is(err, errRuns):
		return life.Runs
	case errors.Is(err, errStarted):
		return life.Unremembered
	case errors.Is(err, errUncarried):
		return life.Uncarried
	case errors.As(err, &medium):
		return life.Medium
	case errors.Is(err, hal.ErrRunning):
		return life.Running
	case errors.Is(err, hal.ErrBusy):
		return life.Busy
	case errors.Is(err, cipher.ErrKey):
		return life.NoKey
	case errors.Is(err, errNoCopy):
		return life.NoCopy
	case errors.Is(err, errInterrupted):
		return life.NoFile
	case errors.Is(err, transport.ErrForbidden):
		return life.Forbidden
	case errors.Is(err, transport.ErrGone):
		return life.Gone
	case errors.Is(err, transport.ErrChanged):
		return life.SourceChanged
	case errors.Is(err, transport.ErrUnusable), errors.Is(err, slots.ErrShort), errors.Is(err, io.ErrUnexpectedEOF):
		return life.Unusable // what is there may be right: the rest comes later
	case errors.Is(err, cipher.ErrTag), errors.Is(err, slots.ErrDigest), errors.Is(err, slots.ErrEncoding),
		errors.Is(err, slots.ErrTooLarge):
		return life.Mismatch
	case errors.Is(err, bootctl.ErrInvalid):
		return life.Invalid
	case errors.Is(err, bootctl.ErrChanged):
		return life.Changed
	case errors.Is(err, bootctl.ErrNoFallback):
		return life.NoFallback
	}
	return life.IO
}

// reach asks the source of each image for a first byte, so that nothing is disabled for an image that
// is not there.
func (e *errand) reach(ctx context.Context, d *life.Done) error {
	if err := e.remember(ctx); err != nil {
		return err
	}
	for _, i := range e.plan.Installs() {
		d.Component = i.Component
		if e.part(i.Component, i.Image, d).done() {
			continue // it is in the slot, and is read back
		}
		src, err := e.source(i)
		if err != nil {
			return err
		}
		body, _, err := src.Open(ctx, 0, "")
		if err != nil {
			return err
		}
		if err := body.Close(); err != nil {
			return err
		}
	}
	return nil
}

// check reads every image of the record back, and keeps the target held.
func (e *errand) check(ctx context.Context, d *life.Done) error {
	e.held = map[string]hal.Medium{}
	for _, i := range e.s.Rec.Ext.Images {
		d.Component = i.Component
		dev, err := e.o.Blocks.OpenMedium(e.slot(e.s.Rec.Target).Parts[i.Component])
		if err == nil {
			e.held[i.Component] = dev
			err = slots.Check(ctx, dev, slots.Image{Alg: i.Alg, Digest: i.Digest, Size: i.Size},
				e.view.Meter(i.Component))
		}
		if err == nil {
			err = ctx.Err()
		}
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil: // that says nothing of the medium
		case !errors.Is(err, hal.ErrBusy) && !errors.Is(err, slots.ErrDigest):
			d.Class = life.Medium
		}
		closeAll(e.held)
		e.held = nil
		return err
	}
	return nil
}

// proveRunning finds out which slot runs: the device behind "/", which must agree with what the
// bootloader says it booted. "" with an error when that cannot be proven; then nothing is written.
func (a *Agent) proveRunning() (bootctl.Slot, error) {
	root, err := a.o.Identity.Root()
	if err != nil {
		return "", errorf("cannot prove what runs: %w", err)
	}
	if !root.Known() {
		return "", errorf("cannot prove what runs: the device behind / is not known")
	}
	var found bootctl.Slot
	for _, s := range a.o.Slots {
		id, err := a.o.Blocks.Identify(s.Parts[a.o.RootComponent])
		if err != nil {
			continue // a slot that cannot be identified is not the running one
		}
		if id == root {
			if found != "" {
				return "", errorf("cannot prove what runs: slots %s and %s are one device", found, s.Name)
			}
			found = s.Name
		}
	}
	marker, err := a.o.Identity.Marker()
	if err != nil {
		return "", errorf("cannot prove what runs: %w", err)
	}
	switch {
	case found == "":
		return "", errorf("cannot prove what runs: / is on none of the slots (bootloader says %q)", marker)
	case marker == "" && a.o.NeedMarker:
		return "", errorf("cannot prove what runs: / is slot %s, but the bootloader passed no slot name", found)
	case marker != "" && bootctl.Slot(marker) != found:
		return "", errorf("cannot prove what runs: / is slot %s, but the bootloader says %s", found, marker)
	}
	return found, nil
}
