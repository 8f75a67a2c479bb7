package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/hal/medium"
)

// Format of the kernel's dm-log-writes (Documentation/admin-guide/device-mapper/log-writes), which
// QEMU's blklogwrites writes: a super block of one sector with magic, version, number of entries and
// sector size; then per entry one sector with sector number, length in sectors, flags and length of the
// data that follow. All little endian.
const (
	logMagic   = 0x6a736677736872
	logVersion = 1
	maxEntries = 1 << 20
)

// Flags of an entry.
const (
	FlagFlush = 1 // all before it is on the disk
	FlagFUA   = 2 // so is the entry itself, when it is done
	FlagSkip  = 4 // discard: no data follow
)

// Write is one entry of the log: a write, or a flush when it has no sectors.
type Write struct {
	At    int64 // sector on the disk
	N     int64 // sectors
	Flags uint64
	data  int64 // offset in the log
}

// flush tells whether everything before the entry, and the entry itself, is on the disk after it.
func (w Write) flush() bool { return w.Flags&(FlagFlush|FlagFUA) != 0 }

// Log is all that a disk was told, in the order in which it was told.
type Log struct {
	log    io.ReaderAt
	file   io.Closer
	Writes []Write
}

// OpenLog opens the log at path, of a disk of disk bytes. entries is how many of it to take, 0: all; fewer in the log
// than that is an error. Close it; what is known of the writes without their data stays.
func OpenLog(path string, disk int64, entries int) (*Log, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	l, err := ReadLog(f, info.Size(), disk)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if entries > len(l.Writes) {
		return nil, errors.Join(fmt.Errorf("the write log %s has %d entries, not %d", path, len(l.Writes), entries),
			f.Close())
	}
	if entries > 0 {
		l.Writes = l.Writes[:entries]
	}
	l.file = f
	return l, nil
}

// Close closes the file of a log that OpenLog has opened.
func (l *Log) Close() error { return l.file.Close() }

// Entries is the number of entries that the log at path has now; QEMU may be writing it.
func Entries(path string) (int, error) {
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

// Flushes counts the moments up to which everything is on the disk.
func (l *Log) Flushes() (n int) {
	for _, w := range l.Writes {
		if w.flush() {
			n++
		}
	}
	return n
}

// ReadLog reads the index of a log of size bytes, for a disk of disk bytes. Any bytes are a log within that disk, or an
// error.
func ReadLog(r io.ReaderAt, size, disk int64) (*Log, error) {
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
	l := &Log{log: r}
	at := int64(image.Sector)
	for range count {
		if _, err := r.ReadAt(head[:], at); err != nil {
			return nil, fmt.Errorf("cannot read entry %d of the write log: %w", len(l.Writes), err)
		}
		w := Write{At: int64(le.Uint64(head[:])), N: int64(le.Uint64(head[8:])), Flags: le.Uint64(head[16:]), data: at +
			image.Sector}
		if w.At < 0 || w.N < 0 || w.N > disk/image.Sector || w.At > disk/image.Sector-w.N {
			return nil, fmt.Errorf("entry %d of the write log is outside of the disk", len(l.Writes))
		}
		at = w.data
		if w.Flags&FlagSkip == 0 {
			at += w.N * image.Sector
		}
		if at > size {
			return nil, fmt.Errorf("entry %d of the write log ends outside of it", len(l.Writes))
		}
		l.Writes = append(l.Writes, w)
	}
	return l, nil
}

// Apply does the first n sectors of entry i to a disk.
func (l *Log) Apply(disk io.WriterAt, i int, n int64) error {
	w := l.Writes[i]
	if n == 0 || w.N == 0 {
		return nil
	}
	b := make([]byte, min(n, w.N)*image.Sector)
	if w.Flags&FlagSkip == 0 {
		if _, err := l.log.ReadAt(b, w.data); err != nil {
			return fmt.Errorf("cannot read the write log: %w", err)
		}
	}
	_, err := disk.WriteAt(b, w.At*image.Sector)
	return err
}

// Variant is what a power cut does to the writes that no flush has covered yet.
type Variant string

const (
	Whole Variant = "whole" // all of them are there, as a disk without a cache has it
	Lost  Variant = "lost"  // none is there
	Torn  Variant = "torn"  // each is there, or not, or its first sectors are
)

// Cut is a moment of the log: the first Point entries were sent to the disk, then the power went.
type Cut struct {
	Point   int
	Variant Variant
	Seed    int64 // of what is torn how
}

// Unflushed says what the cut leaves of the writes that no flush had covered: of each entry from the entry from on how
// many of its sectors are on the disk. The entries before it are there for certain, since a flush came after them.
func (l *Log) Unflushed(c Cut) (from int, sectors []int64) {
	events := make([]medium.Event, c.Point)
	for i, w := range l.Writes[:c.Point] {
		events[i] = medium.Event{Write: true, Flush: w.flush()}
	}
	flushed := medium.Flushed(events)
	if from = slices.Index(flushed, false); from < 0 {
		from = c.Point
	}
	rnd := rand.New(rand.NewPCG(uint64(c.Seed), uint64(c.Point)))
	for _, w := range l.Writes[from:c.Point] {
		n := w.N
		switch c.Variant {
		case Lost:
			n = 0
		case Torn:
			n = medium.Begun(rnd, n)
		}
		sectors = append(sectors, n)
	}
	return from, sectors
}
