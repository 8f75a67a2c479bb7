package agent

import (
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// What this file knows is how the machine's words are written down: which key, which bytes, which bounds.

// putBytes keeps a value under a key as it was received; none deletes it.
type putBytes struct {
	key   string
	value []byte
}

func (putBytes) Operation() {}

// putValue keeps a CBOR value under a key.
type putValue struct {
	key   string
	value any
}

func (putValue) Operation() {}

// putSent notes how far evidence was handed over, unless the desk asked for records again meanwhile: then
// its word stands, and now is where it wants them from.
type putSent struct {
	sent, noted uint64
	now         *uint64
}

func (putSent) Operation() {}

func (p putSent) put(tx journal.Tx) error {
	var asked uint64
	if get(tx, keySent, &asked); asked != p.noted {
		*p.now = asked
		return nil
	}
	return put(tx, keySent, p.sent)
}

// write applies the record and the operations of a commit.
func (s *store) write(tx journal.Tx, rec *life.Record, at evidence.Stamp, ops []life.Op) error {
	if rec != nil {
		b, err := rec.Encode()
		if err != nil {
			return err
		}
		if err := tx.Put(journal.State, keyRecord, b); err != nil {
			return err
		}
	}
	for _, op := range ops {
		if err := s.apply(tx, at, op); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) apply(tx journal.Tx, at evidence.Stamp, op life.Op) error {
	switch op := op.(type) {
	case life.PutWaiting:
		return putOr(tx, keyWaiting, waitingOf(op.Waiting), op.Waiting.Digest != "")
	case life.PutEnvelope:
		return putRaw(tx, keyEnvelope, op.Envelope)
	case life.PutOutcome:
		return put(tx, keyOutcome, outcomeOf(op.Ending, at))
	case life.PutNoted:
		if op.Ending == nil {
			return tx.Delete(journal.State, keyOffer)
		}
		return put(tx, keyOffer, outcomeOf(*op.Ending, at))
	case life.PutContent:
		return putOr(tx, prefixSlot+string(op.Slot), op.Content, op.Content != nil)
	case life.PutFloor:
		return put(tx, keyFloor, op.Floor)
	case life.Bind:
		return bind(tx, op.Sequence, op.Digest)
	case life.PutFinal:
		after := s.head.Seq
		if op.Next {
			after++
		}
		return setFinal(tx, op.Digest, after, op.Why)
	case life.DropFinal:
		return tx.Delete(journal.State, prefixFinal+op.Digest)
	case life.PutJudge:
		return putOr(tx, keyJudge, op.Judge, op.Judge.Digest != "")
	case life.PutCounter:
		return put(tx, keyCounter, op.Origin)
	case life.PutSeen:
		return put(tx, keyGarbage, op.Seen)
	case life.PutApproved:
		return put(tx, keyApproved, op.Digest)
	case life.DropPermit:
		return tx.Delete(journal.State, keyPermit)
	case life.DropCheckpoints:
		return forget(tx, prefixCheck)
	case putBytes:
		return putRaw(tx, op.key, op.value)
	case putSent:
		return op.put(tx)
	case putValue:
		return put(tx, op.key, op.value)
	}
	return fmt.Errorf("internal error: no such operation %T", op)
}

func putOr(tx journal.Tx, key string, v any, keep bool) error {
	if !keep {
		return tx.Delete(journal.State, key)
	}
	return put(tx, key, v)
}

func putRaw(tx journal.Tx, key string, b []byte) error {
	if len(b) == 0 {
		return tx.Delete(journal.State, key)
	}
	return tx.Put(journal.State, key, b)
}

func waitingOf(w life.Waiting) storedOffer {
	b := w.Budget
	return storedOffer{Envelope: w.Envelope, Digest: w.Digest, Sequence: w.Sequence, Reason: w.Reason, Said: w.Said, Rules: w.Rules,
		Failures: b.Failures, Costly: b.Costly, Broker: b.Broker, Fell: b.Fell, Reverts: b.Reverts}
}

func (o storedOffer) waiting() life.Waiting {
	return life.Waiting{Envelope: o.Envelope, Digest: o.Digest, Sequence: o.Sequence, Reason: o.Reason, Said: o.Said, Rules: o.Rules,
		Budget: life.Budget{Digest: o.Digest, Failures: o.Failures, Costly: o.Costly, Broker: o.Broker, Fell: o.Fell, Reverts: o.Reverts}}
}

func outcomeOf(e life.Ending, at evidence.Stamp) Outcome {
	return Outcome{Result: e.Result, Reason: e.Reason, Detail: e.Detail, Sequence: e.Sequence, Manifest: e.Manifest, Slot: e.Slot,
		Version: e.Version, Wall: at.Wall, Quality: at.Quality}
}

// read is what the journal holds of the machine's state. An error means that the record was written by
// another version: it stays as it is.
func (s *store) read(dev life.Device) (life.Stored, error) {
	out := life.Stored{Rec: life.Record{Phase: life.Idle}}
	err := s.j.View(func(tx journal.Tx) (err error) {
		var w storedOffer
		if get(tx, keyWaiting, &w) {
			out.Waiting = w.waiting()
		}
		get(tx, keyJudge, &out.Judge)
		get(tx, keyFloor, &out.Floor)
		get(tx, keyCounter, &out.Counter)
		get(tx, keyGarbage, &out.Seen)
		for i, name := range dev.Slots {
			get(tx, prefixSlot+string(name), &out.Slots[i])
		}
		var o Outcome
		if get(tx, keyOffer, &o) {
			out.Noted = o.Reason
		}
		raw := tx.Get(journal.State, keyRecord)
		if len(raw) == 0 {
			return nil
		}
		out.Have = true
		rec, err := life.DecodeRecord(raw)
		if err == nil {
			out.Rec = rec
		}
		return err
	})
	out.Open()
	return out, err
}

// content is what a slot is known to hold.
func (s *store) content(name bootctl.Slot) (c life.Content, ok bool) {
	ok = s.load(prefixSlot+string(name), &c)
	return c, ok
}

// bind remembers under which sequence a digest was confirmed; the lowest sequence is dropped.
func bind(tx journal.Tx, seq uint64, digest string) error {
	first, n := "", 0
	err := tx.Scan(journal.State, prefixBound, func(k string, _ []byte) bool {
		if len(k) < len(prefixBound) || k[:len(prefixBound)] != prefixBound {
			return false
		}
		if n == 0 {
			first = k
		}
		n++
		return true
	})
	if err == nil && n >= maxBound {
		err = tx.Delete(journal.State, first)
	}
	return errors.Join(err, put(tx, prefixBound+seqKey(seq), digest))
}

// setFinal remembers a final verdict; the oldest is dropped.
func setFinal(tx journal.Tx, digest string, at uint64, why reason.Reason) error {
	oldest, n := "", 0
	low := uint64(0)
	err := tx.Scan(journal.State, prefixFinal, func(k string, v []byte) bool {
		if len(k) < len(prefixFinal) || k[:len(prefixFinal)] != prefixFinal {
			return false
		}
		var d storedVerdict
		_ = cbor.Unmarshal(v, &d)
		if n == 0 || d.At < low {
			oldest, low = k, d.At
		}
		n++
		return true
	})
	if err == nil && n >= maxFinals {
		err = tx.Delete(journal.State, oldest)
	}
	return errors.Join(err, put(tx, prefixFinal+digest, storedVerdict{At: at, Reason: why}))
}
