// Package witness is the small file apart from the journal that names what others may have seen of this device: the
// head of the evidence that may have left it, and with it the floors of that time and the permits that were used.
// A journal that is behind it has gone back (a lost flush, a meta page that rotted): what it says next would be
// other records under used numbers, and what it forgot must not be believed or permitted again.
//
// It is written before records leave, and not when they are made: a journal that goes back by records which nobody
// has seen forks nothing. A reporter hands over all that is there at once, so one write serves a whole stretch of
// records; one of up to 4 KiB, where the note of what was sent costs a transaction of the journal.
//
// Format: "RW01", CRC-32 (IEEE, little-endian) of the rest, CBOR. One copy, replaced by rename.
package witness

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/hal"
)

// File is the witness of a device. It may be used by several goroutines.
//
// Crash: Note and Use replace the file by rename -> before: what it names is what others have seen so far, and
// nothing more has left; after: it names what may leave next. It never leads a journal that kept its word: what
// it names was durable there first.
type File struct {
	fs   hal.FS
	path string

	mu   sync.Mutex
	data content
}

type content struct {
	Chain  []byte      `cbor:"1,keyasint,omitempty"`
	Seq    uint64      `cbor:"2,keyasint,omitempty"`
	Hash   []byte      `cbor:"3,keyasint,omitempty"`
	Root   string      `cbor:"4,keyasint,omitempty"` // name of the chain of roots
	Newest uint64      `cbor:"5,keyasint,omitempty"` // version of the newest root that was verified
	Floors life.Floors `cbor:"6,keyasint,omitempty"`
	Used   []string    `cbor:"7,keyasint,omitempty"` // challenges of permits that were used
}

const (
	magic   = "RW01"
	maxUsed = 16 // challenges; the oldest is dropped
	maxFile = 64 << 10
)

// Open reads the file. lost is true when something was there and could not be read: then it says nothing.
func Open(fsys hal.FS, dir string) (w *File, lost bool) {
	w = &File{fs: fsys, path: filepath.Join(dir, "witness")}
	b, err := hal.ReadFile(fsys, w.path, maxFile)
	if err != nil {
		return w, !errors.Is(err, fs.ErrNotExist)
	}
	d, err := decode(b)
	if err != nil {
		return w, true
	}
	w.data = d
	return w, false
}

func decode(b []byte) (content, error) {
	var d content
	if len(b) < 8 || string(b[:4]) != magic || crc32.ChecksumIEEE(b[8:]) != binary.LittleEndian.Uint32(b[4:8]) {
		return d, errors.New("cannot read witness: not a witness file, or damaged")
	}
	if err := cbor.Unmarshal(b[8:], &d); err != nil {
		return d, fmt.Errorf("cannot read witness: %w", err)
	}
	if whole := len(d.Chain) == 16 && len(d.Hash) == 32; whole != (d.Seq > 0) {
		return d, errors.New("cannot read witness: the head is none")
	}
	return d, nil
}

// write replaces the file. What it holds follows only when that succeeded.
func (w *File) write(d content) error {
	body, err := cbor.Marshal(d)
	if err != nil {
		return fmt.Errorf("cannot write witness: %w", err)
	}
	b := append([]byte(magic), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(b[4:], crc32.ChecksumIEEE(body))
	if err := hal.ReplaceFile(w.fs, w.path, append(b, body...)); err != nil {
		return fmt.Errorf("cannot write witness: %w", err)
	}
	w.data = d
	return nil
}

// Head is the newest evidence that may have left the device; nil when none is known.
func (w *File) Head() *evidence.Head {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.data.Seq == 0 {
		return nil
	}
	h := evidence.Head{Seq: w.data.Seq}
	copy(h.Chain[:], w.data.Chain)
	copy(h.Hash[:], w.data.Hash)
	return &h
}

// Newest is the newest root that was known at the last write: the name of its chain, and its version.
func (w *File) Newest() (name string, version uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.data.Root, w.data.Newest
}

// Floors are those of the last write.
func (w *File) Floors() life.Floors {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.data.Floors)
}

// Note lets evidence leave up to head. It writes nothing when that is known already.
func (w *File) Note(head evidence.Head, root string, newest uint64, floors life.Floors) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.data
	if d.Seq == head.Seq && string(d.Chain) == string(head.Chain[:]) && string(d.Hash) == string(head.Hash[:]) {
		return nil
	}
	d.Chain, d.Seq, d.Hash = head.Chain[:], head.Seq, head.Hash[:]
	if root != "" {
		d.Root, d.Newest = root, newest
	}
	d.Floors = slices.Clone(floors)
	return w.write(d)
}

// Use notes that the permit which answered a challenge was used.
func (w *File) Use(challenge string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.Contains(w.data.Used, challenge) {
		return nil
	}
	d := w.data
	d.Used = append(slices.Clone(d.Used), challenge)
	d.Used = d.Used[max(len(d.Used)-maxUsed, 0):]
	return w.write(d)
}

// Used tells whether the permit that answered a challenge was used.
func (w *File) Used(challenge string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.data.Used, challenge)
}
