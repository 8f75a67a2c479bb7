package grubenv_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/grubenv"
	"github.com/ratchet-ota/ratchet/hal"
)

// TestInvalid: blocks that GRUB does not take, or that it could not save into.
func TestInvalid(t *testing.T) {
	good, err := grubenv.Encode([]string{"ORDER=A B"})
	if err != nil {
		t.Fatal(err)
	}
	pad := func(s string) []byte { return append([]byte(s), bytes.Repeat([]byte("#"), grubenv.Size-len(s))...) }
	for name, raw := range map[string][]byte{
		"empty":                   {},
		"cut short":               good[:20],
		"huge":                    bytes.Repeat(good, 1000),
		"zeros":                   make([]byte, grubenv.Size),
		"no signature":            append([]byte("x"), good[:1023]...),
		"no end of line":          pad("# GRUB Environment Block\nORDER=A"),
		"an escaped end":          pad("# GRUB Environment Block\nORDER=A\\\n"),
		"no =":                    pad("# GRUB Environment Block\nORDER\n"),
		"no end of the signature": pad("# GRUB Environment Block"),
	} {
		d := &boottest.Disk{}
		d.Put(file, raw)
		b := machines[0].backend(t, d)
		if _, err := b.State(t.Context()); !errors.Is(err, bootctl.ErrInvalid) {
			t.Errorf("%s: %v, want %v", name, err, bootctl.ErrInvalid)
		}
		if err := b.Confirm(t.Context(), "A"); !errors.Is(err, bootctl.ErrInvalid) || !bytes.Equal(d.Get(file), raw) {
			t.Errorf("%s: Confirm: %v", name, err)
		}
		if err := b.Refresh(t.Context(), "B"); err != nil {
			t.Errorf("%s: Refresh: %v", name, err)
		}
		if slot, _, err := machines[0].model(d, nil).Boot(); slot != "B" || err != nil {
			t.Errorf("%s: after Refresh the loader boots %q (%v)", name, slot, err)
		}
	}
	d := &boottest.Disk{}
	b := machines[0].backend(t, d)
	if _, err := b.State(t.Context()); !errors.Is(err, bootctl.ErrInvalid) {
		t.Errorf("no file: %v", err)
	}
	if err := b.Refresh(t.Context(), "A"); err != nil || len(d.Get(file)) != grubenv.Size {
		t.Errorf("no file: Refresh: %v, %d bytes", err, len(d.Get(file)))
	}
}

// TestOtherWriter: grub-editenv takes no lock and may write at any time.
func TestOtherWriter(t *testing.T) {
	for _, c := range []struct {
		reads int // before it writes
		want  error
	}{{1, bootctl.ErrChanged}, {2, bootctl.ErrNotVerified}} {
		d := machines[0].disk(t)
		n := 0
		d.Opened = func(path string, a hal.Access) {
			if path != file || a != hal.ReadOnly {
				return
			}
			if n++; n == c.reads+1 {
				raw := d.Get(file)
				raw[len("# GRUB Environment Block\n")]++
				d.Put(file, raw)
			}
		}
		before := d.Writes()
		if err := machines[0].backend(t, d).Try(t.Context(), "B", 1); !errors.Is(err, c.want) {
			t.Errorf("Try: %v, want %v", err, c.want)
		}
		if c.want == bootctl.ErrChanged && d.Writes() != before {
			t.Error("it wrote")
		}
	}
}

func TestLocks(t *testing.T) {
	d := machines[0].disk(t)
	release, err := d.Lock(t.Context(), "/run/lock")
	if err != nil {
		t.Fatal(err)
	}
	before := d.Writes()
	if err := machines[0].backend(t, d).Try(t.Context(), "B", 1); !errors.Is(err, context.DeadlineExceeded) ||
		d.Writes() != before {
		t.Errorf("Try while the lock is held: %v", err)
	}
	release()
	if err := machines[0].backend(t, d).Try(t.Context(), "B", 1); err != nil {
		t.Error(err)
	}
}

// TestFull: a block without room is not changed.
func TestFull(t *testing.T) {
	raw, err := grubenv.Encode([]string{"x=" + strings.Repeat("y", 960)})
	if err != nil {
		t.Fatal(err)
	}
	d := &boottest.Disk{}
	d.Put(file, raw)
	if err := machines[0].backend(t, d).Try(t.Context(), "B", 1); err == nil || !bytes.Equal(d.Get(file), raw) {
		t.Errorf("Try: %v", err)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []grubenv.Options{
		{Path: "grubenv", Slots: []bootctl.Slot{"A"}},
		{Path: file},
		{Path: file, Slots: []bootctl.Slot{"1A"}},
		{Path: file, Slots: []bootctl.Slot{"A-B"}},
	} {
		if _, err := grubenv.New(&boottest.Disk{}, o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
