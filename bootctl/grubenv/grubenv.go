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
// sector; Caps.Layout says which it is. A block that does not validate (grub-editenv truncates the file
// before it writes) is changed by Refresh only, which restores the running slot, and the lines of other
// programs from the shadow copy where there is one.
package grubenv

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/choice"
	"github.com/ratchet-ota/ratchet/bootctl/internal/locks"
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
	// /run/lock/grubenv.lock, left out where its directory is not there. Empty means none.
	Locks  []string
	Shadow string         // file of the shadow copy, "" for none; its directory exists
	Slots  []bootctl.Slot // in the order of grub.cfg's default
	// CountsConfirmed: the machine's grub.cfg counts confirmed slots (RAUC's sample does).
	CountsConfirmed bool
	// Watchdog: something starts a watchdog before the kernel that runs on into it.
	Watchdog bool
}

// Backend is one machine's environment block. It is safe for concurrent use as far as Locks are taken.
type Backend struct {
	fs            hal.FS
	o             Options
	optionalLocks bool
	// sure: what reads back was written and flushed by this process. Else it may stand in a cache only
	// whose flush has failed, and Linux does not say so twice.
	sure atomic.Bool
}

var _ bootctl.Backend = (*Backend)(nil)

// New validates o. It touches no file.
func New(fsys hal.FS, o Options) (*Backend, error) {
	if !strings.HasPrefix(o.Path, "/") {
		return nil, fmt.Errorf("cannot use the GRUB environment: %q is no absolute path", o.Path)
	}
	if err := choice.CheckSlots(o.Slots); err != nil {
		return nil, fmt.Errorf("cannot use the GRUB environment: %w", err)
	}
	for _, s := range o.Slots {
		if s[0] >= '0' && s[0] <= '9' {
			return nil, fmt.Errorf("cannot use the GRUB environment: a variable of GRUB cannot begin like slot %s", s)
		}
	}
	b := &Backend{fs: fsys, o: o}
	if o.Locks == nil {
		b.o.Locks = []string{"/run/lock/grubenv.lock"}
		b.optionalLocks = true
	}
	return b, nil
}

// State implements bootctl.Backend. It wraps ErrInvalid when GRUB would know of no variable.
func (b *Backend) State(ctx context.Context) (bootctl.State, error) {
	const cannot = "cannot read the boot state: %w"
	unlock, err := b.lock(ctx)
	if err != nil {
		return bootctl.State{}, fmt.Errorf(cannot, err)
	}
	defer unlock()
	_, lines, err := b.valid()
	if err != nil {
		return bootctl.State{}, fmt.Errorf(cannot, err)
	}
	c := b.choice(lines)
	return bootctl.State{Slots: c.Slots(), Next: bootctl.Slot(c.Next()), Caps: b.caps(lines)}, nil
}

