package grubenv_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/bootmodel"
	"github.com/ratchet-ota/ratchet/bootctl/grubenv"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// TestJournalIsEmptied: GRUB replays no journal, so that nothing is done before the block is where GRUB reads it, also
// in a new file, and with data=journal, which is said to be not power-safe.
func TestJournalIsEmptied(t *testing.T) {
	for _, c := range []struct{ data, there bool }{{false, false}, {false, true}, {true, false}, {true, true}} {
		w := sim.New(1)
		w.SetJournal("/boot", c.data)
		if raw, err := grubenv.Encode([]string{"ORDER=A B"}); err != nil {
			t.Fatal(err)
		} else if c.there {
			w.PutFile("/boot/grubenv", raw)
		}
		fsys := w.FS()
		var broken error
		b, err := grubenv.New(fsys, grubenv.Options{Path: "/boot/grubenv", Locks: []string{},
			Slots: []bootctl.Slot{"A", "B"}, Checkpoint: func(path string) error {
				return errors.Join(broken, fsys.(interface{ Checkpoint(string) error }).Checkpoint(path))
			}, Locate: func(string) (hal.Region, error) { return hal.Region{LogsData: c.data}, nil }})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(b.Refresh(t.Context(), "A"), b.Try(t.Context(), "B", 1)); err != nil {
			t.Fatal(err)
		}
		s, err := b.State(t.Context())
		if err != nil || s.Caps.PowerSafe == c.data || c.data && !strings.Contains(s.Caps.Weakness, "data=ordered") {
			t.Errorf("%+v: %+v, %v", c, s.Caps, err)
		}
		w.SetCache(sim.LoseAll)
		off := w.Fork()
		off.PowerOn()
		if slot, _, err := (bootmodel.GRUB{FS: off.FS(), Path: "/boot/grubenv"}).Boot(); slot != "B" || err != nil {
			t.Errorf("%+v: B is armed, the power goes, and %q boots, %v", c, slot, err)
		}
		broken = errors.New("input/output error")
		if err := b.Disable(t.Context(), "B"); !errors.Is(err, broken) {
			t.Errorf("%+v: the journal cannot be emptied: %v", c, err)
		}
	}
}
