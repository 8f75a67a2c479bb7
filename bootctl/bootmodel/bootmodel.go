// Package bootmodel boots a board's metadata as its bootloader would: it reads the very bytes with a
// decoder of its own, written from the loader's source and from the reference script, chooses a slot,
// and writes what the loader writes (a counter, saved into the other copy). It shares no code with
// the backends that it checks, and is for the conformance suite, the lab and the demo.
package bootmodel

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/ratchet-ota/ratchet/hal"
)

// Script says which boot script the board runs.
type Script int

const (
	// Reference is the script that ships beside the backend.
	Reference Script = iota
	// RAUC is RAUC's sample script: it counts every boot and revives every slot when none is left.
	RAUC
)

// ErrPrompt: the loader has no command to run and waits at its prompt. The board is bricked.
var ErrPrompt = errors.New("the bootloader stops at its prompt")

// maxResets bounds how often one power-on may run into the script's reset before it counts as a loop.
const maxResets = 3

// cmdline is what the reference scripts hand to the kernel.
func cmdline(slot string) string {
	return "panic=10 ratchet.slot=" + slot + " rauc.slot=" + slot
}

// readAt returns n bytes at off, nil when the file is not there, too short, or cannot be read: a loader takes each as
// a failed read, and goes on with what it has.
func readAt(fsys hal.FS, path string, off, n int64) ([]byte, error) {
	m, err := fsys.Open(path, hal.ReadOnly)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", path, err)
	}
	defer m.Close()
	if off < 0 {
		off += m.Size()
	}
	if off < 0 || off > m.Size()-n {
		return nil, nil
	}
	b := make([]byte, n)
	if k, err := m.ReadAt(b, off); hal.Unreadable(err) {
		return nil, nil
	} else if err != nil && (err != io.EOF || k < len(b)) {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return b, nil
}

// writeAt overwrites in place. Loaders send no flush: what they wrote may be lost with the power.
func writeAt(fsys hal.FS, path string, off int64, b []byte) error {
	m, err := fsys.Open(path, hal.InPlace)
	if errors.Is(err, fs.ErrNotExist) {
		m, err = fsys.Open(path, hal.Create)
	}
	if err != nil {
		return fmt.Errorf("cannot open %s: %w", path, err)
	}
	defer m.Close()
	if off < 0 {
		off += m.Size()
	}
	if _, err := m.WriteAt(b, off); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// settle makes what was written to path durable; nothing where it is not there.
func settle(fsys hal.FS, path string) error {
	m, err := fsys.Open(path, hal.InPlace)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot open %s: %w", path, err)
	}
	defer m.Close()
	return m.Sync()
}

func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' })
}
