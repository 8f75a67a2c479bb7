// Package efi is the boot control of plain UEFI firmware: BootOrder, BootNext, and one load option
// (Boot####) for each slot, which starts the slot's kernel by its EFI stub.
//
// # Variables
//
// A slot's option is the one with the description "ratchet SLOT", or of a configured number. The factory
// makes them (efibootmgr); this package changes none but to switch one on again that somebody
// switched off, or to make one again that the firmware dropped. Other options, and their order, are kept.
//
//	BootOrder   the slots in it are confirmed; the first one boots
//	BootNext    the slot is on trial: the firmware deletes it before it boots, so that a trial has one boot
//
// A slot that is in neither is disabled. Where BootNext names a slot that is in BootOrder too, the slot
// is on trial, unless it is the first there: then it boots anyhow.
//
// A BootNext that is gone says nothing: the firmware has used it, or lost it. Such a slot is disabled and
// not exhausted. Who armed it must know for himself whether it ever started.
//
// # Power loss
//
// SetVariable changes one variable or does not (UEFI 2.10, section 8.2); two variables are two steps. The
// record of Try is BootNext, that of Confirm is BootOrder, that of Disable is the one of the two that the
// slot is in. Where a slot was in both, the one that does not decide is changed where it changes nothing:
// before or after. Try of a slot that is still confirmed disables it first, in a record of its own. A cleared LOAD_OPTION_ACTIVE is no record here: firmware boots a BootNext that is not active.
package efi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/choice"
	"github.com/ratchet-ota/ratchet/bootctl/internal/locks"
	"github.com/ratchet-ota/ratchet/hal"
)

// fullTries: BootOrder keeps no count, BootNext has one boot.
const fullTries = 1

// Options describe one machine.
type Options struct {
	// Locks are taken in this order while reading and writing; nil means /run/lock/ratchet-efi.lock, left
	// out where its directory is not there. efibootmgr(8) takes none. Empty means none.
	Locks  []string
	Shadow string // file with a copy of the slots' options, "" for none; its directory exists
	Slots  []bootctl.Slot
	// Numbers are the options of slots by their number; others are found by "ratchet SLOT".
	Numbers map[bootctl.Slot]uint16
	// Watchdog: the firmware leaves a watchdog running when it starts the kernel.
	Watchdog bool
}

// Backend is one machine's firmware. It is safe for concurrent use as far as Locks are taken.
type Backend struct {
	vars          hal.Variables
	fs            hal.FS
	o             Options
	optionalLocks bool
}

var _ bootctl.Backend = (*Backend)(nil)

// New validates o. It touches nothing. fsys holds locks and the shadow copy.
func New(vars hal.Variables, fsys hal.FS, o Options) (*Backend, error) {
	if err := choice.CheckSlots(o.Slots); err != nil {
		return nil, fmt.Errorf("cannot use UEFI's boot variables: %w", err)
	}
	for s, n := range o.Numbers {
		for t, m := range o.Numbers {
			if !slices.Contains(o.Slots, s) || s != t && n == m {
				return nil, fmt.Errorf("cannot use UEFI's boot variables: the number %04X of slot %s is of no slot, or of two", n, s)
			}
		}
	}
	b := &Backend{vars: vars, fs: fsys, o: o}
	if o.Locks == nil {
		b.o.Locks = []string{"/run/lock/ratchet-efi.lock"}
		b.optionalLocks = true
	}
	return b, nil
}

// State implements bootctl.Backend. It wraps ErrInvalid when BootOrder is not there, or is no list.
func (b *Backend) State(ctx context.Context) (s bootctl.State, err error) {
	err = b.locked(ctx, "cannot read the boot state", func() error {
		r, err := b.valid()
		if err != nil {
			return err
		}
		c := r.choice()
		s = bootctl.State{Slots: c.Slots(), Next: bootctl.Slot(c.Next()), Caps: bootctl.Caps{
			Backend: "uefi", Layout: "BootOrder and BootNext", PowerSafe: true, MaxTries: fullTries, Watchdog: b.o.Watchdog}}
		if r.next != nil && r.slotOf(*r.next) == "" {
			s.Next = "" // somebody asked for another option
		}
		for name, x := range s.Slots {
			if x.Confirmed {
				x.Tries = -1 // not counted
				s.Slots[name] = x
			}
		}
		return nil
	})
	return s, err
}

