package ubootenv_test

import (
	"errors"
	"flag"
	"fmt"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
)

var depth = flag.Int("depth", 2, "how many operations deep TestExplore goes (4 takes minutes)")

// TestExplore cuts the power everywhere (invariant I1; boot-formats invariants 4, 6, 8).
func TestExplore(t *testing.T) {
	for _, l := range layouts {
		if l.rauc {
			continue // RAUC's script counts confirmed slots away; see TestConformance
		}
		if testing.Short() && l.name == "one copy on a device" {
			continue // torn at every byte: most of the time of all layouts
		}
		t.Run(l.name, func(t *testing.T) {
			counts := boottest.Explore(t, boottest.Board{
				Slots:   [2]bootctl.Slot{"A", "B"},
				Factory: l.provisioned(t),
				Backend: func(d *boottest.Disk) bootctl.Backend { return l.backend(t, d) },
				Model: func(d *boottest.Disk, loads func(string) bool) boottest.Model {
					return l.model(d, loads)
				},
				Key:    l.key,
				Atomic: len(l.copies) == 2,
				// A file of its own is replaced by rename.
				OursAtomic: l.name == "one copy in a file",
				Tries:      []int{1, 2},
				Depth:      l.depth(),
			})
			t.Logf("%+v", counts)
			if counts.Cuts < 100 {
				t.Errorf("only %d cuts were tried", counts.Cuts)
			}
		})
	}
}

// provisioned is a board whose agent ran once.
func (l layout) provisioned(t *testing.T) *boottest.Disk {
	d := l.disk(t, factory...)
	if err := l.backend(t, d).Refresh(t.Context(), "A"); err != nil {
		t.Fatal(err)
	}
	return d.PowerOn()
}

// key leaves out the serial numbers: only which of two copies is newer matters.
func (l layout) key(d *boottest.Disk) string {
	raw := l.raw(d)
	key := ""
	for i, b := range raw {
		if len(raw) == 2 {
			newer := b[4]-raw[1-i][4] < 128
			key += fmt.Sprintf("%v %x %x\n", newer, b[:4], b[5:])
			continue
		}
		key += string(b)
	}
	return fmt.Sprint(key, d.PowerOn().Hash() == d.Hash())
}

// depth spares the time of the layouts that share their code with the first.
func (l layout) depth() int {
	if l.name == layouts[0].name && !testing.Short() {
		return *depth
	}
	return *depth - 1
}

// TestOneBlockLosesBoth: copies in one block of such flash are lost together, so that Explore finds none apart for the
// right reason.
func TestOneBlockLosesBoth(t *testing.T) {
	for _, c := range []struct {
		copies []ubootenv.Location
		lost   bool
	}{{[]ubootenv.Location{{Path: "/dev/a", Offset: 3072 + 512, Size: size},
		{Path: "/dev/a", Offset: 4096 + 512, Size: size}}, true}, {layouts[len(layouts)-1].copies, false}} {
		l := layout{copies: c.copies, spoils: 4096}
		d := l.provisioned(t)
		lost := false
		d.Before = func(int) error {
			for _, left := range d.Cut() {
				if _, err := l.backend(t, left).State(t.Context()); errors.Is(err, bootctl.ErrInvalid) {
					lost = true
				}
			}
			return nil
		}
		if err := l.backend(t, d).Try(t.Context(), "B", 1); err != nil || lost != c.lost {
			t.Errorf("%v: both copies are lost: %v, %v", c.copies, lost, err)
		}
	}
}
