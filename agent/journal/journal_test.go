package journal_test

import (
	"path/filepath"
	"testing"

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
