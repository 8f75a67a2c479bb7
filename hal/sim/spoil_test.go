package sim_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/medium"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

var errBroken = errors.New("input/output error")

// spoiled writes one sector of ones at 512 over twos and says what a cut leaves in it, in the rest of its block, and
// behind the block.
func spoiled(t *testing.T, seed uint64, g medium.Grain, fails bool) (garbage, beside, behind bool) {
	t.Helper()
	w := sim.New(seed)
	w.SetGrain(g)
	w.AddDisk("/dev/x", 12288)
	w.Poke("/dev/x", 0, bytes.Repeat([]byte{2}, 12288))
	m, err := w.FS().Open("/dev/x", hal.InPlace)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.WriteAt(bytes.Repeat([]byte{1}, 512), 512); err != nil {
		t.Fatal(err)
	}
	if fails {
		w.FailAt(w.Ops()+1, errBroken)
		if m.Sync() == nil {
			t.Fatal("the flush did not fail")
		}
		w.SetCache(sim.LoseAll)
	}
	w.PowerOn()
	got := w.Disk("/dev/x", 0, 12288)
	whole := func(b []byte, of byte) bool { return bytes.Count(b, []byte{of}) == len(b) }
	n := 512
	for n < 1024 && got[n] == 1 {
		n++
	}
	return !whole(got[n:1024], 2), !whole(got[:512], 2) || !whole(got[1024:4096], 2), !whole(got[4096:], 2)
}

// TestSpoiling: flash leaves garbage in a block that it was programming when the power went, and nowhere else; an
// operation that fails while the power stays leaves none.
func TestSpoiling(t *testing.T) {
	for _, c := range []struct {
		name            string
		g               medium.Grain
		fails           bool
		garbage, beside bool
	}{
		{"whole", medium.Whole, false, false, false},
		{"torn", medium.Torn, false, false, false},
		{"garbage in what is written", medium.Grain{Unit: 512, Garbage: true}, false, true, false},
		{"spoiling", medium.Spoiling, false, true, true},
		{"spoiling, the power stays", medium.Spoiling, true, false, false},
	} {
		var garbage, beside int
		for seed := range uint64(200) {
			g, b, behind := spoiled(t, seed, c.g, c.fails)
			if g {
				garbage++
			}
			if b {
				beside++
			}
			if behind {
				t.Fatalf("%s, seed %d: another block is spoiled", c.name, seed)
			}
		}
		if (garbage > 0) != c.garbage || (beside > 0) != c.beside {
			t.Errorf("%s: garbage %d times, beside %d times", c.name, garbage, beside)
		}
	}
}

// TestReadErrors: what a medium cannot read is EIO, in a file and on a disk, while the rest can be read; what is
// written there can be read at once, and after a cut only where it arrived.
func TestReadErrors(t *testing.T) {
	w := sim.New(1)
	w.AddDisk("/dev/x", 4096)
	w.PutFile("/f", make([]byte, 1024))
	for _, name := range []string{"/dev/x", "/f"} {
		w.Spoil(name, 600)
		read := func(off int64) error {
			m, err := w.FS().Open(name, hal.InPlace)
			if err != nil {
				t.Fatal(err)
			}
			_, err = m.ReadAt(make([]byte, 512), off)
			return err
		}
		if !hal.Unreadable(read(512)) || read(0) != nil {
			t.Errorf("%s: %v, and before it %v", name, read(512), read(0))
		}
		m, err := w.FS().Open(name, hal.InPlace)
		if err != nil {
			t.Fatal(err)
		}
		for _, flushed := range []bool{false, true} {
			if _, err := m.WriteAt(make([]byte, 512), 512); err != nil || read(512) != nil {
				t.Errorf("%s: %v, %v after a write", name, err, read(512))
			}
			if flushed {
				if err := m.Sync(); err != nil {
					t.Fatal(err)
				}
			}
			w.SetCache(sim.LoseAll)
			w.PowerOn()
			if hal.Unreadable(read(512)) == flushed {
				t.Errorf("%s: after a cut, flushed %v: %v", name, flushed, read(512))
			}
			m, _ = w.FS().Open(name, hal.InPlace)
		}
	}
}
