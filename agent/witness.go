package agent

import (
	"slices"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/life"
)

// lasting tells whether the journal is one that outlives the process, and its own.
func (a *Agent) lasting() bool { return a.o.Journal != nil && !a.foreign }

// seen lets everything leave that is durable now, and returns how far that is. With an error it is as far as it was
// before. It may be called from any goroutine.
//
// Crash: before the file -> nothing newer has left; after, before it leaves -> the next start goes on behind it.
// The other order would let a journal that has gone back sign other records under numbers that the desk has.
func (a *Agent) seen() (evidence.Head, error) {
	head := a.st.Head().Evidence()
	if !a.lasting() || head.Seq == 0 { // a chain of this process alone cannot go back
		return head, nil
	}
	name, newest := a.st.Newest()
	err := a.w.Note(head, name, newest, a.st.Floors(a.dev))
	if err == nil {
		return head, nil
	}
	if last := a.w.Head(); last != nil && last.Chain == head.Chain {
		return *last, errorf("cannot note how far evidence may leave: %w", err)
	}
	return evidence.Head{}, errorf("cannot note how far evidence may leave: %w", err)
}

// goneBack looks whether the journal is behind what others have seen: then its chain ends, since going on would fork
// it. The floors that were known count in any case.
func (a *Agent) goneBack(stored *life.Stored) (behind bool) {
	if !a.lasting() {
		return false
	}
	for _, f := range a.w.Floors() {
		if stored.Floors.Of(f.Component).Sequence < f.Sequence {
			stored.Floors = stored.Floors.Raised(f)
		}
	}
	if a.st.Head().Seq == 0 {
		return false // it is lost, or a first one: a new chain begins anyway
	}
	known := a.lastHead()
	if known == nil || a.st.Knows(*known) {
		return false
	}
	a.log.Error("the journal has gone back behind what was known of it; a new chain of evidence begins",
		"seen", known.Seq, "journal", a.st.Head().Seq)
	a.st.End()
	return true
}

// lastHead is the newest head that is known apart from the journal: of what may have left, or, where that is of the
// same chain and newer, or not known, of when the quarantine file was written. nil: none.
func (a *Agent) lastHead() *evidence.Head {
	seen, other := a.w.Head(), a.q.LastHead()
	if seen == nil || other != nil && other.Chain == seen.Chain && other.Seq > seen.Seq {
		return other
	}
	return seen
}

// usePermit notes apart from the journal that a permit is used up.
//
// Crash: before the commit that drops the permit -> it is void, and the update that it allowed is not armed by it any
// more; after -> both say so. The other order would permit twice when the journal goes back by that commit.
func (a *Agent) usePermit(ops []life.Op) {
	if !slices.Contains(ops, life.Op(life.DropPermit{})) || !a.lasting() {
		return
	}
	if p, ok := a.st.Permit(); ok {
		if err := a.w.Use(p.Challenge); err != nil {
			a.fail("cannot note that the permit is used", err)
		}
	}
}
