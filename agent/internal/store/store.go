// Package store is the agent's typed view of its journal: under which key each thing is kept, in which
// bytes and bounds, and the one transaction that makes a transition and its evidence durable together (I6).
//
// Everything outlives a power cut. What a transaction is to change is handed in as values (life.Op, and the
// ones of this package); nothing of the caller's is changed inside it, so that memory never leads the journal.
package store

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/fxamacker/cbor/v2"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// Store is the typed view of the journal. A commit holds a record and its evidence (I6).
// It may be used by several goroutines.
type Store struct {
	j      journal.Store
	device string
	limit  int64 // bytes of evidence kept
	stamp  func() evidence.Stamp

	mu   sync.Mutex
	head Head
	over bool           // the records that are held belong to a chain that ended
	why  reason.Reason  // why a new chain would begin
	last *evidence.Head // of the chain before
	wake chan struct{}  // evidence was added
}

// ErrDurable says that the journal did not take it, so that it has not happened.
var ErrDurable = errors.New("cannot write the journal")

// ErrSchema says that the journal was written by a version whose schema this one does not know.
var ErrSchema = errors.New("the journal was written by another version")

// Open reads where the chain of evidence ends. limit is how many bytes of evidence are kept.
// With ErrSchema the journal is another version's, and nothing of it may be read or written.
func Open(j journal.Store, device string, limit int64, stamp func() evidence.Stamp) (*Store, error) {
	s := &Store{j: j, device: device, limit: limit, stamp: stamp, wake: make(chan struct{}, 1)}
	err := j.View(func(tx journal.Tx) error {
		// Never discarded: the other slot's agent still reads it. Nor guessed: also not where the number itself
		// is in a form that this version does not know.
		var v uint64
		switch raw := tx.Get(journal.State, keySchema); {
		case len(raw) == 0:
		case cbor.Unmarshal(raw, &v) != nil:
			return fmt.Errorf("%w: its schema is not a number", ErrSchema)
		case v != schemaVersion:
			return fmt.Errorf("%w: schema %d, this version knows %d", ErrSchema, v, schemaVersion)
		}
		get(tx, keyHead, &s.head)
		return nil
	})
	return s, err
}

// Begin starts a chain when there is none: why says whether evidence was lost (I10). A journal that
// cannot be written now gets its chain with the first commit that it takes.
func (s *Store) Begin(why reason.Reason, last *evidence.Head) error {
	s.mu.Lock()
	s.why, s.last = why, last
	begun := len(s.head.Chain) == 16
	s.mu.Unlock()
	if begun {
		return nil
	}
	return s.Commit(nil, nil)
}

// Knows tells whether the chain has come as far as a head that was seen before, through that very record. A chain
// that began after the one of the head knows it too.
func (s *Store) Knows(h evidence.Head) bool {
	head := s.Head()
	ours := head.Evidence()
	if ours.Chain == h.Chain {
		if head.Seq <= h.Seq || h.Seq < head.First {
			return ours == h || head.Seq > h.Seq
		}
		same := false
		err := s.Records(h.Seq, func(seq uint64, rec []byte) bool {
			at, err := evidence.HeadOf(rec)
			same = err == nil && at == h
			return false
		})
		return err == nil && same
	}
	follows := false
	err := s.Records(1, func(seq uint64, rec []byte) bool {
		first, err := evidence.Decode(rec)
		follows = err == nil && seq == 1 && first.Last != nil && first.Last.Chain == h.Chain
		return false
	})
	return err == nil && follows
}

// End ends the chain that is there: the next commit begins another one. What is held of the old one is dropped with
// it, for the numbers begin again.
func (s *Store) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.head, s.over = Head{}, true
}

// chain puts the first record of a new chain.
func (s *Store) chain(tx journal.Tx, at evidence.Stamp) (Head, error) {
	if s.over {
		if err := s.drop(tx); err != nil {
			return Head{}, err
		}
	}
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return Head{}, err
	}
	rec, head, err := evidence.Begin(s.device, id, s.why, s.last, at)
	if err != nil {
		return Head{}, err
	}
	h := Head{Chain: head.Chain[:], Seq: head.Seq, Hash: head.Hash[:], First: head.Seq, Bytes: int64(len(rec))}
	return h, errors.Join(put(tx, keySchema, schemaVersion), put(tx, keyHead, h),
		tx.Put(journal.Evidence, seqKey(head.Seq), rec))
}

// drop drops the records of a chain that ended.
func (s *Store) drop(tx journal.Tx) error {
	var keys []string
	err := tx.Scan(journal.Evidence, "\x00", func(k string, _ []byte) bool { keys = append(keys, k); return true })
	for _, k := range keys {
		err = errors.Join(err, tx.Delete(journal.Evidence, k))
	}
	return errors.Join(err, tx.Delete(journal.State, keySent))
}

// Commit makes a transition durable: the record (nil: unchanged), its evidence, and what also belongs to it.
//
// Crash: one journal transaction -> before: the old phase and no evidence of the new one; after: both.
func (s *Store) Commit(rec *life.Record, events []evidence.Event, ops ...life.Op) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commit(rec, events, ops)
}

// commit is Commit for who holds the lock.
func (s *Store) commit(rec *life.Record, events []evidence.Event, ops []life.Op) error {
	var next Head
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
		return fmt.Errorf("%w: %w", ErrDurable, err)
	}
	grown := next.Seq != s.head.Seq
	s.head, s.over = next, false
	if grown {
		s.Nudge()
	}
	return nil
}

// Grown says that evidence was added, or that somebody asks for what is there to be sent.
func (s *Store) Grown() <-chan struct{} { return s.wake }

// Nudge lets the reporter look.
func (s *Store) Nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// chained is the head of the chain, which begins with the first commit.
func (s *Store) chained(tx journal.Tx, at evidence.Stamp) (Head, error) {
	if len(s.head.Chain) == 16 {
		return s.head, nil
	}
	return s.chain(tx, at)
}

// record appends events to the chain.
func (s *Store) record(tx journal.Tx, next Head, events []evidence.Event, at evidence.Stamp) (Head, error) {
	h := next.Evidence()
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
func (s *Store) prune(tx journal.Tx, h *Head) error {
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

// Head is the last record of evidence, and what is held of the chain.
func (s *Store) Head() Head {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head
}

// Records calls fn with each record from seq on.
func (s *Store) Records(from uint64, fn func(seq uint64, rec []byte) bool) error {
	return s.j.View(func(tx journal.Tx) error {
		return tx.Scan(journal.Evidence, seqKey(from), func(k string, v []byte) bool {
			return fn(binary.BigEndian.Uint64([]byte(k)), v)
		})
	})
}

// Free is how many bytes the journal can still take.
func (s *Store) Free() (int64, error) { return s.j.Free() }
