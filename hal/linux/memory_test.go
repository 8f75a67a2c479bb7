package linux_test

import (
	"os"
	"testing"

	"github.com/ratchet-ota/ratchet/hal/linux"
)

// TestReleaseText: a process that gives its program's pages back has less of them, and goes on.
func TestReleaseText(t *testing.T) {
	before := linux.Together(os.Getpid())
	if err := linux.ReleaseText(); err != nil {
		t.Fatal(err)
	}
	if after := linux.Together(os.Getpid()); before == 0 || after == 0 || after >= before {
		t.Errorf("%d bytes, before %d", after, before)
	}
}
