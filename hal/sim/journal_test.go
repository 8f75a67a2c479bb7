package sim_test

import (
	"bytes"
	"errors"
	"io/fs"
	"testing"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// seen is what a file holds for whoever reads now, "-" where there is none.
func seen(t *testing.T, w *sim.World, name string) string {
	t.Helper()
	b, err := hal.ReadFile(w.FS(), name, 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return "-"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimRight(b, "\x00"))
}

func overwrite(t *testing.T, w *sim.World, name, text string, sync bool) {
	t.Helper()
	m, err := w.FS().Open(name, hal.InPlace)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.WriteAt([]byte(text), 0); err != nil {
		t.Fatal(err)
	}
	if sync {
		if err := m.Sync(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestJournal: what a loader, which replays no journal, sees of files that were replaced, overwritten and made, all
// flushed, when the power goes; what the system finds behind it; and what of the loader's own write is left.
func TestJournal(t *testing.T) {
	for _, c := range []struct {
		name                     string
		data, checkpoint         bool
		replaced, written, after string // the loader's view; the file that the loader wrote, after a replay
	}{
		{"ordered", false, false, "old", "new", "LDR"},
		{"ordered, emptied", false, true, "new", "new", "LDR"},
		{"data", true, false, "old", "old", "new"},
		{"data, emptied", true, true, "new", "new", "LDR"},
	} {
		w := sim.New(1)
		w.AddDisk("/dev/a", 4096)
		w.SetJournal("/boot", c.data)
		for _, name := range []string{"/boot/replaced", "/boot/written"} {
			w.PutFile(name, []byte("old"))
		}
		if err := hal.ReplaceFile(w.FS(), "/boot/replaced", []byte("new")); err != nil {
			t.Fatal(err)
		}
		if err := hal.ReplaceFile(w.FS(), "/boot/fresh", []byte("new")); err != nil {
			t.Fatal(err)
		}
		overwrite(t, w, "/boot/written", "new", true)
		if c.checkpoint {
			if err := w.FS().(interface{ Checkpoint(string) error }).Checkpoint("/boot/written"); err != nil {
				t.Fatal(err)
			}
		}
		w.SetCache(sim.LoseAll)
		w.PowerOn()
		fresh := map[bool]string{true: "new", false: "-"}[c.checkpoint]
		if r, wr, f := seen(t, w, "/boot/replaced"), seen(t, w, "/boot/written"), seen(t, w, "/boot/fresh"); r !=
			c.replaced || wr != c.written || f != fresh {
			t.Errorf("%s: the loader sees %q replaced, %q written, %q new", c.name, r, wr, f)
		}
		overwrite(t, w, "/boot/written", "LDR", false)
		if got := seen(t, w, "/boot/written"); got != "LDR" {
			t.Errorf("%s: the loader reads %q of its own", c.name, got)
		}
		w.SetRunning("/dev/a", "A")
		if r, wr := seen(t, w, "/boot/replaced"), seen(t, w, "/boot/written"); r != "new" || wr != c.after {
			t.Errorf("%s: after a replay %q replaced, %q written", c.name, r, wr)
		}
		if texts := w.JournalTexts(); len(texts) > 0 {
			t.Errorf("%s: after a replay the journal has %q", c.name, texts)
		}
	}
}
