package store

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

func (s *Store) load(key string, v any) bool {
	ok := false
	err := s.j.View(func(tx journal.Tx) error { ok = get(tx, key, v); return nil })
	return ok && err == nil
}

// Read is what the journal holds of the machine's state. An error means that the record was written by
// another version: it stays as it is.
func (s *Store) Read(dev life.Device) (life.Stored, error) {
	out := life.Stored{Rec: life.Record{Phase: life.Idle}}
	var open struct {
		Digest string `cbor:"1,keyasint"`
	}
	judged := false
	err := s.j.View(func(tx journal.Tx) (err error) {
		var w storedOffer
		if get(tx, keyWaiting, &w) {
			out.Waiting = w.waiting()
		}
		get(tx, keyWear, &out.Wear)
		get(tx, keyBarred, &out.Barred)
		get(tx, keyCounter, &out.Counter)
		get(tx, keyGarbage, &out.Seen)
		for i, name := range dev.Slots {
			get(tx, prefixSlot+string(name), &out.Slots[i])
		}
		out.Floors = readFloors(tx, dev.Parts, out.Slots)
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
		if err != nil {
			return err
		}
		out.Rec = rec
		judged = get(tx, keyJudge, &open) && open.Digest == rec.Digest && rec.Phase == life.Reverting
		return nil
	})
	out.Open()
	if judged { // what 0.1 left open is answered so
		out.Rec.Ext.Cause, out.Budget.Broker = reason.HealthUnreachable, true
	}
	return out, err
}

// Content is what a slot is known to hold.
func (s *Store) Content(name bootctl.Slot) (c life.Content, ok bool) {
	ok = s.load(prefixSlot+string(name), &c)
	return c, ok
}

// Outcome is how the last update that was begun has ended.
func (s *Store) Outcome() (o Outcome, ok bool) {
	ok = s.load(keyOutcome, &o)
	return o, ok
}

// Noted is what became of the newest offer that was not taken, until an update begins.
func (s *Store) Noted() (o Outcome, ok bool) {
	ok = s.load(keyOffer, &o)
	return o, ok
}

// Waiting is the offer that waits.
func (s *Store) Waiting() (life.Waiting, bool) {
	var w storedOffer
	ok := s.load(keyWaiting, &w)
	return w.waiting(), ok
}

// Verdict is the final verdict on a manifest digest.
func (s *Store) Verdict(digest string) (reason.Reason, bool) {
	var v storedVerdict
	ok := s.load(prefixFinal+digest, &v)
	return v.Reason, ok
}

// Approved is the manifest digest that a person approved, "" for none.
func (s *Store) Approved() (digest string) {
	s.load(keyApproved, &digest)
	return digest
}

// Document is a document as it was received; nil when there is none.
func (s *Store) Document(name Document) []byte {
	var b []byte
	_ = s.j.View(func(tx journal.Tx) error { b = append(b, tx.Get(journal.State, string(name))...); return nil })
	return b
}

// Roots are the versions of the root that came by themselves, in their order.
func (s *Store) Roots() (all []OneRoot) {
	_ = s.j.View(func(tx journal.Tx) error {
		return tx.Scan(journal.State, prefixRoot, func(k string, v []byte) bool {
			rest, ok := strings.CutPrefix(k, prefixRoot)
			if ok && len(rest) == 8 {
				all = append(all, OneRoot{binary.BigEndian.Uint64([]byte(rest)), bytes.Clone(v)})
			}
			return ok
		})
	})
	return all
}

// Newest is the newest root that was ever verified here: the name of its chain, and its version.
func (s *Store) Newest() (name string, version uint64) {
	var n storedNewest
	s.load(keyNewest, &n)
	return n.Name, n.Version
}

// Alarms are the stored documents that are on record as void.
func (s *Store) Alarms() (marks []string) {
	s.load(keyAlarms, &marks)
	return marks
}

// Challenge is the challenge that is open.
func (s *Store) Challenge() (text string, ok bool) {
	ok = s.load(keyChallenge, &text)
	return text, ok
}

// Permit is the permit that is not used up yet.
func (s *Store) Permit() (p Permit, ok bool) {
	ok = s.load(keyPermit, &p)
	return p, ok
}

// Checkpoint is how far a component was written last.
func (s *Store) Checkpoint(component string) (c Checkpoint, ok bool) {
	ok = s.load(prefixCheck+component, &c)
	return c, ok
}

// Sent is the sequence number up to which evidence was handed over.
func (s *Store) Sent() (seq uint64) {
	s.load(keySent, &seq)
	return seq
}

// NoteSent notes how far evidence was handed over, where it was noted up to noted before. It returns where
// sending goes on behind: when somebody has asked for records again meanwhile, their word stands.
func (s *Store) NoteSent(noted, sent uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if asked := s.Sent(); asked != noted {
		return asked, nil
	}
	return sent, s.commit(nil, nil, []life.Op{PutSent{sent}})
}
