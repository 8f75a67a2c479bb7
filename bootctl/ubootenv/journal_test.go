package ubootenv_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl/bootmodel"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// TestJournalIsEmptied: U-Boot replays no journal, so that nothing is done before the copy is where U-Boot reads it,
// also a copy whose file is a new one, and with data=journal, which is said to be not power-safe.
func TestJournalIsEmptied(t *testing.T) {
	l := layouts[0]
	for _, c := range []struct{ data, there bool }{{false, false}, {false, true}, {true, false}, {true, true}} {
		w := sim.New(1)
		w.SetJournal("/boot", c.data)
		for i, loc := range l.copies {
			raw, err := ubootenv.Encode(factory, size, 1-i)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 || c.there {
				w.PutFile(loc.Path, raw)
			}
		}
		fsys := w.FS()
		var broken error
		o := l.options()
		o.Checkpoint = func(path string) error {
			return errors.Join(broken, fsys.(interface{ Checkpoint(string) error }).Checkpoint(path))
		}
		o.Locate = func(string) (hal.Region, error) { return hal.Region{LogsData: c.data}, nil }
		b, err := ubootenv.New(fsys, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Try(t.Context(), "B", 1); err != nil {
			t.Fatal(err)
		}
		s, err := b.State(t.Context())
		if err != nil || s.Caps.PowerSafe == c.data || c.data && !strings.Contains(s.Caps.Weakness, "data=ordered") {
			t.Errorf("%+v: %+v, %v", c, s.Caps, err)
		}
		w.SetCache(sim.LoseAll)
		off := w.Fork()
		off.PowerOn()
		m := bootmodel.UBoot{FS: off.FS()}
		for _, loc := range l.copies {
			m.Copies = append(m.Copies, bootmodel.Copy{Path: loc.Path, Size: loc.Size})
		}
		if slot, _, err := m.Boot(); slot != "B" || err != nil {
			t.Errorf("%+v: B is armed, the power goes, and %q boots, %v", c, slot, err)
		}
		broken = errors.New("input/output error")
		if err := b.Disable(t.Context(), "B"); !errors.Is(err, broken) {
			t.Errorf("%+v: the journal cannot be emptied: %v", c, err)
		}
	}
}
