package sdboot

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/engine"
)

// Restore implements engine.Reading: the running slot is on, above all, and every other slot off.
//
// Crash: running comes first and counts at once. Until all others are off the folder may still be invalid, and is
// restored again; or it validates, with another slot behind running as it was.
func (f *folder) Restore(c engine.Change) error {
	if c.Again {
		if err := f.settle(); err != nil {
			return err
		}
	}
	running := c.Slot
	lines := f.lines(running)
	if !starts(lines) {
		return fmt.Errorf("%w: nothing is left of the entry of slot %s: write it again", bootctl.ErrInvalid, running)
	}
	own := f.own(running)
	if own == nil {
		var err error
		if own, err = f.create(name{slot: running}, lines); err != nil {
			return err
		}
	}
	if err := f.turn(own, entry{on: true, version: f.above(), lines: lines}); err != nil {
		return err
	}
	for _, s := range f.o.Slots {
		for _, x := range f.files {
			if x.slot != s || x == own || !x.on && x.wrong == nil && (x.trial || len(x.lines) > 0) {
				continue
			}
			e := entry{version: f.above(), lines: x.lines}
			if !starts(e.lines) {
				e.lines = f.lines(s)
			}
			if !starts(e.lines) {
				if x.on || x.wrong != nil {
					return fmt.Errorf("%w: %s cannot be switched off: delete it", bootctl.ErrInvalid, x.path)
				}
				continue // it starts nothing
			}
			if err := f.turn(x, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// starts tells whether lines name something to start.
func starts(lines []string) bool {
	_, err := encode(entry{version: 1, lines: lines})
	return !errors.Is(err, bootctl.ErrInvalid)
}

// The shadow copy holds for each slot its name and the board's lines, a newline behind each, and a
// NUL at the end.

func (f *folder) keepShadow() error {
	var b bytes.Buffer
	for _, s := range f.o.Slots {
		b.WriteString(string(s) + "\n")
		for _, line := range f.lines(s) {
			b.WriteString(line + "\n")
		}
		b.WriteByte(0)
	}
	return f.shadow().Keep(b.Bytes(), nil)
}

func (c codec) shadow() engine.Shadow {
	return engine.Shadow{FS: c.fs, Path: c.o.Shadow, Limit: 64 << 10, Of: "the entries"}
}

// shadowLines are the board's lines for slot in the shadow copy, nil for none.
func (f *folder) shadowLines(slot bootctl.Slot) []string {
	kept, err := f.shadow().Load()
	if err != nil {
		return nil
	}
	for _, part := range strings.Split(string(kept), "\x00") {
		if name, lines, ok := strings.Cut(part, "\n"); ok && name == string(slot) && lines != "" {
			return strings.Split(strings.TrimSuffix(lines, "\n"), "\n")
		}
	}
	return nil
}
