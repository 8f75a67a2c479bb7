package grubenv_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/bootmodel"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/grubenv"
)

// FuzzBlock puts any bytes where the environment block is. Whatever it is: no panic, no write to what
// does not validate, and the backend and GRUB's model read the same choice.
func FuzzBlock(f *testing.F) {
	for _, vars := range [][]string{
		{}, {"ORDER=B A", "A_OK=1", "A_TRY=0", "B_OK=1", "B_TRY=1", "A_GOOD=1"}, {"ORDER=", "x=\\\n"},
		{"ORDER=A A R B", "A_OK=0"},
	} {
		raw, err := grubenv.Encode(vars)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(bytes.TrimRight(raw, "#"))
		f.Add(bytes.Replace(raw, []byte("\n"), []byte("\n\n"), 1)[:grubenv.Size])
		f.Add(append(bytes.TrimRight(raw, "#"), raw...))
	}
	f.Add(bytes.Repeat([]byte("#"), grubenv.Size))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) < grubenv.Size && bytes.HasPrefix(raw, []byte("# GRUB")) {
			raw = append(bytes.Clone(raw), bytes.Repeat([]byte("#"), grubenv.Size-len(raw))...) // to get further in
		}
		d := &boottest.Disk{}
		d.Put(file, raw)
		b := machines[0].backend(t, d)
		s, err := b.State(t.Context())
		if err != nil {
			if !errors.Is(err, bootctl.ErrInvalid) {
				t.Fatalf("State: %v", err)
			}
			if b.Try(t.Context(), "B", 1) == nil || b.Disable(t.Context(), "B") == nil ||
				b.Confirm(t.Context(), "B") == nil {
				t.Error("invalid metadata is changed")
			}
			if !bytes.Equal(d.Get(file), raw) {
				t.Error("invalid metadata is written")
			}
			return
		}
		want, _, err := bootmodel.GRUB{FS: d.Clone(), Path: file}.Boot()
		if err != nil {
			t.Fatal(err)
		}
		if next := string(s.Next); (next == "A" || next == "B") && next != want {
			t.Errorf("the backend says %q is next, the loader boots %q\n%q", next, want, raw)
		}
		foreign := func() (out []string) {
			vars, err := grubenv.Decode(d.Get(file))
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range vars {
				name, _, _ := strings.Cut(v, "=")
				if !slices.Contains([]string{"ORDER", "A_OK", "A_TRY", "A_GOOD", "B_OK", "B_TRY", "B_GOOD"}, name) {
					out = append(out, v)
				}
			}
			return out
		}
		before := foreign()
		if err := b.Confirm(t.Context(), "B"); err != nil {
			return // no room
		}
		if after := foreign(); !slices.Equal(before, after) {
			t.Errorf("the lines of others changed from %q to %q", before, after)
		}
		if slot, _, err := (bootmodel.GRUB{FS: d, Path: file}).Boot(); slot != "B" || err != nil {
			t.Errorf("after Confirm(B) the loader boots %q (%v)", slot, err)
		}
	})
}
