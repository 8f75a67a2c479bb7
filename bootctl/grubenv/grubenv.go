// Package grubenv is the boot control of GRUB's environment block, the file grubenv of 1024 bytes that
// load_env, save_env and grub-editenv(1) use.
//
// # Variables
//
// The dialect is RAUC's, with one variable more for each slot:
//
//	ORDER     slots separated by blanks; the first with OK=1 and TRY=0 boots. Absent: the slots as configured.
//	<s>_OK    "1" may boot, anything else not. Absent: 1.
//	<s>_TRY   "1" when its one try is used up, "0" when not. Absent: 0.
//	<s>_GOOD  "1" confirmed, "0" on trial or disabled, absent unknown.
//
// The reference grub.cfg that comes with this package (grub.cfg, Script()) sets TRY=1 for a slot on trial, saves and
// boots it; for a confirmed slot it changes and saves nothing. When no slot is left it clears TRY of the
// confirmed slots that have OK=1, and only of them. GRUB's script has no arithmetic, so that a trial has
// one boot (Caps.MaxTries 1).
//
// Each verb is one write: Disable sets OK=0, GOOD=0 and takes the slot out of ORDER; Try sets OK=1, TRY=0,
// GOOD=0 and puts it first in ORDER; Confirm sets OK=1, TRY=0, GOOD=1 and puts it first.
//
// A slot without GOOD is taken as package ubootenv takes it: confirmed while it is the one that would
// boot; Try and Disable write that down, Refresh does for the slot that runs. RAUC's sample configuration
// (Options.CountsConfirmed) sets TRY at every boot, takes an absent OK as 0, and clears TRY of every slot
// with OK=1 when none is left.
//
// # Format
//
// grub-core/lib/envblk.c: "# GRUB Environment Block" and a newline, then lines "name=value", then '#' up to
// 1024 bytes. A backslash and a newline in a value have a backslash before them. Lines that begin with '#'
// are comments (newer versions write a warning there). There is no checksum. Lines of other programs are
// kept byte for byte, in their order.
//
// # Power loss
//
// The block is overwritten in place with one write of 1024 bytes, never truncated and never renamed:
// GRUB finds the file's sectors by its block list and writes them itself. GRUB writes the two sectors of
// 512 bytes one by one, without a flush, and nothing in the format tells a torn block. While all variables
// fit into the first sector the second is padding that never changes, and a change is as atomic as one
// sector: power-safe on a medium that writes a sector whole, as Caps.Layout says. A block that does not
// validate (grub-editenv truncates the file before it writes) is changed by Refresh only, which restores
// the running slot, and the lines of other programs from the shadow copy where there is one.
package grubenv

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/choice"
	"github.com/ratchet-ota/ratchet/bootctl/internal/engine"
	"github.com/ratchet-ota/ratchet/hal"
)

//go:embed grub.cfg
var script string

// Script is the reference configuration for GRUB.
func Script() string { return script }

// fullTries: GRUB keeps no count, a slot has its one try or not.
const fullTries = 1

// Options describe one machine's environment block.
type Options struct {
	Path string // absolute, of the file grubenv
	// Locks are taken in this order while reading and writing. grub-editenv takes none; nil means
	// /run/ratchet/lock/grubenv.lock, left out where its directory is not there. Empty means none.
	Locks []string
	// Checkpoint makes what was written to a file readable without its file system's journal, which GRUB does not
	// replay (hal/linux, Checkpoint). nil: nobody does it.
	Checkpoint func(path string) error
	// Locate tells where the file lies (hal/linux, Blocks.Locate). nil: nobody looks.
	Locate func(path string) (hal.Region, error)
	Parts  []string       // of the slots: devices whose bytes an update overwrites; on none of them the file may lie
	Shadow string         // file of the shadow copy, "" for none; its directory exists
	Slots  []bootctl.Slot // in the order of grub.cfg's default
	// CountsConfirmed: the machine's grub.cfg counts confirmed slots (RAUC's sample does).
	CountsConfirmed bool
	// Watchdog: something starts a watchdog before the kernel that runs on into it.
	Watchdog bool
}

// Backend is one machine's environment block. It is safe for concurrent use as far as Locks are taken.
type Backend struct{ *engine.Engine }

// New validates o. It touches no file.
func New(fsys hal.FS, o Options) (*Backend, error) {
	if !strings.HasPrefix(o.Path, "/") {
		return nil, fmt.Errorf("cannot use the GRUB environment: %q is not an absolute path", o.Path)
	}
	if err := choice.CheckSlots(o.Slots); err != nil {
		return nil, fmt.Errorf("cannot use the GRUB environment: %w", err)
	}
	for _, s := range o.Slots {
		if s[0] <= '9' { // a digit: no other byte of a name is as low
			return nil,
				fmt.Errorf("cannot use the GRUB environment: a GRUB variable cannot begin with the name of slot %s", s)
		}
	}
	c := codec{fs: fsys, o: o}
	return &Backend{engine.New(fsys, engine.Options{
		Read: c.read, Slots: o.Slots, FullTries: fullTries, MaxTries: fullTries,
		Locks: o.Locks, DefaultLocks: []string{"/run/ratchet/lock/grubenv.lock"},
	})}, nil
}

