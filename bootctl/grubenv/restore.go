package grubenv

import (
	"fmt"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/choice"
	"github.com/ratchet-ota/ratchet/bootctl/internal/shadow"
)

// restore makes the minimum out of an invalid block. GRUB itself needs no other variable, so that it
// does without a shadow copy, too.
func (b *Backend) restore(raw []byte, running bootctl.Slot) error {
	next, err := choice.Restore(b.o.Slots, running, fullTries)
	if err != nil {
		return err
	}
	var lines block
	if b.o.Shadow != "" {
		if kept, err := b.loadShadow(); err == nil {
			lines = kept.without(b.ours())
		}
	}
	out, err := b.record(lines, choice.Choice{}, next).encode()
	if err != nil {
		return err
	}
	return b.write(raw, out)
}

// ours are the names of all variables that this package writes.
func (b *Backend) ours() []string {
	names := []string{orderVar}
	for _, s := range b.o.Slots {
		names = append(names, okVar(s), tryVar(s), goodVar(s))
	}
	return names
}

func (b *Backend) loadShadow() (block, error) {
	raw, err := shadow.Load(b.fs, b.o.Shadow, Size)
	if err != nil {
		return nil, err
	}
	lines, err := parseBlock(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", shadow.ErrInvalid, err)
	}
	return lines, nil
}

// keepShadow stores the lines of other programs as the shadow copy when they differ from those in it.
func (b *Backend) keepShadow(lines block) error {
	if b.o.Shadow == "" {
		return nil
	}
	lines = lines.without(b.ours())
	if kept, err := b.loadShadow(); err == nil && kept.equal(lines) {
		return nil
	}
	raw, err := lines.encode()
	if err != nil {
		return err
	}
	return shadow.Store(b.fs, b.o.Shadow, raw)
}
