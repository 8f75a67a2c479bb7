package grubenv

import (
	"fmt"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/engine"
	"github.com/ratchet-ota/ratchet/bootctl/internal/shadow"
)

// Restore implements engine.Reading. GRUB itself needs no variable but ours, so that it does without a
// shadow copy, too.
func (r *reading) Restore(c engine.Change) error {
	var lines block
	if r.o.Shadow != "" {
		if kept, err := r.loadShadow(); err == nil {
			lines = kept.without(r.ours())
		}
	}
	return r.write(r.record(lines, c.Old, c.Next))
}

// ours are the names of all variables that this package writes.
func (c codec) ours() []string {
	names := []string{orderVar}
	for _, s := range c.o.Slots {
		names = append(names, okVar(s), tryVar(s), goodVar(s))
	}
	return names
}

func (c codec) loadShadow() (block, error) {
	raw, err := shadow.Load(c.fs, c.o.Shadow, Size)
	if err != nil {
		return nil, err
	}
	lines, err := parseBlock(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", shadow.ErrInvalid, err)
	}
	return lines, nil
}

// Tidy implements engine.Reading: it stores the lines of other programs as the shadow copy when they
// differ from those in it.
func (r *reading) Tidy(bootctl.Slot) error {
	if r.o.Shadow == "" {
		return nil
	}
	lines := r.lines.without(r.ours())
	if kept, err := r.loadShadow(); err == nil && kept.equal(lines) {
		return nil
	}
	raw, err := lines.encode()
	if err == nil {
		err = shadow.Store(r.fs, r.o.Shadow, raw)
	}
	if err != nil {
		return fmt.Errorf("cannot keep the shadow copy of the environment block: %w", err)
	}
	return nil
}
