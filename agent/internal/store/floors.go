package store

import (
	"errors"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/life"
)

// oneFloor is the floor of an agent of the version before: one number for all components.
type oneFloor struct {
	Sequence uint64 `cbor:"1,keyasint"`
	Digest   string `cbor:"2,keyasint"`
}

// putFloors keeps the floors, and the highest of them for an agent of the version before, which knows
// one for all. The highest is the only value under which that agent takes nothing that any component's
// floor forbids. What it costs: that agent refuses a release of a component whose numbers are lower,
// until it is updated by one with a higher number or by a permit. The lowest would let it take back
// every release of the other components.
func putFloors(tx journal.Tx, f life.Floors) error {
	top := f.Highest()
	return errors.Join(put(tx, keyFloors, f), put(tx, keyFloor, oneFloor{top.Sequence, top.Digest}))
}

// readFloors is what was confirmed, by whichever agent: what this one has written, raised by what an
// agent of the version before has confirmed since, or alone where there has never been another. That one
// says a single number. The record of the slot tells which components it was for; where there is none, it
// counts for each.
func readFloors(tx journal.Tx, parts []string, held [2]life.Content) life.Floors {
	var f life.Floors
	var one oneFloor
	ours := get(tx, keyFloors, &f)
	if !get(tx, keyFloor, &one) || ours && one.Sequence <= f.Highest().Sequence {
		return f
	}
	found := false
	for n, c := range held {
		if !c.Confirmed || c.Sequence > one.Sequence {
			continue
		}
		for _, i := range c.Images {
			if _, twice := held[1-n].Holds(i); twice && held[1-n].Sequence < c.Sequence {
				continue // it was carried over, which that agent does not know; the other slot has its number
			}
			seq, m := i.Of(c.Sequence, c.Manifest)
			f = f.Raised(life.Floor{Component: i.Component, Sequence: seq, Digest: m})
			found = found || seq == one.Sequence
		}
	}
	if found && ours {
		return f
	}
	for _, c := range parts {
		f = f.Raised(life.Floor{Component: c, Sequence: one.Sequence, Digest: one.Digest})
	}
	return f
}

// bind remembers under which sequence a manifest was confirmed for components; of each, the lowest
// sequence is dropped.
func bind(tx journal.Tx, op life.Bind) error {
	var err error
	for _, c := range op.Components {
		err = errors.Join(err, keepHighest(tx, bindOf(c)), put(tx, bindOf(c)+seqKey(op.Sequence), op.Digest))
	}
	return errors.Join(err, keepHighest(tx, prefixBound), put(tx, prefixBound+seqKey(op.Sequence), op.Digest))
}

func bindOf(component string) string { return prefixBind + component + "/" }

// keepHighest makes room for one more number behind a prefix. Where the prefix is the beginning of another
// component's, the length of the key tells them apart.
func keepHighest(tx journal.Tx, prefix string) error {
	first, n := "", 0
	err := tx.Scan(journal.State, prefix, func(k string, _ []byte) bool {
		if !strings.HasPrefix(k, prefix) {
			return false
		}
		if len(k) != len(prefix)+8 {
			return true
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
	return err
}

// Floors are the highest confirmed sequence numbers of a device with these slots and components.
func (s *Store) Floors(dev life.Device) life.Floors {
	stored, _ := s.Read(dev) // what another version's record says has no floor in it
	return stored.Floors
}

// Bound is the manifest digest that was confirmed for a component under a sequence. What an agent of the
// version before confirmed holds for every component: it does not say for which.
func (s *Store) Bound(component string, seq uint64) (digest string, ok bool) {
	err := s.j.View(func(tx journal.Tx) error {
		if ok = get(tx, bindOf(component)+seqKey(seq), &digest); ok {
			return nil
		}
		if ok = get(tx, prefixBound+seqKey(seq), &digest); !ok {
			return nil
		}
		return tx.Scan(journal.State, prefixBind, func(k string, _ []byte) bool {
			if !strings.HasPrefix(k, prefixBind) {
				return false
			}
			var d string
			if strings.HasSuffix(k, seqKey(seq)) && get(tx, k, &d) && d == digest {
				ok = false // it was this agent, and for another component
			}
			return ok
		})
	})
	return digest, ok && err == nil
}
