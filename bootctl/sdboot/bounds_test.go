package sdboot_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/sdboot"
)

// TestNames: which names are trials of ours, up to the bounds. What is not ours counts for nothing and survives.
func TestNames(t *testing.T) {
	for name, tries := range map[string]int{
		"ratchet-B-9+3-0.conf":                                   3,
		"ratchet-B-9+3.conf":                                     3,
		"ratchet-B-9+1-99.conf":                                  1,
		"ratchet-B-1099511627775+3-0.conf":                       3,
		fmt.Sprintf("ratchet-B-9+%d-0.conf", bootctl.MaxTries):   bootctl.MaxTries,
		fmt.Sprintf("ratchet-B-9+%d-0.conf", bootctl.MaxTries+1): 0,
		"ratchet-B-9+1-100.conf":                                 0,
		"ratchet-B-1099511627776+3-0.conf":                       0,
		"ratchet-B-9+-1.conf":                                    0,
		"ratchet-B-9+1-.conf":                                    0,
		"ratchet-B-+1-0.conf":                                    0,
		"ratchet-B+1-0.conf":                                     0,
		"ratchet-B-9.conf":                                       0,
		"ratchet-C-9+1-0.conf":                                   0,
		"ratchet-B-9+1-0.cfg":                                    0,
		"rescue-B-9+1-0.conf":                                    0,
	} {
		d, raw := disk(t), entry(t, "B", 9, true)
		d.Put(folder+"/"+name, raw)
		b := backend(t, d)
		s, err := b.State(t.Context())
		if err != nil || (s.Next == "B") != (tries > 0) || tries > 0 && s.Slots["B"].Tries != tries {
			t.Errorf("%s: %+v (%v), want %d tries", name, s, err, tries)
		}
		if err := b.Confirm(t.Context(), "B"); err != nil {
			t.Errorf("%s: Confirm: %v", name, err)
		}
		if tries == 0 && !bytes.Equal(d.Get(folder+"/"+name), raw) {
			t.Errorf("%s is not ours, and was changed", name)
		}
	}
}

// TestEncodeBounds: the versions that are taken, and the last byte that fits.
func TestEncodeBounds(t *testing.T) {
	for version, ok := range map[int64]bool{0: false, 1: true, 1<<40 - 1: true, 1 << 40: false} {
		if _, err := sdboot.Encode(lines("A"), version, true); (err == nil) != ok {
			t.Errorf("version %d: %v", version, err)
		}
	}
	room := sdboot.Size - len("#- options \n")
	for _, line := range append(lines("A"), "sort-key ratchet", "version 1") {
		room -= len("#- \n") + len(line)
	}
	for more, ok := range map[int]bool{0: true, 1: false} {
		with := append(lines("A"), "options "+strings.Repeat("x", room+more))
		raw, err := sdboot.Encode(with, 1, false)
		if (err == nil) != ok || ok && (len(raw) != sdboot.Size || !bytes.HasSuffix(raw, []byte("x\n"))) {
			t.Errorf("%d bytes: %v", sdboot.Size+more, err)
		}
	}
}

// TestDisableChangesOnce: a slot with more than one entry that is on (a cut while it was confirmed) is disabled with
// its last write. Before, it is what it was: never confirmed by an entry that stood behind the trial's.
func TestDisableChangesOnce(t *testing.T) {
	start := disk(t)
	start.Put(folder+"/ratchet-B-7+2-1.conf", entry(t, "B", 7, true)) // and its own entry, with version 1
	want, err := backend(t, start).State(t.Context())
	if b := want.Slots["B"]; err != nil || b.Confirmed || b.Tries != 2 {
		t.Fatalf("%+v, %v", want, err)
	}
	for op := 1; ; op++ {
		d, hit := start.Clone(), false
		d.Before = func(n int) error {
			if hit = hit || n == op; hit {
				return fs.ErrPermission
			}
			return nil
		}
		err := backend(t, d).Disable(t.Context(), "B")
		d.Before = nil
		s, failed := backend(t, d).State(t.Context())
		if b := s.Slots["B"]; failed != nil || b.Bootable && b != want.Slots["B"] || !hit && b.Bootable {
			t.Errorf("stopped before operation %d (%v): %+v, %v", op, err, b, failed)
		}
		if !hit {
			break
		}
	}
}
