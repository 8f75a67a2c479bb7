// Package quarantine is the small file apart from the journal that holds what must outlive it: which
// manifests and images are barred, how often the present trial was booted, and the head of the evidence
// at the last write. A device that loses its journal does not install the same sick image again and again
// (loop 11). The provisioning mark, which tells a first boot from a lost journal, lies beside it.
//
// Format of a copy: "RQ01", CRC-32 (IEEE, little-endian) of the rest, CBOR. There are two copies; the one
// with the higher generation is the newer one, and the older one is replaced by rename.
package quarantine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"sort"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/hal"
)

// File is the quarantine file of a device. It is not safe for use by several goroutines.
//
// Crash: Save replaces the older copy by rename -> before: the newer copy is read; after: this one.
type File struct {
	fs    hal.FS
	dir   string
	data  content
	dirty bool // what is in the file is older than data

	foreign bool // a version that this one does not know wrote it: it is never written
}

type content struct {
	Gen     uint64         `cbor:"1,keyasint"`
	Entries []entry        `cbor:"2,keyasint"`
	Boots   map[string]int `cbor:"3,keyasint"` // manifest digest on trial -> boots counted
	Chain   []byte         `cbor:"4,keyasint,omitempty"`
	Seq     uint64         `cbor:"5,keyasint,omitempty"`
	Hash    []byte         `cbor:"6,keyasint,omitempty"`
}

type entry struct {
	Digest string        `cbor:"1,keyasint"` // of the manifest
	Images []string      `cbor:"2,keyasint"` // of its images
	Cause  reason.Reason `cbor:"3,keyasint"`
	Times  int           `cbor:"4,keyasint,omitempty"` // that it was quarantined before and given back
	Served time.Duration `cbor:"5,keyasint,omitempty"` // how long the old system has been well since
	Given  bool          `cbor:"6,keyasint,omitempty"` // it was given back: it is barred no more
}

const (
	magic      = "RQ01"
	maxEntries = 64 // entries; the oldest is dropped
	maxFile    = 64 << 10
)

func path(dir string, copy uint64) string {
	return filepath.Join(dir, fmt.Sprintf("quarantine.%d", copy%2))
}

