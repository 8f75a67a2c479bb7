package efi_test

import (
	"encoding/binary"
	"flag"
	"fmt"
	"slices"
	"testing"
	"unicode/utf16"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/bootmodel"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/efi"
)

const (
	global = "-8be4df61-93ca-11d2-aa0d-00e098032b8c"
	order  = "BootOrder" + global
	next   = "BootNext" + global
)

func boot(n uint16) string { return fmt.Sprintf("Boot%04X", n) + global }

func utf(s string) (b []byte) {
	for _, c := range append(utf16.Encode([]rune(s)), 0) {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return b
}

// load is a load option with a device path of an end node only.
func load(title string, active bool) []byte {
	b := []byte{0, 0, 0, 0, 4, 0}
	if active {
		b[0] = 1
	}
	b = append(append(b, utf(title)...), 0x7f, 0xff, 4, 0)
	return append(b, utf("root=x ratchet.slot="+title)...)
}

func words(n ...uint16) (b []byte) {
	for _, x := range n {
		b = binary.LittleEndian.AppendUint16(b, x)
	}
	return b
}

// disk is a machine as it leaves the factory, with both slots good, and with options of others.
func disk(testing.TB) *boottest.Disk {
	d := &boottest.Disk{}
	v := d.Variables()
	v.Put(boot(0), 7, load("UEFI DVD", true))
	v.Put(boot(1), 7, load("debian", false))
	v.Put(boot(0x10), 7, load("ratchet A", true))
	v.Put(boot(0x1A), 7, load("ratchet B", true))
	v.Put(order, 7, words(0, 0x10, 1, 0x1A, 0x77))
	v.Put("Timeout"+global, 7, words(3))
	return d
}

func backend(t testing.TB, d *boottest.Disk) *efi.Backend {
	b, err := efi.New(d.Variables(), d,
		efi.Options{Locks: []string{"/run/lock"}, Shadow: "/var/shadow", Slots: []bootctl.Slot{"A", "B"}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func model(d *boottest.Disk, loads func(string) bool) bootmodel.UEFI {
	return bootmodel.UEFI{Vars: d.Variables(), Loads: loads}
}

// foreign is what others have: their options, and their places in BootOrder.
func foreign(d *boottest.Disk) string {
	_, raw, _ := d.Variables().Get(order)
	var rest []uint16
	for ; len(raw) >= 2; raw = raw[2:] {
		if n := binary.LittleEndian.Uint16(raw); n != 0x10 && n != 0x1A {
			rest = append(rest, n)
		}
	}
	_, a, _ := d.Variables().Get(boot(0))
	_, b, _ := d.Variables().Get(boot(1))
	return fmt.Sprintf("%v %x %x", rest, a, b)
}

func TestConformance(t *testing.T) {
	boottest.Run(t, func(t *testing.T) boottest.Rig {
		d := disk(t)
		return boottest.Rig{
			Backend: backend(t, d),
			Slots:   [2]bootctl.Slot{"A", "B"},
			Forgets: true,
			Model:   func(loads func(string) bool) boottest.Model { return model(d, loads) },
			Raw:     func() []byte { return d.Variables().Dump() },
			Foreign: func() string { return foreign(d) },
			Damage: func() {
				d.Variables().Put(order, 7, append(words(0, 1, 0x77), 0x10))
				d.Variables().Put(boot(0x1A), 7, nil)
			},
		}
	})
}

var depth = flag.Int("depth", 3, "how many operations deep TestExplore goes")

// TestExplore cuts the power everywhere.
func TestExplore(t *testing.T) {
	d := disk(t)
	if err := backend(t, d).Refresh(t.Context(), "A"); err != nil {
		t.Fatal(err)
	}
	counts := boottest.Explore(t, boottest.Board{
		Slots:   [2]bootctl.Slot{"A", "B"},
		Factory: d.PowerOn(),
		Backend: func(d *boottest.Disk) bootctl.Backend { return backend(t, d) },
		Model:   func(d *boottest.Disk, loads func(string) bool) boottest.Model { return model(d, loads) },
		Key:     func(d *boottest.Disk) string { return fmt.Sprint(d.Hash()) },
		Atomic:  true,
		First:   true,
		Tries:   []int{1},
		Depth:   *depth,
	})
	t.Logf("%+v", counts)
	if counts.Cuts < 50 {
		t.Errorf("only %+v", counts)
	}
}

// TestLostBootNext: firmware that loses BootNext leaves a slot that was never tried: not bootable, and
// not exhausted.
func TestLostBootNext(t *testing.T) {
	d := disk(t)
	b := backend(t, d)
	if err := b.Try(t.Context(), "B", 1); err != nil {
		t.Fatal(err)
	}
	d.Variables().Put(next, 7, nil)
	s, err := b.State(t.Context())
	if err != nil || s.Next != "A" || s.Slots["B"] != (bootctl.SlotState{}) || !s.Slots["A"].Confirmed {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestConfirmTakesBack: who confirms a slot wants it to boot, and not what was armed before.
func TestConfirmTakesBack(t *testing.T) {
	d := disk(t)
	b := backend(t, d)
	for _, err := range []error{b.Try(t.Context(), "B", 1), b.Confirm(t.Context(), "A")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if slot, _, err := model(d, nil).Boot(); slot != "A" || err != nil {
		t.Errorf("the firmware boots %q (%v)", slot, err)
	}
}

// TestForeignNext: somebody asked for another option once. It says nothing about ours, and stays until
// a slot is armed.
func TestForeignNext(t *testing.T) {
	d := disk(t)
	b := backend(t, d)
	d.Variables().Put(next, 7, words(1))
	s, err := b.State(t.Context())
	if err != nil || s.Next != "" || !s.Slots["A"].Confirmed || !s.Slots["B"].Confirmed {
		t.Errorf("%+v, %v", s, err)
	}
	if err := b.Disable(t.Context(), "B"); err != nil {
		t.Fatal(err)
	}
	if _, got, err := d.Variables().Get(next); err != nil || !slices.Equal(got, words(1)) {
		t.Errorf("BootNext is %x, %v", got, err)
	}
}

// TestReorder: firmware that puts its own options in front, or drops ours, as they do after a setup.
func TestReorder(t *testing.T) {
	d := disk(t)
	b := backend(t, d)
	if err := b.Refresh(t.Context(), "A"); err != nil {
		t.Fatal(err)
	}
	before := string(d.Variables().Dump())
	for _, n := range []uint16{0x10, 0x1A} {
		d.Variables().Put(boot(n), 7, nil)
	}
	if s, err := b.State(t.Context()); err != nil || s.Next != "" || s.Slots["A"].Bootable {
		t.Errorf("no slot has an option: %+v, %v", s, err)
	}
	if err := b.Refresh(t.Context(), "A"); err != nil || string(d.Variables().Dump()) != before {
		t.Errorf("the options were not made again: %v", err)
	}
	d.Variables().Put(boot(0x10), 7, load("ratchet A", false)) // switched off in the setup
	d.Variables().Put(order, 7, words(0x10, 0))
	if err := b.Confirm(t.Context(), "A"); err != nil {
		t.Fatal(err)
	}
	if slot, args, err := model(d, nil).Boot(); slot != "A" || args == "" || err != nil {
		t.Errorf("the firmware boots %q with %q (%v)", slot, args, err)
	}
}

// TestNumbers: options that are not named as ours are.
func TestNumbers(t *testing.T) {
	d := disk(t)
	b, err := efi.New(d.Variables(), d, efi.Options{Locks: []string{}, Slots: []bootctl.Slot{"A", "B"},
		Numbers: map[bootctl.Slot]uint16{"A": 0, "B": 0x1A}})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := b.State(t.Context()); err != nil || s.Next != "A" || !s.Slots["B"].Confirmed {
		t.Errorf("%+v, %v", s, err)
	}
	d.Variables().Put(boot(5), 7, load("ratchet A", true))
	if _, err := backend(t, d).State(t.Context()); err == nil {
		t.Error("two options are one slot's")
	}
	if s, err := b.State(t.Context()); err != nil || s.Next != "A" {
		t.Errorf("%+v, %v", s, err)
	}
}
