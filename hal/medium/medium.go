// Package medium is the one definition of what a power cut leaves of writes. Every medium of the tests and
// of the lab follows it: the simulated machine (hal/sim), the disk of the boot controls' suite
// (bootctl/boottest), the disk below a real file system (hal/cutdisk) and that of the rig. Nothing here is
// part of the device program.
//
// # Words
//
//	pending   written, and no flush after it has succeeded. Readers see it.
//	flushed   the first flush after the write succeeded: it is there after any cut. A flush that failed
//	          covers nothing, and neither does the next one cover what the failed one was to cover (Linux
//	          marks such pages clean). A write that was reported as failed is never flushed.
//	lost      nothing of a pending write is there after the cut.
//	kept      all of it is.
//	torn      a part of it is.
//	garbage   what is there was never written by anybody: neither the old nor the new. It reads as such, or cannot be
//	          read (an error correction that gives up) until it is written again.
//	spoiled   garbage beside a write: in the same erase block, where nobody wrote.
//
// Pending writes reach the medium in any order and each for itself: a cut may keep a later one and lose an
// earlier one. A sector is there as a whole or not at all, each for itself too, unless the medium has a
// larger unit, tears sectors, leaves garbage or spoils blocks (Grain). Else a cut never changes what was flushed, and
// no sector that nobody wrote. Garbage and spoiled bytes come from a cut in the middle of programming alone: an
// operation that fails while the power stays leaves old and new only.
//
// The definition says what may happen. Which of it is tried is each medium's own choice: the suite of the
// boot controls tries all of it, the others a seeded part, and all and nothing besides.
package medium

import "math/rand/v2"

// Sector is what a medium writes as a whole or not at all, in bytes.
const Sector = 512

const (
	// Lost is what is there of a sector that did not arrive.
	Lost = -1
	// Garbage is what is there of one that the power went away from.
	Garbage = -2
)

// The kinds of media that are tried.
var (
	// Whole writes a sector as a whole, as hard disks and most controllers do.
	Whole = Grain{Unit: Sector}
	// Large has sectors of 4096 bytes.
	Large = Grain{Unit: 4096}
	// Torn leaves a sector half new.
	Torn = Grain{Unit: Sector, Tears: true}
	// Spoiling is flash behind a poor controller: a cut leaves garbage, also in the rest of the block of 4096 bytes
	// that it was programming.
	Spoiling = Grain{Unit: Sector, Tears: true, Garbage: true, Erase: 4096}
	// Unreadable is the same flash where its error correction says so.
	Unreadable = Grain{Unit: Sector, Tears: true, Garbage: true, Erase: 4096, Errs: true}
)

// Event is one request to a medium, in the order of the requests.
type Event struct {
	Write  bool // it writes something
	Flush  bool // everything before it is durable, and its own write too
	Failed bool // it was reported as failed
}

// Flushed says which writes among events are durable after the last of them. Of all others anything
// may be there.
func Flushed(events []Event) []bool {
	out := make([]bool, len(events))
	flushed := false
	for i := len(events) - 1; i >= 0; i-- {
		e := events[i]
		if e.Flush {
			flushed = !e.Failed
		}
		out[i] = e.Write && flushed && !e.Failed
	}
	return out
}

// Part says of each sector of a write how many of its first bytes are there: Sector, fewer where it was
// torn, Lost, or Garbage. A write of a file that ends inside a sector is counted to the end of it.
type Part []int

// First is a write of n sectors of which the first k arrived.
func First(n, k int) Part {
	p := make(Part, n)
	for i := range p {
		if p[i] = Lost; i < k {
			p[i] = Sector
		}
	}
	return p
}

// All is a write of n sectors that was kept, None one that was lost.
func All(n int) Part { return First(n, n) }

// None is the opposite of All.
func None(n int) Part { return First(n, 0) }

// Begun is how many of its n first sectors are there of a write to a drive that writes each in order: none,
// all, or some.
func Begun(r *rand.Rand, n int64) int64 {
	switch r.IntN(3) {
	case 0:
		return 0
	case 1:
		return r.Int64N(n + 1)
	}
	return n
}

// Any is a write of n sectors of which any may have arrived. All, nothing and the first ones come more often
// than by chance.
func Any(r *rand.Rand, n int) Part {
	switch r.IntN(4) {
	case 0:
		return None(n)
	case 1:
		return All(n)
	case 2:
		return First(n, r.IntN(n))
	}
	p := None(n)
	for i := range p {
		if r.IntN(2) == 0 {
			p[i] = Sector
		}
	}
	return p
}

// Grain is what a medium writes as a whole or not at all.
type Grain struct {
	Unit  int64 // bytes, a multiple of Sector
	Tears bool  // not even that: a sector may be new up to some byte, and old behind it
	// Garbage: of a unit there may be neither the old nor the new.
	Garbage bool
	// Erase is how many bytes, aligned, a cut in a write of some of them may spoil; 0: those written alone.
	Erase int64
	// Errs: garbage cannot be read.
	Errs bool
}

// Failing is the same medium while the power stays.
func (g Grain) Failing() Grain {
	g.Garbage, g.Erase = false, 0
	return g
}

// Spoiled are the sectors that a cut in a write of size bytes at off has spoiled beside it, by chance: all others of an
// erase block, or none.
func (g Grain) Spoiled(r *rand.Rand, off, size int64) (sectors []int64) {
	if g.Erase == 0 || size == 0 {
		return nil
	}
	first, last := off/Sector, (off+size-1)/Sector
	for b := off / g.Erase; b*g.Erase < off+size; b++ {
		if r.IntN(3) > 0 {
			continue
		}
		for n := b * g.Erase / Sector; n < (b+1)*g.Erase/Sector; n++ {
			if n < first || n > last {
				sectors = append(sectors, n)
			}
		}
	}
	return sectors
}

// Noise makes garbage of b: erased, empty, or anything.
func Noise(r *rand.Rand, b []byte) {
	switch kind := r.IntN(3); kind {
	case 0, 1:
		for i := range b {
			b[i] = byte(-kind)
		}
	default:
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	}
}

// Part is a write of size bytes at off, each unit of which has arrived or not, by chance.
func (g Grain) Part(r *rand.Rand, off, size int64) Part {
	var p Part
	lost, garbage := false, false
	for n := off / Sector; n*Sector < off+size; n++ {
		if n*Sector%g.Unit == 0 || n == off/Sector {
			lost = r.IntN(2) == 0
			garbage = g.Garbage && r.IntN(4) == 0
		}
		there := Sector
		switch {
		case garbage:
			there = Garbage
		case lost:
			there = Lost
		case g.Tears && r.IntN(3) == 0:
			there = r.IntN(Sector)
			lost = true // with the rest of the unit
		}
		p = append(p, there)
	}
	return p
}
