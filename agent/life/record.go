package life

import (
	"errors"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// Record says where an update stands. Its core {phase, target, digest, boots} is frozen: every
// version of the agent reads it, because the slot that the bootloader falls back to holds an older
// one. Ext may be ignored by an agent that does not know it: everything in it has a safe default.
//
// The counters in it are copies of State.Budget, for agents of the version before; Budgets is the
// one that counts where it is there.
type Record struct {
	Phase  Phase        `cbor:"1,keyasint"`
	Target bootctl.Slot `cbor:"2,keyasint"`
	Digest string       `cbor:"3,keyasint"` // manifest digest "sha256:<hex>"; "" when idle or synthetic
	Boots  int          `cbor:"4,keyasint"` // trial boots counted, the present one included
	Ext    Ext          `cbor:"5,keyasint"`
}

// Ext is what makes recovery better informed, and nothing that safety rests on. Key 2 was the slot
// that ran when the update began, and is not used again.
type Ext struct {
	BootID     string        `cbor:"1,keyasint,omitempty"`  // boot in which the phase was entered
	Sequence   uint64        `cbor:"3,keyasint,omitempty"`  // of the manifest
	Revert     bool          `cbor:"4,keyasint,omitempty"`  // an operator goes back to what the other slot holds
	Cause      reason.Reason `cbor:"5,keyasint,omitempty"`  // reverting: why; idle: how the last update ended
	Tries      int           `cbor:"6,keyasint,omitempty"`  // tries that were armed
	Images     []SlotImage   `cbor:"7,keyasint,omitempty"`  // what the target must hold
	Restarts   int           `cbor:"8,keyasint,omitempty"`  // Budget.Rewrites
	NeverTried int           `cbor:"9,keyasint,omitempty"`  // Budget.Untried
	Reboots    int           `cbor:"10,keyasint,omitempty"` // Budget.Reboots
	Began      time.Duration `cbor:"11,keyasint,omitempty"` // trial: uptime at which it began, in boot BootID
	Synthetic  bool          `cbor:"12,keyasint,omitempty"` // trial without a known update: confirm, no floor, no raise
	Local      bool          `cbor:"13,keyasint,omitempty"` // a technician's install
	Pending    reason.Reason `cbor:"14,keyasint,omitempty"` // idle: disable-pending or floor-pending
	Arms       int           `cbor:"15,keyasint,omitempty"` // Budget.Arms
	Version    string        `cbor:"16,keyasint,omitempty"` // that the manifest gives its content, for people
	Budgets    []Budget      `cbor:"17,keyasint,omitempty"` // of the update in progress, the offer that waits, Left
	Panics     Panics        `cbor:"18,keyasint,omitzero"`  // that there were when it was armed
}

// writes names the components that the update brings itself: what is carried is not among them.
//
//go:noinline
func (r Record) writes() []string {
	names := []string{}
	for _, i := range r.Ext.Images {
		if !i.Carried {
			names = append(names, i.Component)
		}
	}
	return names
}

// SlotImage is one component's image in a slot.
type SlotImage struct {
	Component string `cbor:"1,keyasint"`
	Alg       int    `cbor:"2,keyasint"`
	Digest    []byte `cbor:"3,keyasint"`
	Size      int64  `cbor:"4,keyasint"`

	// Of a part that was carried over from the slot that ran: the manifest that it came with first.
	Sequence uint64 `cbor:"5,keyasint,omitempty"`
	Manifest string `cbor:"6,keyasint,omitempty"`
	Carried  bool   `cbor:"7,keyasint,omitempty"`
	// There: before the update began it was on record that the target holds it already. What an attempt of our own
	// has written is not taken for that, however it reads: a flush of it may have failed.
	There bool `cbor:"8,keyasint,omitempty"`
	// Anywhere: it fits either slot. What was made for one (a kernel with the name of its root in it) is never
	// carried into the other; nor is what an agent of the version before has recorded, which does not say.
	Anywhere bool `cbor:"9,keyasint,omitempty"`
}

// Of is the sequence number and the manifest that the image came with: its own where it was carried, else
// those of the record that it stands in.
func (i SlotImage) Of(sequence uint64, manifest string) (uint64, string) {
	if i.Carried {
		return i.Sequence, i.Manifest
	}
	return sequence, manifest
}

// Text is the digest as evidence and status spell it: "sha256:<hex>".
func (i SlotImage) Text() string { return manifest.Digest{Alg: i.Alg, Sum: string(i.Digest)}.String() }

// ErrRecord: the stored record cannot be understood. The agent enters boot-safe mode.
var ErrRecord = errors.New("the update record cannot be understood")

const maxRecord = 8 << 10

// Encode is the record as a commit stores it. One that no version would read again is never stored.
func (r Record) Encode() ([]byte, error) {
	b, err := cbor.Marshal(r)
	if len(b) > maxRecord {
		return nil, fmt.Errorf("cannot keep a record of %d bytes, at most %d are read again", len(b), maxRecord)
	}
	return b, err
}

// DecodeRecord reads a record written by any version. An unknown phase is an error (ErrRecord): what
// it may have in progress is not known.
func DecodeRecord(b []byte) (Record, error) {
	var core struct {
		Phase  Phase           `cbor:"1,keyasint"`
		Target bootctl.Slot    `cbor:"2,keyasint"`
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
	if !r.Phase.Known() {
		return r, fmt.Errorf("%w: phase %q was written by another version", ErrRecord, r.Phase)
	}
	if r.Phase != Idle && r.Target == "" || r.Boots < 0 {
		return r, fmt.Errorf("%w: phase %s without a target", ErrRecord, r.Phase)
	}
	// An extension that cannot be read is one that may be ignored.
	if len(core.Ext) > 0 {
		var e Ext
		if cbor.Unmarshal(core.Ext, &e) == nil {
			r.Ext = e
		}
	}
	return r, nil
}
