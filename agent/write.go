package agent

import (
	"context"
	"errors"

	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// write streams one part of the plan into its part of the target: first the images that the manifest
// names, then what is carried from the running slot.
//
// Crash: before a checkpoint's commit -> the bytes since the one before are written again, the same
// bytes to the same place; after -> writing resumes behind them. The target is disabled throughout.
func (e *errand) write(ctx context.Context, part int, d *life.Done) error {
	installs, carries := e.plan.Installs(), e.plan.Carries()
	switch {
	case part < len(installs):
		return e.install(ctx, installs[part], d)
	case part < len(installs)+len(carries):
		return e.carry(ctx, carries[part-len(installs)], d)
	}
	d.Last = true
	return nil
}

// install writes an image of the manifest.
func (e *errand) install(ctx context.Context, i manifest.Install, d *life.Done) error {
	p := e.part(i.Component, i.Image, d)
	if p.done() {
		d.Skipped = true
		return nil
	}
	dev, err := e.openTarget(i.Component)
	if err != nil {
		return err
	}
	defer dev.Close()
	src, err := e.source(i)
	if err != nil {
		return err
	}
	img := slots.Image{Alg: i.Image.Alg, Digest: []byte(i.Image.Sum), Size: i.Size,
		Encoding: slots.Encoding(i.Encoding), PayloadSize: plainSize(i)}
	return p.stream(ctx, dev, img, src)
}

// part is one part of the target on its way.
type part struct {
	e         *errand
	component string
	image     manifest.Digest
	d         *life.Done
	from      *store.Checkpoint // of an earlier attempt at the same image, nil: none
}

func (e *errand) part(component string, image manifest.Digest, d *life.Done) part {
	d.Component, d.Image = component, image.String()
	p := part{e: e, component: component, image: image, d: d}
	p.from = p.checkpoint()
	return p
}

// checkpoint is how far this image of the update in progress is written into the target; nil: not at all.
func (p part) checkpoint() *store.Checkpoint {
	c, ok := p.e.st.Checkpoint(p.component)
	if !ok || c.Digest != p.e.s.Rec.Digest || string(c.Image) != p.image.Sum ||
		c.Slot != "" && c.Slot != p.e.s.Rec.Target {
		return nil
	}
	return &c
}

// done tells whether it is on record that the part is written.
func (p part) done() bool { return p.from != nil && p.from.Done }

func (p part) save(at slots.Checkpoint, done bool) error {
	s := store.Checkpoint{Digest: p.e.s.Rec.Digest, Image: []byte(p.image.Sum), Done: done, At: at,
		Slot: p.e.s.Rec.Target}
	err := p.e.st.Commit(nil, nil, store.PutCheckpoint{Component: p.component, Checkpoint: s})
	p.e.unstored.Store(err != nil)
	return err
}

// stream writes the image, from where an earlier attempt has come to. A source that says that its content has
// changed is asked to go on without its word: mirrors and caches name the same bytes differently, and the
// digest decides in the end.
func (p part) stream(ctx context.Context, dev hal.Medium, img slots.Image, src slots.Source) error {
	o := slots.Options{Every: p.e.o.Checkpoint, Serial: p.e.o.Serial, Progress: p.e.view.Meter(p.component),
		Unpack: p.e.o.Unpack, Save: func(at slots.Checkpoint) error { return p.save(at, false) }}
	if p.from != nil {
		o.From = &p.from.At
		p.e.log.Info("writing resumes", "component", p.component, "at", p.from.At.Written, "of", img.Size)
	}
	for first := true; ; first = false {
		from := int64(0)
		if o.From != nil {
			from = o.From.Written
		}
		res, err := slots.Write(ctx, dev, img, src, o)
		if first {
			p.d.Resumed = res.Resumed
		}
		p.d.Written, p.d.Fetched = res.Written, p.d.Fetched+res.Fetched
		c := p.checkpoint()
		switch {
		case err == nil:
			return p.save(slots.Checkpoint{}, true)
		case errors.Is(err, slots.ErrCheckpoint) && o.From != nil:
			o.From = nil
		case errors.Is(err, transport.ErrChanged) && c != nil && (first || c.At.Written > from):
			c.At.Validator = ""
			o.From = &c.At
		default:
			return err
		}
	}
}

// plainSize is the size of the payload as the slot's writer reads it: decrypted.
func plainSize(i manifest.Install) int64 {
	if i.PayloadSize == 0 || i.Encryption.IsZero() {
		return i.PayloadSize
	}
	return i.PayloadSize - i.Encryption.Overhead()
}

// openTarget opens a part of the target; hal refuses the running slot by identity (I3).
func (e *errand) openTarget(component string) (hal.Medium, error) {
	root, err := e.o.Blocks.Identify(e.slot(e.s.Run).Parts[component])
	if err != nil {
		return nil, errorf("cannot tell the running slot apart: %w", err)
	}
	return e.o.Blocks.OpenTarget(e.slot(e.s.Rec.Target).Parts[component], root)
}
