package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"syscall"

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
	log     journaling
	behind  map[int64][]byte // of the durable sectors those that are in the journal: what stands in place; nil a hole
}

// change is one unsynced write, or, where data is nil, a new size.
type change struct {
	off  int64
	data []byte
	size int64
	// ghost: a flush of it failed. Readers see it until the power goes, and no later flush writes it:
	// Linux marks such pages clean.
	ghost bool
	// place: by a loader, which knows of no journal: it goes where the blocks are.
	place bool
}

func newStore(size int64, g medium.Grain) *store {
	return &store{sectors: map[int64][]byte{}, size: size, now: size, grain: g, bad: map[int64]bool{},
		behind: map[int64][]byte{}}
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
		b := s.sector(n, c.place)
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
