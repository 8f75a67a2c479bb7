package main

import (
	"os"
	"testing"
)

// TestLastGoodIsWrittenOnce: the copy of a configuration that worked is written when it changed, and not
// at each start: flash wears.
func TestLastGoodIsWrittenOnce(t *testing.T) {
	b := newBox(t)
	start := func() (os.FileInfo, string) {
		t.Helper()
		b.start()
		b.status()
		b.stop()
		st, err := os.Stat(b.path("state/last-good.toml"))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(b.path("state/last-good.toml"))
		if err != nil {
			t.Fatal(err)
		}
		return st, string(raw)
	}
	first, raw := start()
	if raw != b.config() {
		t.Errorf("the copy is %q", raw)
	}
	again, _ := start()
	if !os.SameFile(first, again) || !first.ModTime().Equal(again.ModTime()) {
		t.Error("the second start wrote the same configuration again")
	}
	changed := b.config() + "[log]\nlevel = \"debug\"\n"
	b.write("ratchet.toml", []byte(changed))
	if after, raw := start(); os.SameFile(first, after) || raw != changed {
		t.Errorf("a changed configuration was not kept: %q", raw)
	}
}
