package grubenv_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
)

// TestCaptured reads blocks that grub-editenv and GRUB's save_env wrote (testdata/boot/README).
func TestCaptured(t *testing.T) {
	for _, c := range []struct {
		file string
		next bootctl.Slot
		b    bootctl.SlotState
	}{
		{"grubenv-grub-editenv-2.06", "B", bootctl.SlotState{Bootable: true, Tries: 1}},
		{"grubenv-save_env-2.06", "A", bootctl.SlotState{Exhausted: true}},
	} {
		raw, err := os.ReadFile(filepath.Join("../../testdata/boot", c.file))
		if err != nil {
			t.Fatal(err)
		}
		d := &boottest.Disk{}
		d.Put(file, raw)
		s, err := machines[0].backend(t, d).State(t.Context())
		if err != nil || s.Next != c.next || s.Slots["B"] != c.b || !s.Slots["A"].Confirmed {
			t.Errorf("%s: %+v, %v", c.file, s, err)
		}
	}
}
