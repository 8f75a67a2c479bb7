// Package bootctl reads, validates, changes and writes the metadata by which a bootloader chooses
// its slot. A Backend is one bootloader's format. Every change is one atomic record: a cut before,
// inside or after it leaves either the old or the new choice, never a mixture.
//
// A backend takes the locks that the bootloader's own tools take, compares before writing (somebody
// else may have written since State), reads back after writing, and writes only what changed.
package bootctl

import (
	"context"
	"errors"
)

// MaxTries is the highest boot counter that is written: RAUC's scripts read it as hexadecimal and
// U-Boot's own bootmeth as decimal, so that only one digit means the same to both.
const MaxTries = 9

var (
	// ErrInvalid: the metadata cannot be validated (bad CRC, wrong size, no copy good). Nothing was written.
	ErrInvalid = errors.New("boot metadata is not valid")
	// ErrChanged: somebody else wrote between reading and writing. Nothing was written; read again.
	ErrChanged = errors.New("boot metadata was changed by another program")
	// ErrNotVerified: what was read back differs from what was written. The state is unknown; read again.
	ErrNotVerified = errors.New("boot metadata read back differs from what was written")
	// ErrNoFallback: the change would leave no bootable confirmed slot (invariant I1). Nothing was written.
	ErrNoFallback = errors.New("no other confirmed slot is bootable")
)

// Slot is the boot name of a slot as the bootloader's metadata spells it ("A", "B").
type Slot string

// SlotState is what the metadata says of one slot.
type SlotState struct {
	// Bootable: the loader would boot the slot if all slots before it were gone.
	Bootable bool
	// Confirmed: the slot is not on trial; the loader does not count it down (with our scripts).
	Confirmed bool
	// Tries left, 0..MaxTries; -1 where the loader keeps no counter for this slot.
	Tries int
	// Exhausted: the slot was armed and the loader has used up all its tries, as opposed to a slot
	// that was disabled. False where the metadata cannot tell the two apart.
	Exhausted bool
}

// State is one validated reading of the metadata.
type State struct {
	Slots map[Slot]SlotState
	// Next is the slot that the loader would boot now by its own selection rule, "" for none.
	Next Slot
	Caps Caps
	// Unlocked are the locks that this reading went on without, each with the reason: somebody else than a
	// bootloader's tool may hold or have spoiled them, and must not decide what becomes of an update.
	Unlocked []string
}

// Caps is what a bootloader and its layout can do.
type Caps struct {
	Backend string // "u-boot", "grub", "systemd-boot", "uefi", "hook"
	Layout  string // e.g. "redundant environment", "single environment file"
	// PowerSafe: every write of ours and of the loader is atomic under a power cut. Where it is
	// false, Weakness says why in one sentence.
	PowerSafe bool
	Weakness  string
	// Damaged says which of two copies cannot be used now, and why: the loader goes on with the other one. Refresh
	// writes it anew. "" where all is well.
	Damaged string
	// MaxTries is the number of trial boots that the loader can count, 1..9.
	MaxTries int
	// CountsConfirmed: the loader counts confirmed slots too, so that Refresh must refill them after each boot.
	CountsConfirmed bool
	// Watchdog: the loader arms a watchdog before it starts the kernel.
	Watchdog bool
	// RebootArg is handed to the firmware with the reboot that starts a trial, where one is needed.
	RebootArg string
}

// Backend is one bootloader's metadata. All methods are idempotent and may be called again after a
// crash. Errors wrap the sentinels above where they apply.
type Backend interface {
	State(ctx context.Context) (State, error)
	// Refresh makes the running, confirmed slot bootable with full tries when it is low or not in
	// order, and restores the minimum (running bootable, every other slot disabled) when the
	// metadata is invalid. It writes nothing when nothing is wrong. The caller has proven that running runs.
	Refresh(ctx context.Context, running Slot) error
	// Disable makes target not bootable. ErrNoFallback when no other slot is bootable.
	Disable(ctx context.Context, target Slot) error
	// Try arms target for a trial of 1..MaxTries boots in front of all others, and refills the
	// fallback's tries, in one record. ErrNoFallback when no other confirmed slot is bootable. A target
	// that is still confirmed may be disabled first, in a record of its own.
	Try(ctx context.Context, target Slot, tries int) error
	// Confirm ends the trial of slot: bootable, first, confirmed, full tries.
	Confirm(ctx context.Context, slot Slot) error
}
