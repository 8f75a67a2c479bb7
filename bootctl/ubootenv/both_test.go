package ubootenv_test

import (
	"bytes"
	"testing"
)

// What is disabled will be overwritten: whichever of the two copies the medium loses, the other one does not boot it.
func TestDisableIsInBothCopies(t *testing.T) {
	for _, l := range layouts {
		if len(l.copies) < 2 {
			continue
		}
		for _, trial := range []bool{false, true} {
			for lost := range l.copies {
				d := l.disk(t, append(factory, "BOOT_ORDER=A B", "BOOT_A_GOOD=1", "BOOT_B_GOOD=1")...)
				b := l.backend(t, d)
				if trial {
					if err := b.Try(t.Context(), "B", 3); err != nil {
						t.Fatal(err)
					}
				}
				if err := b.Disable(t.Context(), "B"); err != nil {
					t.Fatal(err)
				}
				c := l.copies[lost]
				raw := d.Get(c.Path)
				raw[c.Offset+int64(len(raw))*b2i(c.Offset < 0)]++
				d.Put(c.Path, raw)
				for range 5 {
					if slot, _, err := l.model(d, nil).Boot(); slot != "A" || err != nil {
						t.Errorf("%s, after a trial %v, copy %d is lost: %q boots, %v", l.name, trial, lost, slot, err)
					}
				}
				st, err := l.backend(t, d).State(t.Context())
				if err != nil || st.Slots["B"].Bootable || st.Slots["B"].Confirmed {
					t.Errorf("%s, after a trial %v, copy %d is lost: %+v, %v", l.name, trial, lost, st, err)
				}
			}
		}
	}
}

// A slot that is disabled already costs no write in a process that knows it.
func TestDisableWritesNothingTwice(t *testing.T) {
	for _, l := range layouts {
		d := l.disk(t, append(factory, "BOOT_ORDER=A B", "BOOT_A_GOOD=1", "BOOT_B_GOOD=1")...)
		b := l.backend(t, d)
		if err := b.Disable(t.Context(), "B"); err != nil {
			t.Fatal(err)
		}
		var before [][]byte
		for _, raw := range l.raw(d) {
			before = append(before, bytes.Clone(raw))
		}
		if err := b.Disable(t.Context(), "B"); err != nil {
			t.Fatal(err)
		}
		for i, raw := range l.raw(d) {
			if string(raw) != string(before[i]) {
				t.Errorf("%s: copy %d was written again", l.name, i)
			}
		}
	}
}
