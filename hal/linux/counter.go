//go:build linux

package linux

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"sync"

	"github.com/ratchet-ota/ratchet/hal"
)

// FileCounter is a counter in a file. It is weak: whoever can write the file system, or put an old
// disk image back, turns it back. Use a TPM or RPMB where there is one; Kind says "file".
//
// Format: two copies, at offsets 0 and 4096, each padded with zeros to 4096 bytes:
//
//	0   8  "RATCHCTR"
//	8   4  format version, 1, big-endian
//	12  8  value, big-endian
//	20  4  CRC-32 (IEEE) of bytes 0..19, big-endian
//
// The value is the highest among the copies that validate. Raise writes the copy that is not the
// highest, so that a torn write leaves the other one.
type FileCounter struct {
	fs   hal.FS
	path string
	mu   sync.Mutex
}

var _ hal.Counter = (*FileCounter)(nil)

const (
	counterMagic   = "RATCHCTR"
	counterVersion = 1
	copySize       = 4096
)

// ErrCounterDamaged: neither copy of a file counter validates. Its value is lost.
var ErrCounterDamaged = errors.New("counter file is damaged in both copies")

// NewFileCounter uses the file at path, which Raise creates when it is not there.
func NewFileCounter(fsys hal.FS, path string) *FileCounter {
	return &FileCounter{fs: fsys, path: path}
}

// Kind implements hal.Counter.
func (c *FileCounter) Kind() string { return "file" }

// Origin implements hal.Counter: a file does not tell.
func (c *FileCounter) Origin(context.Context) (string, error) { return "", nil }

// Read implements hal.Counter. A file that is not there counts zero.
func (c *FileCounter) Read(context.Context) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, _, err := c.read()
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return v, err
}

// Raise implements hal.Counter. A damaged counter is not raised: ErrCounterDamaged.
func (c *FileCounter) Raise(_ context.Context, to uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, spare, err := c.read()
	if errors.Is(err, fs.ErrNotExist) {
		if to == 0 {
			return nil
		}
		rec := encodeCount(to)
		return hal.ReplaceFile(c.fs, c.path, append(rec, rec...))
	}
	if err != nil {
		return err
	}
	if to <= now {
		return nil
	}
	m, err := c.fs.Open(c.path, hal.InPlace)
	if err != nil {
		return errorf("cannot raise counter: %w", err)
	}
	// Crash: before the write is durable -> the other copy, which holds the old value; the spare
	// copy is old, new or does not validate. After Sync -> the new value.
	if _, err = m.WriteAt(encodeCount(to), spare); err == nil {
		err = m.Sync()
	}
	if e := m.Close(); err == nil {
		err = e
	}
	if err != nil {
		return errorf("cannot raise counter %s: %w", c.path, err)
	}
	return nil
}

// read returns the value and the offset of the copy to write next.
func (c *FileCounter) read() (value uint64, spare int64, err error) {
	b, err := hal.ReadFile(c.fs, c.path, 2*copySize)
	if err != nil {
		return 0, 0, errorf("cannot read counter: %w", err)
	}
	first, ok1 := decodeCount(b)
	second, ok2 := uint64(0), false
	if len(b) > copySize {
		second, ok2 = decodeCount(b[copySize:])
	}
	switch {
	case !ok1 && !ok2:
		return 0, 0, errorf("cannot read counter %s: %w", c.path, ErrCounterDamaged)
	case !ok1, ok2 && second > first:
		return second, 0, nil
	}
	return first, copySize, nil
}

func encodeCount(v uint64) []byte {
	b := make([]byte, copySize)
	copy(b, counterMagic)
	binary.BigEndian.PutUint32(b[8:], counterVersion)
	binary.BigEndian.PutUint64(b[12:], v)
	binary.BigEndian.PutUint32(b[20:], crc32.ChecksumIEEE(b[:20]))
	return b
}

func decodeCount(b []byte) (uint64, bool) {
	if len(b) < 24 || !bytes.HasPrefix(b, []byte(counterMagic)) || binary.BigEndian.Uint32(b[8:]) != counterVersion ||
		binary.BigEndian.Uint32(b[20:]) != crc32.ChecksumIEEE(b[:20]) {
		return 0, false
	}
	return binary.BigEndian.Uint64(b[12:]), true
}
