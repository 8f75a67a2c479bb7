// Package export verifies evidence as it leaves a device: a sequence of signed records (RFC 8742), of
// one or more chains. It is for whoever holds the device's public key: the desk, the server, the lab.
// A device makes and signs its records with package evidence, and never reads an export.
//
// Nothing is kept here, and memory is bounded whatever comes.
package export

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// Bounds of what a Summary keeps; what is beyond is counted.
const (
	maxChains  = 1024
	maxGaps    = 256
	maxReasons = 256
)

// What can be wrong with an export, besides evidence.ErrMalformed and the sentinels of package trust.
var (
	// ErrForged: a record does not name the record before it: one of them was replaced.
	ErrForged = errors.New("record does not continue the chain")
	// ErrForked: two different records have the same number. One history was rewritten.
	ErrForked = errors.New("two different records have the same number")
	// ErrOrder: a record stands where an earlier one was expected. Exports are sorted.
	ErrOrder = errors.New("records are not in order")
	// ErrDevice: a record is of another device, or was signed by another key, than those before.
	ErrDevice = errors.New("record is of another device or key")
	// ErrEmpty: there is no record. Nothing was verified.
	ErrEmpty = errors.New("no record")
)

// BreakError says where an export cannot be believed any further.
type BreakError struct {
	Chain  [16]byte // of the last good record, zero when there is none
	Seq    uint64   // of the last good record
	Offset int64    // byte in the export at which the bad record begins
	Err    error
}

func (e *BreakError) Error() string {
	where := "at the first record"
	if e.Seq > 0 {
		where = fmt.Sprintf("after record %d of chain %s", e.Seq, hex.EncodeToString(e.Chain[:4]))
	}
	return fmt.Sprintf("cannot verify evidence: breaks %s, at byte %d: %v", where, e.Offset, e.Err)
}

func (e *BreakError) Unwrap() error { return e.Err }

// Gap is a run of records, From and To included, that the export does not hold.
type Gap struct{ From, To uint64 }

// Chain is one chain of an export.
type Chain struct {
	ID      [16]byte
	Why     reason.Reason // why it began, known when First is 1
	First   uint64        // first record in the export; when it is not 1, the beginning was pruned
	Last    uint64        // last record in the export
	Head    evidence.Head // of the last record
	Records int
	Gaps    []Gap  // in order
	Missing uint64 // records in all gaps, those beyond the kept ones too
	// Known is the head of the chain before that the device still knew when this one began, nil when
	// it knew none. Forgot is how many records of the chain before it no longer knew.
	Known  *evidence.Head
	Forgot uint64
}

// Summary is what Verify found.
type Summary struct {
	Device     string
	Signer     string // id of the key
	Records    int
	Duplicates int // the same record again: harmless, evidence is sent at least once
	Bytes      int64
	Chains     []Chain // in order
	Reasons    map[reason.Reason]int
}

// Missing is the number of records known to be missing: in gaps, and before a beginning that was
// pruned.
func (s Summary) Missing() uint64 {
	n := uint64(0)
	for _, c := range s.Chains {
		n += c.Missing + c.First - 1
	}
	return n
}

// Verify reads an export as a stream, in bounded memory, and checks every record: that it is
// signed by one of keys, the same for all, that all are of one device, and that each continues its
// chain. fn, when not nil, gets every good record once, in order; its error ends the reading and is
// returned as it is.
//
// A beginning that was pruned, gaps and a new chain are no error: the Summary says them. Anything
// that was altered is a *BreakError, which wraps one of the sentinels; the Summary then covers what
// is good before it. An error of r is returned as a BreakError too.
func Verify(r io.Reader, keys trust.Keys, fn func(evidence.Record) error) (Summary, error) {
	v := verifier{keys: keys, in: bufio.NewReaderSize(r, evidence.MaxSigned), chains: map[[16]byte]bool{}}
	v.s.Reasons = map[reason.Reason]int{}
	for {
		rec, err := v.next()
		if err == io.EOF {
			return v.s, nil
		}
		if err != nil {
			b := &BreakError{Offset: v.s.Bytes, Err: err}
			if c := v.chain(); c != nil {
				b.Chain, b.Seq = c.ID, c.Last
			}
			return v.s, b
		}
		if rec != nil && fn != nil {
			if err := fn(*rec); err != nil {
				return v.s, err
			}
		}
	}
}

type verifier struct {
	keys   trust.Keys
	in     *bufio.Reader
	chains map[[16]byte]bool
	s      Summary
}

