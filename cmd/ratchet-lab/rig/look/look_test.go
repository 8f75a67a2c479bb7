package look_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/look"
)

// TestMain is the worker where look starts this program as one.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == look.Verb {
		if os.Getenv("RATCHET_LOOK_DIES") != "" {
			panic("this worker dies")
		}
		look.Work(os.Stdin, os.Stdout, os.Args[2])
	}
	os.Exit(m.Run())
}

// run is a run whose one recording has a log of two writes that say nothing.
func run(t *testing.T) (look.Run, *disk.Recording) {
	t.Helper()
	root, rec := t.TempDir(), disk.Healthy()
	entry := func(sector byte) []byte {
		b := make([]byte, 512)
		b[0], b[8] = sector, 1
		return append(b, make([]byte, 512)...)
	}
	super := make([]byte, 512)
	copy(super, "rhswfsj\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02")
	super[25] = 2 // sectors of 512 bytes
	log := append(super, append(entry(0), entry(1)...)...)
	for name, b := range map[string][]byte{rec.Log: log, rec.Base: nil, rec.Image: []byte("image")} {
		if err := os.WriteFile(filepath.Join(root, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(filepath.Join(root, rec.Base), board.DiskSize); err != nil {
		t.Fatal(err)
	}
	return look.Run{Board: "arm64-uboot", Root: root, Device: "bench-1"}, rec
}

// TestLook: an empty disk is a device that a power cut broke, and each different disk is looked at once.
func TestLook(t *testing.T) {
	r, rec := run(t)
	dir := filepath.Join(t.TempDir(), "files")
	c, err := look.Open(r, dir, rec)
	if err != nil {
		t.Fatal(err)
	}
	first, err := c.Look(t.Context(), nil, disk.Cut{Point: 0, Variant: disk.Whole})
	if err != nil || first.Wrong == "" || first.Sum == "" {
		t.Errorf("%+v, %v", first, err)
	}
	if again, err := c.Look(t.Context(), nil, disk.Cut{Point: 2, Variant: disk.Lost}); err != nil ||
		again.Sum != first.Sum || again.Wrong != first.Wrong {
		t.Errorf("the same disk: %+v, %v", again, err)
	}
	if _, err := c.Look(t.Context(), nil, disk.Cut{Point: 3}); err == nil ||
		!strings.Contains(err.Error(), "there is no point 3, the log has 2") {
		t.Errorf("%v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("files are left: %v", err)
	}
}

// TestOpen: what is not there is an error, not a finding.
func TestOpen(t *testing.T) {
	r, rec := run(t)
	toaster := r
	toaster.Board = "toaster"
	if _, err := look.Open(toaster, t.TempDir(), rec); err == nil ||
		!strings.Contains(err.Error(), `no target "toaster"`) {
		t.Errorf("%v", err)
	}
	for _, name := range []string{rec.Base, rec.Image, rec.Log} {
		if err := os.Remove(filepath.Join(r.Root, name)); err != nil {
			t.Fatal(err)
		}
		if _, err := look.Open(r, t.TempDir(), rec); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// TestAll: findings come in the order of the cuts, an error of the laboratory is an error, and a process that dies is a
// finding.
func TestAll(t *testing.T) {
	r, rec := run(t)
	cuts := []disk.Cut{{Point: 0, Variant: disk.Whole}, {Point: 1, Variant: disk.Torn, Seed: 1},
		{Point: 2, Variant: disk.Whole}}
	found, err := look.All(t.Context(), r, rec, cuts, 2)
	if err != nil || len(found) != 3 {
		t.Fatalf("%+v, %v", found, err)
	}
	for i, f := range found {
		if f.Wrong == "" || strings.Contains(f.Wrong, "the program ended") {
			t.Errorf("cut %d: %+v", i, f)
		}
	}
	if _, err := look.All(t.Context(), r, rec, []disk.Cut{{Point: 9, Variant: disk.Whole}}, 1); err == nil ||
		!strings.Contains(err.Error(), "cut 9 whole of healthy: there is no point 9") {
		t.Errorf("%v", err)
	}
	t.Setenv("RATCHET_LOOK_DIES", "yes")
	found, err = look.All(t.Context(), r, rec, cuts, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range found {
		if !strings.Contains(f.Wrong, "the program ended") || !strings.Contains(f.Wrong, "this worker dies") {
			t.Errorf("cut %d: %+v", i, f)
		}
	}
}

// TestFindingTravels: a finding is the same after its way between two processes.
func TestFindingTravels(t *testing.T) {
	f := look.Finding{Sum: "1", Wrong: "2", Phase: "trial", Records: 3, Loads: "A"}
	f.Offline.Boots, f.Offered.Ended = []string{"A"}, "updated/1"
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var got look.Finding
	if err := json.Unmarshal(b, &got); err != nil || got.Bouts()[0].Boots[0] != "A" ||
		got.Bouts()[1].Ended != "updated/1" || got.Records != 3 || got.Loads != "A" {
		t.Errorf("%+v, %v", got, err)
	}
}
