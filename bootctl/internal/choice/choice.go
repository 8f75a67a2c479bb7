// Package choice is the decision that the loaders of this project share, apart from the bytes they
// keep it in: an order of slots, the tries left of each, and whether a slot is confirmed. It is pure;
// the backends read it from their variables, let it change, and write back what differs.
//
// A loader boots the first slot in the order that has tries left. It counts down a slot on trial and
// never a confirmed one. A slot of which nobody said whether it is confirmed (a board that was set up
// for RAUC, or an environment that the loader made anew from its defaults) counts as confirmed while
// it is the one the loader would boot, and no other does: one slot at most is trusted on inference,
// and the first change made writes down what was inferred.
package choice

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ratchet-ota/ratchet/bootctl"
)

// Good says what the metadata says about a slot having proven itself.
type Good int

const (
	// Unknown: nothing is said.
	Unknown Good = iota
	// Trial: on trial, or disabled; it has not proven itself since it was written.
	Trial
	// Confirmed: proven.
	Confirmed
)

// Entry is what the metadata says of one slot. A slot that is not in the order is not bootable
// whatever its entry says.
type Entry struct {
	Tries int // left; zero means not bootable
	Good  Good
	// Spent: the loader used up the tries, as opposed to a slot that was disabled.
	Spent bool
}

// Choice is one reading of the metadata.
type Choice struct {
	// Known are the slots that are ours to change.
	Known []bootctl.Slot
	// Order is the loader's order, each name once. It may hold names that are not ours (a recovery system).
	Order []string
	// Entries has an entry for each known slot and each name in the order.
	Entries map[string]Entry
	// Uncounted: the loader keeps no counter for a confirmed slot.
	Uncounted bool
}

var errUnknownSlot = errors.New("no such slot")

// CheckSlots validates a slot table: at least one slot, each name once, of letters, digits and '_'
// (what U-Boot, GRUB and the kernel command line all take in a name), at most 32 bytes.
func CheckSlots(slots []bootctl.Slot) error {
	if len(slots) == 0 {
		return errors.New("no slots are configured")
	}
	for i, s := range slots {
		if len(s) == 0 || len(s) > 32 || strings.Trim(string(s), nameBytes) != "" {
			return fmt.Errorf("slot name %q is not 1 to 32 letters, digits or underscores", string(s))
		}
		if slices.Contains(slots[:i], s) {
			return fmt.Errorf("slot %s is configured twice", s)
		}
	}
	return nil
}

const nameBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

// ParseOrder splits a loader's order at blanks and keeps the first of a name that stands twice.
func ParseOrder(s string) []string {
	var order []string
	blank := func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' } // as the loaders' shells split
	for _, name := range strings.FieldsFunc(s, blank) {
		if !slices.Contains(order, name) {
			order = append(order, name)
		}
	}
	return order
}

// Bootable tells whether the loader would boot name if all before it in the order were gone.
//
//go:noinline
func (c Choice) Bootable(name string) bool {
	return slices.Contains(c.Order, name) && c.Entries[name].Tries > 0
}

// Next is the name that the loader would boot now, "" for none.
//
//go:noinline
func (c Choice) Next() string {
	for _, name := range c.Order {
		if c.Bootable(name) {
			return name
		}
	}
	return ""
}

// Confirmed tells whether name has proven itself, by what is said or by inference (package comment).
//
//go:noinline
func (c Choice) Confirmed(name string) bool {
	switch c.Entries[name].Good {
	case Confirmed:
		return true
	case Unknown:
		return c.Next() == name
	}
	return false
}

// Slots is the choice in the terms of bootctl.State.
func (c Choice) Slots() map[bootctl.Slot]bootctl.SlotState {
	m := make(map[bootctl.Slot]bootctl.SlotState, len(c.Known))
	for _, s := range c.Known {
		state := bootctl.SlotState{
			Bootable:  c.Bootable(string(s)),
			Confirmed: c.Confirmed(string(s)),
			Tries:     min(c.Entries[string(s)].Tries, bootctl.MaxTries),
			Exhausted: c.Entries[string(s)].Spent,
		}
		if c.Uncounted && state.Confirmed {
			state.Tries = -1
		}
		m[s] = state
	}
	return m
}

// Equal tells whether two readings say the same.
func (c Choice) Equal(d Choice) bool {
	return slices.Equal(c.Order, d.Order) && maps.Equal(c.Entries, d.Entries)
}

