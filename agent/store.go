package agent

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// Keys of the journal's state bucket. Values are CBOR unless said.
const (
	keySchema   = "schema"   // uint, schemaVersion
	keyRecord   = "record"   // life.Record
	keyHead     = "head"     // storedHead: the last evidence record
	keySent     = "sent"     // uint: evidence handed over up to here
	keyCounter  = "counter"  // text: origin of the hardware counter that guards the device
	keyFloor    = "floor"    // life.Floor: highest confirmed sequence
	keyOutcome  = "outcome"  // Outcome of the last update that was begun
	keyOffer    = "offer"    // Outcome: the newest offer that was not taken, until an update begins
	keyGarbage  = "garbage"  // []digest prefix: unverifiable offers that are on record
	keyEnvelope = "envelope" // bytes: the envelope of the update in progress
	keyWaiting  = "waiting"  // storedOffer: a deferred or failed offer, decided again later
	keyJudge    = "judge"    // life.Judge: a trial that failed of the broker alone
	keyApproved = "approved" // string: manifest digest an operator approved
	prefixSlot  = "slot/"    // + slot name: life.Content
	prefixBound = "bound/"   // + sequence, 8 bytes big-endian: manifest digest confirmed under it
	prefixFinal = "final/"   // + manifest digest: storedVerdict
	prefixCheck = "check/"   // + component: slots.Checkpoint
)

const (
	schemaVersion = 1
	maxFinals     = 64
	maxBound      = 256
)

type storedHead struct {
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
	Failures int           `cbor:"5,keyasint"`            // updates begun and failed for causes outside the image
	Said     string        `cbor:"6,keyasint"`            // what it waits for, for people
	Rules    string        `cbor:"7,keyasint,omitempty"`  // the reasons that are on record, so that they are recorded once per change
	Costly   int           `cbor:"8,keyasint,omitempty"`  // failures that loaded or wrote a whole image for nothing
	Broker   bool          `cbor:"9,keyasint,omitempty"`  // its trial failed for want of the broker: wait for that first
	Fell     int           `cbor:"10,keyasint,omitempty"` // times that the loader came back from it: the second time is no power cut
	Reverts  int           `cbor:"11,keyasint,omitempty"` // times that it was armed and left again
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

// store is the typed view of the journal. A commit holds a record and its evidence (I6).
type store struct {
	j      journal.Store
	device string
	limit  int64 // bytes of evidence kept
	stamp  func() evidence.Stamp

	mu   sync.Mutex
	head storedHead
	why  reason.Reason  // why a new chain would begin
	last *evidence.Head // of the chain before
	wake chan struct{}  // evidence was added
}

// errDurable: the journal did not take it, so that it has not happened.
var errDurable = errors.New("cannot write the journal")

func openStore(j journal.Store, device string, limit int64, stamp func() evidence.Stamp) (*store, error) {
	s := &store{j: j, device: device, limit: limit, stamp: stamp, wake: make(chan struct{}, 1)}
	err := j.View(func(tx journal.Tx) error {
		var v uint64
		if get(tx, keySchema, &v) && v > schemaVersion {
			// Never discarded: the other slot's agent still reads it. The core record is frozen.
			return fmt.Errorf("cannot read journal: schema %d is newer than %d", v, schemaVersion)
		}
		get(tx, keyHead, &s.head)
		return nil
	})
	return s, err
}

// begin starts a chain when there is none: why says whether evidence was lost (I10). A journal that
// cannot be written now gets its chain with the first commit that it takes.
func (s *store) begin(why reason.Reason, last *evidence.Head) error {
	s.mu.Lock()
	s.why, s.last = why, last
	begun := len(s.head.Chain) == 16
	s.mu.Unlock()
	if begun {
		return nil
	}
	return s.commit(nil, nil)
}

// chain puts the first record of a new chain.
func (s *store) chain(tx journal.Tx, at evidence.Stamp) (storedHead, error) {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return storedHead{}, err
	}
	rec, head, err := evidence.Begin(s.device, id, s.why, s.last, at)
	if err != nil {
		return storedHead{}, err
	}
	h := storedHead{Chain: head.Chain[:], Seq: head.Seq, Hash: head.Hash[:], First: head.Seq, Bytes: int64(len(rec))}
	return h, errors.Join(put(tx, keySchema, schemaVersion), put(tx, keyHead, h), tx.Put(journal.Evidence, seqKey(head.Seq), rec))
}

