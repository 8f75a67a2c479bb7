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
// that is still confirmed it disables first, in a record of its own). Files are made and removed only while they are
// off, so that no state of the folder starts anything.
//
// The loader's own rename is what is left. It touches the folder's sectors, and of the files only the
// trial's. While all names are in one sector (Caps.Layout) it is as atomic as that; in several, a cut
// may leave both names, and then systemd-boot cannot rename any more and counts that trial no further.
package sdboot

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/choice"
	"github.com/ratchet-ota/ratchet/bootctl/internal/engine"
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
	// Locks are taken in this order while reading and writing; nil means /run/ratchet/lock/entries.lock,
	// left out where its directory is not there. bootctl(1) takes none. Empty means none.
	Locks  []string
	Shadow string         // file with a copy of the board's lines, "" for none; its directory exists
	Slots  []bootctl.Slot // the names differ in more than upper and lower case
	// Locate tells where the folder lies (hal/linux, Blocks.Locate). nil: nobody looks.
	Locate func(path string) (hal.Region, error)
	Parts  []string // of the slots: devices whose bytes an update overwrites; on none of them the folder may lie
	// Watchdog: something starts a watchdog before the kernel that runs on into it.
	Watchdog bool
}

// Backend is one machine's entries. It is safe for concurrent use as far as Locks are taken.
type Backend struct{ *engine.Engine }

// New validates o. It touches no file.
func New(fsys hal.Tree, o Options) (*Backend, error) {
	const cannot = "cannot use systemd-boot's entries: "
	if o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if !strings.HasPrefix(o.Folder, "/") {
		return nil, fmt.Errorf(cannot+"%q is not an absolute path", o.Folder)
	}
	if len(o.Prefix) > 32 || strings.Trim(o.Prefix, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" ||
		o.Prefix[0] == '.' || strings.HasPrefix(o.Prefix, "auto-") {
		return nil, fmt.Errorf(cannot+"prefix %q may have only lower-case letters, digits, '-', '_' and '.'", o.Prefix)
	}
	if err := choice.CheckSlots(o.Slots); err != nil {
		return nil, fmt.Errorf(cannot+"%w", err)
	}
	for i, s := range o.Slots {
		if slices.ContainsFunc(o.Slots[:i],
			func(t bootctl.Slot) bool { return strings.EqualFold(string(s), string(t)) }) {
			return nil, fmt.Errorf(cannot+
				"slot %s has the name of another one: FAT does not tell small letters from capitals", s)
		}
	}
	c := codec{fs: fsys, o: o}
	return &Backend{engine.New(fsys, engine.Options{
		Read: c.read, Slots: o.Slots, FullTries: fullTries, MaxTries: bootctl.MaxTries,
		Locks: o.Locks, DefaultLocks: []string{"/run/ratchet/lock/entries.lock"},
	})}, nil
}

// codec reads and writes the entries of one machine.
type codec struct {
	fs hal.Tree
	o  Options
}

// Write implements engine.Reading. Each verb has one sector that decides, in the order that is argued at
// each. Refresh has nothing to refill.
func (f *folder) Write(c engine.Change) error {
	if c.Again {
		if err := f.settle(); err != nil {
			return err
		}
	}
	switch c.Verb {
	case engine.Disable:
		return f.switchOff(c.Slot)
	case engine.Try:
		return f.try(c)
	case engine.Confirm:
		return f.confirm(c)
	}
	return nil
}

// try turns on a file of the trial, above all others.
func (f *folder) try(c engine.Change) error {
	target := c.Slot
	live := f.governs(target)
	if live != nil && live.trial && live.left == c.Tries && c.Old.Next() == string(target) && f.unique(live) {
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
	armed, err := f.create(name{slot: target, trial: true, serial: f.above(), left: c.Tries}, lines)
	if err != nil {
		return err
	}
	// Crash: before -> the old choice, and a file that starts nothing; after -> the slot is on trial.
	return f.turn(armed, entry{on: true, version: armed.serial, lines: lines})
}

// confirm turns on the slot's own entry, above all others.
func (f *folder) confirm(c engine.Change) error {
	own := f.own(c.Slot)
	if !c.Old.Confirmed(string(c.Slot)) || c.Old.Next() != string(c.Slot) {
		lines := f.lines(c.Slot)
		if own == nil {
			var err error
			if own, err = f.create(name{slot: c.Slot}, lines); err != nil {
				return err
			}
		}
		// Crash: before -> on trial, as often as tries are left; after -> confirmed, whatever is left of the trial.
		if err := f.turn(own, entry{on: true, version: f.above(), lines: lines}); err != nil {
			return err
		}
	}
	if err := f.switchOff(c.Slot, own); err != nil {
		return err
	}
	return f.clean()
}

// Tidy implements engine.Reading: where the running slot is confirmed it pads its entry, and removes the
// files of trials that are over.
func (f *folder) Tidy(running bootctl.Slot) error {
	if !f.Choice().Confirmed(string(running)) {
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
}

func (c codec) path(file string) string { return c.o.Folder + "/" + file }
