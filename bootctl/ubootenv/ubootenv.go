// Package ubootenv is the boot control of U-Boot's environment, in one copy or two, in regular files
// or on block devices at an offset.
//
// # Variables
//
// The dialect is RAUC's, with one variable more for each slot:
//
//	BOOT_ORDER      slots separated by blanks; the first with tries left boots. Absent: the slots as configured.
//	BOOT_<s>_LEFT   tries left, one digit 0..9. Absent: the loader's default, Options.FullTries.
//	BOOT_<s>_GOOD   "1" confirmed, "0" on trial or disabled, absent unknown.
//
// The boot script that comes with this package (boot.cmd, Script()) counts down a slot on trial, saves,
// and boots it; a confirmed slot it never counts and never saves for. When no slot is left it refills
// the confirmed slots, and only them, and resets. Disable takes a slot out of BOOT_ORDER, too, so that
// a script which refills all slots does not revive it.
//
// Of a slot without GOOD nobody said whether it is confirmed: the board was set up for RAUC, or U-Boot
// lost its environment and the script made the variables anew. Such a slot is taken as confirmed while
// it is the one that would boot; Try and Disable write that down, and Refresh writes it down for the
// slot that runs. A trial of ours always has GOOD=0, so that this never confirms one.
//
// Each verb is one record: Disable sets tries 0, GOOD=0 and takes the slot out of BOOT_ORDER; Try sets GOOD=0,
// the tries, puts the slot first in BOOT_ORDER and refills the fallback; Confirm sets GOOD=1, full tries and
// puts the slot first.
//
// With RAUC's own script (Options.CountsConfirmed) LEFT is hexadecimal, every boot is counted, confirmed
// or not, and Refresh has to be called in every healthy boot. No tries left revives every slot that is
// in BOOT_ORDER there. The same variables are read by U-Boot's bootmeth_rauc, as decimal: hence one digit.
//
// # Format
//
// u-boot include/env_internal.h: a CRC-32 in the target's byte order (little endian only here) over the data,
// then, where there are two copies, one byte with a serial number, which the CRC does not cover, then the
// data: "name=value" entries that end with a NUL, an empty one at the end. U-Boot escapes a backslash in
// a value with another one when it saves, and takes the escape away when it loads. See copies.go for which
// copy counts. Entries of other programs are kept byte for byte, in their order.
//
// # Power loss
//
// Two copies: a change goes into the copy that does not count, with the next serial number. Until it is
// whole the old copy is the one that boots. Disable then writes the other copy, too. Files are overwritten in
// place, in blocks that they have. U-Boot's saveenv does the same, but sends no flush; so the copy that counts
// is flushed before the other is written. A drive that still has U-Boot's write of one boot in a volatile cache
// when U-Boot writes again in the next one could lose both; the caches of eMMC and SD cards are off after their
// reset.
//
// One copy on a block device is overwritten in place: a cut inside leaves no valid environment, and U-Boot
// boots with its built-in defaults, which know of no slot. One copy in a file of its own is replaced by
// rename; that is safe on ext4, while U-Boot's own saveenv into that file is not.
//
// An environment that does not validate is never changed, except by Refresh, which restores the minimum:
// the running slot, and the variables of other programs from the shadow copy. Without those it refuses,
// because an environment without bootcmd ends at U-Boot's prompt, while none at all boots the defaults.
package ubootenv

import (
	_ "embed"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/choice"
	"github.com/ratchet-ota/ratchet/bootctl/internal/engine"
	"github.com/ratchet-ota/ratchet/hal"
)

//go:embed boot.cmd
var script string

// Script is the reference boot script, U-Boot hush source for "mkimage -T script".
func Script() string { return script }

// Kind says what a Location is.
type Kind int

const (
	// Auto takes a path that leads to a block device as one, where Options.Locate tells; else a path below /dev/,
	// and any other as a file.
	Auto Kind = iota
	Block
	File
)

// Location is the place of one copy.
type Location struct {
	Path   string // absolute
	Offset int64  // bytes; negative from the end of the device
	Size   int64  // bytes of the environment (CONFIG_ENV_SIZE), header included
	Kind   Kind
}

