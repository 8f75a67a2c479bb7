// Package sdboot is the boot control of systemd-boot (250 or newer) with automatic boot assessment:
// the boot counter in the name of an entry on the EFI system partition.
//
// # Files
//
// In loader/entries (Boot Loader Specification, type #1; PREFIX is "ratchet-"):
//
//	PREFIX SLOT ".conf"                                the slot's entry. It has no counter, and is never renamed
//	PREFIX SLOT "-" SERIAL "+" LEFT "-" DONE ".conf"   a trial of the slot; systemd-boot renames it at each boot
//
// A file is 512 bytes: the board's lines (title, linux, initrd, options, ...), "sort-key ratchet", a
// version, and empty lines. An entry is off when "#- " stands before each of its lines: systemd-boot
// passes over a file that names nothing to start. All entries share one sort-key, so that systemd-boot
// boots the highest version that is on, and last those with no tries left. loader.conf has "default
// ratchet-*" and is never changed; an entry chosen by LoaderEntryDefault or LoaderEntryOneShot
// would go before that, so nothing may set these.
//
// A slot whose own entry is on is confirmed; one that only a trial's file brings up is on trial. Of two
// that are on the one with the higher version counts, as it does for the loader.
//
// # Power loss
//
// FAT has no journal: a rename writes a new entry of the folder and removes the old one, and a cut may
// leave one, the other, both (two names for one chain of clusters, of which none can be deleted
// without harm to the other) or none. So nothing here is renamed. Each change of the choice is one
// sector of data, overwritten in place: Confirm turns the slot's entry on with a version above all
// others, Disable turns it off, Try turns on a trial's file that was made before, complete and off (a slot
// that is still confirmed it disables first, in a record of its own). Files are made and removed only while they are off, so that no state of the folder starts anything.
//
// The loader's own rename is what is left. It touches the folder's sectors, and of the files only the
// trial's. While all names are in one sector (Caps.Layout) it is as atomic as that; in several, a cut
// may leave both names, and then systemd-boot cannot rename any more and counts that trial no further.
package sdboot

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/choice"
	"github.com/ratchet-ota/ratchet/bootctl/internal/locks"
	"github.com/ratchet-ota/ratchet/hal"
)

//go:embed loader.conf
var loaderConf string

// LoaderConf is the reference loader.conf.
func LoaderConf() string { return loaderConf }

//go:embed entries/ratchet-A.conf
var entryA []byte

//go:embed entries/ratchet-B.conf
var entryB []byte

// Reference is the reference entry of slot "A", on, or "B", off, as it leaves the factory; nil for others.
func Reference(slot string) []byte {
	switch slot {
	case "A":
		return bytes.Clone(entryA)
	case "B":
		return bytes.Clone(entryB)
	}
	return nil
}

// DefaultPrefix begins the names of our files.
const DefaultPrefix = "ratchet-"

// Options describe one machine's entries.
type Options struct {
	Folder string // loader/entries on the mounted partition, absolute
	Prefix string // of our files, "" for DefaultPrefix
	// Locks are taken in this order while reading and writing; nil means /run/lock/ratchet-entries.lock,
	// left out where its directory is not there. bootctl(1) takes none. Empty means none.
	Locks  []string
	Shadow string         // file with a copy of the board's lines, "" for none; its directory exists
	Slots  []bootctl.Slot // the names differ in more than upper and lower case
	// Watchdog: something starts a watchdog before the kernel that runs on into it.
	Watchdog bool
}

// Backend is one machine's entries. It is safe for concurrent use as far as Locks are taken.
type Backend struct {
	fs            hal.Tree
	o             Options
	optionalLocks bool
	// sure: what reads back was written and flushed by this process. Else it may stand in a cache only
	// whose flush has failed, and Linux does not say so twice.
	sure atomic.Bool
}

var _ bootctl.Backend = (*Backend)(nil)

