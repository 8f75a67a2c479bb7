package boottest

import (
	"fmt"
	"syscall"

	"github.com/ratchet-ota/ratchet/hal"
)

// Worn is a disk of which some bytes cannot be read until they are written.
type Worn struct {
	*Disk
	bad map[string][2]int64
	// Dead: they cannot be written either.
	Dead bool
}

// Wear makes the n bytes at off of a file unreadable.
func (d *Disk) Wear(name string, off, n int64) *Worn {
	return &Worn{Disk: d, bad: map[string][2]int64{name: {off, off + n}}}
}

// Open implements hal.FS.
func (w *Worn) Open(name string, a hal.Access) (hal.Medium, error) {
	m, err := w.Disk.Open(name, a)
	if err != nil {
		return nil, err
	}
	if a == hal.Create {
		delete(w.bad, name) // other blocks
	}
	return wornFile{m, w, name}, nil
}

type wornFile struct {
	hal.Medium
	w    *Worn
	name string
}

func (f wornFile) hit(off int64, n int) bool {
	bad, ok := f.w.bad[f.name]
	return ok && off < bad[1] && bad[0] < off+int64(n)
}

func (f wornFile) ReadAt(p []byte, off int64) (int, error) {
	if f.hit(off, len(p)) {
		return 0, fmt.Errorf("read %s: %w", f.name, syscall.EIO)
	}
	return f.Medium.ReadAt(p, off)
}

func (f wornFile) WriteAt(p []byte, off int64) (int, error) {
	if f.hit(off, len(p)) {
		if f.w.Dead {
			return 0, fmt.Errorf("write %s: %w", f.name, syscall.EIO)
		}
		delete(f.w.bad, f.name)
	}
	return f.Medium.WriteAt(p, off)
}

var _ hal.Tree = (*Worn)(nil)
