// Package boottest is the conformance suite of bootctl: what every backend must do (Run), the models of
// the bootloaders that boot the same bytes, and an exploration of every power cut (Explore) over a disk
// in memory that is stricter than hardware (Disk).
package boottest

import (
	"context"
	"errors"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/bootmodel"
)

type (
	// UBoot is the model of U-Boot with boot.cmd.
	UBoot = bootmodel.UBoot
	// GRUB is the model of GRUB with grub.cfg.
	GRUB = bootmodel.GRUB
)

// Model boots a board's metadata as its loader does.
type Model interface {
	Boot() (slot, cmdline string, err error)
}

// Rig is one board under test, freshly provisioned: both slots bootable, the first one first and
// running. The metadata says nothing else about them.
type Rig struct {
	Backend bootctl.Backend
	// Slots are the two slots, the running one first.
	Slots [2]bootctl.Slot
	// Model boots the board's metadata; loads tells whose kernel can be loaded.
	Model func(loads func(slot string) bool) Model
	// Raw is all of the metadata's bytes, to see whether anything was written.
	Raw func() []byte
	// Foreign is what other programs keep in the metadata, in a form that can be compared. nil: nothing can.
	Foreign func() string
	// Stays: the loader does not go on to the next slot when the kernel of a confirmed one cannot be loaded.
	Stays bool
	// Forgets: the metadata does not tell a slot that used up its tries from one that was disabled.
	Forgets bool
	// Damage makes the metadata invalid. nil: the backend has no notion of it.
	Damage func()
}

func all(string) bool { return true }

func only(s bootctl.Slot) func(string) bool {
	return func(slot string) bool { return slot == string(s) }
}

// Run runs the suite. rig is called for a new board in each part.
func Run(t *testing.T, rig func(t *testing.T) Rig) {
	parts := []struct {
		name string
		run  func(t *testing.T, b *board)
	}{
		{"fresh state", testFresh},
		{"an update is tried and confirmed", testConfirm},
		{"a sick update falls back", testFallback},
		{"a confirmed slot is not counted down", testConfirmedStays},
		{"every operation is idempotent", testIdempotent},
		{"a running trial is not refilled", testTrialNotRefilled},
		{"a sick slot is never revived", testNeverRevived},
		{"the last bootable slot is kept", testNoFallback},
		{"bad arguments are refused", testArguments},
		{"invalid metadata is not changed", testInvalid},
		{"invalid metadata is restored for the running slot", testRestore},
		{"a cancelled context changes nothing", testCancelled},
	}
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) {
			b := &board{Rig: rig(t), t: t, ctx: t.Context()}
			var before string
			if b.Foreign != nil {
				before = b.Foreign()
			}
			p.run(t, b)
			if b.Foreign != nil && b.Foreign() != before {
				t.Errorf("what other programs keep changed from %q to %q", before, b.Foreign())
			}
		})
	}
}

// board is a rig with the checks that the parts share.
type board struct {
	Rig
	t   *testing.T
	ctx context.Context
}

func (b *board) state() bootctl.State {
	b.t.Helper()
	s, err := b.Backend.State(b.ctx)
	if err != nil {
		b.t.Fatalf("State: %v", err)
	}
	return s
}

func (b *board) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *board) boots(loads func(string) bool, want ...bootctl.Slot) {
	b.t.Helper()
	for i, w := range want {
		slot, _, err := b.Model(loads).Boot()
		st, invalid := b.Backend.State(b.ctx)
		if counts := invalid == nil && st.Caps.CountsConfirmed; counts && err == nil && slot == "" {
			// Such a script gives up on a slot by a reset.
			slot, _, err = b.Model(loads).Boot()
		}
		if err != nil || slot != string(w) {
			b.t.Fatalf("boot %d: the loader boots %q (%v), want %q", i+1, slot, err, w)
		}
		if invalid == nil && st.Caps.CountsConfirmed {
			// What the agent does in every healthy boot; it leaves a slot on trial alone.
			b.ok(b.Backend.Refresh(b.ctx, w))
		}
	}
}

func (b *board) unchanged(what string, f func() error, want error) {
	b.t.Helper()
	before := string(b.Raw())
	if err := f(); !errors.Is(err, want) || (err == nil) != (want == nil) {
		b.t.Errorf("%s: %v, want %v", what, err, want)
	}
	if string(b.Raw()) != before {
		b.t.Errorf("%s wrote", what)
	}
}

// slotIs checks one slot's state. tries < 0 is not looked at.
func (b *board) slotIs(s bootctl.Slot, bootable, confirmed bool, tries int) {
	b.t.Helper()
	got := b.state().Slots[s]
	if got.Bootable != bootable || got.Confirmed != confirmed || tries >= 0 && got.Tries >= 0 && got.Tries != tries {
		b.t.Errorf("slot %s is %+v, want bootable %v, confirmed %v, tries %d", s, got, bootable, confirmed, tries)
	}
}

