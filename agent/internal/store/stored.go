package store

import (
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/slots"
)

// Keys of the journal's state bucket. Values are CBOR unless said.
const (
	keySchema   = "schema"   // uint, schemaVersion
	keyRecord   = "record"   // life.Record
	keyHead     = "head"     // Head: the last evidence record
	keySent     = "sent"     // uint: evidence handed over up to here
	keyCounter  = "counter"  // text: origin of the hardware counter that guards the device
	keyFloors   = "floors"   // life.Floors: highest confirmed sequence of each component
	keyFloor    = "floor"    // oneFloor: the highest of them, for an agent of the version before
	keyOutcome  = "outcome"  // Outcome of the last update that was begun
	keyOffer    = "offer"    // Outcome: the newest offer that was not taken, until an update begins
	keyGarbage  = "garbage"  // []digest prefix: unverifiable offers that are on record
	keyEnvelope = "envelope" // bytes: the envelope of the update in progress
	keyWaiting  = "waiting"  // storedOffer: a deferred or failed offer, decided again later
	keyJudge    = "judge"    // of version 0.1: a trial that failed of the broker alone; read, never written
	keyBarred   = "barred"   // life.Barred: the offer that was quarantined last
	keyWear     = "wear"     // int: thousandths of an image that were written in vain
	keyApproved = "approved" // string: manifest digest an operator approved
	prefixSlot  = "slot/"    // + slot name: life.Content
	prefixBind  = "bind/"    // + component + "/" + sequence, 8 bytes big-endian: manifest digest confirmed under it
	prefixBound = "bound/"   // + sequence: the last of any component, for an agent of the version before
	prefixFinal = "final/"   // + manifest digest: storedVerdict
	prefixCheck = "check/"   // + component: Checkpoint

	// Of a device with a trust root, as they were received.
	keyRoot      = "root"      // the bundle that was walked to the newest root
	prefixRoot   = "root/"     // + version, 8 bytes big-endian: a root that came by itself, behind the bundle
	keyNewest    = "newest"    // storedNewest: the newest root that was ever verified here
	keyAlarms    = "alarms"    // []string: stored documents that no longer verify and are on record
	keyPlan      = "plan"      // the plan that was taken last
	keyPulse     = "pulse"     // the pulse that was taken last
	keyMemory    = "memory"    // campaign.Memory
	keyChallenge = "challenge" // text of the challenge that is open
	keyPermit    = "permit"    // Permit: in use by the update in progress, or answered and not used yet

	keyReport = "report" // bytes: SUIT report of the last procedure that ended, not signed yet
)

const (
	schemaVersion = 1
	maxFinals     = 64
	maxBound      = 256 // of each component
)

// Head is where the chain of evidence ends, and what is held of it.
type Head struct {
	Chain []byte `cbor:"1,keyasint"`
	Seq   uint64 `cbor:"2,keyasint"`
	Hash  []byte `cbor:"3,keyasint"`
	First uint64 `cbor:"4,keyasint"` // oldest record still held
	Bytes int64  `cbor:"5,keyasint"` // held
}

type storedOffer struct {
	Envelope []byte        `cbor:"1,keyasint"`
	Digest   string        `cbor:"2,keyasint"`
	Sequence uint64        `cbor:"3,keyasint"`
	Reason   reason.Reason `cbor:"4,keyasint"`
	Failures int           `cbor:"5,keyasint"`           // updates begun and failed for causes outside the image
	Said     string        `cbor:"6,keyasint"`           // what it waits for, for people
	Rules    string        `cbor:"7,keyasint,omitempty"` // the reasons that are on record
	Costly   int           `cbor:"8,keyasint,omitempty"` // failures that loaded or wrote a whole image for nothing
	// its trial failed for want of the broker: wait for that first
	Broker  bool `cbor:"9,keyasint,omitempty"`
	Fell    int  `cbor:"10,keyasint,omitempty"` // times that the loader came back from it
	Reverts int  `cbor:"11,keyasint,omitempty"` // times that it was armed and left again

	Components []string `cbor:"12,keyasint,omitempty"` // that it would write
}

// storedNewest stands apart from the roots themselves, so that a device notices when these are gone.
type storedNewest struct {
	Name    string `cbor:"1,keyasint"` // of the chain of roots
	Version uint64 `cbor:"2,keyasint"`
}

type storedVerdict struct {
	At     uint64        `cbor:"1,keyasint"` // evidence sequence, to drop the oldest
	Reason reason.Reason `cbor:"2,keyasint"`
}

// Outcome is how the last update ended.
type Outcome struct {
	Result   string        `cbor:"1,keyasint"` // updated, reverted, failed, refused, deferred, stuck
	Reason   reason.Reason `cbor:"2,keyasint"`
	Detail   string        `cbor:"3,keyasint"`
	Sequence uint64        `cbor:"4,keyasint"`
	Manifest string        `cbor:"5,keyasint"`
	Slot     bootctl.Slot  `cbor:"6,keyasint"`
	Wall     time.Time     `cbor:"7,keyasint"`
	Quality  string        `cbor:"8,keyasint"`
	Version  string        `cbor:"9,keyasint,omitempty"`
}

