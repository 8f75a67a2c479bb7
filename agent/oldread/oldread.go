// Package oldread reads and writes what a journal and a quarantine file hold as version 0.1 of the agent does. It is a
// copy that is never changed: the slot that a bootloader falls back to may hold that version, and what the present one
// writes must be understood there. Nothing but tests imports it.
//
// An old agent that writes a value again drops what it does not know of it: Rewrite does the same.
package oldread

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Keys of the journal's state bucket that this package reads.
const (
	KeyRecord  = "record"
	KeyWaiting = "waiting"
	KeyJudge   = "judge"
	KeyFloor   = "floor"
	KeySchema  = "schema"
	PrefixSeq  = "bound/" // + sequence, 8 bytes big-endian
	PrefixSlot = "slot/"  // + slot name
)

// Record says where an update stands. Its first four keys are the frozen core.
type Record struct {
	Phase  string `cbor:"1,keyasint"`
	Target string `cbor:"2,keyasint"`
	Digest string `cbor:"3,keyasint"`
	Boots  int    `cbor:"4,keyasint"`
	Ext    Ext    `cbor:"5,keyasint"`
}

// Ext is the extension of a record.
type Ext struct {
	BootID     string        `cbor:"1,keyasint,omitempty"`
	Origin     string        `cbor:"2,keyasint,omitempty"`
	Sequence   uint64        `cbor:"3,keyasint,omitempty"`
	Revert     bool          `cbor:"4,keyasint,omitempty"`
	Cause      string        `cbor:"5,keyasint,omitempty"`
	Tries      int           `cbor:"6,keyasint,omitempty"`
	Images     []Image       `cbor:"7,keyasint,omitempty"`
	Restarts   int           `cbor:"8,keyasint,omitempty"`
	NeverTried int           `cbor:"9,keyasint,omitempty"`
	Reboots    int           `cbor:"10,keyasint,omitempty"`
	Began      time.Duration `cbor:"11,keyasint,omitempty"`
	Synthetic  bool          `cbor:"12,keyasint,omitempty"`
	Local      bool          `cbor:"13,keyasint,omitempty"`
	Pending    string        `cbor:"14,keyasint,omitempty"`
	Arms       int           `cbor:"15,keyasint,omitempty"`
	Version    string        `cbor:"16,keyasint,omitempty"`
}

// Image is one component's image in a slot.
type Image struct {
	Component string `cbor:"1,keyasint"`
	Alg       int    `cbor:"2,keyasint"`
	Digest    []byte `cbor:"3,keyasint"`
	Size      int64  `cbor:"4,keyasint"`
}

// Waiting is an offer that was deferred or failed, with the counters of its tries.
type Waiting struct {
	Envelope []byte `cbor:"1,keyasint"`
	Digest   string `cbor:"2,keyasint"`
	Sequence uint64 `cbor:"3,keyasint"`
	Reason   string `cbor:"4,keyasint"`
	Failures int    `cbor:"5,keyasint"`
	Said     string `cbor:"6,keyasint"`
	Rules    string `cbor:"7,keyasint,omitempty"`
	Costly   int    `cbor:"8,keyasint,omitempty"`
	Broker   bool   `cbor:"9,keyasint,omitempty"`
	Fell     int    `cbor:"10,keyasint,omitempty"`
	Reverts  int    `cbor:"11,keyasint,omitempty"`
}

// Slot is what a slot is known to hold.
type Slot struct {
	Manifest  string  `cbor:"1,keyasint"`
	Sequence  uint64  `cbor:"2,keyasint"`
	Version   string  `cbor:"3,keyasint"`
	Images    []Image `cbor:"4,keyasint"`
	Confirmed bool    `cbor:"5,keyasint"`
	Cause     string  `cbor:"6,keyasint,omitempty"`
}

// Floor is the highest confirmed sequence number, one for all components, and its manifest.
type Floor struct {
	Sequence uint64 `cbor:"1,keyasint"`
	Digest   string `cbor:"2,keyasint"`
}

// Judge is a trial that failed for want of the broker.
type Judge struct {
	Digest string   `cbor:"1,keyasint"`
	Images []string `cbor:"2,keyasint"`
	Cause  string   `cbor:"3,keyasint"`
}

// Quarantine is one copy of the quarantine file; the one with the higher Gen is the newer.
type Quarantine struct {
	Gen     uint64         `cbor:"1,keyasint"`
	Entries []Barred       `cbor:"2,keyasint"`
	Boots   map[string]int `cbor:"3,keyasint"`
	Chain   []byte         `cbor:"4,keyasint,omitempty"`
	Seq     uint64         `cbor:"5,keyasint,omitempty"`
	Hash    []byte         `cbor:"6,keyasint,omitempty"`
}

// Barred is one manifest in quarantine.
type Barred struct {
	Digest string   `cbor:"1,keyasint"`
	Images []string `cbor:"2,keyasint"`
	Cause  string   `cbor:"3,keyasint"`
}

// ErrRecord: the old agent would enter boot-safe mode on this record.
var ErrRecord = errors.New("the update record cannot be understood")

const (
	maxRecord = 8 << 10
	magic     = "RQ01"
)

