package sim

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/medium"
)

// sector is the unit of bookkeeping, and what a medium writes whole or not at all unless
// World.SetGrain says more. What a cut leaves of writes is defined in package medium.
const sector = medium.Sector

// store is sparse bytes with a volatile write cache in front: pending holds the writes since the
// last flush, oldest first. Reads see them.
type store struct {
	// durable, by sector number; absent reads as zeros. A sector is replaced, never changed in place
	sectors map[int64][]byte
	version uint64 // of what is durable: equal versions are equal contents, in all forks of a machine
	size    int64  // durable
	pending []change
	now     int64 // size with all pending changes
	grain   medium.Grain
	bad     map[int64]bool // sectors that cannot be read until they are written
	lies    int            // flushes that the medium says are done and may lose, the last ones
	lied    []int          // how much of pending each of these covers, oldest first
}

// change is one unsynced write, or, where data is nil, a new size.
type change struct {
	off  int64
	data []byte
	size int64
	// ghost: a flush of it failed. Readers see it until the power goes, and no later flush writes it:
	// Linux marks such pages clean.
	ghost bool
}

func newStore(size int64, g medium.Grain) *store {
	return &store{sectors: map[int64][]byte{}, size: size, now: size, grain: g, bad: map[int64]bool{}}
}

// read copies what a process sees into p, which lies inside the size.
func (s *store) read(p []byte, off int64) {
	clear(p)
	for n := off / sector; n*sector < off+int64(len(p)); n++ {
		if b := s.sectors[n]; b != nil {
			overlay(p, off, b, n*sector)
		}
	}
	for _, c := range s.pending {
		if c.data != nil {
			overlay(p, off, c.data, c.off)
			continue
		}
		if gone := max(c.size-off, 0); gone < int64(len(p)) {
			clear(p[gone:])
		}
	}
}

// overlay copies the part of src at srcOff that falls into dst at dstOff.
func overlay(dst []byte, dstOff int64, src []byte, srcOff int64) {
	from, to := max(dstOff, srcOff), min(dstOff+int64(len(dst)), srcOff+int64(len(src)))
	if from < to {
		copy(dst[from-dstOff:], src[from-srcOff:to-srcOff])
	}
}

// write caches p, or with part only some of its sectors.
func (s *store) write(p []byte, off int64, part *rand.Rand) {
	for from := int64(0); from < int64(len(p)); {
		to := int64(len(p))
		if part != nil {
			to = min(to, s.grain.Unit-(off+from)%s.grain.Unit+from)
		}
		if part == nil || part.IntN(2) == 0 {
			for _, c := range s.pending {
				if c.ghost {
					overlay(c.data, c.off, p[from:to], off+from)
				}
			}
			s.pending = append(s.pending, change{off: off + from, data: slices.Clone(p[from:to])})
			s.now = max(s.now, off+to)
		}
		from = to
	}
}

func (s *store) truncate(size int64) {
	s.pending = append(s.pending, change{size: size})
	s.now = size
}

// flush makes everything durable, or with part each sector of each change by chance; then the rest
// stays pending.
func (s *store) flush(part *rand.Rand) { s.settle(part, s.grain.Failing()) }

// settle is flush on a medium of a grain.
func (s *store) settle(part *rand.Rand, g medium.Grain) {
	for _, c := range s.pending {
		if !c.ghost {
			s.apply(c, part, g)
		}
	}
	if part != nil {
		return
	}
	s.lied = nil
	s.pending = slices.DeleteFunc(s.pending, func(c change) bool { return !c.ghost })
	if len(s.pending) == 0 {
		s.size = s.now
	}
}

// haunt makes ghosts of everything pending, after a flush that failed.
func (s *store) haunt() {
	s.lied = nil
	s.pending = slices.DeleteFunc(s.pending, func(c change) bool { return c.data == nil })
	for i := range s.pending {
		s.pending[i].ghost = true
	}
}

// versions numbers what stores hold.
var versions atomic.Uint64

// crash drops the cache: a seeded part of it, sector by sector, has reached the medium. Now and
// then all or nothing of it has, which are the likely cases in the field.
func (s *store) crash(rng *rand.Rand) {
	switch rng.IntN(4) {
	case 0:
		s.flush(nil)
	case 1:
	default:
		s.settle(rng, s.grain)
	}
	s.drop()
}

// drop forgets everything that is not durable.
func (s *store) drop() { s.pending, s.lied, s.now = nil, nil, s.size }

// apply makes one change durable, or with part some of its sectors, as a medium of a grain leaves them.
func (s *store) apply(c change, part *rand.Rand, g medium.Grain) {
	if c.data == nil {
		if part != nil && part.IntN(2) == 0 {
			return
		}
		for n := range s.sectors {
			if end := c.size - n*sector; end <= 0 {
				delete(s.sectors, n)
			} else if end < sector {
				s.sectors[n] = slices.Clone(s.sectors[n])
				clear(s.sectors[n][end:])
			}
		}
		s.size, s.version = c.size, versions.Add(1)
		return
	}
	s.version = versions.Add(1)
	first, size := c.off/sector, int64(len(c.data))
	arrived := medium.All(int((c.off+size+sector-1)/sector - first))
	if part != nil {
		arrived = g.Part(part, c.off, size)
	}
	for i, there := range arrived {
		if there == medium.Lost {
			continue
		}
		n := first + int64(i)
		b := make([]byte, sector)
		copy(b, s.sectors[n])
		s.sectors[n] = b
		delete(s.bad, n)
		if there == medium.Garbage {
			s.garble(part, n)
			there = sector
		} else {
			overlay(b[:there], n*sector, c.data, c.off)
		}
		s.size = max(s.size, min(c.off+size, n*sector+int64(there)))
	}
	if part != nil {
		s.spoil(part, g.Spoiled(part, c.off, size))
	}
}

// spoil makes garbage of sectors, as far as they are there.
func (s *store) spoil(r *rand.Rand, sectors []int64) {
	for _, n := range sectors {
		if n*sector < s.size {
			s.garble(r, n)
		}
	}
}

// garble makes garbage of a sector.
func (s *store) garble(r *rand.Rand, n int64) {
	b := make([]byte, sector)
	medium.Noise(r, b)
	s.sectors[n], s.bad[n] = b, s.grain.Errs
	if !s.grain.Errs {
		delete(s.bad, n)
	}
}

// readable tells whether n bytes at off can be read: what is pending is in the cache.
func (s *store) readable(name string, off, n int64) error {
	for k := off / sector; k*sector < off+n && len(s.bad) > 0; k++ {
		from, to := k*sector, min((k+1)*sector, s.now)
		cached := slices.ContainsFunc(s.pending, func(c change) bool {
			return c.data != nil && c.off <= from && to <= c.off+int64(len(c.data))
		})
		if s.bad[k] && from < s.now && !cached {
			return fmt.Errorf("%s, byte %d: %w", name, from, syscall.EIO)
		}
	}
	return nil
}

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
