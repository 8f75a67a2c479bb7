package ubootenv

import (
	"fmt"
	"path"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/engine"
)

// Restore implements engine.Reading.
//
// Crash: before and torn -> still no valid copy, U-Boot boots its defaults as it did; after -> the running
// slot boots, and nothing else (I1).
func (r *reading) Restore(c engine.Change) error {
	l := r.list
	if r.invalid != nil {
		var err error
		if l, err = r.foreign(); err != nil {
			return errorf("%w, and there is nothing to restore it from: %w", r.invalid, err)
		}
	}
	err := r.write(r.record(l, c.Old, c.Next))
	for _, loc := range r.o.Copies {
		if err == nil && c.Again && !loc.device() {
			// Crash: a new file whose name was never flushed would be gone with the power.
			err = r.fs.SyncDir(path.Dir(loc.Path))
		}
	}
	return err
}

// ours are the names of all variables that this package writes.
//
//go:noinline
func (c codec) ours() []string {
	names := []string{orderVar}
	for _, s := range c.o.Slots {
		names = append(names, leftVar(s), goodVar(s))
	}
	return names
}

// foreign returns the variables of other programs from the shadow copy, else the defaults.
func (c codec) foreign() (list, error) {
	kept, err := c.loadShadow()
	if err == nil {
		return kept.without(c.ours()), nil
	}
	if c.o.Defaults == nil {
		return nil, errorf("boot.default-environment is not set, and %w", err)
	}
	l := make(list, len(c.o.Defaults))
	for i, v := range c.o.Defaults {
		l[i] = []byte(v)
	}
	return l.without(c.ours()), nil
}

func (c codec) shadow() engine.Shadow {
	return engine.Shadow{FS: c.fs, Path: c.o.Shadow, Limit: maxSize, Of: "the environment"}
}

// loadShadow reads a shadow copy of an environment of the configured size. Another size is refused: a
// wrong size in the configuration makes any environment look torn, and nothing may be restored then.
func (c codec) loadShadow() (list, error) {
	raw, err := c.shadow().Load()
	if err != nil {
		return nil, err
	}
	if size := c.o.Copies[0].Size; int64(len(raw)) != size {
		return nil, errorf("%w: it is from an environment of %d bytes, but %d are configured",
			engine.ErrShadow, len(raw), size)
	}
	kept := parseCopy(raw, false)
	if kept.fault != nil {
		return nil, errorf("%w: %w", engine.ErrShadow, kept.fault)
	}
	return kept.list, nil
}

// Tidy implements engine.Reading: the variables of other programs are the shadow copy. Ours change with
// every trial and are made anew by Restore. A copy that cannot be used is written from the one that counts: it may be
// the one that is left some day.
//
// Crash: before, inside and after -> the copy that counts, or the same content with the next serial.
func (r *reading) Tidy(bootctl.Slot) error {
	if again, err := r.codec.read(); err == nil && again.(*reading).damaged() != "" {
		now := again.(*reading)
		// One that cannot be written either is no reason to leave all else undone: State goes on saying so.
		_ = now.write(now.list)
	}
	return r.shadow().Keep(r.list.without(r.ours()).encode(r.o.Copies[0].Size, -1))
}

// damaged says which copy cannot be used beside the one that counts, and why, "" for none.
func (r *reading) damaged() string {
	if len(r.o.Copies) < 2 || r.current < 0 {
		return ""
	}
	spare := r.env.copies[1-r.current]
	if spare.fault == nil {
		return ""
	}
	return fmt.Sprintf("%s: %v", r.o.Copies[1-r.current], spare.fault)
}