// Refresh implements bootctl.Backend. It also keeps the shadow copy: call it in every healthy boot.
func (b *Backend) Refresh(ctx context.Context, running bootctl.Slot) error {
	const cannot = "cannot refresh slot %s: %w"
	unlock, err := b.lock(ctx)
	if err != nil {
		return fmt.Errorf(cannot, running, err)
	}
	defer unlock()
	raw, lines, err := b.valid()
	if errors.Is(err, bootctl.ErrInvalid) {
		if err := b.restore(raw, running); err != nil {
			return fmt.Errorf(cannot, running, err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf(cannot, running, err)
	}
	old := b.choice(lines)
	next, err := old.Refresh(running, fullTries)
	if err == nil {
		err = b.apply(raw, lines, old, next, false)
	}
	if err != nil {
		return fmt.Errorf(cannot, running, err)
	}
	if err := b.keepShadow(lines); err != nil {
		return fmt.Errorf("cannot keep the shadow copy of the environment block: %w", err)
	}
	return nil
}

// Disable implements bootctl.Backend: OK=0, GOOD=0 and out of ORDER, in one write.
func (b *Backend) Disable(ctx context.Context, target bootctl.Slot) error {
	err := b.change(ctx, func(c choice.Choice) (choice.Choice, error) { return c.Disable(target) })
	if err != nil {
		return fmt.Errorf("cannot disable slot %s: %w", target, err)
	}
	return nil
}

// Try implements bootctl.Backend: OK=1, TRY=0, GOOD=0, first in ORDER, in one write. tries is 1.
func (b *Backend) Try(ctx context.Context, target bootctl.Slot, tries int) error {
	err := b.change(ctx, func(c choice.Choice) (choice.Choice, error) {
		if tries != fullTries {
			return c, fmt.Errorf("%d tries: GRUB can count one only", tries)
		}
		return c.Try(target, tries, fullTries)
	})
	if err != nil {
		return fmt.Errorf("cannot arm slot %s: %w", target, err)
	}
	return nil
}

// Confirm implements bootctl.Backend: OK=1, TRY=0, GOOD=1, first in ORDER, in one write.
func (b *Backend) Confirm(ctx context.Context, slot bootctl.Slot) error {
	err := b.change(ctx, func(c choice.Choice) (choice.Choice, error) { return c.Confirm(slot, fullTries) })
	if err != nil {
		return fmt.Errorf("cannot confirm slot %s: %w", slot, err)
	}
	return nil
}

// change reads, decides and writes under the lock.
func (b *Backend) change(ctx context.Context, decide func(choice.Choice) (choice.Choice, error)) error {
	unlock, err := b.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	raw, lines, err := b.valid()
	if err != nil {
		return err
	}
	old := b.choice(lines)
	next, err := decide(old)
	if err != nil {
		return err
	}
	return b.apply(raw, lines, old, next, !b.sure.Load())
}

// apply writes what differs between old and next, and nothing when nothing does and anew does not ask for it.
func (b *Backend) apply(raw []byte, lines block, old, next choice.Choice, anew bool) error {
	if next.Equal(old) && !anew {
		return nil
	}
	out, err := b.record(lines, old, next).encode()
	if err != nil {
		return err
	}
	err = b.write(raw, out)
	b.sure.Store(err == nil)
	return err
}

// record is lines with the variables of next where they differ from old.
func (b *Backend) record(lines block, old, next choice.Choice) block {
	if !slices.Equal(old.Order, next.Order) {
		lines = lines.set(orderVar, strings.Join(next.Order, " "))
	}
	for _, s := range b.o.Slots {
		was, known := old.Entries[string(s)]
		e := next.Entries[string(s)]
		if known && was == e {
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

// choice reads the variables as grub.cfg does.
func (b *Backend) choice(lines block) choice.Choice {
	c := choice.Choice{Known: b.o.Slots, Entries: map[string]choice.Entry{}}
	order, found := lines.get(orderVar)
	c.Order = choice.ParseOrder(order)
	names := slices.Clone(c.Order)
	for _, s := range b.o.Slots {
		if !found {
			c.Order = append(c.Order, string(s))
		}
		if !slices.Contains(names, string(s)) {
			names = append(names, string(s))
		}
	}
	for _, name := range names {
		var e choice.Entry
		ok, okSet := lines.get(okVar(name))
		try, trySet := lines.get(tryVar(name))
		if ok == "1" || !okSet && !b.o.CountsConfirmed {
			if e.Spent = trySet && try != "0"; !e.Spent {
				e.Tries = fullTries
			}
		}
		switch good, set := lines.get(goodVar(name)); {
		case good == "1":
			e.Good = choice.Confirmed
		case set:
			e.Good = choice.Trial
		}
		c.Entries[name] = e
	}
	return c
}

func (b *Backend) caps(lines block) bootctl.Caps {
	c := bootctl.Caps{
		Backend: "grub", Layout: "environment block in one sector", MaxTries: fullTries,
		CountsConfirmed: b.o.CountsConfirmed, Watchdog: b.o.Watchdog,
		Weakness: "one copy without a checksum, as safe as the write of one sector; where U-Boot can be had, a redundant environment is safe",
	}
	if lines.used() > sector {
		c.Layout = "environment block in two sectors"
		c.Weakness = "one copy without a checksum in two sectors, which a power cut can tear apart; keep all variables within 512 bytes"
	}
	return c
}

// read returns the file's bytes, at most Size and one; nil when it is not there.
func (b *Backend) read() ([]byte, error) {
	m, err := b.fs.Open(b.o.Path, hal.ReadOnly)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the environment block: %w", err)
	}
	defer m.Close()
	raw := make([]byte, min(m.Size(), Size+1))
	if n, err := m.ReadAt(raw, 0); err != nil && (err != io.EOF || n < len(raw)) {
		return nil, fmt.Errorf("cannot read the environment block: %w", err)
	}
	return raw, nil
}

// valid reads the block; the error wraps ErrInvalid when it does not validate, raw is returned then, too.
func (b *Backend) valid() (raw []byte, lines block, err error) {
	if raw, err = b.read(); err != nil {
		return nil, nil, err
	}
	if raw == nil {
		return nil, nil, fmt.Errorf("%w: there is no %s", bootctl.ErrInvalid, b.o.Path)
	}
	if lines, err = parseBlock(raw); err != nil {
		return raw, nil, fmt.Errorf("%w: %s: %w", bootctl.ErrInvalid, b.o.Path, err)
	}
	return raw, lines, nil
}

// write puts out in place of what was read as old.
func (b *Backend) write(old, out []byte) error {
	now, err := b.read()
	if err != nil {
		return err
	}
	if !bytes.Equal(now, old) || (now == nil) != (old == nil) {
		return fmt.Errorf("%w: %s", bootctl.ErrChanged, b.o.Path)
	}
	if err := b.put(len(old), out); err != nil {
		return fmt.Errorf("cannot write %s: %w", b.o.Path, err)
	}
	back, err := b.read()
	if err != nil {
		return fmt.Errorf("%w: %w", bootctl.ErrNotVerified, err)
	}
	if !bytes.Equal(back, out) {
		return fmt.Errorf("%w: %s", bootctl.ErrNotVerified, b.o.Path)
	}
	return nil
}

func (b *Backend) put(size int, out []byte) error {
	if size != Size {
		// Crash: before -> the file of the wrong size, which GRUB cannot use, or none; after -> the
		// new block. GRUB reads the new file's place when it boots.
		return hal.ReplaceFile(b.fs, b.o.Path, out)
	}
	m, err := b.fs.Open(b.o.Path, hal.InPlace)
	if err != nil {
		return err
	}
	defer m.Close()
	// Crash: before -> old; after -> new. Torn: while the variables fit into the first sector, old or
	// new; else the first sector new and the second old or the other way round (Caps.Weakness).
	if _, err := m.WriteAt(out, 0); err != nil {
		return err
	}
	return m.Sync()
}

// lock is held over reading, deciding and writing. Only waiting for it ends with ctx: what is begun
// under it is finished.
func (b *Backend) lock(ctx context.Context) (func(), error) {
	return locks.Take(ctx, b.fs, b.o.Locks, b.optionalLocks)
}
