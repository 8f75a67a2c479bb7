package main

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

// cutDisk is a disk as a power cut leaves it: a copy on write of the disk that a log began with, to which
// a part of the log was applied. Nothing of it is ever written back. It is not safe for concurrent use.
type cutDisk struct {
	path    string
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

const diskBlock = 64 << 10 // bytes; what sum looks at

// openCutDisk maps a disk image. Close it.
func openCutDisk(path string) (*cutDisk, error) {
	d := &cutDisk{path: path, sums: map[int64]blockSum{}}
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
	if d.bytes, err = unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot map %s: %w", path, err), unix.Munmap(d.base))
	}
	return d, nil
}

func (d *cutDisk) Close() error { return errors.Join(unix.Munmap(d.base), unix.Munmap(d.bytes)) }

// WriteAt implements io.WriterAt.
func (d *cutDisk) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(d.bytes))-int64(len(p)) {
		return 0, fmt.Errorf("cannot write %d bytes at %d: outside of the disk", len(p), off)
	}
	for b := off / diskBlock; b*diskBlock < off+int64(len(p)); b++ {
		d.sums[b] = blockSum{}
	}
	return copy(d.bytes[off:], p), nil
}

// recorder remembers what its writes put an end to.
type recorder struct{ *cutDisk }

func (r recorder) WriteAt(p []byte, off int64) (int, error) {
	if off >= 0 && off <= int64(len(r.bytes))-int64(len(p)) {
		r.undo = append(r.undo, overwritten{off, bytes.Clone(r.bytes[off : off+int64(len(p))])})
	}
	return r.cutDisk.WriteAt(p, off)
}

// rebuild makes the disk after a cut of the log l, which must be the same in every call. Cuts in the
// order of their points are cheap.
func (d *cutDisk) rebuild(l *writeLog, x cut) error {
	for _, o := range slices.Backward(d.undo) {
		if _, err := d.WriteAt(o.was, o.at); err != nil {
			return err
		}
	}
	d.undo = nil
	steps, stable := l.steps(x)
	if stable < d.applied {
		for b := range d.sums {
			at := b * diskBlock
			copy(d.bytes[at:], d.base[at:min(at+diskBlock, int64(len(d.base)))])
		}
		d.applied, d.sums = 0, map[int64]blockSum{}
	}
	for ; d.applied < stable; d.applied++ {
		if err := l.apply(d, l.writes[d.applied], l.writes[d.applied].n); err != nil {
			return err
		}
	}
	for _, s := range steps[stable:] {
		if err := l.apply(recorder{d}, s.write, s.sectors); err != nil {
			return err
		}
	}
	return nil
}

// sum names the bytes from..to, multiples of diskBlock: two disks of one base have the same sum exactly
// where they are equal there.
func (d *cutDisk) sum(from, to int64) [sha256.Size]byte {
	h := sha256.New()
	var number [8]byte
	for _, b := range slices.Sorted(maps.Keys(d.sums)) {
		if b*diskBlock < from || b*diskBlock >= to {
			continue
		}
		s := d.sums[b]
		if !s.known {
			at, end := b*diskBlock, min((b+1)*diskBlock, int64(len(d.base)))
			s = blockSum{known: true, changed: !bytes.Equal(d.bytes[at:end], d.base[at:end]), sum: sha256.Sum256(d.bytes[at:end])}
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

// unwritten tells whether the bytes from..to are those of the base.
func (d *cutDisk) unwritten(from, to int64) bool {
	for b := from / diskBlock; b*diskBlock < to; b++ {
		if _, ok := d.sums[b]; !ok {
			continue
		}
		at, end := max(from, b*diskBlock), min(to, (b+1)*diskBlock)
		if !bytes.Equal(d.bytes[at:end], d.base[at:end]) {
			return false
		}
	}
	return true
}

// save writes the disk into a file, with holes where it is empty.
func (d *cutDisk) save(path string) error {
	return errors.Join(os.RemoveAll(path), os.WriteFile(path, nil, 0o644), os.Truncate(path, int64(len(d.bytes))), image.WriteAt(path, d.bytes, 0))
}