// Open reads the newer valid copy; damaged copies are passed over, and lost is true when
// something was there and nothing could be read.
func Open(fsys hal.FS, dir string) (q *File, lost bool) {
	q = &File{fs: fsys, dir: dir}
	bad, good := 0, 0
	for c := uint64(0); c < 2; c++ {
		b, err := hal.ReadFile(fsys, path(dir, c), maxFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var d content
		if err == nil {
			d, err = decode(b)
		}
		if errors.Is(err, errForeign) {
			q.foreign = true
		}
		if err != nil {
			bad++
			continue
		}
		if good == 0 || d.Gen > q.data.Gen {
			q.data = d
		}
		good++
	}
	return q, bad > 0 && good == 0 && !q.foreign
}

// Foreign tells whether another version wrote the file, in a format that this one does not know.
func (q *File) Foreign() bool { return q.foreign }

var errForeign = errors.New("cannot read quarantine: another version wrote it")

func decode(b []byte) (content, error) {
	var d content
	if len(b) < 8 || string(b[:2]) != magic[:2] {
		return d, errors.New("cannot read quarantine: not a quarantine file")
	}
	if crc32.ChecksumIEEE(b[8:]) != binary.LittleEndian.Uint32(b[4:8]) {
		return d, errors.New("cannot read quarantine: checksum does not match")
	}
	if string(b[:4]) != magic {
		return d, errForeign // it is whole: no damage
	}
	if err := cbor.Unmarshal(b[8:], &d); err != nil {
		return d, fmt.Errorf("cannot read quarantine: %w", err)
	}
	return d, nil
}

// Save writes the next generation over the older copy.
func (q *File) Save(head evidence.Head) error {
	q.dirty = true
	if q.foreign {
		return errForeign
	}
	next := q.data
	next.Gen++
	if head.Seq > 0 {
		next.Chain, next.Seq, next.Hash = head.Chain[:], head.Seq, head.Hash[:]
	}
	body, err := cbor.Marshal(next)
	if err != nil {
		return fmt.Errorf("cannot write quarantine: %w", err)
	}
	b := append([]byte(magic), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(b[4:], crc32.ChecksumIEEE(body))
	// The generation counts up only when it is there, so that a failure never goes for the good copy.
	if err := hal.ReplaceFile(q.fs, path(q.dir, next.Gen), append(b, body...)); err != nil {
		return fmt.Errorf("cannot write quarantine: %w", err)
	}
	q.data, q.dirty = next, false
	return nil
}

// Find tells whether a manifest or image digest is quarantined, and why.
func (q *File) Find(digest string) (cause reason.Reason, ok bool) {
	for _, e := range q.data.Entries {
		if e.Given {
			continue
		}
		if e.Digest == digest {
			return e.Cause, true
		}
		for _, i := range e.Images {
			if i == digest {
				return e.Cause, true
			}
		}
	}
	return reason.None, false
}

// add bars a manifest; one that was given back, once more. It is barred again on the way back as often as
// that is taken up.
func (q *File) add(e entry) {
	for _, old := range q.data.Entries {
		if old.Digest == e.Digest {
			if e.Times = old.Times; old.Given {
				e.Times++
			} else {
				e.Served = old.Served
			}
		}
	}
	q.drop(e.Digest)
	q.data.Entries = append(q.data.Entries, e)
	if n := len(q.data.Entries) - maxEntries; n > 0 {
		q.data.Entries = append([]entry(nil), q.data.Entries[n:]...)
	}
}

//go:noinline
func (q *File) drop(digest string) bool {
	for i, e := range q.data.Entries {
		if e.Digest == digest {
			q.data.Entries = append(q.data.Entries[:i:i], q.data.Entries[i+1:]...)
			return true
		}
	}
	return false
}

// setBoots keeps the count of the present trial only.
func (q *File) setBoots(digest string, n int) {
	q.data.Boots = nil
	if n > 0 {
		q.data.Boots = map[string]int{digest: n}
	}
}

// LastHead is the head of the evidence at the last write; nil when there is none.
func (q *File) LastHead() *evidence.Head {
	if len(q.data.Chain) != 16 || len(q.data.Hash) != 32 {
		return nil
	}
	h := evidence.Head{Seq: q.data.Seq}
	copy(h.Chain[:], q.data.Chain)
	copy(h.Hash[:], q.data.Hash)
	return &h
}

// List returns the quarantined manifest digests, sorted, for status.
func (q *File) List() []string {
	var out []string
	for _, e := range q.data.Entries {
		if !e.Given {
			out = append(out, e.Digest+" "+string(e.Cause))
		}
	}
	sort.Strings(out)
	return out
}

// Provisioned tells whether the mark is there that tells a first boot from a lost journal.
func Provisioned(fsys hal.FS, dir string) bool {
	_, err := hal.ReadFile(fsys, filepath.Join(dir, "provisioned"), 4096)
	return err == nil
}

// MarkProvisioned leaves the mark.
func MarkProvisioned(fsys hal.FS, dir, device string) error {
	if err := hal.ReplaceFile(fsys, filepath.Join(dir, "provisioned"), []byte(device+"\n")); err != nil {
		return fmt.Errorf("cannot write the provisioning marker: %w", err)
	}
	return nil
}

// Tally is what the machine knows of the file.
func (q *File) Tally() life.Tally {
	t := life.Tally{Dirty: q.dirty}
	for key, n := range q.data.Boots { // there is one at the most
		t.Key, t.Boots = key, n
	}
	for _, e := range q.data.Entries {
		if e.Given {
			t.Given = append(t.Given, e.Digest)
		} else if life.MayBePower(e.Cause) {
			t.Held = append(t.Held, life.Held{Digest: e.Digest, Times: e.Times + 1, Served: e.Served})
		}
	}
	return t
}

// Apply changes what the file is to hold. It writes nothing.
func (q *File) Apply(ops []life.QuarOp) {
	for _, op := range ops {
		switch op := op.(type) {
		case life.Count:
			q.setBoots(op.Key, op.Boots)
		case life.Bar:
			q.add(entry{Digest: op.Digest, Images: op.Images, Cause: op.Cause})
		case life.Serve:
			q.serve(op.For)
		case life.GiveBack:
			q.giveBack(op.Digest)
		case life.Clear:
			q.drop(op.Digest)
		}
	}
}

// serve counts how long the old system was well.
func (q *File) serve(d time.Duration) {
	entries := append([]entry(nil), q.data.Entries...)
	for i := range entries {
		if !entries[i].Given && life.MayBePower(entries[i].Cause) {
			entries[i].Served += d
		}
	}
	q.data.Entries = entries
}

// giveBack bars a manifest no more, nor its images, and remembers that it was barred.
func (q *File) giveBack(digest string) {
	entries := append([]entry(nil), q.data.Entries...)
	for i := range entries {
		if entries[i].Digest == digest {
			entries[i].Given, entries[i].Served = true, 0
		}
	}
	q.data.Entries = entries
}