// New validates o. It touches no file.
func New(fsys hal.Tree, o Options) (*Backend, error) {
	const cannot = "cannot use systemd-boot's entries: "
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if !strings.HasPrefix(o.Folder, "/") {
		return nil, fmt.Errorf(cannot+"%q is no absolute path", o.Folder)
	}
	if len(o.Prefix) > 32 || strings.Trim(o.Prefix, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || o.Prefix[0] == '.' || strings.HasPrefix(o.Prefix, "auto-") {
		return nil, fmt.Errorf(cannot+"prefix %q is not of small letters, digits, '-', '_' and '.'", o.Prefix)
	}
	if err := choice.CheckSlots(o.Slots); err != nil {
		return nil, fmt.Errorf(cannot+"%w", err)
	}
	for i, s := range o.Slots {
		if slices.ContainsFunc(o.Slots[:i], func(t bootctl.Slot) bool { return strings.EqualFold(string(s), string(t)) }) {
			return nil, fmt.Errorf(cannot+"slot %s has the name of another one: FAT does not tell small letters from capitals", s)
		}
	}
	b := &Backend{fs: fsys, o: o}
	if o.Locks == nil {
		b.o.Locks = []string{"/run/lock/ratchet-entries.lock"}
		b.optionalLocks = true
	}
	return b, nil
}

// State implements bootctl.Backend. It wraps ErrInvalid when no slot would boot, or when the order of
// the loader cannot be told from our entries alone.
func (b *Backend) State(ctx context.Context) (s bootctl.State, err error) {
	err = b.locked(ctx, "cannot read the boot state", func() error {
		f, err := b.valid()
		if err != nil {
			return err
		}
		c := f.choice()
		s = bootctl.State{Slots: c.Slots(), Next: bootctl.Slot(c.Next()), Caps: f.caps()}
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

// Refresh implements bootctl.Backend. It also keeps the shadow copy and removes the files of trials
// that are over: call it in every healthy boot.
func (b *Backend) Refresh(ctx context.Context, running bootctl.Slot) error {
	return b.locked(ctx, "cannot refresh slot "+string(running), func() error {
		f, err := b.valid()
		if errors.Is(err, bootctl.ErrInvalid) {
			return f.restore(running)
		}
		if err != nil {
			return err
		}
		c := f.choice()
		if _, err := c.Refresh(running, fullTries); err != nil {
			return err
		}
		if !c.Confirmed(string(running)) {
			return nil
		}
		for _, x := range f.files {
			if !x.trial && x.on && len(x.raw) < Size {
				// Crash: the lines stay where they are, and what is between them and the end is empty.
				if err := f.put(x, slices.Concat(x.raw, slices.Repeat([]byte("\n"), Size-len(x.raw)))); err != nil {
					return err
				}
			}
		}
		if err := f.clean(); err != nil {
			return err
		}
		return f.keepShadow()
	})
}

// Disable implements bootctl.Backend: the slot's entry and its trials are off.
func (b *Backend) Disable(ctx context.Context, target bootctl.Slot) error {
	return b.change(ctx, "cannot disable slot "+string(target), func(f *folder, c choice.Choice) error {
		if _, err := c.Disable(target); err != nil {
			return err
		}
		if err := f.settle(); err != nil {
			return err
		}
		return f.switchOff(target)
	})
}

// Try implements bootctl.Backend: one sector turns the trial's entry on, above all others.
func (b *Backend) Try(ctx context.Context, target bootctl.Slot, tries int) error {
	return b.change(ctx, "cannot arm slot "+string(target), func(f *folder, c choice.Choice) error {
		if _, err := c.Try(target, tries, fullTries); err != nil {
			return err
		}
		if err := f.settle(); err != nil {
			return err
		}
		live := f.governs(target)
		if live != nil && live.trial && live.left == tries && c.Next() == string(target) && f.unique(live) {
			return f.switchOff(target, live)
		}
		lines := f.lines(target)
		// Crash: between this and the next -> the slot is disabled, and another one boots. The other way
		// round the trial could be used up, and the slot would run and look confirmed.
		if err := f.switchOff(target); err != nil {
			return err
		}
		if err := f.clean(); err != nil {
			return err
		}
		armed, err := f.create(name{slot: target, trial: true, serial: f.above(), left: tries}, lines)
		if err != nil {
			return err
		}
		// Crash: before -> the old choice, and a file that starts nothing; after -> the slot is on trial.
		return f.turn(armed, entry{on: true, version: armed.serial, lines: lines})
	})
}

// Confirm implements bootctl.Backend: one sector turns the slot's own entry on, above all others.
func (b *Backend) Confirm(ctx context.Context, slot bootctl.Slot) error {
	return b.change(ctx, "cannot confirm slot "+string(slot), func(f *folder, c choice.Choice) error {
		if _, err := c.Confirm(slot, fullTries); err != nil {
			return err
		}
		if err := f.settle(); err != nil {
			return err
		}
		own := f.own(slot)
		if !c.Confirmed(string(slot)) || c.Next() != string(slot) {
			lines := f.lines(slot)
			if own == nil {
				var err error
				if own, err = f.create(name{slot: slot}, lines); err != nil {
					return err
				}
			}
			// Crash: before -> on trial, as often as tries are left; after -> confirmed, whatever is left of the trial.
			if err := f.turn(own, entry{on: true, version: f.above(), lines: lines}); err != nil {
				return err
			}
		}
		if err := f.switchOff(slot, own); err != nil {
			return err
		}
		return f.clean()
	})
}

// change decides and writes under the lock, on metadata that validates.
func (b *Backend) change(ctx context.Context, what string, do func(*folder, choice.Choice) error) error {
	return b.locked(ctx, what, func() error {
		f, err := b.valid()
		if err != nil {
			return err
		}
		err = do(f, f.choice())
		b.sure.Store(err == nil)
		return err
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

func (b *Backend) path(file string) string { return b.o.Folder + "/" + file }
