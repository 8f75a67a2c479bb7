package sim

import (
	"fmt"
	"io/fs"
	"math/rand/v2"

	"github.com/ratchet-ota/ratchet/hal"
)

// disk is a block device that can be a slot.
type disk struct {
	*store
	id      hal.DeviceID
	held    *life
	mounted bool
}

func (d *disk) flush() { d.store.flush(nil) }

// AddDisk adds a block device of size bytes, a multiple of 512, all zeros.
func (w *World) AddDisk(path string, size int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if size <= 0 || size%sector != 0 {
		panic(fmt.Sprintf("internal error: simulated disk of %d bytes", size))
	}
	w.disks[path] = &disk{store: newStore(size, w.grain),
		id: hal.DeviceID{Block: true, Major: uint64(0x800 + len(w.disks) + 1)}}
}

// SetMounted says whether something has the disk mounted.
func (w *World) SetMounted(path string, mounted bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mustDisk(path).mounted = mounted
}

// Disk returns what a reader of the disk sees now at off. It is no operation of the machine.
func (w *World) Disk(path string, off, n int64) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := make([]byte, n)
	w.mustDisk(path).read(p, off)
	return p
}

// Poke changes bytes of a disk durably, behind everybody's back (decay, a hostile hand).
func (w *World) Poke(path string, off int64, p []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.mustDisk(path)
	d.apply(change{off: off, data: p}, nil, d.grain)
	for i := range d.pending {
		if d.pending[i].data != nil {
			overlay(d.pending[i].data, d.pending[i].off, p, off)
		}
	}
}

// Spoil makes the sector at off of a disk or a file unreadable; writing it heals it.
func (w *World) Spoil(path string, off int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.fs.now[path]; s != nil {
		s.bad[off/sector] = true
		return
	}
	w.mustDisk(path).bad[off/sector] = true
}

func (w *World) mustDisk(path string) *disk {
	d := w.disks[path]
	if d == nil {
		panic("internal error: no simulated disk " + path)
	}
	return d
}

type blocks struct {
	w *World
	l *life
}

// Blocks returns the slots of the process that runs now: after PowerOn or Kill, ask again.
func (w *World) Blocks() hal.Blocks {
	w.mu.Lock()
	defer w.mu.Unlock()
	return blocks{w, w.life}
}

func (b blocks) Identify(path string) (hal.DeviceID, error) {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	if err := b.w.alive(b.l); err != nil {
		return hal.DeviceID{}, err
	}
	d := b.w.disks[path]
	if d == nil {
		return hal.DeviceID{}, &fs.PathError{Op: "identify", Path: path, Err: fs.ErrNotExist}
	}
	return d.id, nil
}

func (b blocks) OpenRunning(path string) (hal.Medium, error) {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	if err := b.w.alive(b.l); err != nil {
		return nil, err
	}
	d := b.w.disks[path]
	if d == nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return &diskHandle{w: b.w, l: b.l, d: d, path: path}, nil
}

func (b blocks) OpenTarget(path string, running hal.DeviceID) (hal.Medium, error) {
	if !running.Known() {
		return nil, fmt.Errorf("cannot open %s for writing: it is not known which slot runs: %w", path, hal.ErrRunning)
	}
	return b.open(path, running, true)
}

func (b blocks) OpenMedium(path string) (hal.Medium, error) {
	return b.open(path, hal.DeviceID{}, false)
}

func (b blocks) open(path string, running hal.DeviceID, write bool) (hal.Medium, error) {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	if err := b.w.alive(b.l); err != nil {
		return nil, err
	}
	d := b.w.disks[path]
	switch {
	case d == nil:
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	case write && d.id == running:
		return nil, fmt.Errorf("cannot open %s for writing: %w", path, hal.ErrRunning)
	case write && path == b.w.running:
		// The caller believes that something else runs. On hardware this destroys the system.
		return nil, fmt.Errorf("cannot open %s for writing: invariant I3 is broken, the caller "+
			"does not know what runs: %w", path, hal.ErrRunning)
	case d.mounted || d.held != nil:
		return nil, fmt.Errorf("cannot open %s: %w", path, hal.ErrBusy)
	}
	d.held = &life{}
	return &diskHandle{w: b.w, l: b.l, d: d, path: path, write: write, claim: d.held}, nil
}

// diskHandle is an exclusively opened disk.
type diskHandle struct {
	w      *World
	l      *life
	d      *disk
	path   string
	write  bool
	claim  *life
	closed bool
	failed error
}

func (h *diskHandle) usable() error {
	if err := h.w.alive(h.l); err != nil {
		return err
	}
	if h.closed {
		return fs.ErrClosed
	}
	return nil
}

func (h *diskHandle) ReadAt(p []byte, off int64) (int, error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if err := h.usable(); err != nil {
		return 0, err
	}
	if err := hal.CheckAccess(h.d.now, off, p); err != nil {
		return 0, err
	}
	if err := h.d.readable(h.path, off, int64(len(p))); err != nil {
		return 0, err
	}
	h.d.read(p, off)
	return len(p), nil
}

func (h *diskHandle) WriteAt(p []byte, off int64) (int, error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if err := h.usable(); err != nil {
		return 0, err
	}
	if err := hal.CheckAccess(h.d.now, off, p); err != nil {
		return 0, err
	}
	switch {
	case !h.write:
		return 0, fmt.Errorf("cannot write %s: opened for reading", h.path)
	case h.path == h.w.running:
		return 0, fmt.Errorf("cannot write %s: invariant I3: %w", h.path, hal.ErrRunning)
	}
	err := h.w.do(h.l, "write", fmt.Sprintf("%s %d+%d", h.path, off, len(p)), func(part *rand.Rand) error {
		h.d.write(p, off, part)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// Sync is sticky, as it is on Linux: a handle on which it failed once never says that all is well.
func (h *diskHandle) Sync() error {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if err := h.usable(); err != nil {
		return err
	}
	if h.failed == nil {
		h.failed = h.w.do(h.l, "sync", h.path, func(part *rand.Rand) error {
			h.d.store.sync(part)
			return nil
		})
		if h.failed != nil {
			h.d.haunt()
		}
	}
	return h.failed
}

func (h *diskHandle) Size() int64 {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	return h.d.size
}

func (h *diskHandle) Close() error {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.closed = true
	if h.d.held == h.claim {
		h.d.held = nil
	}
	return nil
}
