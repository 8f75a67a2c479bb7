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
// Confirm puts a slot in front of BootOrder, Try into BootNext, Disable takes it out of both.
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
// before or after. Try of a slot that is still confirmed disables it first, in a record of its own. A
// cleared LOAD_OPTION_ACTIVE is no record here: firmware boots a BootNext that is not active.
package efi

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/choice"
	"github.com/ratchet-ota/ratchet/bootctl/internal/engine"
	"github.com/ratchet-ota/ratchet/hal"
)

// fullTries: BootOrder keeps no count, BootNext has one boot.
const fullTries = 1

// Options describe one machine.
type Options struct {
	// Locks are taken in this order while reading and writing; nil means /run/ratchet/lock/efi.lock, left
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
type Backend struct{ *engine.Engine }

// New validates o. It touches nothing. fsys holds locks and the shadow copy.
func New(vars hal.Variables, fsys hal.FS, o Options) (*Backend, error) {
	if err := choice.CheckSlots(o.Slots); err != nil {
		return nil, fmt.Errorf("cannot use UEFI's boot variables: %w", err)
	}
	for s, n := range o.Numbers {
		if !slices.Contains(o.Slots, s) {
			return nil, fmt.Errorf("cannot use UEFI's boot variables: "+
				"Boot%04X is for slot %s, which there is not", n, s)
		}
		for t, m := range o.Numbers {
			if s != t && n == m {
				return nil, fmt.Errorf("cannot use UEFI's boot variables: slots %s and %s have the same number %04X",
					min(s, t), max(s, t), n)
			}
		}
	}
	c := codec{vars: vars, fs: fsys, o: o}
	return &Backend{engine.New(fsys, engine.Options{
		Read: c.read, Slots: o.Slots, FullTries: fullTries, MaxTries: fullTries,
		Locks: o.Locks, DefaultLocks: []string{"/run/ratchet/lock/efi.lock"},
	})}, nil
}

// codec reads and writes the variables of one machine.
type codec struct {
	vars hal.Variables
	fs   hal.FS
	o    Options
}

// Caps implements engine.Reading.
func (c codec) Caps() bootctl.Caps {
	return bootctl.Caps{
		Backend: "uefi", Layout: "BootOrder and BootNext", PowerSafe: true, MaxTries: fullTries, Watchdog: c.o.Watchdog,
	}
}

// Write implements engine.Reading. A verb changes two variables at most, in the order that is argued at
// each. What reads back is in no cache, so that nothing is written again. Refresh has nothing to refill.
func (r *reading) Write(c engine.Change) error {
	switch c.Verb {
	case engine.Disable:
		return r.disable(c.Slot)
	case engine.Try:
		return r.try(c.Slot)
	case engine.Confirm:
		return r.lead(c.Slot)
	}
	return nil
}

// disable takes target out of BootOrder and BootNext.
func (r *reading) disable(target bootctl.Slot) error {
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
}

// try makes BootNext target.
func (r *reading) try(target bootctl.Slot) error {
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
}

func missing(s bootctl.Slot) error {
	return fmt.Errorf("no load option \"ratchet %s\" is there: make it with efibootmgr", s)
}

// place is one variable, which is one step to change.
type place struct {
	vars hal.Variables
	name string
	attr uint32 // as read
}

func (c codec) place(name string) *place { return &place{vars: c.vars, name: name} }

func (p *place) String() string { return strings.TrimSuffix(p.name, global) }

// Read returns nil data for a variable that is not there.
func (p *place) Read() (data []byte, err error) {
	p.attr, data, err = p.vars.Get(p.name)
	if errors.Is(err, fs.ErrNotExist) {
		p.attr = attributes
		return nil, nil
	}
	return data, err
}

// Write sets the variable, with the attributes that it was read with. Without data it is deleted.
//
// Crash: before -> old; after -> new.
func (p *place) Write(data []byte) error { return p.vars.Set(p.name, p.attr, data) }