// codec reads and writes the block of one machine.
type codec struct {
	fs hal.FS
	o  Options
}

// reading is one reading of the block.
type reading struct {
	codec
	raw   []byte // nil when the file is not there
	lines block  // those before what is wrong, where raw does not validate
}

// read wraps ErrInvalid when GRUB would know of no variable.
func (c codec) read() (engine.Reading, error) {
	r := &reading{codec: c}
	err := engine.Apart(c.o.Locate, c.o.Path, c.o.Parts)
	if err != nil {
		return nil, err
	}
	if r.raw, err = c.place().Read(); err != nil {
		return nil, err
	}
	if r.raw == nil {
		return r, fmt.Errorf("%w: there is no %s", bootctl.ErrInvalid, c.o.Path)
	}
	if len(r.raw) > MaxSize {
		return r, fmt.Errorf("%w: %s has more than %d bytes", bootctl.ErrInvalid, c.o.Path, MaxSize)
	}
	if r.lines, err = parseBlock(r.raw); err != nil {
		return r, fmt.Errorf("%w: %s: %w", bootctl.ErrInvalid, c.o.Path, err)
	}
	return r, nil
}

// Write implements engine.Reading: the whole choice is one record.
func (r *reading) Write(c engine.Change) error {
	if !c.Needed() {
		return nil
	}
	return r.write(r.record(r.lines, c.Old, c.Next))
}

// size is that of the block that is there, or of a new one where it has no room for lines or is something else.
func (r *reading) size(lines block) int {
	if n := len(r.raw); n <= MaxSize && (n >= Size || n >= lines.used()) {
		return n
	}
	return Size
}

func (r *reading) write(lines block) error {
	out, err := lines.encode(r.size(lines))
	if err != nil {
		return err
	}
	return engine.Replace(r.place(), r.raw, out)
}

// record is lines with the variables of next where they differ from old.
func (c codec) record(lines block, old, next choice.Choice) block {
	if !slices.Equal(old.Order, next.Order) {
		lines = lines.set(orderVar, strings.Join(next.Order, " "))
	}
	for _, s := range c.o.Slots {
		e := next.Entries[string(s)]
		if old.Entries[string(s)] == e {
			continue
		}
		ok := "0"
		if e.Tries > 0 {
			ok = "1"
		}
		lines = lines.set(okVar(s), ok).set(tryVar(s), "0")
		switch e.Good {
		case choice.Confirmed:
			lines = lines.set(goodVar(s), "1")
		case choice.Trial:
			lines = lines.set(goodVar(s), "0")
		}
	}
	return lines
}

const orderVar = "ORDER"

func okVar[S ~string](s S) string   { return string(s) + "_OK" }
func tryVar[S ~string](s S) string  { return string(s) + "_TRY" }
func goodVar[S ~string](s S) string { return string(s) + "_GOOD" }

// Choice reads the variables as grub.cfg does.
func (r *reading) Choice() choice.Choice {
	c := choice.Choice{Known: r.o.Slots, Entries: map[string]choice.Entry{}}
	order, found := r.lines.get(orderVar)
	c.Order = choice.ParseOrder(order)
	names := slices.Clone(c.Order)
	for _, s := range r.o.Slots {
		if !found {
			c.Order = append(c.Order, string(s))
		}
		names = append(names, string(s))
	}
	for _, name := range names {
		var e choice.Entry
		ok, okSet := r.lines.get(okVar(name))
		try, trySet := r.lines.get(tryVar(name))
		if ok == "1" || !okSet && !r.o.CountsConfirmed {
			if e.Spent = trySet && try != "0"; !e.Spent {
				e.Tries = fullTries
			}
		}
		switch good, set := r.lines.get(goodVar(name)); {
		case good == "1":
			e.Good = choice.Confirmed
		case set:
			e.Good = choice.Trial
		}
		c.Entries[name] = e
	}
	return c
}

// Caps implements engine.Reading.
func (r *reading) Caps() bootctl.Caps {
	c := bootctl.Caps{
		Backend: "grub", Layout: "environment block in one sector, which the medium must write whole",
		MaxTries: fullTries, CountsConfirmed: r.o.CountsConfirmed, Watchdog: r.o.Watchdog,
	}
	var region hal.Region
	if r.o.Locate != nil {
		region, _ = r.o.Locate(r.o.Path)
	}
	switch {
	case region.LogsData:
		c.Layout, c.Weakness = "environment block in a file system that journals data", hal.LogsDataWeakness
	case r.lines.used() > sector:
		c.Layout = "environment block in two sectors"
		c.Weakness = "the variables take more than 512 bytes: two sectors without a checksum, which a power cut " +
			"can tear apart, unless the medium writes sectors of 4096 bytes; take other programs' variables out of " +
			"the block"
	case r.o.CountsConfirmed:
		c.Weakness = "grub.cfg counts the confirmed slot too: two boots that are cut before Ratchet refills it use " +
			"up both slots; use the grub.cfg that comes with Ratchet"
	default:
		c.PowerSafe = true
	}
	return c
}
