package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
)

// Format of the kernel's dm-log-writes (Documentation/admin-guide/device-mapper/log-writes), which
// QEMU's blklogwrites writes: a super block of one sector with magic, version, number of entries and
// sector size; then per entry one sector with sector number, length in sectors, flags and length of the
// data that follow. All little endian.
const (
	logMagic   = 0x6a736677736872
	logVersion = 1
	flagFlush  = 1
	flagFUA    = 2
	flagSkip   = 4 // discard: no data follow
	maxEntries = 1 << 20
)

// write is one entry of the log: a write, or a flush when it has no sectors.
type write struct {
	at, n int64 // sectors
	flags uint64
	data  int64 // offset in the log
}

func (w write) flush() bool { return w.flags&(flagFlush|flagFUA) != 0 }

// writeLog is all that a disk was told, in the order in which it was told.
type writeLog struct {
	log    io.ReaderAt
	writes []write
}

// openLog opens the log at path, of a disk of disk bytes. entries is how many of it to take, 0: all. The
// file stays open for the log, and is the caller's.
func openLog(path string, disk int64, entries int) (*writeLog, *os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	l, err := readLog(f, info.Size(), disk)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	if entries > len(l.writes) {
		return nil, nil, errors.Join(fmt.Errorf("the write log %s has %d entries, not %d", path, len(l.writes), entries), f.Close())
	}
	if entries > 0 {
		l.writes = l.writes[:entries]
	}
	return l, f, nil
}

// logEntries is the number of entries that the log at path has now; QEMU may be writing it.
func logEntries(path string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var head [24]byte
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return 0, fmt.Errorf("cannot read the write log: %w", err)
	}
	return int(min(binary.LittleEndian.Uint64(head[16:]), maxEntries)), nil
}

// flushes counts the moments up to which everything is on the disk.
func (l *writeLog) flushes() (n int) {
	for _, w := range l.writes {
		if w.flush() {
			n++
		}
	}
	return n
}

// readLog reads the index of a log of size bytes, for a disk of disk bytes.
func readLog(r io.ReaderAt, size, disk int64) (*writeLog, error) {
	var head [32]byte
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return nil, fmt.Errorf("cannot read the write log: %w", err)
	}
	le := binary.LittleEndian
	if le.Uint64(head[:]) != logMagic || le.Uint64(head[8:]) != logVersion || le.Uint32(head[24:]) != image.Sector {
		return nil, errors.New("cannot read the write log: its super block is of another kind")
	}
	count := le.Uint64(head[16:])
	if count > maxEntries {
		return nil, fmt.Errorf("cannot read the write log: %d entries", count)
	}
	l := &writeLog{log: r}
	at := int64(image.Sector)
	for range count {
		if _, err := r.ReadAt(head[:], at); err != nil {
			return nil, fmt.Errorf("cannot read entry %d of the write log: %w", len(l.writes), err)
		}
		w := write{at: int64(le.Uint64(head[:])), n: int64(le.Uint64(head[8:])), flags: le.Uint64(head[16:]), data: at + image.Sector}
		if w.at < 0 || w.n < 0 || w.n > disk/image.Sector || w.at > disk/image.Sector-w.n {
			return nil, fmt.Errorf("entry %d of the write log is outside of the disk", len(l.writes))
		}
		at = w.data
		if w.flags&flagSkip == 0 {
			at += w.n * image.Sector
		}
		if at > size {
			return nil, fmt.Errorf("entry %d of the write log ends outside of it", len(l.writes))
		}
		l.writes = append(l.writes, w)
	}
	return l, nil
}

// apply does the first n sectors of an entry to a disk.
func (l *writeLog) apply(disk io.WriterAt, w write, n int64) error {
	if n == 0 || w.n == 0 {
		return nil
	}
	b := make([]byte, min(n, w.n)*image.Sector)
	if w.flags&flagSkip == 0 {
		if _, err := l.log.ReadAt(b, w.data); err != nil {
			return fmt.Errorf("cannot read the write log: %w", err)
		}
	}
	_, err := disk.WriteAt(b, w.at*image.Sector)
	return err
}

// variant is what a power cut does to the writes that no flush has covered yet.
type variant string

const (
	whole variant = "whole" // all of them are there, as a disk without a cache has it
	lost  variant = "lost"  // none is there
	torn  variant = "torn"  // each is there, or not, or its first sectors are
)

// cut is a moment of the log: the first point entries were sent to the disk, then the power went.
type cut struct {
	Point   int
	Variant variant
	Seed    int64
}

// step is one entry and how many of its sectors are on the disk.
type step struct {
	write
	sectors int64
}

// steps is what is on the disk after the cut, in order. stable says how many entries at the start are
// there for certain, since a flush came after them.
func (l *writeLog) steps(c cut) (done []step, stable int) {
	for i, w := range l.writes[:c.Point] {
		if w.flush() {
			stable = i + 1
		}
	}
	for _, w := range l.writes[:stable] {
		done = append(done, step{w, w.n})
	}
	rnd := rand.New(rand.NewPCG(uint64(c.Seed), uint64(c.Point)))
	for _, w := range l.writes[stable:c.Point] {
		n := w.n
		switch c.Variant {
		case lost:
			n = 0
		case torn:
			switch rnd.IntN(3) {
			case 0:
				n = 0
			case 1:
				n = rnd.Int64N(w.n + 1)
			}
		}
		if n > 0 {
			done = append(done, step{w, n})
		}
	}
	return done, stable
}
