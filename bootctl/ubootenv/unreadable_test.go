package ubootenv_test

import (
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl/bootmodel"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
)

// worn is a board one copy of which cannot be read, where slot B is on trial: what U-Boot makes of it, and the backend.
func (l layout) worn(t *testing.T, lost int) (*boottest.Worn, bootmodel.UBoot, *ubootenv.Backend) {
	d := l.provisioned(t)
	if err := l.backend(t, d).Try(t.Context(), "B", 2); err != nil {
		t.Fatal(err)
	}
	d = d.PowerOn()
	c := l.copies[lost]
	w := d.Wear(c.Path, c.Offset+int64(len(d.Get(c.Path)))*b2i(c.Offset < 0), c.Size)
	m := l.model(d, nil)
	m.FS = w
	b, err := ubootenv.New(w, l.options())
	if err != nil {
		t.Fatal(err)
	}
	return w, m, b
}

// TestUnreadableCopy: where one of two copies cannot be read, U-Boot and the backend go on with the other one and name
// the same slot; the backend says which copy it is, and writes it anew when the running slot is refreshed.
func TestUnreadableCopy(t *testing.T) {
	for _, l := range layouts {
		if len(l.copies) < 2 {
			continue
		}
		for lost, c := range l.copies {
			w, m, b := l.worn(t, lost)
			s, err := b.State(t.Context())
			env, eerr := m.Environment()
			order := strings.Fields(env["BOOT_ORDER"] + " A")
			if err != nil || eerr != nil || string(s.Next) != order[0] {
				t.Errorf("%s, copy %d: next is %q, U-Boot has %q; %v, %v", l.name, lost, s.Next, order, err, eerr)
			}
			if !strings.Contains(s.Caps.Damaged, c.Path) || !strings.Contains(s.Caps.Damaged, "input/output error") {
				t.Errorf("%s, copy %d: State says of it: %q", l.name, lost, s.Caps.Damaged)
			}
			if err := b.Refresh(t.Context(), "A"); err != nil {
				t.Fatal(err)
			}
			after, err := b.State(t.Context())
			if err != nil || after.Caps.Damaged != "" || after.Next != s.Next {
				t.Errorf("%s, copy %d, after Refresh: %+v, %v", l.name, lost, after, err)
			}
			for _, left := range w.Cut() {
				if st, err := l.backend(t, left).State(t.Context()); err != nil || st.Caps.Damaged != "" {
					t.Errorf("%s, copy %d, after Refresh and a cut: %+v, %v", l.name, lost, st, err)
				}
			}
			writes := w.Writes()
			if err := b.Refresh(t.Context(), "A"); err != nil || w.Writes() != writes {
				t.Errorf("%s, copy %d: a second Refresh writes %d times, %v", l.name, lost, w.Writes()-writes, err)
			}
		}
	}
}

// TestCopyThatCannotBeMended: one that cannot be written either hinders nothing that needs the other one alone, and is
// said as long as it is there.
func TestCopyThatCannotBeMended(t *testing.T) {
	l := layouts[1]
	_, _, b := l.worn(t, 1)
	if err := b.Confirm(t.Context(), "A"); err != nil { // into the copy that was lost
		t.Fatal(err)
	}
	w, _, b := l.worn(t, 1)
	w.Dead = true
	if err := b.Refresh(t.Context(), "A"); err != nil {
		t.Errorf("Refresh: %v", err)
	}
	if s, err := b.State(t.Context()); err != nil || s.Caps.Damaged == "" {
		t.Errorf("State: %+v, %v", s, err)
	}
}
