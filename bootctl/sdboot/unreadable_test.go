package sdboot_test

import (
	"errors"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/sdboot"
)

// TestUnreadableEntry: systemd-boot passes over an entry that it cannot read. Refresh writes it anew from the copy
// of the board's lines: the running slot's on, the other's off; nothing else writes meanwhile.
func TestUnreadableEntry(t *testing.T) {
	for _, running := range []bootctl.Slot{"A", "B"} {
		for _, lost := range []string{"A", "B"} {
			d := disk(t)
			if err := backend(t, d).Refresh(t.Context(), "A"); err != nil { // keeps the lines
				t.Fatal(err)
			}
			d = d.PowerOn()
			d.FAT = folder
			w := d.Wear(folder+"/ratchet-"+lost+".conf", 0, sdboot.Size)
			m := model(d, nil)
			m.FS = w
			other := map[string]string{"A": "B", "B": "A"}[lost]
			if slot, _, err := m.Boot(); slot != other || err != nil {
				t.Errorf("the entry of %s is lost: %q boots, %v", lost, slot, err)
			}
			b, err := sdboot.New(w, sdboot.Options{Folder: folder, Locks: []string{"/run/lock"}, Shadow: "/var/shadow",
				Slots: []bootctl.Slot{"A", "B"}})
			if err != nil {
				t.Fatal(err)
			}
			writes := w.Writes()
			if _, err := b.State(t.Context()); !errors.Is(err, bootctl.ErrInvalid) {
				t.Errorf("the entry of %s is lost: State: %v", lost, err)
			}
			if err := b.Disable(t.Context(), "B"); !errors.Is(err, bootctl.ErrInvalid) || w.Writes() != writes {
				t.Errorf("the entry of %s is lost: Disable: %v", lost, err)
			}
			if err := b.Refresh(t.Context(), running); err != nil {
				t.Errorf("%s runs, the entry of %s is lost: Refresh: %v", running, lost, err)
			}
			s, err := b.State(t.Context())
			for slot, st := range s.Slots {
				if st.Bootable != (slot == running) {
					t.Errorf("%s runs, the entry of %s is lost: after Refresh %+v", running, lost, s)
				}
			}
			if slot, args, berr := m.Boot(); err != nil || berr != nil || slot != string(running) ||
				args != lines(slot)[3][len("options "):]+" "+lines(slot)[4][len("options "):] {
				t.Errorf("%s runs, the entry of %s is lost: after Refresh %q boots with %q; %v, %v", running, lost,
					slot, args, err, berr)
			}
		}
	}
}
