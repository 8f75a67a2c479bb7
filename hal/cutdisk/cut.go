//go:build linux

package cutdisk

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math/rand/v2"

	"github.com/ratchet-ota/ratchet/hal/medium"
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
			if ok != medium.Lost {
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
func (d *Disk) sectors(c Cut) []medium.Part {
	d.mu.Lock()
	defer d.mu.Unlock()
	log := d.log[:c.Point]
	events := make([]medium.Event, len(log))
	for i, e := range log {
		events[i] = medium.Event{Write: e.data != nil, Flush: e.data == nil, Failed: e.failed}
	}
	durable := medium.Flushed(events)
	r := rand.New(rand.NewPCG(c.Seed, uint64(c.Point)))
	out := make([]medium.Part, len(log))
	for i, e := range log {
		n := (len(e.data) + Sector - 1) / Sector
		if n == 0 {
			continue
		}
		there := medium.None(n)
		switch {
		case durable[i]:
			there = medium.All(n)
		case c.Variant == Lost:
		case c.Variant == Torn && i == len(log)-1:
			there = medium.First(n, r.IntN(n))
		case c.Variant == Subset:
			there = medium.Any(r, n)
		case !e.failed:
			there = medium.All(n)
		}
		if k := superblock - int(e.off/Sector); k >= 0 && k+1 < n {
			there[k+1] = there[k]
		}
		out[i] = there
	}
	return out
}

// Image is the disk after a cut.
func (d *Disk) Image(c Cut) []byte {
	image := append([]byte(nil), d.base...)
	for i, there := range d.sectors(c) {
		e := d.log[i] // entries do not change
		for k, ok := range there {
			if from, to := k*Sector, min((k+1)*Sector, len(e.data)); ok != medium.Lost {
				copy(image[e.off+int64(from):], e.data[from:to])
			}
		}
	}
	return image
}
