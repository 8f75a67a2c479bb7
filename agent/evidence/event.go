// Package evidence makes and checks the record of what happened on a device and why.
//
// A record is deterministic CBOR and names the SHA-256 of the record before it, so that a chain
// can be checked offline, record by record, by whoever holds the device's public key. A chain is
// never continued after a loss: a new one begins, which says why and what the last known head was
// (invariant I10). An export, which package export verifies, is a CBOR sequence (RFC 8742) of records signed as
// COSE_Sign1 (RFC 9052 section 4.2), in the order in which they were made.
//
// Records are data of the journal; this package does no I/O and keeps no state, so nothing of it
// can be lost with the power.
package evidence

import (
	"time"

	"github.com/ratchet-ota/ratchet/agent/reason"
)

// Limits. Every record that Begin and Next make keeps them, and Decode refuses one that does not.
const (
	MaxRecord  = 4096 // bytes of an encoded record
	MaxSigned  = 5120 // bytes of a signed record, and of a signed status
	MaxDetails = 16   // details of one event
	MaxDetail  = 256  // bytes of a detail's value
	MaxText    = 144  // bytes of any other text: a SHA-512 digest with its name
	MaxName    = 64   // bytes of a device id, a kind, a detail's key
)

// Kind says what an event is about.
type Kind string

// Kinds. Kinds of newer versions are kept and shown as they are.
const (
	KindChain    Kind = "chain"     // first record of a chain; only Begin makes it
	KindStart    Kind = "start"     // the agent started
	KindDecision Kind = "decision"  // an offer was taken, deferred or refused
	KindPhase    Kind = "phase"     // From -> To
	KindProgress Kind = "progress"  // a stretch of work was done or given up
	KindBoot     Kind = "boot"      // what runs, what was armed, confirmed, disabled
	KindHealth   Kind = "health"    // a check or the whole trial
	KindVerdict  Kind = "verdict"   // how an update ended
	KindOperator Kind = "operator"  // a person asked for something
	KindSafeMode Kind = "safe-mode" // the agent entered or left boot-safe mode
	KindConfig   Kind = "config"    // a root, a plan or a pulse was taken, or one that was taken is void
	KindCounter  Kind = "counter"   // which hardware counter guards the device
)

// Reserved kinds: they have a meaning, and nothing in this version records them.
const (
	KindJournal Kind = "journal" // pruning, lack of space
	KindClock   Kind = "clock"   // the clock jumped
)

// Event is what happened. Texts come from outside now and then (a server's error, a file's name):
// they are made printable and cut to their limits, so that an event can always be recorded.
type Event struct {
	Kind      Kind
	Reason    reason.Reason
	From, To  string // phases, or a state before and after
	Slot      string
	Component string
	Manifest  string // digest "sha256:<hex>" of the manifest
	Image     string // digest of the image
	Sequence  uint64 // of the manifest, 0 = none
	Actor     string // who asked: "network", "uid:0", "file:<name>"
	Detail    map[string]string
}

// Stamp is when and by whom a record was made.
type Stamp struct {
	Wall    time.Time     // UTC, milliseconds are kept; zero = not known
	Quality string        // of Wall: "unknown", "local", "synced"
	Uptime  time.Duration // CLOCK_BOOTTIME, milliseconds are kept
	BootID  string
	Agent   string // version
	Under   Under
}

// Under is which documents of a trust root were in force. The zero value is a device with flat keys.
type Under struct {
	Root   uint64 // version of the trust root
	Newest uint64 // version of the newest root that was verified there; above Root: the device is behind it
	Plan   uint64 // sequence of the campaign plan, 0 for none
	Pulse  uint64 // sequence of its pulse, 0 for none
}

// Head is the last record of a chain. Seq starts at 1.
type Head struct {
	Chain [16]byte
	Seq   uint64
	Hash  [32]byte // SHA-256 of the encoded record
}

// Record is one decoded record.
type Record struct {
	Chain  [16]byte
	Seq    uint64
	Prev   [32]byte // SHA-256 of the record before, zero in the first
	Device string
	Stamp
	Event
	Last *Head // first record only: the last known head of the chain before, nil = none known
}