// Refresh implements bootctl.Backend. It also keeps the shadow copy, and makes a slot's option again that
// the firmware dropped: call it in every healthy boot.
func (b *Backend) Refresh(ctx context.Context, running bootctl.Slot) error {
	return b.locked(ctx, "cannot refresh slot "+string(running), func() error {
		r, err := b.read()
		if err == nil {
			err = b.revive(r)
		}
		if err != nil {
			return err
		}
		if err := r.check(); err != nil {
			if err := r.restore(running); err != nil {
				return err
			}
		} else if _, err := r.choice().Refresh(running, fullTries); err != nil {
			return err
		}
		return b.keepShadow(r)
	})
}

// Disable implements bootctl.Backend: the slot is in neither BootOrder nor BootNext.
func (b *Backend) Disable(ctx context.Context, target bootctl.Slot) error {
	return b.change(ctx, "cannot disable slot "+string(target), func(r *reading, c choice.Choice) error {
		if _, err := c.Disable(target); err != nil {
			return err
		}
		// Crash: between the two -> what decided still does: a slot that is first is confirmed with or
		// without BootNext; any other is on trial with BootNext, wherever it stands.
		if r.first() == target {
			if err := r.forget(target); err != nil {
				return err // taken out with BootNext left, it would be on trial
			}
			return r.takeOut(target)
		}
		if err := r.takeOut(target); err != nil {
			return err
		}
		return r.forget(target)
	})
}

// Try implements bootctl.Backend: BootNext is the slot. tries is 1.
func (b *Backend) Try(ctx context.Context, target bootctl.Slot, tries int) error {
	return b.change(ctx, "cannot arm slot "+string(target), func(r *reading, c choice.Choice) error {
		if tries != fullTries {
			return fmt.Errorf("%d tries: BootNext is for one boot only", tries)
		}
		if _, err := c.Try(target, tries, fullTries); err != nil {
			return err
		}
		n, ok := r.numbers[target]
		if !ok {
			return missing(target)
		}
		// Crash: between the two -> a slot that was confirmed is disabled, and another one boots. The other
		// way round BootNext could be used up, and the slot would run and look confirmed.
		if err := r.takeOut(target); err != nil {
			return err
		}
		// Crash: before -> the old choice; after -> on trial for one boot.
		return r.set(bootNext, encodeOrder(n))
	})
}

// Confirm implements bootctl.Backend: BootOrder begins with the slot.
func (b *Backend) Confirm(ctx context.Context, slot bootctl.Slot) error {
	return b.change(ctx, "cannot confirm slot "+string(slot), func(r *reading, c choice.Choice) error {
		if _, err := c.Confirm(slot, fullTries); err != nil {
			return err
		}
		return r.lead(slot)
	})
}

func missing(s bootctl.Slot) error {
	return fmt.Errorf("no load option \"ratchet %s\" is there: make it with efibootmgr", s)
}

// change decides and writes under the lock, on variables that validate.
func (b *Backend) change(ctx context.Context, what string, do func(*reading, choice.Choice) error) error {
	return b.locked(ctx, what, func() error {
		r, err := b.valid()
		if err != nil {
			return err
		}
		return do(r, r.choice())
	})
}

// locked runs do under the locks. Only waiting for them ends with ctx: what is begun is finished.
func (b *Backend) locked(ctx context.Context, what string, do func() error) error {
	unlock, err := locks.Take(ctx, b.fs, b.o.Locks, b.optionalLocks)
	if err == nil {
		defer unlock()
		err = do()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// valid reads the variables; the error wraps ErrInvalid when it cannot be told what boots.
func (b *Backend) valid() (*reading, error) {
	r, err := b.read()
	if err != nil {
		return nil, err
	}
	return r, r.check()
}

// get returns nil data for a variable that is not there.
func (b *Backend) get(name string) (attr uint32, data []byte, err error) {
	attr, data, err = b.vars.Get(name)
	if errors.Is(err, fs.ErrNotExist) {
		return attributes, nil, nil
	}
	return attr, data, err
}

// set changes a variable that was read as old, and reads it back. Without data it is deleted.
//
// Crash: before -> old; after -> new.
func (b *Backend) set(name string, old, data []byte) error {
	attr, now, err := b.get(name)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, old) {
		return fmt.Errorf("%w: %s", bootctl.ErrChanged, strings.TrimSuffix(name, global))
	}
	if err := b.vars.Set(name, attr, data); err != nil {
		return err
	}
	_, back, err := b.get(name)
	if err != nil {
		return fmt.Errorf("%w: %w", bootctl.ErrNotVerified, err)
	}
	if !bytes.Equal(back, data) {
		return fmt.Errorf("%w: %s", bootctl.ErrNotVerified, strings.TrimSuffix(name, global))
	}
	return nil
}