func (v *verifier) chain() *Chain {
	if len(v.s.Chains) == 0 {
		return nil
	}
	return &v.s.Chains[len(v.s.Chains)-1]
}

// next verifies one item: a record, nil for a duplicate, io.EOF at the end.
func (v *verifier) next() (*evidence.Record, error) {
	item, err := v.item()
	if err != nil {
		return nil, err
	}
	rec, h, signer, err := evidence.Verify(item, v.keys)
	if err != nil {
		return nil, err
	}
	if v.s.Records == 0 {
		v.s.Device, v.s.Signer = rec.Device, signer
	}
	if rec.Device != v.s.Device || signer != v.s.Signer {
		return nil, fmt.Errorf("%w: %s, key %s, before it %s, key %s",
			ErrDevice, rec.Device, signer, v.s.Device, v.s.Signer)
	}
	again, err := v.link(rec, h)
	if err != nil {
		return nil, err
	}
	v.s.Bytes += int64(len(item))
	_, _ = v.in.Discard(len(item)) // it is in the buffer
	if again {
		v.s.Duplicates++
		return nil, nil
	}
	v.s.Records++
	c := v.chain()
	c.Records++
	c.Last, c.Head = rec.Seq, h
	if _, ok := v.s.Reasons[rec.Reason]; rec.Reason != reason.None && (ok || len(v.s.Reasons) < maxReasons) {
		v.s.Reasons[rec.Reason]++
	}
	return &rec, nil
}

// item returns the next CBOR item without taking it out of the buffer.
func (v *verifier) item() ([]byte, error) {
	b, err := v.in.Peek(evidence.MaxSigned)
	if len(b) == 0 {
		if err == io.EOF && v.s.Records == 0 {
			err = ErrEmpty
		}
		return nil, err
	}
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch item, derr := evidence.First(b); {
	case derr == nil:
		return item, nil
	case !errors.Is(derr, io.ErrUnexpectedEOF):
		return nil, derr
	case err == io.EOF:
		return nil, fmt.Errorf("%w: the export ends within a record", evidence.ErrMalformed)
	}
	return nil, fmt.Errorf("%w: more than %d bytes", evidence.ErrMalformed, evidence.MaxSigned)
}

// link checks that a record is the one that may follow, and opens its chain.
func (v *verifier) link(rec evidence.Record, h evidence.Head) (again bool, err error) {
	c := v.chain()
	if c == nil || c.ID != rec.Chain {
		return false, v.open(rec)
	}
	switch {
	case rec.Seq == c.Last && h.Hash == c.Head.Hash:
		return true, nil
	case rec.Seq == c.Last:
		return false, fmt.Errorf("%w: %d", ErrForked, rec.Seq)
	case rec.Seq < c.Last:
		return false, fmt.Errorf("%w: %d after %d", ErrOrder, rec.Seq, c.Last)
	case rec.Seq > c.Last+1:
		c.gap(c.Last+1, rec.Seq-1)
	case !bytes.Equal(rec.Prev[:], c.Head.Hash[:]):
		return false, fmt.Errorf("%w: record %d", ErrForged, rec.Seq)
	}
	return false, nil
}

func (c *Chain) gap(from, to uint64) {
	c.Missing += to - from + 1
	if len(c.Gaps) < maxGaps {
		c.Gaps = append(c.Gaps, Gap{from, to})
	}
}

// open begins a chain, and compares what the device knew of the one before with what is here.
func (v *verifier) open(rec evidence.Record) error {
	if v.chains[rec.Chain] {
		return fmt.Errorf("%w: back to chain %s", ErrOrder, hex.EncodeToString(rec.Chain[:4]))
	}
	if len(v.chains) == maxChains {
		return fmt.Errorf("%w: more than %d chains", evidence.ErrMalformed, maxChains)
	}
	next := Chain{ID: rec.Chain, First: rec.Seq, Known: rec.Last}
	if rec.Seq == 1 {
		next.Why = rec.Reason
	}
	if before, last := v.chain(), rec.Last; before != nil && last != nil && last.Chain == before.ID {
		switch {
		case last.Seq == before.Last && last.Hash != before.Head.Hash:
			return fmt.Errorf("%w: %d, as the next chain knows it", ErrForked, last.Seq)
		case last.Seq > before.Last:
			before.gap(before.Last+1, last.Seq)
		default:
			next.Forgot = before.Last - last.Seq
		}
	}
	v.chains[rec.Chain] = true
	v.s.Chains = append(v.s.Chains, next)
	return nil
}