func (b *board) nextIs(want bootctl.Slot) {
	b.t.Helper()
	if got := b.state().Next; got != want {
		b.t.Errorf("next is %q, want %q", got, want)
	}
}

func testFresh(t *testing.T, b *board) {
	s := b.state()
	if len(s.Slots) != 2 {
		t.Errorf("%d slots, want 2", len(s.Slots))
	}
	c := s.Caps
	if c.Backend == "" || c.Layout == "" || c.MaxTries < 1 || c.MaxTries > bootctl.MaxTries ||
		c.PowerSafe == (c.Weakness != "") {
		t.Errorf("capabilities are not sound: %+v", c)
	}
	b.nextIs(b.Slots[0])
	b.slotIs(b.Slots[0], true, true, -1)
	b.boots(all, b.Slots[0])
}

func testConfirm(t *testing.T, b *board) {
	run, target := b.Slots[0], b.Slots[1]
	b.ok(b.Backend.Refresh(b.ctx, run))
	b.ok(b.Backend.Disable(b.ctx, target))
	b.slotIs(target, false, false, 0)
	if b.state().Slots[target].Exhausted {
		t.Error("a disabled slot is exhausted")
	}
	b.boots(all, run)
	b.ok(b.Backend.Refresh(b.ctx, run))
	b.ok(b.Backend.Try(b.ctx, target, 1))
	b.slotIs(target, true, false, 1)
	b.slotIs(run, true, true, -1)
	b.nextIs(target)
	b.boots(all, target)
	b.ok(b.Backend.Confirm(b.ctx, target))
	b.slotIs(target, true, true, -1)
	b.nextIs(target)
	b.boots(all, target)
	b.ok(b.Backend.Refresh(b.ctx, target))
	// The old slot is still there to fall back to.
	b.slotIs(run, true, true, -1)
	if !b.Stays {
		b.boots(only(run), run)
	}
}

func testFallback(t *testing.T, b *board) {
	run, target := b.Slots[0], b.Slots[1]
	for tries := 1; tries <= b.state().Caps.MaxTries; tries++ {
		b.ok(b.Backend.Refresh(b.ctx, run))
		b.ok(b.Backend.Disable(b.ctx, target))
		b.ok(b.Backend.Try(b.ctx, target, tries))
		for range tries {
			b.boots(all, target)
		}
		b.boots(all, run)
		b.slotIs(target, false, false, 0)
		if b.state().Slots[target].Exhausted == b.Forgets {
			t.Errorf("that a slot used up its tries is said: %v", b.Forgets)
		}
		b.ok(b.Backend.Refresh(b.ctx, run))
		// A kernel that cannot be loaded falls back at once, and boots no more.
		b.ok(b.Backend.Try(b.ctx, target, 1))
		b.boots(only(run), run)
		b.ok(b.Backend.Refresh(b.ctx, run))
		b.boots(all, run)
	}
}

func testConfirmedStays(t *testing.T, b *board) {
	run := b.Slots[0]
	b.ok(b.Backend.Refresh(b.ctx, run))
	counts := b.state().Caps.CountsConfirmed
	before := string(b.Raw())
	for range 25 {
		b.boots(all, run)
	}
	if !counts && string(b.Raw()) != before {
		t.Error("the loader wrote while it booted a confirmed slot")
	}
}

func testIdempotent(t *testing.T, b *board) {
	run, target := b.Slots[0], b.Slots[1]
	steps := []struct {
		name string
		f    func() error
	}{
		{"Refresh", func() error { return b.Backend.Refresh(b.ctx, run) }},
		{"Disable", func() error { return b.Backend.Disable(b.ctx, target) }},
		{"Try", func() error { return b.Backend.Try(b.ctx, target, 1) }},
		{"Disable", func() error { return b.Backend.Disable(b.ctx, target) }},
		{"Try", func() error { return b.Backend.Try(b.ctx, target, 1) }},
		{"Confirm", func() error { return b.Backend.Confirm(b.ctx, target) }},
		{"Refresh", func() error { return b.Backend.Refresh(b.ctx, target) }},
	}
	for _, s := range steps {
		b.ok(s.f())
		b.unchanged("a second "+s.name, s.f, nil)
	}
}

func testTrialNotRefilled(t *testing.T, b *board) {
	run, target := b.Slots[0], b.Slots[1]
	b.ok(b.Backend.Refresh(b.ctx, run))
	b.ok(b.Backend.Try(b.ctx, target, 1))
	b.boots(all, target)
	b.unchanged("Refresh of a slot on trial", func() error { return b.Backend.Refresh(b.ctx, target) }, nil)
	b.boots(all, run)
}

