//go:build linux

package cutdisk

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
)

// Variant says what becomes of the writes that no flush has made durable.
type Variant string

// The variants of one cut.
const (
	Whole  Variant = "whole"  // all are there, as on a disk without a cache
	Lost   Variant = "lost"   // none is there
	Torn   Variant = "torn"   // all are there, of the last one only its first sectors
	Subset Variant = "subset" // of each one: all, nothing, its first sectors, or any of its sectors
)

// Cut is a power cut: the first Point requests reached the disk.
type Cut struct {
	Point   int
	Variant Variant
	Seed    uint64
}

func (c Cut) String() string { return fmt.Sprintf("point %d, %s, seed %d", c.Point, c.Variant, c.Seed) }

// Cuts returns every point from first to last, each whole, lost, torn, and in so many subsets.
func Cuts(first, last, subsets int, seed uint64) []Cut {
	var all []Cut
	for p := first; p <= last; p++ {
		all = append(all, Cut{p, Whole, 0}, Cut{p, Lost, 0}, Cut{p, Torn, seed})
		for i := range subsets {
			all = append(all, Cut{p, Subset, seed + uint64(i)})
		}
	}
	return all
}

// fingerprint is the same for cuts that leave the same sectors.
func (d *Disk) fingerprint(id maphash.Seed, c Cut) uint64 {
	var h maphash.Hash
	h.SetSeed(id)
	for i, there := range d.sectors(c) {
		for k, ok := range there {
			if ok {
				_, _ = h.Write(binary.LittleEndian.AppendUint64(nil, uint64(i)<<32|uint64(k)))
			}
		}
	}
	return h.Sum64()
}

// superblock is where ext4 has its own, in sectors. It is written in place, outside of ext4's journal,
// at a mount and when something fails, with a checksum over both sectors: torn apart, ext4 does not
// mount. That is the file system's matter (e2fsck has copies) and no file on it could help, so that
// these two are there together or not at all.
const superblock = 2

// sectors returns by entry which of its sectors are on the disk.
//
// A write is durable when the first flush after it has succeeded: what a failed flush was to cover
// may be lost although the next one succeeds. Of a write that failed anything may be there.
func (d *Disk) sectors(c Cut) [][]bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	log := d.log[:c.Point]
	durable := make([]bool, len(log))
	flushed := false
	for i := len(log) - 1; i >= 0; i-- {
		if log[i].data == nil {
			flushed = !log[i].failed
		}
		durable[i] = flushed && !log[i].failed
	}
	r := rand.New(rand.NewPCG(c.Seed, uint64(c.Point)))
	out := make([][]bool, len(log))
	for i, e := range log {
		n := (len(e.data) + Sector - 1) / Sector
		if n == 0 {
			continue
		}
		there := make([]bool, n)
		switch {
		case durable[i]:
			set(there)
		case c.Variant == Lost:
		case c.Variant == Torn && i == len(log)-1:
			set(there[:r.IntN(n)])
		case c.Variant == Subset:
			some(r, there)
		case !e.failed:
			set(there)
		}
		if k := superblock - int(e.off/Sector); k >= 0 && k+1 < n {
			there[k+1] = there[k]
		}
		out[i] = there
	}
	return out
}

func set(b []bool) {
	for i := range b {
		b[i] = true
	}
}

func some(r *rand.Rand, there []bool) {
	switch r.IntN(4) {
	case 0:
	case 1:
		set(there)
	case 2:
		set(there[:r.IntN(len(there))])
	default:
		for i := range there {
			there[i] = r.IntN(2) == 0
		}
	}
}

// Image is the disk after a cut.
func (d *Disk) Image(c Cut) []byte {
	image := append([]byte(nil), d.base...)
	for i, there := range d.sectors(c) {
		e := d.log[i] // entries do not change
		for k, ok := range there {
			if from, to := k*Sector, min((k+1)*Sector, len(e.data)); ok {
				copy(image[e.off+int64(from):], e.data[from:to])
			}
		}
	}
	return image
}
