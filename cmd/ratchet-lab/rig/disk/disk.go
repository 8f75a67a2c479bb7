// Package disk is the medium of the rig: the log of all that a disk was told, the disk as a power cut at any moment of
// that log leaves it, and the recordings of a run, which say what the device was doing meanwhile.
//
// A disk has what was flushed. Of what came after the last flush a cut leaves all, nothing, or of each write some first
// sectors, by a seed. The files of a run are never changed: a cut disk lives in memory.
package disk

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
)

// Disk is a disk as a power cut leaves it: a copy on write of the disk that a log began with, to which
// a part of the log was applied. Nothing of it is ever written back. It is not safe for concurrent use.
type Disk struct {
	base    []byte // the file, never changed
	bytes   []byte // the disk
	applied int    // entries of the log that are on the disk for good
	undo    []overwritten
	sums    map[int64]blockSum // blocks that were written, by their number
}

// overwritten is what a write that a flush has not covered put an end to.
type overwritten struct {
	at  int64
	was []byte
}

// blockSum is the digest of one block, when known.
type blockSum struct {
	known, changed bool
	sum            [sha256.Size]byte
}

// Block is what Sum looks at, in bytes.
const Block = 64 << 10

// Open maps a disk image. Close it.
func Open(path string) (*Disk, error) {
	d := &Disk{sums: map[int64]blockSum{}}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if d.base, err = unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE); err != nil {
		return nil, fmt.Errorf("cannot map %s: %w", path, err)
	}
	if d.bytes, err = unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot map %s: %w", path, err), unix.Munmap(d.base))
	}
	return d, nil
}

// Close gives the disk up; the file is as it was.
func (d *Disk) Close() error { return errors.Join(unix.Munmap(d.base), unix.Munmap(d.bytes)) }

// Size is the size of the disk, in bytes.
func (d *Disk) Size() int64 { return int64(len(d.bytes)) }

// At is n bytes of the disk from offset off on, to be read only and until the next cut.
func (d *Disk) At(off, n int64) []byte { return d.bytes[off : off+n] }

// WriteAt implements io.WriterAt.
func (d *Disk) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(d.bytes))-int64(len(p)) {
		return 0, fmt.Errorf("cannot write %d bytes at %d: outside of the disk", len(p), off)
	}
	for b := off / Block; b*Block < off+int64(len(p)); b++ {
		d.sums[b] = blockSum{}
	}
	return copy(d.bytes[off:], p), nil
}

// recorder remembers what its writes put an end to.
type recorder struct{ *Disk }

// WriteAt implements io.WriterAt.
func (r recorder) WriteAt(p []byte, off int64) (int, error) {
	if off >= 0 && off <= int64(len(r.bytes))-int64(len(p)) {
		r.undo = append(r.undo, overwritten{off, bytes.Clone(r.bytes[off : off+int64(len(p))])})
	}
	return r.Disk.WriteAt(p, off)
}

// Rebuild makes the disk after a cut of the log l, which must be the same in every call. Cuts in the
// order of their points are cheap.
func (d *Disk) Rebuild(l *Log, x Cut) error {
	for _, o := range slices.Backward(d.undo) {
		if _, err := d.WriteAt(o.was, o.at); err != nil {
			return err
		}
	}
	d.undo = nil
	from, sectors := l.Unflushed(x)
	if from < d.applied {
		for b := range d.sums {
			at := b * Block
			copy(d.bytes[at:], d.base[at:min(at+Block, int64(len(d.base)))])
		}
		d.applied, d.sums = 0, map[int64]blockSum{}
	}
	for ; d.applied < from; d.applied++ {
		if err := l.Apply(d, d.applied, l.Writes[d.applied].N); err != nil {
			return err
		}
	}
	for i, n := range sectors {
		if err := l.Apply(recorder{d}, from+i, n); err != nil {
			return err
		}
	}
	return nil
}

// Sum names the bytes from..to, multiples of Block: two disks of one base have the same sum exactly
// where they are equal there.
func (d *Disk) Sum(from, to int64) [sha256.Size]byte {
	h := sha256.New()
	var number [8]byte
	for _, b := range slices.Sorted(maps.Keys(d.sums)) {
		if b*Block < from || b*Block >= to {
			continue
		}
		s := d.sums[b]
		if !s.known {
			at, end := b*Block, min((b+1)*Block, int64(len(d.base)))
			s = blockSum{known: true, changed: !bytes.Equal(d.bytes[at:end], d.base[at:end]),
				sum: sha256.Sum256(d.bytes[at:end])}
			d.sums[b] = s
		}
		if s.changed {
			binary.LittleEndian.PutUint64(number[:], uint64(b))
			h.Write(number[:])
			h.Write(s.sum[:])
		}
	}
	var out [sha256.Size]byte
	copy(out[:], h.Sum(nil))
	return out
}

// Unwritten tells whether the bytes from..to are those of the base.
func (d *Disk) Unwritten(from, to int64) bool {
	for b := from / Block; b*Block < to; b++ {
		if _, ok := d.sums[b]; !ok {
			continue
		}
		at, end := max(from, b*Block), min(to, (b+1)*Block)
		if !bytes.Equal(d.bytes[at:end], d.base[at:end]) {
			return false
		}
	}
	return true
}

// Save writes the disk into a file, with holes where it is empty.
func (d *Disk) Save(path string) error {
	return errors.Join(os.RemoveAll(path), os.WriteFile(path, nil, 0o644), os.Truncate(path, int64(len(d.bytes))),
		image.WriteAt(path, d.bytes, 0))
}