// Options describe one board's environment.
type Options struct {
	Copies []Location // one, or two in U-Boot's order
	// Locate tells where a path's bytes lie (hal/linux, Blocks.Locate). With it copies that can harm each other, Parts
	// or a partition table are found at each reading, and nothing is read or written then. nil: nobody looks for them.
	Locate func(path string) (hal.Region, error)
	Parts  []string // of the slots: paths whose bytes an update overwrites
	// Checkpoint makes what was written to a file readable without its file system's journal, which U-Boot does not
	// replay (hal/linux, Checkpoint). nil: nobody does it. It is not called for devices.
	Checkpoint func(path string) error
	// Locks are taken in this order while reading and writing. nil means the locks of fw_setenv:
	// /run/fw_printenv.lock (u-boot tools) and /var/lock/fw_printenv.lock (libubootenv); of these
	// one whose directory is not there is left out. Empty means none.
	Locks []string
	// Shadow is the file of the shadow copy, "" for none. Its directory exists.
	Shadow string
	// Defaults are "name=value" variables to restore with when there is no shadow copy, such as the
	// board's u-boot-initial-env. They must make the board boot. nil: Refresh restores from the shadow only.
	Defaults []string
	Slots    []bootctl.Slot // in the order of the boot script's default
	// FullTries is what a confirmed slot is filled to, 1..9; zero means 3, the boot script's default.
	FullTries int
	// CountsConfirmed: the board's script counts confirmed slots (RAUC's does).
	CountsConfirmed bool
	// Watchdog: the board's U-Boot starts a watchdog that runs on into the kernel.
	Watchdog bool
}

// Backend is one board's environment. It is safe for concurrent use as far as Locks are taken.
type Backend struct{ *engine.Engine }

// New validates o. It touches no file.
func New(fsys hal.FS, o Options) (*Backend, error) {
	if err := checkCopies(o.Copies); err != nil {
		return nil, errorf("cannot use the U-Boot environment: %w", err)
	}
	if err := choice.CheckSlots(o.Slots); err != nil {
		return nil, errorf("cannot use the U-Boot environment: %w", err)
	}
	if o.FullTries == 0 {
		o.FullTries = 3
	}
	if o.FullTries < 1 || o.FullTries > bootctl.MaxTries {
		return nil, errorf("cannot use the U-Boot environment: %d tries are outside of 1 to %d",
			o.FullTries, bootctl.MaxTries)
	}
	for _, v := range o.Defaults {
		if name, value, ok := strings.Cut(v, "="); !ok || name == "" || value == "" {
			return nil, errorf("cannot use the U-Boot environment: the default %q is not name=value", v)
		}
	}
	c := codec{fs: fsys, o: o}
	return &Backend{engine.New(fsys, engine.Options{
		Read: c.read, Slots: o.Slots, FullTries: o.FullTries, MaxTries: bootctl.MaxTries,
		Locks: o.Locks, DefaultLocks: []string{"/run/fw_printenv.lock", "/var/lock/fw_printenv.lock"},
	})}, nil
}

// codec reads and writes the environment of one board.
type codec struct {
	fs hal.FS
	o  Options
}

// reading is one reading of the environment.
type reading struct {
	codec
	env
	list     list   // of the copy that counts
	invalid  error  // why no copy does
	weakness string // what a power cut may take besides what is written
}

// read wraps ErrInvalid when U-Boot would take its built-in defaults.
func (c codec) read() (engine.Reading, error) {
	r := &reading{codec: c}
	var err error
	if r.o.Copies, r.weakness, err = c.look(); err != nil {
		return nil, errorf("cannot use the environment: %w", err)
	}
	if r.env, err = r.codec.copies(); err != nil {
		return nil, err
	}
	cur, err := r.env.valid()
	if r.list, r.invalid = cur.list, err; err == nil {
		err = c.allowed(r.list)
	}
	return r, err
}

// Write implements engine.Reading: the whole choice is one record. Disable ends with it in both copies: what is
// disabled will be overwritten, and a medium that loses a flush must not bring back the copy that boots it.
//
// Crash: between the two writes -> the copy that counts says disabled, and Disable, called again, finds the other
// copy and writes it; inside the second -> the copy that does not count.
func (r *reading) Write(c engine.Change) error {
	if c.Needed() {
		if err := r.write(r.record(r.list, c.Old, c.Next)); err != nil {
			return err
		}
	}
	if c.Verb != engine.Disable || len(r.o.Copies) < 2 || !c.Needed() && r.spareDisables(c.Slot) {
		return nil
	}
	again, err := r.codec.read()
	if err != nil {
		return err
	}
	now := again.(*reading)
	return now.write(now.list)
}

