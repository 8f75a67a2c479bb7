//go:build linux

package linux_test

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/hal/linux"
)

// TestFailedFlushStaysFailed: Linux tells of a failed flush once, and calls the lost pages clean. A second flush that
// succeeds says nothing of them, so that it must not be asked.
func TestFailedFlushStaysFailed(t *testing.T) {
	asked := 0
	f := linux.WithSync(nil, func() error {
		if asked++; asked == 2 {
			return unix.EIO
		}
		return nil
	})
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := f.Sync(); !errors.Is(err, unix.EIO) {
			t.Errorf("a flush after one that failed: %v", err)
		}
	}
	if asked != 2 {
		t.Errorf("the kernel was asked %d times", asked)
	}
}
