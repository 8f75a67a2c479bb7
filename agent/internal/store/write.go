package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// write applies the record and the operations of a commit.
func (s *Store) write(tx journal.Tx, rec *life.Record, at evidence.Stamp, ops []life.Op) error {
	if rec != nil {
		b, err := rec.Encode()
		if err != nil {
			return err
		}
		if err := tx.Put(journal.State, keyRecord, b); err != nil {
			return err
		}
		if rec.Phase == life.Idle { // 0.1's question is answered, see Read
			if err := tx.Delete(journal.State, keyJudge); err != nil {
				return err
			}
		}
	}
	for _, op := range ops {
		if err := s.apply(tx, at, op); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) apply(tx journal.Tx, at evidence.Stamp, op life.Op) error {
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
	case life.PutFloors:
		return putFloors(tx, op.Floors)
	case life.Bind:
		return bind(tx, op)
	case life.PutFinal:
		after := s.head.Seq
		if op.Next {
			after++
		}
		return setFinal(tx, op.Digest, after, op.Why)
	case life.DropFinal:
		return tx.Delete(journal.State, prefixFinal+op.Digest)
	case life.PutBarred:
		return putOr(tx, keyBarred, op.Barred, op.Barred.Digest != "")
	case life.PutWear:
		return putOr(tx, keyWear, op.Wear, op.Wear > 0)
	case life.PutCounter:
		return put(tx, keyCounter, op.Origin)
	case life.PutSeen:
		return put(tx, keyGarbage, op.Seen)
	case life.PutApproved:
		return put(tx, keyApproved, op.Digest)
	case life.DropBlame:
		return dropBlame(tx)
	case life.DropPermit:
		return tx.Delete(journal.State, keyPermit)
	case life.DropCheckpoints:
		return forget(tx, prefixCheck)
	case PutDocument:
		return putRaw(tx, string(op.Name), op.Body)
	case PutRoot:
		return tx.Put(journal.State, prefixRoot+seqKey(op.Version), op.Body)
	case PutBundle:
		return errors.Join(putRaw(tx, keyRoot, op.Body), forget(tx, prefixRoot))
	case PutNewest:
		return put(tx, keyNewest, storedNewest(op))
	case PutAlarms:
		return putOr(tx, keyAlarms, op.Marks, len(op.Marks) > 0)
	case PutChallenge:
		return putOr(tx, keyChallenge, op.Text, op.Text != "")
	case PutPermit:
		return put(tx, keyPermit, op.Permit)
	case PutCheckpoint:
		return put(tx, prefixCheck+op.Component, op.Checkpoint)
	case PutSent:
		return put(tx, keySent, op.Seq)
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

// dropBlame deletes the final verdicts that hold because an image is quarantined.
func dropBlame(tx journal.Tx) error {
	var keys []string
	err := tx.Scan(journal.State, prefixFinal, func(k string, b []byte) bool {
		if len(k) < len(prefixFinal) || k[:len(prefixFinal)] != prefixFinal {
			return false
		}
		var v storedVerdict
		_ = cbor.Unmarshal(b, &v)
		if v.Reason == reason.Quarantined || v.Reason.Info().Blame != reason.NotImage {
			keys = append(keys, k)
		}
		return true
	})
	for _, k := range keys {
		err = errors.Join(err, tx.Delete(journal.State, k))
	}
	return err
}
