package efi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/choice"
	"github.com/ratchet-ota/ratchet/bootctl/internal/engine"
)

// reading is one reading of the variables.
type reading struct {
	codec
	raw     map[string][]byte // BootOrder, BootNext and our options, as read
	order   []uint16
	next    *uint16 // nil: none
	numbers map[bootctl.Slot]uint16
	options map[bootctl.Slot]option
}

// read reads the variables. Options of others that cannot be read are passed over. The error wraps
// ErrInvalid when BootOrder is not there, or is no list. A BootOrder without our slots is one.
func (c codec) read() (engine.Reading, error) {
	r := &reading{codec: c, raw: map[string][]byte{},
		numbers: map[bootctl.Slot]uint16{}, options: map[bootctl.Slot]option{}}
	for _, name := range []string{bootOrder, bootNext} {
		data, err := c.place(name).Read()
		if err != nil {
			return nil, err
		}
		r.raw[name] = data
	}
	var bad error
	r.order, bad = parseOrder(r.raw[bootOrder])
	if next := r.raw[bootNext]; len(next) == 2 {
		n := binary.LittleEndian.Uint16(next)
		r.next = &n
	}
	names, err := c.vars.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		n, ok := parseVariable(name)
		if !ok {
			continue
		}
		data, err := c.place(name).Read()
		if err != nil {
			return nil, err
		}
		o, err := parseOption(data)
		if err != nil {
			continue
		}
		for _, s := range c.o.Slots {
			if want, fixed := c.o.Numbers[s]; fixed && want != n || !fixed && o.description != "ratchet "+string(s) {
				continue
			}
			if m, twice := r.numbers[s]; twice {
				return nil, fmt.Errorf("slot %s has two load options, %04X and %04X: delete "+
					"one, or configure its number", s, m, n)
			}
			r.numbers[s], r.options[s], r.raw[name] = n, o, data
		}
	}
	if bad != nil {
		return r, fmt.Errorf("%w: %w", bootctl.ErrInvalid, bad)
	}
	return r, nil
}

// slotOf is the slot of a number, "" for others'.
//
//go:noinline
func (r *reading) slotOf(n uint16) bootctl.Slot {
	for _, s := range r.o.Slots {
		if m, ok := r.numbers[s]; ok && m == n {
			return s
		}
	}
	return ""
}

// pending is the slot that BootNext names, "" for none.
func (r *reading) pending() bootctl.Slot {
	if r.next == nil {
		return ""
	}
	return r.slotOf(*r.next)
}

// first is the first slot that BootOrder boots, "" for none.
func (r *reading) first() bootctl.Slot {
	for _, n := range r.order {
		if s := r.slotOf(n); r.options[s].attributes&active != 0 { // of others nothing is read
			return s
		}
	}
	return ""
}

// Choice implements engine.Reading.
func (r *reading) Choice() choice.Choice {
	c := choice.Choice{Known: r.o.Slots, Uncounted: true, Entries: map[string]choice.Entry{}}
	for _, s := range c.Known {
		c.Entries[string(s)] = choice.Entry{Good: choice.Trial}
	}
	for _, n := range r.order {
		s := r.slotOf(n)
		if r.options[s].attributes&active == 0 || slices.Contains(c.Order, string(s)) {
			continue
		}
		c.Order = append(c.Order, string(s))
		c.Entries[string(s)] = choice.Entry{Tries: fullTries, Good: choice.Confirmed}
	}
	if s := r.pending(); s != "" && s != r.first() {
		c.Order = slices.Insert(slices.DeleteFunc(c.Order, func(x string) bool { return x == string(s) }), 0, string(s))
		c.Entries[string(s)] = choice.Entry{Tries: fullTries, Good: choice.Trial}
	} else if s == "" && r.next != nil {
		// Somebody asked for another option, which has no name here.
		c.Order = slices.Insert(c.Order, 0, "")
		c.Entries[""] = choice.Entry{Tries: fullTries}
	}
	return c
}

// set writes a variable where it differs.
func (r *reading) set(name string, data []byte) error {
	if bytes.Equal(r.raw[name], data) {
		return nil
	}
	if err := engine.Replace(r.place(name), r.raw[name], data); err != nil {
		return err
	}
	r.raw[name] = data
	return nil
}

// forget deletes BootNext where it names slot.
func (r *reading) forget(slot bootctl.Slot) error {
	if slot == "" || r.pending() != slot {
		return nil
	}
	return r.set(bootNext, nil)
}

