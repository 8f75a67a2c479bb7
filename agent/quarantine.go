package agent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"sort"

	"github.com/fxamacker/cbor/v2"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/hal"
)

// The quarantine is a small file apart from the journal, in two copies, so that a device that loses
// its journal does not install the same sick image again and again (loop 11). It holds what was
// quarantined, how often the present trial was booted, and the evidence head at the last write.
//
// Format of a copy: "RQ01", CRC-32 (IEEE, little-endian) of the rest, CBOR of quarantineFile.
// The copy with the higher generation is the newer one.
//
// Crash: save replaces the older copy by rename -> before: the newer copy is read; after: this one.
type quarantine struct {
	fs    hal.FS
	dir   string
	data  quarantineFile
	dirty bool // what is in the file is older than data
}

type quarantineFile struct {
	Gen     uint64            `cbor:"1,keyasint"`
	Entries []quarantineEntry `cbor:"2,keyasint"`
	Boots   map[string]int    `cbor:"3,keyasint"` // manifest digest on trial -> boots counted
	Chain   []byte            `cbor:"4,keyasint,omitempty"`
	Seq     uint64            `cbor:"5,keyasint,omitempty"`
	Hash    []byte            `cbor:"6,keyasint,omitempty"`
}

type quarantineEntry struct {
	Digest string        `cbor:"1,keyasint"` // of the manifest
	Images []string      `cbor:"2,keyasint"` // of its images
	Cause  reason.Reason `cbor:"3,keyasint"`
}

const (
	quarantineMagic   = "RQ01"
	maxQuarantine     = 64 // entries; the oldest is dropped
	maxQuarantineFile = 64 << 10
)

func quarantinePath(dir string, copy uint64) string {
	return filepath.Join(dir, fmt.Sprintf("quarantine.%d", copy%2))
}

// openQuarantine reads the newer valid copy; damaged copies are passed over, and lost is true when
// something was there and nothing could be read.
func openQuarantine(fsys hal.FS, dir string) (q *quarantine, lost bool) {
	q = &quarantine{fs: fsys, dir: dir}
	bad, good := 0, 0
	for c := uint64(0); c < 2; c++ {
		b, err := hal.ReadFile(fsys, quarantinePath(dir, c), maxQuarantineFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var d quarantineFile
		if err == nil {
			d, err = decodeQuarantine(b)
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
	return q, bad > 0 && good == 0
}

func decodeQuarantine(b []byte) (quarantineFile, error) {
	var d quarantineFile
	if len(b) < 8 || string(b[:4]) != quarantineMagic {
		return d, errors.New("cannot read quarantine: not a quarantine file")
	}
	if crc32.ChecksumIEEE(b[8:]) != binary.LittleEndian.Uint32(b[4:8]) {
		return d, errors.New("cannot read quarantine: checksum does not match")
	}
	if err := cbor.Unmarshal(b[8:], &d); err != nil {
		return d, fmt.Errorf("cannot read quarantine: %w", err)
	}
	return d, nil
}

// save writes the next generation over the older copy.
func (q *quarantine) save(head evidence.Head) error {
	q.dirty = true
	next := q.data
	next.Gen++
	if head.Seq > 0 {
		next.Chain, next.Seq, next.Hash = head.Chain[:], head.Seq, head.Hash[:]
	}
	body, err := cbor.Marshal(next)
	if err != nil {
		return fmt.Errorf("cannot write quarantine: %w", err)
	}
	b := append([]byte(quarantineMagic), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(b[4:], crc32.ChecksumIEEE(body))
	// The generation counts up only when it is there, so that a failure never goes for the good copy.
	if err := hal.ReplaceFile(q.fs, quarantinePath(q.dir, next.Gen), append(b, body...)); err != nil {
		return fmt.Errorf("cannot write quarantine: %w", err)
	}
	q.data, q.dirty = next, false
	return nil
}

// find tells whether a manifest or image digest is quarantined, and why.
func (q *quarantine) find(digest string) (quarantineEntry, bool) {
	for _, e := range q.data.Entries {
		if e.Digest == digest {
			return e, true
		}
		for _, i := range e.Images {
			if i == digest {
				return e, true
			}
		}
	}
	return quarantineEntry{}, false
}

func (q *quarantine) add(e quarantineEntry) {
	q.drop(e.Digest)
	q.data.Entries = append(q.data.Entries, e)
	if n := len(q.data.Entries) - maxQuarantine; n > 0 {
		q.data.Entries = append([]quarantineEntry(nil), q.data.Entries[n:]...)
	}
}

func (q *quarantine) drop(digest string) bool {
	for i, e := range q.data.Entries {
		if e.Digest == digest {
			q.data.Entries = append(q.data.Entries[:i:i], q.data.Entries[i+1:]...)
			return true
		}
	}
	return false
}

// boots returns how often the digest was booted on trial, by this file's count.
func (q *quarantine) boots(digest string) int { return q.data.Boots[digest] }

// setBoots keeps the count of the present trial only.
func (q *quarantine) setBoots(digest string, n int) {
	q.data.Boots = nil
	if n > 0 {
		q.data.Boots = map[string]int{digest: n}
	}
}

func (q *quarantine) lastHead() *evidence.Head {
	if len(q.data.Chain) != 16 || len(q.data.Hash) != 32 {
		return nil
	}
	h := evidence.Head{Seq: q.data.Seq}
	copy(h.Chain[:], q.data.Chain)
	copy(h.Hash[:], q.data.Hash)
	return &h
}

// list returns the quarantined manifest digests, sorted, for status.
func (q *quarantine) list() []string {
	var out []string
	for _, e := range q.data.Entries {
		out = append(out, e.Digest+" "+string(e.Cause))
	}
	sort.Strings(out)
	return out
}

// provisioned is the marker that tells a first boot from a lost journal.
func provisioned(fsys hal.FS, dir string) bool {
	_, err := hal.ReadFile(fsys, filepath.Join(dir, "provisioned"), 4096)
	return err == nil
}

func markProvisioned(fsys hal.FS, dir, device string) error {
	if err := hal.ReplaceFile(fsys, filepath.Join(dir, "provisioned"), []byte(device+"\n")); err != nil {
		return fmt.Errorf("cannot write the provisioning marker: %w", err)
	}
	return nil
}

// tally is what the machine knows of the file.
func (q *quarantine) tally() life.Tally {
	t := life.Tally{Dirty: q.dirty}
	for key, n := range q.data.Boots { // there is one at the most
		t.Key, t.Boots = key, n
	}
	return t
}

// apply changes what the file is to hold.
func (q *quarantine) apply(ops []life.QuarOp) {
	for _, op := range ops {
		switch op := op.(type) {
		case life.Count:
			q.setBoots(op.Key, op.Boots)
		case life.Bar:
			q.add(quarantineEntry(op))
		case life.Clear:
			q.drop(op.Digest)
		}
	}
}

// saveQuarantine writes the quarantine file. What it does not take now is tried again in idle: the
// journal bars the manifest meanwhile, and a device whose state directory is full must go on.
func (a *Agent) saveQuarantine(ops []life.QuarOp) life.Tally {
	const what = "cannot write the quarantine file"
	a.q.apply(ops)
	if err := a.q.save(evidenceHead(a.st.lastSeq())); err != nil {
		a.fail(what, err)
	} else {
		a.well(what)
	}
	return a.q.tally()
}
