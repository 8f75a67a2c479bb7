package ubootenv

import (
	"errors"
	"fmt"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/engine"
	"github.com/ratchet-ota/ratchet/bootctl/internal/shadow"
)

// Restore implements engine.Reading.
//
// Crash: before and torn -> still no valid copy, U-Boot boots its defaults as it did; after -> the running
// slot boots, and nothing else (I1).
func (r *reading) Restore(c engine.Change) error {
	l, err := r.foreign()
	if err != nil {
		return fmt.Errorf("%w; and nothing to restore it from: %w", r.invalid, err)
	}
	return r.write(r.record(l, c.Old, c.Next))
}

// ours are the names of all variables that this package writes.
func (c codec) ours() []string {
	names := []string{orderVar}
	for _, s := range c.o.Slots {
		names = append(names, leftVar(s), goodVar(s))
	}
	return names
}

// foreign returns the variables of other programs from the shadow copy, else the defaults.
func (c codec) foreign() (list, error) {
	err := errors.New("no shadow copy is configured")
	if c.o.Shadow != "" {
		var l list
		if l, err = c.loadShadow(); err == nil {
			return l.without(c.ours()), nil
		}
	}
	if c.o.Defaults == nil {
		return nil, err
	}
	l := make(list, len(c.o.Defaults))
	for i, v := range c.o.Defaults {
		l[i] = []byte(v)
	}
	return l.without(c.ours()), nil
}

// loadShadow reads a shadow copy of an environment of the configured size. Another size is refused: a
// wrong size in the configuration makes any environment look torn, and nothing may be restored then.
func (c codec) loadShadow() (list, error) {
	raw, err := shadow.Load(c.fs, c.o.Shadow, maxSize)
	if err != nil {
		return nil, err
	}
	if size := c.o.Copies[0].Size; int64(len(raw)) != size {
		return nil, fmt.Errorf("%w: it is of an environment of %d bytes, %d are configured", shadow.ErrInvalid, len(raw), size)
	}
	kept := parseCopy(raw, false)
	if kept.fault != nil {
		return nil, fmt.Errorf("%w: %w", shadow.ErrInvalid, kept.fault)
	}
	return kept.list, nil
}

// Tidy implements engine.Reading: it stores the variables of other programs as the shadow copy when they
// differ from those in it. Ours change with every trial and are made anew by Restore.
func (r *reading) Tidy(bootctl.Slot) error {
	if r.o.Shadow == "" {
		return nil
	}
	l := r.list.without(r.ours())
	if kept, err := r.loadShadow(); err == nil && kept.equal(l) {
		return nil
	}
	raw, err := l.encode(r.o.Copies[0].Size, -1)
	if err == nil {
		err = shadow.Store(r.fs, r.o.Shadow, raw)
	}
	if err != nil {
		return fmt.Errorf("cannot keep the shadow copy of the environment: %w", err)
	}
	return nil
}
