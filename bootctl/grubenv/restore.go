package grubenv

import (
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/engine"
)

// Restore implements engine.Reading. GRUB itself needs no variable but ours, so that it does without a
// shadow copy, too.
func (r *reading) Restore(c engine.Change) error {
	raw, _ := r.shadow().Load()
	kept, _ := parseBlock(raw)
	return r.write(r.record(kept.without(r.ours()), c.Old, c.Next))
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

// Tidy implements engine.Reading: the lines of other programs are the shadow copy.
func (r *reading) Tidy(bootctl.Slot) error {
	return r.shadow().Keep(r.lines.without(r.ours()).encode())
}