func phases() []string {
	return []string{"idle", "preparing", "writing", "checking", "ready", "arming", "rebooting", "trial",
		"confirming", "sealing", "reverting"}
}

// ReadRecord reads a record. An extension that cannot be read is one that is not there; errors wrap ErrRecord.
func ReadRecord(b []byte) (Record, error) {
	var core struct {
		Phase  string          `cbor:"1,keyasint"`
		Target string          `cbor:"2,keyasint"`
		Digest string          `cbor:"3,keyasint"`
		Boots  int             `cbor:"4,keyasint"`
		Ext    cbor.RawMessage `cbor:"5,keyasint"`
	}
	if len(b) > maxRecord {
		return Record{}, fmt.Errorf("%w: %d bytes", ErrRecord, len(b))
	}
	if err := cbor.Unmarshal(b, &core); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	r := Record{Phase: core.Phase, Target: core.Target, Digest: core.Digest, Boots: core.Boots}
	if !slices.Contains(phases(), r.Phase) {
		return r, fmt.Errorf("%w: phase %q was written by another version", ErrRecord, r.Phase)
	}
	if r.Phase != "idle" && r.Target == "" || r.Boots < 0 {
		return r, fmt.Errorf("%w: phase %s without a target", ErrRecord, r.Phase)
	}
	if len(core.Ext) > 0 {
		var e Ext
		if cbor.Unmarshal(core.Ext, &e) == nil {
			r.Ext = e
		}
	}
	return r, nil
}

// ReadWaiting reads the offer that waits; false where the old agent sees none.
func ReadWaiting(b []byte) (Waiting, bool) { return read[Waiting](b) }

// ReadSlot reads what a slot is known to hold; false where the old agent knows nothing.
func ReadSlot(b []byte) (Slot, bool) { return read[Slot](b) }

// ReadJudge reads the question that is open; false where the old agent sees none.
func ReadJudge(b []byte) (Judge, bool) { return read[Judge](b) }

// ReadFloor reads the floor; the zero value where the old agent sees none.
func ReadFloor(b []byte) Floor {
	f, _ := read[Floor](b)
	return f
}

// Takes tells whether the old agent opens a journal with this schema; else it is in boot-safe mode.
func Takes(schema []byte) bool {
	v, ok := read[uint64](schema)
	return !ok || v <= 1
}

// Refuses says why the old agent refuses an offer by its number; "" when it does not. bound is what stands under
// PrefixSeq and the number.
func Refuses(floor Floor, bound []byte, sequence uint64, digest string) string {
	if sequence < floor.Sequence {
		return "sequence-below-floor"
	}
	was := ""
	if sequence == floor.Sequence {
		was = floor.Digest
	}
	if d, ok := read[string](bound); ok {
		was = d
	}
	if was != "" && was != digest {
		return "sequence-reused"
	}
	return ""
}

// Confirm is what the old agent writes when it confirms the update of a record, by its key, and the floor that it has
// then.
func Confirm(r Record, floor Floor) (map[string][]byte, error) {
	if r.Ext.Sequence >= floor.Sequence {
		floor = Floor{r.Ext.Sequence, r.Digest}
	}
	out := map[string][]byte{}
	for key, v := range map[string]any{
		KeyFloor: floor,
		PrefixSlot + r.Target: Slot{Manifest: r.Digest, Sequence: r.Ext.Sequence, Version: r.Ext.Version,
			Images: r.Ext.Images, Confirmed: true},
		PrefixSeq + string(binary.BigEndian.AppendUint64(nil, r.Ext.Sequence)): r.Digest,
		KeyRecord: Record{Phase: "idle"},
	} {
		b, err := cbor.Marshal(v)
		if err != nil {
			return nil, err
		}
		out[key] = b
	}
	return out, nil
}

func read[T any](b []byte) (T, bool) {
	var v T
	ok := len(b) > 0 && cbor.Unmarshal(b, &v) == nil
	return v, ok
}

// ReadQuarantine reads one copy of the quarantine file.
func ReadQuarantine(b []byte) (Quarantine, error) {
	var d Quarantine
	if len(b) < 8 || string(b[:4]) != magic {
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

// Encode is the file that the old agent writes, with the same generation.
func (q Quarantine) Encode() ([]byte, error) {
	body, err := cbor.Marshal(q)
	if err != nil {
		return nil, err
	}
	b := append([]byte(magic), 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(b[4:], crc32.ChecksumIEEE(body))
	return append(b, body...), nil
}

// Rewrite is what stands under a key of the state bucket once the old agent has written what it read there. Other keys
// than those above stay as they are. A record that it cannot read is one that it never writes.
func Rewrite(key string, value []byte) ([]byte, error) {
	var v any
	ok := true
	switch {
	case key == KeyRecord:
		r, err := ReadRecord(value)
		v, ok = r, err == nil
	case key == KeyWaiting:
		v, ok = ReadWaiting(value)
	case key == KeyJudge:
		v, ok = ReadJudge(value)
	case len(key) > len(PrefixSlot) && key[:len(PrefixSlot)] == PrefixSlot:
		v, ok = ReadSlot(value)
	default:
		ok = false
	}
	if !ok {
		return value, nil
	}
	return cbor.Marshal(v)
}