// takeOut takes slot out of BootOrder. Others keep their places.
func (r *reading) takeOut(slot bootctl.Slot) error {
	n, ok := r.numbers[slot]
	if !ok {
		return nil
	}
	order := slices.DeleteFunc(slices.Clone(r.order), func(m uint16) bool { return m == n })
	if len(order) == 0 {
		return bootctl.ErrNoFallback
	}
	return r.set(bootOrder, encodeOrder(order...))
}

// lead puts slot in front of BootOrder, switched on, and deletes a BootNext of ours.
func (r *reading) lead(slot bootctl.Slot) error {
	n, ok := r.numbers[slot]
	if !ok {
		return missing(slot)
	}
	raw := bytes.Clone(r.raw[variable(n)])
	raw[0] |= active
	// Crash: before and after -> as confirmed as it was, by its place in BootOrder or BootNext.
	if err := r.set(variable(n), raw); err != nil {
		return err
	}
	order := append([]uint16{n}, slices.DeleteFunc(slices.Clone(r.order), func(m uint16) bool { return m == n })...)
	// Crash: before -> the old choice; after -> confirmed, also where BootNext still names it.
	if err := r.set(bootOrder, encodeOrder(order...)); err != nil {
		return err
	}
	return r.forget(r.pending())
}

// Restore implements engine.Reading: the running slot first, every other out. What BootOrder has of others
// stays.
//
// Crash, where BootNext names another slot of ours: it is given to the running slot before BootOrder is made, so
// that no step leaves the other slot armed in metadata that validates. Before -> that slot has its boot, as it had;
// after -> the running slot boots once, then whatever the firmware does without a BootOrder; with BootOrder -> the
// running slot boots, and a BootNext that could not be deleted names it, too.
func (r *reading) Restore(c engine.Change) error {
	if err := r.revive(); err != nil {
		return err
	}
	n, ok := r.numbers[c.Slot]
	if !ok {
		return missing(c.Slot)
	}
	if s := r.pending(); s != "" && s != c.Slot {
		if err := r.set(bootNext, encodeOrder(n)); err != nil {
			return err
		}
		r.next = &n
	}
	r.order = slices.DeleteFunc(r.order, func(n uint16) bool { return r.slotOf(n) != "" })
	if err := r.lead(c.Slot); err != nil {
		return err
	}
	return r.keepShadow()
}

// Tidy implements engine.Reading. It makes a slot's option again that the firmware dropped.
func (r *reading) Tidy(bootctl.Slot) error {
	if err := r.revive(); err != nil {
		return err
	}
	return r.keepShadow()
}

// The shadow copy holds for each slot that has an option its name and a NUL, the number (u16), the
// length (u32) and the bytes of the option, little endian.

func (r *reading) keepShadow() error {
	if len(r.numbers) < len(r.o.Slots) {
		return nil
	}
	var out []byte
	for _, s := range r.o.Slots {
		raw := r.raw[variable(r.numbers[s])]
		out = append(append(out, s...), 0)
		out = binary.LittleEndian.AppendUint16(out, r.numbers[s])
		out = append(binary.LittleEndian.AppendUint32(out, uint32(len(raw))), raw...)
	}
	return r.shadow().Keep(out, nil)
}

func (c codec) shadow() engine.Shadow {
	return engine.Shadow{FS: c.fs, Path: c.o.Shadow, Limit: 256 << 10, Of: "the load options"}
}

// revive makes the options again that are not there any more, under the number they had.
//
// Crash: before -> not there; after -> there. It boots nothing that BootOrder does not name.
func (r *reading) revive() error {
	if len(r.numbers) == len(r.o.Slots) {
		return nil
	}
	kept, _ := r.shadow().Load() // where there is none that is good, who needs the option will say so
	for len(kept) > 0 {
		name, rest, _ := bytes.Cut(kept, []byte{0})
		if len(rest) < 6 || uint64(binary.LittleEndian.Uint32(rest[2:])) > uint64(len(rest)-6) {
			return nil
		}
		n, size := binary.LittleEndian.Uint16(rest), binary.LittleEndian.Uint32(rest[2:])
		raw := rest[6 : 6+size]
		kept = rest[6+size:]
		s := bootctl.Slot(name)
		o, err := parseOption(raw)
		if _, there := r.numbers[s]; there || err != nil || !slices.Contains(r.o.Slots, s) {
			continue
		}
		taken, err := r.place(variable(n)).Read()
		if err != nil {
			return err
		}
		if taken != nil {
			continue // the number is another's now
		}
		if err := engine.Replace(r.place(variable(n)), nil, raw); err != nil {
			return err
		}
		r.numbers[s], r.options[s], r.raw[variable(n)] = n, o, raw
	}
	return nil
}
