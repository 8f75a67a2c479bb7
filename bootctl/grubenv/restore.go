package grubenv

import (
	"path"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/engine"
)

// Restore implements engine.Reading. The lines of other programs are those that can still be read, or those of the
// shadow copy where the block has none. GRUB itself needs no variable but ours.
func (r *reading) Restore(c engine.Change) error {
	kept := r.lines.without(r.ours())
	if len(kept) == 0 {
		raw, _ := r.shadow().Load()
		kept, _ = parseBlock(raw)
		kept = kept.without(r.ours())
	}
	lines := r.record(kept, c.Old, c.Next)
	if lines.used() > r.size(lines) { // of a block that was larger, or of lines that never were in one
		lines = r.record(nil, c.Old, c.Next)
	}
	err := r.write(lines)
	if err == nil && c.Again {
		// Crash: a new file whose name was never flushed would be gone with the power.
		err = r.fs.SyncDir(path.Dir(r.o.Path))
	}
	return err
}

// ours are the names of all variables that this package writes.
//
//go:noinline
func (c codec) ours() []string {
	names := []string{orderVar}
	for _, s := range c.o.Slots {
		names = append(names, okVar(s), tryVar(s), goodVar(s))
	}
	return names
}

func (c codec) shadow() engine.Shadow {
	return engine.Shadow{FS: c.fs, Path: c.o.Shadow, Limit: MaxSize, Of: "the environment block"}
}

// Tidy implements engine.Reading: the lines of other programs are the shadow copy.
func (r *reading) Tidy(bootctl.Slot) error {
	lines := r.lines.without(r.ours())
	return r.shadow().Keep(lines.encode(max(Size, lines.used())))
}
