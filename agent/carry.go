package agent

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/slots"
)

// A part of the slot that a manifest leaves out is carried over: the running slot's part is proven to hold
// what was confirmed there, copied like any image, and read back in the target like any image. Nothing is
// booted beside what an earlier update has left.

// compare proves in this boot, before anything is written, that the running slot still holds what was
// confirmed there of each part that is carried.
func (e *errand) compare(ctx context.Context, d *life.Done) error {
	for _, c := range e.plan.Carries() {
		d.Component = c.Component
		dev, err := e.openRunning(c.Component)
		if err != nil {
			return err
		}
		err = slots.Check(ctx, dev, imageOf(c), e.view.Meter(c.Component))
		_ = dev.Close()
		if err != nil {
			return errorf("%w: %s: %w", errUncarried, c.Component, err)
		}
	}
	return nil
}

// remember looks into the slots for what an empty state cannot know, before a byte is loaded. State that does not
// last would have the device install what it runs, back and forth between its slots, for ever, or start again and again
// what came back sick. What a technician hands over is begun: there somebody knows.
func (e *errand) remember(ctx context.Context) error {
	ext, spent := e.s.Rec.Ext, e.s.Budget
	if !e.fresh || ext.Local || ext.Revert || len(e.plan.Carries()) > 0 {
		return nil
	}
	if e.hold(ctx, e.openRunning) {
		return errRuns
	}
	if spent.Costly > 0 || spent.Fell > 0 || spent.Reverts > 0 || e.wroteSome() {
		return nil // it was begun in this state, which knows how it ended
	}
	parts := e.slot(e.s.Rec.Target).Parts
	if e.hold(ctx, func(component string) (hal.Medium, error) { return e.o.Blocks.OpenMedium(parts[component]) }) {
		return errStarted
	}
	return ctx.Err()
}

// wroteSome tells whether the state knows of bytes of the update in the target.
func (e *errand) wroteSome() bool {
	return slices.ContainsFunc(e.plan.Installs(), func(i manifest.Install) bool {
		p := e.part(i.Component, i.Image, &life.Done{})
		return p.done() || p.from != nil
	})
}

// hold tells whether a slot, of which open opens the parts, holds all that the update would write.
func (e *errand) hold(ctx context.Context, open func(component string) (hal.Medium, error)) bool {
	for _, i := range e.plan.Installs() {
		dev, err := open(i.Component)
		if err != nil {
			return false
		}
		err = slots.Check(ctx, dev, slots.Image{Alg: i.Image.Alg, Digest: []byte(i.Image.Sum), Size: i.Size}, nil)
		_ = dev.Close()
		if err != nil {
			return false
		}
	}
	return len(e.plan.Installs()) > 0
}

// carry copies a part from the running slot into the target. Where the target is on record to hold it, and reads
// so, nothing is written; the read-back in checking stands for both.
//
// Crash: as in write. What the copy reads is hashed, and compared with what was confirmed: a running slot that
// somebody changes meanwhile carries nothing over. A copy is on record before its first byte: what it has
// left, unflushed or with a flush that failed, is never taken for what the target held before.
func (e *errand) carry(ctx context.Context, c policy.Carry, d *life.Done) error {
	p := e.part(c.Component, c.Image, d)
	d.Carried = true
	if p.done() {
		d.Skipped = true
		return nil
	}
	dev, err := e.openTarget(c.Component)
	if err != nil {
		return err
	}
	defer dev.Close()
	if p.from == nil {
		// what cannot be read may be written
		there := e.isThere(c) && slots.Check(ctx, dev, imageOf(c), nil) == nil
		if ctx.Err() != nil { // it was not read to its end, which says nothing
			return ctx.Err()
		}
		if err := p.save(slots.Checkpoint{}, there); err != nil || there {
			return err
		}
	}
	running, err := e.openRunning(c.Component)
	if err != nil {
		return err
	}
	defer running.Close()
	err = p.stream(ctx, dev, imageOf(c), unproven{slots.Carried(running, c.Size)})
	d.Fetched = 0 // nothing came over the network
	if errors.Is(err, slots.ErrDigest) {
		return errorf("%w: %s: %w", errUncarried, c.Component, err)
	}
	return err
}

// isThere tells whether the target was on record to hold the part before the update began.
func (e *errand) isThere(c policy.Carry) bool {
	return slices.ContainsFunc(e.s.Rec.Ext.Images, func(i life.SlotImage) bool {
		return i.There && i.Component == c.Component && string(i.Digest) == c.Image.Sum
	})
}

func imageOf(c policy.Carry) slots.Image {
	return slots.Image{Alg: c.Image.Alg, Digest: []byte(c.Image.Sum), Size: c.Size}
}

// openRunning opens a part of the running slot, to read.
func (e *errand) openRunning(component string) (hal.Medium, error) {
	dev, err := e.o.Blocks.OpenRunning(e.slot(e.s.Run).Parts[component])
	if err != nil {
		return nil, errorf("%w: %s: %w", errUncarried, component, err)
	}
	return dev, nil
}

// unproven says of what goes wrong with a source that the running slot is at fault, and not the target.
type unproven struct{ slots.Source }

// Open implements slots.Source.
func (u unproven) Open(ctx context.Context, off int64, validator string) (io.ReadCloser, string, error) {
	body, validator, err := u.Source.Open(ctx, off, validator)
	if err != nil {
		return nil, "", errorf("%w: %w", errUncarried, err)
	}
	return unprovenBody{body}, validator, nil
}

type unprovenBody struct{ io.ReadCloser }

// Read implements io.Reader.
func (u unprovenBody) Read(p []byte) (int, error) {
	n, err := u.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = errorf("%w: %w", errUncarried, err)
	}
	return n, err
}