func testNeverRevived(t *testing.T, b *board) {
	run, target := b.Slots[0], b.Slots[1]
	b.ok(b.Backend.Refresh(b.ctx, run))
	b.ok(b.Backend.Try(b.ctx, target, 1))
	b.boots(all, target, run)
	if b.state().Caps.CountsConfirmed {
		// Such a script revives whatever is in the order: the agent disables a slot that fell back.
		b.ok(b.Backend.Refresh(b.ctx, run))
		b.ok(b.Backend.Disable(b.ctx, target))
	}
	b.neverBoots(target)
	b.ok(b.Backend.Refresh(b.ctx, run))
	b.ok(b.Backend.Disable(b.ctx, target))
	b.neverBoots(target)
}

// neverBoots drains the running slot: its kernel cannot be loaded, again and again.
func (b *board) neverBoots(target bootctl.Slot) {
	b.t.Helper()
	for range 15 {
		if slot, _, _ := b.Model(only(target)).Boot(); slot != "" {
			b.t.Fatalf("the loader boots the sick slot %s", slot)
		}
	}
	for range 15 {
		if slot, _, _ := b.Model(all).Boot(); slot == string(target) {
			b.t.Fatalf("the loader boots the sick slot %s", slot)
		}
	}
}

func testNoFallback(t *testing.T, b *board) {
	run, target := b.Slots[0], b.Slots[1]
	b.ok(b.Backend.Refresh(b.ctx, run))
	b.ok(b.Backend.Disable(b.ctx, target))
	b.unchanged("Disable of the only slot", func() error { return b.Backend.Disable(b.ctx, run) },
		bootctl.ErrNoFallback)
	b.unchanged("Try of the only slot", func() error { return b.Backend.Try(b.ctx, run, 1) }, bootctl.ErrNoFallback)
	b.ok(b.Backend.Try(b.ctx, target, 1))
	b.unchanged("Disable of the only confirmed slot", func() error { return b.Backend.Disable(b.ctx, run) },
		bootctl.ErrNoFallback)
	b.unchanged("Try of the only confirmed slot", func() error { return b.Backend.Try(b.ctx, run, 1) },
		bootctl.ErrNoFallback)
}

func testArguments(t *testing.T, b *board) {
	refused := func(what string, f func() error) {
		t.Helper()
		before := string(b.Raw())
		if f() == nil {
			t.Errorf("%s is taken", what)
		}
		if string(b.Raw()) != before {
			t.Errorf("%s wrote", what)
		}
	}
	for _, s := range []bootctl.Slot{"", "Z", b.Slots[0] + " " + b.Slots[1], "--help", "A=1"} {
		refused("Refresh of an unknown slot", func() error { return b.Backend.Refresh(b.ctx, s) })
		refused("Disable of an unknown slot", func() error { return b.Backend.Disable(b.ctx, s) })
		refused("Try of an unknown slot", func() error { return b.Backend.Try(b.ctx, s, 1) })
		refused("Confirm of an unknown slot", func() error { return b.Backend.Confirm(b.ctx, s) })
	}
	for _, n := range []int{-1, 0, b.state().Caps.MaxTries + 1, 1 << 20} {
		refused("Try with a bad count", func() error { return b.Backend.Try(b.ctx, b.Slots[1], n) })
	}
}

func testInvalid(t *testing.T, b *board) {
	if b.Damage == nil {
		t.Skip("this backend has no invalid metadata")
	}
	b.ok(b.Backend.Refresh(b.ctx, b.Slots[0]))
	b.Foreign = nil // nothing can be read of it from here on
	b.Damage()
	if _, err := b.Backend.State(b.ctx); !errors.Is(err, bootctl.ErrInvalid) {
		t.Errorf("State: %v, want %v", err, bootctl.ErrInvalid)
	}
	b.unchanged("Disable", func() error { return b.Backend.Disable(b.ctx, b.Slots[1]) }, bootctl.ErrInvalid)
	b.unchanged("Try", func() error { return b.Backend.Try(b.ctx, b.Slots[1], 1) }, bootctl.ErrInvalid)
	b.unchanged("Confirm", func() error { return b.Backend.Confirm(b.ctx, b.Slots[0]) }, bootctl.ErrInvalid)
}

func testRestore(t *testing.T, b *board) {
	if b.Damage == nil {
		t.Skip("this backend has no invalid metadata")
	}
	run, target := b.Slots[1], b.Slots[0] // what runs need not be what is first
	b.ok(b.Backend.Refresh(b.ctx, target))
	b.Damage()
	b.ok(b.Backend.Refresh(b.ctx, run))
	b.slotIs(run, true, true, -1)
	b.slotIs(target, false, false, 0)
	b.nextIs(run)
	b.boots(all, run, run, run, run, run)
	b.ok(b.Backend.Refresh(b.ctx, run))
	b.ok(b.Backend.Try(b.ctx, target, 1))
	b.boots(all, target, run)
}

func testCancelled(t *testing.T, b *board) {
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	b.unchanged("Try", func() error { return b.Backend.Try(ctx, b.Slots[1], 1) }, context.Canceled)
	b.unchanged("Confirm", func() error { return b.Backend.Confirm(ctx, b.Slots[1]) }, context.Canceled)
}