// Evidence is the head as the chain goes on from it.
//
//go:noinline
func (h Head) Evidence() evidence.Head {
	out := evidence.Head{Seq: h.Seq}
	copy(out.Chain[:], h.Chain)
	copy(out.Hash[:], h.Hash)
	return out
}

// Permit is a permit with the challenge that it answers. The challenge is forgotten in the transaction
// that takes the permit, and the permit with the update that it allowed: it allows once.
type Permit struct {
	Document  []byte `cbor:"1,keyasint"`
	Challenge string `cbor:"2,keyasint"`
}

// Checkpoint is how far one image of an update is written.
type Checkpoint struct {
	Digest string           `cbor:"1,keyasint"` // of the manifest
	Image  []byte           `cbor:"2,keyasint"` // digest of the image
	Done   bool             `cbor:"3,keyasint"`
	At     slots.Checkpoint `cbor:"4,keyasint"`
	Slot   bootctl.Slot     `cbor:"5,keyasint,omitempty"` // "": of version 0.1, the target
}

// OneRoot is one version of the root, as it was received.
type OneRoot struct {
	Version uint64
	Body    []byte
}

// Document names what is kept as it was received.
type Document string

// The documents.
const (
	Envelope Document = keyEnvelope // of the update in progress
	Root     Document = keyRoot     // the bundle that was walked to the newest root
	Plan     Document = keyPlan     // that was taken last
	Pulse    Document = keyPulse    // that was taken last
	Memory   Document = keyMemory   // campaign.Memory, encoded
	Report   Document = keyReport   // SUIT report of the last procedure that ended, not signed
)

// What a commit may change besides what the machine asks for.
type (
	// PutDocument keeps a document; an empty body drops it.
	PutDocument struct {
		Name Document
		Body []byte
	}
	// PutRoot keeps one version of the root by itself.
	PutRoot struct {
		Version uint64
		Body    []byte
	}
	// PutBundle keeps a bundle of all versions of the root, and drops those kept by themselves.
	PutBundle struct{ Body []byte }
	// PutNewest remembers which root is the newest that was verified.
	PutNewest struct {
		Name    string
		Version uint64
	}
	// PutAlarms remembers which stored documents are on record as void.
	PutAlarms struct{ Marks []string }
	// PutChallenge opens a challenge; "" forgets the one that is open.
	PutChallenge struct{ Text string }
	// PutPermit keeps a permit until it is used.
	PutPermit struct{ Permit Permit }
	// PutCheckpoint says how far a component is written.
	PutCheckpoint struct {
		Component  string
		Checkpoint Checkpoint
	}
	// PutSent says up to which record evidence was handed over.
	PutSent struct{ Seq uint64 }
)

// Operation marks a change in the journal.
func (PutDocument) Operation() {}

// Operation marks a change in the journal.
func (PutRoot) Operation() {}

// Operation marks a change in the journal.
func (PutBundle) Operation() {}

// Operation marks a change in the journal.
func (PutNewest) Operation() {}

// Operation marks a change in the journal.
func (PutAlarms) Operation() {}

// Operation marks a change in the journal.
func (PutChallenge) Operation() {}

// Operation marks a change in the journal.
func (PutPermit) Operation() {}

// Operation marks a change in the journal.
func (PutCheckpoint) Operation() {}

// Operation marks a change in the journal.
func (PutSent) Operation() {}

func waitingOf(w life.Waiting) storedOffer {
	b := w.Budget
	return storedOffer{Envelope: w.Envelope, Digest: w.Digest, Sequence: w.Sequence, Components: w.Components,
		Reason: w.Reason, Said: w.Said,
		Rules: w.Rules, Failures: b.Failures, Costly: b.Costly, Broker: b.Broker, Fell: b.Fell, Reverts: b.Reverts}
}

//go:noinline
func (o storedOffer) waiting() life.Waiting {
	return life.Waiting{Envelope: o.Envelope, Digest: o.Digest, Sequence: o.Sequence, Components: o.Components,
		Reason: o.Reason, Said: o.Said,
		Rules: o.Rules, Budget: life.Budget{Digest: o.Digest, Failures: o.Failures, Costly: o.Costly, Broker: o.Broker,
			Fell: o.Fell, Reverts: o.Reverts}}
}

//go:noinline
func outcomeOf(e life.Ending, at evidence.Stamp) Outcome {
	return Outcome{Result: e.Result, Reason: e.Reason, Detail: e.Detail, Sequence: e.Sequence, Manifest: e.Manifest,
		Slot: e.Slot, Version: e.Version, Wall: at.Wall, Quality: at.Quality}
}
