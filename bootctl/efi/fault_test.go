package efi_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/efi"
	"github.com/ratchet-ota/ratchet/hal"
)

// TestNoneOfOurs: a BootOrder that somebody made without our slots says just that. The slot that runs is
// confirmed anew by who has proven it.
func TestNoneOfOurs(t *testing.T) {
	for _, raw := range [][]byte{words(0, 1, 0x77), words(0x55), make([]byte, 64)} {
		d := disk(t)
		d.Variables().Put(order, 7, raw)
		others := foreign(d)
		b := backend(t, d)
		s, err := b.State(t.Context())
		if err != nil || s.Next != "" || s.Slots["A"].Bootable || s.Slots["B"].Bootable {
			t.Errorf("%+v, %v", s, err)
		}
		for _, err := range []error{b.Refresh(t.Context(), "B"), b.Confirm(t.Context(), "B")} {
			if err != nil {
				t.Error(err)
			}
		}
		if slot, _, err := model(d, nil).Boot(); slot != "B" || err != nil {
			t.Errorf("the firmware boots %q (%v)", slot, err)
		}
		if got := foreign(d); got != others {
			t.Errorf("others' were %s and are %s", others, got)
		}
	}
}

// TestInvalid: a BootOrder that is no list. Nothing but Refresh writes, and others' numbers stay.
func TestInvalid(t *testing.T) {
	for name, raw := range map[string][]byte{
		"none":     nil,
		"odd":      append(words(0, 0x10, 1, 0x1A, 0x77), 0),
		"one byte": {0x10},
	} {
		d := disk(t)
		d.Variables().Put(order, 7, raw)
		b := backend(t, d)
		before := string(d.Variables().Dump())
		if _, err := b.State(t.Context()); !errors.Is(err, bootctl.ErrInvalid) {
			t.Errorf("%s: %v, want %v", name, err, bootctl.ErrInvalid)
		}
		if err := b.Confirm(t.Context(), "A"); !errors.Is(err, bootctl.ErrInvalid) ||
			string(d.Variables().Dump()) != before {
			t.Errorf("%s: Confirm: %v", name, err)
		}
		others := foreign(d)
		if err := b.Refresh(t.Context(), "B"); err != nil {
			t.Errorf("%s: Refresh: %v", name, err)
		}
		if slot, _, err := model(d, nil).Boot(); slot != "B" || err != nil {
			t.Errorf("%s: after Refresh the firmware boots %q (%v)", name, slot, err)
		}
		if got := foreign(d); got != others {
			t.Errorf("%s: others' were %s and are %s", name, others, got)
		}
	}
}

// broken are variables that cannot be read; nothing may be taken for lost then.
type broken struct {
	boottest.Variables
	name string
}

var errIO = errors.New("input/output error")

func (b broken) Get(name string) (uint32, []byte, error) {
	if strings.HasPrefix(name, b.name) {
		return 0, nil, errIO
	}
	return b.Variables.Get(name)
}

func TestUnreadable(t *testing.T) {
	for _, name := range []string{"BootOrder", "BootNext", "Boot0010"} {
		d := disk(t)
		b, err := efi.New(broken{d.Variables(), name}, d,
			efi.Options{Locks: []string{}, Slots: []bootctl.Slot{"A", "B"}})
		if err != nil {
			t.Fatal(err)
		}
		before := d.Writes()
		_, err = b.State(t.Context())
		if !errors.Is(err, errIO) || errors.Is(err, bootctl.ErrInvalid) || b.Refresh(t.Context(), "A") == nil ||
			d.Writes() != before {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOtherWriter: efibootmgr takes no lock and may write at any time.
func TestOtherWriter(t *testing.T) {
	for _, c := range []struct {
		reads int // before it writes
		want  error
	}{{1, bootctl.ErrChanged}, {2, bootctl.ErrNotVerified}} {
		d := disk(t)
		n := 0
		d.Opened = func(name string, _ hal.Access) {
			if name != order {
				return
			}
			if n++; n == c.reads+1 {
				d.Variables().Put(order, 7, words(1, 0x10, 0x1A))
			}
		}
		before := d.Writes()
		if err := backend(t, d).Disable(t.Context(), "B"); !errors.Is(err, c.want) {
			t.Errorf("Disable: %v, want %v", err, c.want)
		}
		if c.want == bootctl.ErrChanged && d.Writes() != before {
			t.Error("it wrote")
		}
	}
}

// TestOrder: where a slot is in both variables, the choice changes with one of the two writes.
func TestOrder(t *testing.T) {
	for _, front := range []bool{true, false} {
		for _, name := range []string{"Disable", "Confirm"} {
			d := disk(t)
			d.Variables().Put(order, 7, words(0x1A, 0x10))
			if !front {
				d.Variables().Put(order, 7, words(0x10, 0x1A))
			}
			d.Variables().Put(next, 7, words(0x1A))
			b := backend(t, d)
			read := func() string {
				s, err := b.State(t.Context())
				return fmt.Sprint(s.Slots, s.Next, err)
			}
			op := map[string]func() error{
				"Disable": func() error { return b.Disable(t.Context(), "B") },
				"Confirm": func() error { return b.Confirm(t.Context(), "B") },
			}[name]
			seen := []string{read()}
			stop := d.Writes() + 2
			d.Before = func(n int) error {
				if n >= stop {
					return errIO
				}
				return nil
			}
			first := op()
			d.Before = nil
			seen = append(seen, read())
			if err := op(); err != nil {
				t.Fatal(err)
			}
			seen = append(seen, read())
			if seen[1] != seen[0] && seen[1] != seen[2] {
				t.Errorf("%s, first %v (%v): %q", name, front, first, seen)
			}
		}
	}
}

func TestLocks(t *testing.T) {
	d := disk(t)
	release, err := d.Lock(t.Context(), "/run/lock")
	if err != nil {
		t.Fatal(err)
	}
	before := d.Writes()
	if err := backend(t, d).Try(t.Context(), "B", 1); !errors.Is(err, context.DeadlineExceeded) ||
		d.Writes() != before {
		t.Errorf("Try while the lock is held: %v", err)
	}
	release()
	if err := backend(t, d).Try(t.Context(), "B", 1); err != nil {
		t.Error(err)
	}
}

func TestOptions(t *testing.T) {
	ab := []bootctl.Slot{"A", "B"}
	for _, o := range []efi.Options{
		{},
		{Slots: []bootctl.Slot{"A B"}},
		{Slots: ab, Numbers: map[bootctl.Slot]uint16{"C": 1}},
		{Slots: ab, Numbers: map[bootctl.Slot]uint16{"A": 1, "B": 1}},
	} {
		if _, err := efi.New((&boottest.Disk{}).Variables(), &boottest.Disk{}, o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	for _, s := range []string{"", "001", "00010", "00a0", "+001", "00 1"} {
		if _, ok := efi.ParseNumber(s); ok {
			t.Errorf("the number %q is taken", s)
		}
	}
	if n, ok := efi.ParseNumber("0A1F"); !ok || n != 0x0A1F {
		t.Errorf("%04X", n)
	}
}

// TestFaults: an error of the firmware is told, and the verb can be called again.
func TestFaults(t *testing.T) {
	boottest.Faults(t, boottest.Board{
		Slots: [2]bootctl.Slot{"A", "B"}, Factory: disk(t),
		Backend: func(d *boottest.Disk) bootctl.Backend { return backend(t, d) },
	}, func(d *boottest.Disk) {
		d.Variables().Put(order, 7, append(words(0, 1, 0x77), 0x10))
		d.Variables().Put(boot(0x10), 7, nil)
	})
}
