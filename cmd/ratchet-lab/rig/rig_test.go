package rig_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
)

// options are of a run with an empty cache, in which a board named by its name is tried all the same.
func options(t *testing.T, mode, target string) rig.Options {
	t.Helper()
	dir := t.TempDir()
	return rig.Options{Mode: mode, Dir: dir, Bin: dir, Cache: filepath.Join(dir, "cache"), Target: target, Seed: 1,
		Every: 1, Together: 1, Second: -1, Variant: "whole", Update: "healthy"}
}

// TestLeftOut: boards whose kernels are not unpacked are left out and named, and a run of none is an error.
func TestLeftOut(t *testing.T) {
	for mode, boards := range map[string]func(board.Kind) bool{
		"smoke": func(k board.Kind) bool { return k.Smoke },
		"all":   func(board.Kind) bool { return true },
	} {
		var out bytes.Buffer
		good, err := rig.Run(t.Context(), options(t, mode, ""), &out)
		if good || err == nil || !strings.Contains(err.Error(), `there is no target ""`) {
			t.Errorf("%s: %v, %v", mode, good, err)
		}
		for _, k := range board.Kinds() {
			if got := strings.Contains(out.String(), k.Name+" is left out: there is no "); got != boards(k) {
				t.Errorf("%s, %s: left out %v\n%s", mode, k.Name, got, out.String())
			}
		}
	}
	if _, err := rig.Run(t.Context(), options(t, "all", "toaster"), new(bytes.Buffer)); err == nil ||
		!strings.Contains(err.Error(), `there is no target "toaster"`) {
		t.Errorf("%v", err)
	}
}

// TestNoRun: what repeats a run says where there is none, and all but the repetition of one cut report it.
func TestNoRun(t *testing.T) {
	for mode, reports := range map[string]bool{"look": true, "cuts": true, "cut": false} {
		var out bytes.Buffer
		o := options(t, mode, "arm64-uboot")
		good, err := rig.Run(t.Context(), o, &out)
		want := "arm64-uboot: open " + filepath.Join(o.Dir, "arm64-uboot", "recordings.json")
		if good || err == nil || !strings.HasPrefix(err.Error(), want) ||
			!strings.Contains(err.Error(), "there is no run to repeat in ") {
			t.Errorf("%s: %v, %v", mode, good, err)
		}
		if _, err := os.Stat(filepath.Join(o.Dir, "report.html")); (err == nil) != reports {
			t.Errorf("%s: report: %v", mode, err)
		}
	}
}

// TestBrokenBoard: a board that cannot be set up is an error with its name, and the report of what there is comes all
// the same.
func TestBrokenBoard(t *testing.T) {
	var out bytes.Buffer
	o := options(t, "smoke", "arm64-uboot-own") // its U-Boot is not in the cache
	good, err := rig.Run(t.Context(), o, &out)
	if good || err == nil || !strings.HasPrefix(err.Error(), "arm64-uboot-own: ") ||
		!strings.Contains(err.Error(), "run scripts/deps.sh rig") {
		t.Errorf("%v, %v", good, err)
	}
	text, err := os.ReadFile(filepath.Join(o.Dir, "report.txt"))
	if err != nil || !strings.Contains(string(text), "arm64-uboot-own  set up") ||
		!strings.Contains(out.String(), "== arm64-uboot-own: ") {
		t.Errorf("%v\n%s\n%s", err, text, out.String())
	}
}
