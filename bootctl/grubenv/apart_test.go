package grubenv_test

import (
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/grubenv"
	"github.com/ratchet-ota/ratchet/hal"
)

// TestNotOnASlot: metadata on a device that an update overwrites is refused, and nothing is written there.
func TestNotOnASlot(t *testing.T) {
	at := hal.DeviceID{Block: true, Major: 1}
	d := &boottest.Disk{}
	b, err := grubenv.New(d, grubenv.Options{Path: "/boot/grubenv", Locks: []string{}, Slots: []bootctl.Slot{"A", "B"},
		Parts: []string{"/dev/a"}, Locate: func(path string) (hal.Region, error) {
			if path == "/dev/a" {
				return hal.Region{Self: at, On: at}, nil
			}
			return hal.Region{FS: at}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.State(t.Context()); err == nil || !strings.Contains(err.Error(), "/dev/a, which is a slot") {
		t.Errorf("State: %v", err)
	}
	if err := b.Refresh(t.Context(), "A"); err == nil || d.Writes() > 0 {
		t.Errorf("Refresh: %v, %d writes", err, d.Writes())
	}
}