// Try puts target on trial in front of all others, with tries, and refills every fallback to full.
func (c Choice) Try(target bootctl.Slot, tries, full int) (Choice, error) {
	if err := c.check(target); err != nil {
		return c, err
	}
	if tries < 1 || tries > bootctl.MaxTries {
		return c, fmt.Errorf("%d tries are outside of 1 to %d", tries, bootctl.MaxTries)
	}
	if !c.fallback(target, true) {
		return c, bootctl.ErrNoFallback
	}
	d := c.pin()
	for _, s := range d.Known {
		name := string(s)
		if e := d.Entries[name]; d.Bootable(name) && e.Good == Confirmed && e.Tries < full {
			d.Entries[name] = Entry{Tries: full, Good: Confirmed}
		}
	}
	d.first(string(target))
	d.Entries[string(target)] = Entry{Tries: tries, Good: Trial}
	return d, nil
}

// Disable makes target not bootable and takes it out of the order, because some loaders refill every
// slot that is in the order when no tries are left.
func (c Choice) Disable(target bootctl.Slot) (Choice, error) {
	if err := c.check(target); err != nil {
		return c, err
	}
	name := string(target)
	// I1: what proves itself last must stay bootable. A slot on trial may go as long as anything boots.
	if !c.fallback(target, c.Confirmed(name) && c.Bootable(name)) {
		return c, bootctl.ErrNoFallback
	}
	d := c.pin()
	d.Order = slices.DeleteFunc(d.Order, func(s string) bool { return s == name })
	d.Entries[name] = Entry{Tries: 0, Good: Trial}
	return d.pin(), nil
}

// Confirm makes slot first, confirmed, with full tries.
func (c Choice) Confirm(slot bootctl.Slot, full int) (Choice, error) {
	if err := c.check(slot); err != nil {
		return c, err
	}
	d := c.clone()
	d.first(string(slot))
	d.Entries[string(slot)] = Entry{Tries: full, Good: Confirmed}
	return d, nil
}

// Refresh makes the running slot bootable with full tries, unless it is on trial: a trial that was
// refilled at each boot would never end. A slot of which nothing is said is taken as confirmed,
// because every trial of ours is written down as one.
func (c Choice) Refresh(running bootctl.Slot, full int) (Choice, error) {
	if err := c.check(running); err != nil {
		return c, err
	}
	name := string(running)
	e := c.Entries[name]
	if e.Good == Trial {
		return c, nil
	}
	d := c.clone()
	if !slices.Contains(d.Order, name) {
		// Somebody took it out. At the end it is bootable again, and theirs is still asked first.
		d.Order = append(d.Order, name)
	}
	d.Entries[name] = Entry{Tries: max(full, e.Tries), Good: Confirmed}
	return d, nil
}

// Restore is the minimum for metadata that was lost: running bootable and confirmed, all others disabled.
func Restore(known []bootctl.Slot, running bootctl.Slot, full int) (Choice, error) {
	c := Choice{Known: known, Entries: map[string]Entry{}}
	if err := c.check(running); err != nil {
		return c, err
	}
	for _, s := range known {
		c.Entries[string(s)] = Entry{Good: Trial}
	}
	c.Order = []string{string(running)}
	c.Entries[string(running)] = Entry{Tries: full, Good: Confirmed}
	return c, nil
}

func (c Choice) check(s bootctl.Slot) error {
	if !slices.Contains(c.Known, s) {
		return fmt.Errorf("%w %q in the slot table", errUnknownSlot, string(s))
	}
	return nil
}

// fallback tells whether a known slot besides target is bootable, and confirmed where asked for.
//
//go:noinline
func (c Choice) fallback(target bootctl.Slot, confirmed bool) bool {
	return slices.ContainsFunc(c.Known, func(s bootctl.Slot) bool {
		return s != target && c.Bootable(string(s)) && (!confirmed || c.Confirmed(string(s)))
	})
}

func (c Choice) clone() Choice {
	c.Order = slices.Clone(c.Order)
	c.Entries = maps.Clone(c.Entries)
	return c
}

// pin is a clone in which the inferred confirmation is written down: the slot that the loader would
// boot now stays confirmed when another comes before it.
func (c Choice) pin() Choice {
	d := c.clone()
	for _, s := range c.Known {
		if c.Confirmed(string(s)) {
			e := c.Entries[string(s)]
			e.Good = Confirmed
			d.Entries[string(s)] = e
		}
	}
	return d
}

// first moves or puts name to the front of the order.
func (c *Choice) first(name string) {
	rest := slices.DeleteFunc(slices.Clone(c.Order), func(s string) bool { return s == name })
	c.Order = append([]string{name}, rest...)
}
