package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/slots"
)

// write streams one image of the plan into its part of the target.
//
// Crash: before a checkpoint's commit -> the bytes since the one before are written again, the same
// bytes to the same place; after -> writing resumes behind them. The target is disabled throughout.
func (a *Agent) write(ctx context.Context, part int, d *life.Done) error {
	installs := a.plan.Installs()
	if part >= len(installs) {
		d.Last = true
		return nil
	}
	i := installs[part]
	d.Component, d.Image = i.Component, i.Image.String()
	c, ok := a.st.Checkpoint(i.Component)
	ours := ok && c.Digest == a.s.Rec.Digest && string(c.Image) == i.Image.Sum
	if ours && c.Done {
		d.Skipped = true
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
	img := slots.Image{Alg: i.Image.Alg, Digest: []byte(i.Image.Sum), Size: i.Size,
		Encoding: slots.Encoding(i.Encoding), PayloadSize: plainSize(i)}
	save := func(at slots.Checkpoint, done bool) error {
		s := store.Checkpoint{Digest: a.s.Rec.Digest, Image: []byte(i.Image.Sum), Done: done, At: at}
		err := a.st.Commit(nil, nil, store.PutCheckpoint{Component: i.Component, Checkpoint: s})
		a.unstored = err != nil
		return err
	}
	o := slots.Options{Every: a.o.Checkpoint, Serial: a.o.Serial, Progress: a.view.Meter(i.Component),
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
	if err == nil {
		d.Written, d.Fetched, d.Resumed = res.Written, res.Fetched, res.Resumed
		err = save(slots.Checkpoint{}, true)
	}
	return err
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
	root, err := a.o.Blocks.Identify(a.slot(a.s.Run).Parts[component])
	if err != nil {
		return nil, fmt.Errorf("cannot tell the running slot apart: %w", err)
	}
	return a.o.Blocks.OpenTarget(a.slot(a.s.Rec.Target).Parts[component], root)
}
