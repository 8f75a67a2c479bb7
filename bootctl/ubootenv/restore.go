package ubootenv

import (
	"errors"
	"fmt"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/choice"
	"github.com/ratchet-ota/ratchet/bootctl/internal/shadow"
)

// restore makes the minimum out of invalid metadata.
//
// Crash: before and torn -> still no valid copy, U-Boot boots its defaults as it did; after -> running
// boots, and nothing else (I1).
func (b *Backend) restore(e env, running bootctl.Slot, invalid error) error {
	next, err := choice.Restore(b.o.Slots, running, b.o.FullTries)
	if err != nil {
		return err
	}
	l, err := b.foreign()
	if err != nil {
		return fmt.Errorf("%w; and nothing to restore it from: %w", invalid, err)
	}
	return b.write(e, b.record(l, choice.Choice{}, next))
}

// ours are the names of all variables that this package writes.
func (b *Backend) ours() []string {
	names := []string{orderVar}
	for _, s := range b.o.Slots {
		names = append(names, leftVar(s), goodVar(s))
	}
	return names
}

// foreign returns the variables of other programs from the shadow copy, else the defaults.
func (b *Backend) foreign() (list, error) {
	err := errors.New("no shadow copy is configured")
	if b.o.Shadow != "" {
		var l list
		if l, err = b.loadShadow(); err == nil {
			return l.without(b.ours()), nil
		}
	}
	if b.o.Defaults == nil {
		return nil, err
	}
	l := make(list, len(b.o.Defaults))
	for i, v := range b.o.Defaults {
		l[i] = []byte(v)
	}
	return l.without(b.ours()), nil
}

// loadShadow reads a shadow copy of an environment of the configured size. Another size is refused: a
// wrong size in the configuration makes any environment look torn, and nothing may be restored then.
func (b *Backend) loadShadow() (list, error) {
	raw, err := shadow.Load(b.fs, b.o.Shadow, maxSize)
	if err != nil {
		return nil, err
	}
	if size := b.o.Copies[0].Size; int64(len(raw)) != size {
		return nil, fmt.Errorf("%w: it is of an environment of %d bytes, %d are configured", shadow.ErrInvalid, len(raw), size)
	}
	c := parseCopy(raw, false)
	if c.fault != nil {
		return nil, fmt.Errorf("%w: %w", shadow.ErrInvalid, c.fault)
	}
	return c.list, nil
}

// keepShadow stores l as the shadow copy when the variables of other programs differ from those in it.
// Ours change with every trial and are made anew by restore.
func (b *Backend) keepShadow(l list) error {
	if b.o.Shadow == "" {
		return nil
	}
	l = l.without(b.ours())
	if kept, err := b.loadShadow(); err == nil && kept.equal(l) {
		return nil
	}
	raw, err := l.encode(b.o.Copies[0].Size, -1)
	if err != nil {
		return err
	}
	return shadow.Store(b.fs, b.o.Shadow, raw)
}
