package ubootenv_test

import (
	"bytes"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
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

// In the process that has disabled a slot, a copy that does not count can become stale or bad again: by a restore,
// which writes one copy, or by another program. Disable finds it.
func TestDisableMendsTheOtherCopy(t *testing.T) {
	for _, l := range layouts {
		if len(l.copies) < 2 {
			continue
		}
		for name, spoil := range map[string]func([]byte) []byte{
			"stale": func([]byte) []byte {
				raw, err := ubootenv.Encode(append(factory, "BOOT_ORDER=B A", "BOOT_B_LEFT=3"), l.copies[0].Size, 0)
				if err != nil {
					t.Fatal(err)
				}
				return raw
			},
			"torn": func(raw []byte) []byte { raw[9]++; return raw },
		} {
			d := l.disk(t, append(factory, "BOOT_ORDER=A B", "BOOT_A_GOOD=1", "BOOT_B_GOOD=1")...)
			b := l.backend(t, d)
			for range 2 { // the first process may have written nothing but what was there
				if err := b.Disable(t.Context(), "B"); err != nil {
					t.Fatal(err)
				}
			}
			raw := l.raw(d)
			spare := 0
			if raw[0][4] > raw[1][4] {
				spare = 1
			}
			poke(d, l.copies[spare], spoil(bytes.Clone(raw[spare])))
			if err := b.Disable(t.Context(), "B"); err != nil {
				t.Fatal(err)
			}
			c := l.copies[1-spare]
			poke(d, c, make([]byte, c.Size))
			if slot, _, err := l.model(d, nil).Boot(); slot != "A" || err != nil {
				t.Errorf("%s, %s copy: with the other one lost %q boots, %v", l.name, name, slot, err)
			}
			st, err := l.backend(t, d).State(t.Context())
			if err != nil || st.Slots["B"].Bootable {
				t.Errorf("%s, %s copy: with the other one lost %+v, %v", l.name, name, st, err)
			}
		}
	}
}

// poke puts raw where c lies.
func poke(d *boottest.Disk, c ubootenv.Location, raw []byte) {
	whole := d.Get(c.Path)
	off := c.Offset
	if off < 0 {
		off += int64(len(whole))
	}
	copy(whole[off:], raw)
	d.Put(c.Path, whole)
}
