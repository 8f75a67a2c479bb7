package store_test

import (
	"errors"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/life"
)

func stamp() evidence.Stamp { return evidence.Stamp{Quality: "unknown"} }

// full is a journal that takes nothing while it is full.
type full struct {
	journal.Store
	on bool
}

func (f *full) Update(fn func(journal.Tx) error) error {
	if f.on {
		return errors.New("no space")
	}
	return f.Store.Update(fn)
}

// TestRecordsAskedForAgain: where the desk asks for records again while they are handed over, its word stands.
func TestRecordsAskedForAgain(t *testing.T) {
	s, err := store.Open(journal.NewMemory(), "dev-1", 1<<20, stamp)
	if err != nil {
		t.Fatal(err)
	}
	if next, err := s.NoteSent(0, 5); err != nil || next != 5 || s.Sent() != 5 {
		t.Errorf("next %d, sent %d, %v", next, s.Sent(), err)
	}
	if err := s.Commit(nil, nil, store.PutSent{Seq: 2}); err != nil {
		t.Fatal(err)
	}
	if next, err := s.NoteSent(5, 9); err != nil || next != 2 || s.Sent() != 2 {
		t.Errorf("next %d, sent %d, %v", next, s.Sent(), err)
	}
}

// TestCommitIsWholeOrNothing: a record, its evidence and the rest go together (I6), and the head in memory does
// not lead the journal.
func TestCommitIsWholeOrNothing(t *testing.T) {
	j := &full{Store: journal.NewMemory()}
	s, err := store.Open(j, "dev-1", 1<<20, stamp)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Begin("", nil); err != nil {
		t.Fatal(err)
	}
	before := s.Head().Seq
	rec := life.Record{Phase: life.Writing, Target: "B", Digest: "sha256:00"}
	commit := func() error {
		return s.Commit(&rec, []evidence.Event{{Kind: evidence.KindPhase, From: "preparing", To: "writing"}},
			store.PutDocument{Name: store.Envelope, Body: []byte("x")})
	}
	j.on = true
	if err := commit(); !errors.Is(err, store.ErrDurable) || s.Head().Seq != before ||
		s.Document(store.Envelope) != nil {
		t.Errorf("the full journal: %v, head %d after %d", err, s.Head().Seq, before)
	}
	j.on = false
	if err := commit(); err != nil {
		t.Fatal(err)
	}
	again, err := store.Open(j, "dev-1", 1<<20, stamp)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := again.Read(life.Device{})
	if err != nil || stored.Rec.Phase != life.Writing || again.Head().Seq != before+1 ||
		string(again.Document(store.Envelope)) != "x" {
		t.Errorf("after a restart: %+v, head %d, %v", stored.Rec, again.Head().Seq, err)
	}
}
