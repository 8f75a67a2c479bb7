package journal_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/journal/journaltest"
)

func TestBolt(t *testing.T) {
	journaltest.Run(t, true, func(t *testing.T) func() journal.Store {
		path := filepath.Join(scratch(t), "journal.db")
		return func() journal.Store {
			s, err := journal.OpenBolt(path, journal.Options{Size: journal.MinSize})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	})
}

func TestMemory(t *testing.T) {
	journaltest.Run(t, true, func(t *testing.T) func() journal.Store {
		m := journal.NewMemory().(*journal.Memory)
		m.SetLimit(128 << 10)
		return func() journal.Store { m = m.Clone(); return m }
	})
}

// TestSlowReader: the pages that a View sees cannot be reused. A commit that needs them waits for
// the View rather than to fail.
func TestSlowReader(t *testing.T) {
	s := open(t, filepath.Join(scratch(t), "journal.db"), journal.MinSize)
	defer s.Close()
	for n := range 20 {
		if err := commit(s, n); err != nil {
			t.Fatal(err)
		}
	}
	reading, read := make(chan struct{}), make(chan error)
	go func() {
		read <- s.View(func(tx journal.Tx) error {
			close(reading)
			time.Sleep(150 * time.Millisecond)
			if got := string(tx.Get(journal.State, "record")); got != "19" {
				return fmt.Errorf("the state changed under a View: record %s", got)
			}
			return nil
		})
	}()
	<-reading
	for n := 20; n < 60; n++ {
		if err := commit(s, n); err != nil {
			t.Fatalf("commit %d beside a slow View: %v", n, err)
		}
	}
	if err := <-read; err != nil {
		t.Error(err)
	}
}
