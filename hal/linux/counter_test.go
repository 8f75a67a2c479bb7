//go:build linux

package linux_test

import (
	"path/filepath"
	"testing"

	"github.com/ratchet-ota/ratchet/hal/linux"
)

// TestFileCounterNeverFalls: what was raised stays, whatever is asked for later.
func TestFileCounterNeverFalls(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counter")
	for _, to := range []uint64{7, 3, 0, 7, 6} {
		if err := linux.NewFileCounter(linux.FS{}, path).Raise(t.Context(), to); err != nil {
			t.Fatal(err)
		}
		if n, err := linux.NewFileCounter(linux.FS{}, path).Read(t.Context()); n != 7 || err != nil {
			t.Errorf("raised to 7 and then to %d: %d, %v", to, n, err)
		}
	}
}