// spareDisables tells whether the copy that does not count leaves slot out, for RAUC's script too, which revives
// all that is in BOOT_ORDER. A copy that U-Boot cannot use is not enough: if the other one is lost, none is left.
func (r *reading) spareDisables(slot bootctl.Slot) bool {
	spare := r.env.copies[1-r.current]
	old := reading{codec: r.codec, list: spare.list}
	return spare.fault == nil && !slices.Contains(old.Choice().Order, string(slot))
}

// record is l with the variables of next where they differ from old.
func (c codec) record(l list, old, next choice.Choice) list {
	if !slices.Equal(old.Order, next.Order) {
		l = l.set(orderVar, strings.Join(next.Order, " "))
	}
	for _, s := range c.o.Slots {
		e := next.Entries[string(s)]
		if old.Entries[string(s)] == e {
			continue
		}
		l = l.set(leftVar(s), strconv.Itoa(min(e.Tries, bootctl.MaxTries)))
		switch e.Good {
		case choice.Confirmed:
			l = l.set(goodVar(s), "1")
		case choice.Trial:
			l = l.set(goodVar(s), "0")
		}
	}
	return l
}

const orderVar = "BOOT_ORDER"

func leftVar[S ~string](s S) string { return "BOOT_" + string(s) + "_LEFT" }
func goodVar[S ~string](s S) string { return "BOOT_" + string(s) + "_GOOD" }

// Choice reads the variables as the boot script does.
func (r *reading) Choice() choice.Choice {
	c := choice.Choice{Known: r.o.Slots, Entries: map[string]choice.Entry{}}
	order, _ := r.list.get(orderVar)
	c.Order = choice.ParseOrder(order)
	names := slices.Clone(c.Order)
	for _, s := range r.o.Slots {
		if order == "" {
			c.Order = append(c.Order, string(s))
		}
		names = append(names, string(s))
	}
	for _, name := range names {
		e := choice.Entry{Tries: r.o.FullTries}
		if left, found := r.list.get(leftVar(name)); found {
			e.Tries = r.tries(left)
		}
		e.Spent = e.Tries == 0 && slices.Contains(c.Order, name)
		switch good, _ := r.list.get(goodVar(name)); good {
		case "":
		case "1":
			e.Good = choice.Confirmed
		default:
			e.Good = choice.Trial
		}
		c.Entries[name] = e
	}
	return c
}

// tries reads LEFT: our script takes one digit and nothing else, RAUC's takes leading hexadecimal digits.
func (c codec) tries(left string) int {
	if !c.o.CountsConfirmed {
		if len(left) == 1 && left[0] >= '1' && left[0] <= '9' {
			return int(left[0] - '0')
		}
		return 0
	}
	digits := len(left) - len(strings.TrimLeft(left, "0123456789abcdefABCDEF"))
	n, err := strconv.ParseUint(left[:digits], 16, 31)
	if errors.Is(err, strconv.ErrRange) {
		return bootctl.MaxTries
	}
	return int(n)
}

// Caps implements engine.Reading.
func (r *reading) Caps() bootctl.Caps {
	caps := bootctl.Caps{
		Backend: "u-boot", MaxTries: bootctl.MaxTries,
		CountsConfirmed: r.o.CountsConfirmed, Watchdog: r.o.Watchdog, Damaged: r.damaged(),
	}
	file := !r.o.Copies[0].device()
	switch {
	case r.weakness != "":
		caps.Layout, caps.Weakness = "redundant environment", r.weakness
	case len(r.o.Copies) == 2 && file:
		caps.Layout, caps.PowerSafe = "redundant environment in files", true
	case len(r.o.Copies) == 2:
		caps.Layout, caps.PowerSafe = "redundant environment", true
	case file:
		caps.Layout = "single environment file"
		caps.Weakness = "U-Boot's saveenv overwrites the only copy in place, and on FAT our rename is not one step " +
			"either; configure a redundant environment"
	default:
		caps.Layout = "single environment"
		caps.Weakness = "the only copy is overwritten in place, a power cut inside a write loses the environment; " +
			"configure a redundant environment"
	}
	return caps
}
