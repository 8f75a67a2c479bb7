package journal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/journal"
)

// BenchmarkTransition is what one phase costs: the record, two records of evidence, the head.
// TMPDIR chooses the medium.
func BenchmarkTransition(b *testing.B) {
	s, err := journal.OpenBolt(filepath.Join(b.TempDir(), "journal.db"), journal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	rss := memory()
	i := 0
	for b.Loop() {
		if err := s.Update(func(tx journal.Tx) error {
			for range 2 {
				i++
				if err := tx.Put(journal.Evidence, fmt.Sprintf("%08d", i), make([]byte, 350)); err != nil {
					return err
				}
				if err := tx.Delete(journal.Evidence, fmt.Sprintf("%08d", i-2000)); err != nil {
					return err
				}
			}
			return tx.Put(journal.State, "record", fmt.Append(nil, i, strings.Repeat("r", 200)))
		}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(memory()-rss), "KiB-RSS")
}

// memory is the resident memory of this process in KiB.
func memory() int {
	b, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	n := 0
	_, _ = fmt.Sscan(rest, &n)
	return n
}