// commit makes a transition durable: the record (nil: unchanged), its evidence, and what also belongs to it.
//
// Crash: one journal transaction -> before: the old phase and no evidence of the new one; after: both.
func (s *store) commit(rec *life.Record, events []evidence.Event, ops ...life.Op) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var next storedHead
	at := s.stamp()
	err := s.j.Update(func(tx journal.Tx) (err error) {
		if next, err = s.chained(tx, at); err != nil {
			return err
		}
		if err := s.write(tx, rec, at, ops); err != nil || len(events) == 0 {
			return err
		}
		if next, err = s.record(tx, next, events, at); err != nil {
			return err
		}
		if err := s.prune(tx, &next); err != nil {
			return err
		}
		return put(tx, keyHead, next)
	})
	if err != nil {
		return fmt.Errorf("%w: %w", errDurable, err)
	}
	grown := next.Seq != s.head.Seq
	s.head = next
	if grown {
		s.nudge()
	}
	return nil
}

// nudge lets the reporter look.
func (s *store) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// chained is the head of the chain, which begins with the first commit.
func (s *store) chained(tx journal.Tx, at evidence.Stamp) (storedHead, error) {
	if len(s.head.Chain) == 16 {
		return s.head, nil
	}
	return s.chain(tx, at)
}

// record appends events to the chain.
func (s *store) record(tx journal.Tx, next storedHead, events []evidence.Event, at evidence.Stamp) (storedHead, error) {
	h := evidenceHead(next)
	for _, e := range events {
		b, after, err := h.Next(s.device, e, at)
		if err != nil {
			return next, err
		}
		if err := tx.Put(journal.Evidence, seqKey(after.Seq), b); err != nil {
			return next, err
		}
		h = after
		next.Bytes += int64(len(b))
	}
	next.Seq, next.Hash = h.Seq, h.Hash[:]
	return next, nil
}

// prune drops the oldest records while more bytes are held than the limit. What was dropped shows
// in the export as a beginning later than 1; the chain stays checkable from there.
func (s *store) prune(tx journal.Tx, h *storedHead) error {
	for h.Bytes > s.limit && h.First < h.Seq {
		k := seqKey(h.First)
		h.Bytes -= int64(len(tx.Get(journal.Evidence, k)))
		if err := tx.Delete(journal.Evidence, k); err != nil {
			return err
		}
		h.First++
	}
	return nil
}

func (s *store) lastSeq() storedHead {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head
}

// records calls fn with each record from seq on.
func (s *store) records(from uint64, fn func(seq uint64, rec []byte) bool) error {
	return s.j.View(func(tx journal.Tx) error {
		return tx.Scan(journal.Evidence, seqKey(from), func(k string, v []byte) bool {
			return fn(binary.BigEndian.Uint64([]byte(k)), v)
		})
	})
}

func (s *store) load(key string, v any) bool {
	ok := false
	err := s.j.View(func(tx journal.Tx) error { ok = get(tx, key, v); return nil })
	return ok && err == nil
}

func evidenceHead(s storedHead) evidence.Head {
	h := evidence.Head{Seq: s.Seq}
	copy(h.Chain[:], s.Chain)
	copy(h.Hash[:], s.Hash)
	return h
}

func seqKey(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }

func get(tx journal.Tx, key string, v any) bool {
	b := tx.Get(journal.State, key)
	return len(b) > 0 && cbor.Unmarshal(b, v) == nil
}

func put(tx journal.Tx, key string, v any) error {
	b, err := cbor.Marshal(v)
	if err != nil {
		return err
	}
	return tx.Put(journal.State, key, b)
}

// forget deletes every state key with the prefix.
func forget(tx journal.Tx, prefix string) error {
	var keys []string
	err := tx.Scan(journal.State, prefix, func(k string, _ []byte) bool {
		if len(k) < len(prefix) || k[:len(prefix)] != prefix {
			return false
		}
		keys = append(keys, k)
		return true
	})
	for _, k := range keys {
		err = errors.Join(err, tx.Delete(journal.State, k))
	}
	return err
}
