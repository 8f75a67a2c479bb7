package grubenv

import (
	"fmt"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/engine"
)

// Restore implements engine.Reading. GRUB itself needs no variable but ours, so that it does without a
// shadow copy, too.
func (r *reading) Restore(c engine.Change) error {
	var lines block
	if kept, err := r.loadShadow(); err == nil {
		lines = kept.without(r.ours())
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

func (c codec) shadow() engine.Shadow {
	return engine.Shadow{FS: c.fs, Path: c.o.Shadow, Limit: Size, Of: "the environment block"}
}

func (c codec) loadShadow() (block, error) {
	raw, err := c.shadow().Load()
	if err != nil {
		return nil, err
	}
	lines, err := parseBlock(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", engine.ErrShadow, err)
	}
	return lines, nil
}

// Tidy implements engine.Reading: the lines of other programs are the shadow copy.
func (r *reading) Tidy(bootctl.Slot) error {
	return r.shadow().Keep(r.lines.without(r.ours()).encode())
}
