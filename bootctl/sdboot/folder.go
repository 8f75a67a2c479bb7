package sdboot

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/choice"
	"github.com/ratchet-ota/ratchet/bootctl/internal/engine"
	"github.com/ratchet-ota/ratchet/hal"
)

// fullTries: an entry without a counter is not counted; package choice wants a number.
const fullTries = 1

// folder is one reading of loader/entries.
type folder struct {
	codec
	files []*file  // ours
	all   []string // names, of others too
}

// file is one file of ours.
type file struct {
	name
	fs   hal.FS
	path string
	raw  []byte
	entry
	wrong error // why an entry that is on cannot be ordered
}

// list reads the folder. A partition that is not mounted is an error of its own, and not ErrInvalid.
func (c codec) list() (*folder, error) {
	if err := engine.Apart(c.o.Locate, c.o.Folder, c.o.Parts); err != nil {
		return nil, err
	}
	all, err := c.fs.List(c.o.Folder)
	if err != nil {
		return nil, fmt.Errorf("cannot list %s; is the EFI system partition mounted? %w", c.o.Folder, err)
	}
	f := &folder{codec: c, all: all}
	for _, base := range all {
		n, ours := parseName(c.o.Prefix, base, c.o.Slots)
		if !ours {
			continue
		}
		x := &file{name: n, fs: c.fs, path: c.path(base)}
		switch x.raw, err = hal.ReadFile(c.fs, x.path, maxRead); {
		case errors.Is(err, hal.ErrLimit), hal.Unreadable(err):
			x.wrong = err // the loader passes over one that it cannot read
		case err != nil:
			return nil, err
		default:
			x.entry, x.wrong = decode(x.raw)
		}
		f.files = append(f.files, x)
	}
	return f, nil
}

// read reads the folder; the error wraps ErrInvalid when no slot would boot, or when the order of the
// loader cannot be told from our entries alone.
func (c codec) read() (engine.Reading, error) {
	f, err := c.list()
	if err != nil {
		return nil, err
	}
	for _, x := range f.files {
		if err := counted(x.lines); err != nil {
			return nil, fmt.Errorf("cannot use %s: %w", x.path, err)
		}
	}
	return f, f.check()
}

func (f *folder) check() error {
	live := 0
	for i, x := range f.files {
		if x.wrong != nil {
			return fmt.Errorf("%w: %s: %w", bootctl.ErrInvalid, x.path, x.wrong)
		}
		if !x.live() {
			continue
		}
		live++
		for _, y := range f.files[:i] {
			if y.live() && y.version == x.version && y.slot != x.slot {
				return fmt.Errorf("%w: %s and %s have the same version", bootctl.ErrInvalid, y.path, x.path)
			}
		}
	}
	if live == 0 {
		return fmt.Errorf("%w: no entry %s* in %s is on", bootctl.ErrInvalid, f.o.Prefix, f.o.Folder)
	}
	return nil
}

// unreadable: nothing is known of what stands there, but that it has to be written anew.
func (x *file) unreadable() bool { return hal.Unreadable(x.wrong) }

// live: the loader would boot it before an entry that has no tries left.
func (x *file) live() bool { return x.on && (!x.trial || x.left > 0) }

// order are the live files as the loader sorts them.
func (f *folder) order() []*file {
	var live []*file
	for _, x := range f.files {
		if x.live() {
			live = append(live, x)
		}
	}
	for i := range live { // two or three
		for k := i; k > 0 && live[k].before(live[k-1]); k-- {
			live[k], live[k-1] = live[k-1], live[k]
		}
	}
	return live
}

// before: the higher version; of two names of one trial that with more tries left.
func (x *file) before(y *file) bool {
	return x.version > y.version || x.version == y.version && x.left > y.left
}

// governs is the file by which the loader would boot slot, nil for none.
func (f *folder) governs(slot bootctl.Slot) *file {
	for _, x := range f.order() {
		if x.slot == slot {
			return x
		}
	}
	return nil
}

// own is the slot's own entry, nil when its file is not there.
func (f *folder) own(slot bootctl.Slot) *file {
	for _, x := range f.files {
		if x.slot == slot && !x.trial {
			return x
		}
	}
	return nil
}

// Choice implements engine.Reading.
func (f *folder) Choice() choice.Choice {
	c := choice.Choice{Known: f.o.Slots, Uncounted: true, Entries: map[string]choice.Entry{}}
	for _, s := range c.Known {
		c.Entries[string(s)] = choice.Entry{Good: choice.Trial}
	}
	for _, x := range f.files {
		if x.on && !x.live() {
			c.Entries[string(x.slot)] = choice.Entry{Good: choice.Trial, Spent: true}
		}
	}
	for _, x := range f.order() {
		s := string(x.slot)
		if slices.Contains(c.Order, s) {
			continue
		}
		c.Order = append(c.Order, s)
		c.Entries[s] = choice.Entry{Tries: x.left, Good: choice.Trial}
		if !x.trial {
			c.Entries[s] = choice.Entry{Tries: fullTries, Good: choice.Confirmed}
		}
	}
	return c
}

// above is a version higher than any that is there.
func (f *folder) above() int64 {
	var top int64
	for _, x := range f.files {
		top = max(top, x.version, x.serial)
	}
	return top + 1
}

// lines are the board's lines for slot: of its own entry, or of a trial.
func (f *folder) lines(slot bootctl.Slot) []string {
	if own := f.own(slot); own != nil && len(own.lines) > 0 {
		return own.lines
	}
	for _, x := range f.files {
		if x.slot == slot && len(x.lines) > 0 {
			return x.lines
		}
	}
	return f.shadowLines(slot)
}

// create makes a file that is complete and off.
//
// Crash: before, after and between -> a file that starts nothing, or none; the choice stays.
func (f *folder) create(n name, lines []string) (*file, error) {
	e := entry{version: f.above(), lines: lines}
	raw, err := encode(e)
	if err != nil {
		return nil, err
	}
	base := n.file(f.o.Prefix)
	x := &file{name: n, fs: f.fs, path: f.path(base), raw: raw, entry: e}
	m, err := f.fs.Open(x.path, hal.Create)
	if err != nil {
		return nil, fmt.Errorf("cannot create %s: %w", x.path, err)
	}
	if _, err = m.WriteAt(raw, 0); err == nil {
		err = m.Sync()
	}
	if err = errors.Join(err, m.Close()); err != nil {
		return nil, fmt.Errorf("cannot write %s: %w", x.path, err)
	}
	if err := f.fs.SyncDir(f.o.Folder); err != nil {
		return nil, fmt.Errorf("cannot make %s durable: %w", x.path, err)
	}
	f.files, f.all = append(f.files, x), append(f.all, base)
	return x, nil
}

// turn writes e as the content of x.
func (f *folder) turn(x *file, e entry) error {
	raw, err := encode(e)
	if err != nil {
		return err
	}
	if err := f.put(x, raw); err != nil {
		return err
	}
	x.entry, x.wrong = e, nil
	return nil
}

// put overwrites a file in place with one write of a sector, and reads it back.
func (f *folder) put(x *file, raw []byte) error {
	err := error(nil)
	if x.unreadable() {
		err = engine.Put(x, raw)
	} else {
		err = engine.Replace(x, x.raw, raw)
	}
	if err != nil {
		return err
	}
	x.raw = raw
	return nil
}

// settle writes what reads back once more.
//
// Crash: before, after and between -> each file holds what it held, or what it read as.
func (f *folder) settle() error {
	for _, x := range f.files {
		if x.unreadable() {
			continue
		}
		if err := engine.Unchanged(x, x.raw); err != nil {
			return err
		}
	}
	for _, x := range f.files {
		if x.raw == nil {
			continue // longer than an entry is
		}
		if err := f.put(x, x.raw); err != nil {
			return err
		}
	}
	return nil
}

func (x *file) String() string { return x.path }

// Read returns the file's bytes; nil when it is longer than an entry is. It is an error that it is not there.
func (x *file) Read() ([]byte, error) {
	raw, err := hal.ReadFile(x.fs, x.path, maxRead)
	if errors.Is(err, hal.ErrLimit) {
		return nil, nil
	}
	return raw, err
}

// Write overwrites the file in place with one write of a sector.
//
// Crash: before -> old; after -> new. A file of another size than 512 bytes may be torn (Caps.Weakness).
func (x *file) Write(data []byte) error {
	access := hal.InPlace
	if len(x.raw) > Size || x.wrong != nil && x.raw == nil {
		access = hal.Create // longer than an entry: it is cut off
	}
	m, err := x.fs.Open(x.path, access)
	if err != nil {
		return err
	}
	_, err = m.WriteAt(data, 0)
	if err == nil {
		err = m.Sync()
	}
	return errors.Join(err, m.Close())
}

// switchOff turns off what is on of slot, but for keep. What governs goes last, so that the choice
// changes with the last write and not before.
func (f *folder) switchOff(slot bootctl.Slot, keep ...*file) error {
	last := f.governs(slot)
	var list []*file
	for _, x := range f.files {
		if x.slot == slot && x.on && x != last && !slices.Contains(keep, x) {
			list = append(list, x)
		}
	}
	if last != nil && !slices.Contains(keep, last) {
		list = append(list, last)
	}
	for _, x := range list {
		e := x.entry
		e.on = false
		if err := f.turn(x, e); err != nil {
			return err
		}
	}
	return nil
}

// unique tells whether x has the one name of its trial. Two names may lead to the same clusters.
func (f *folder) unique(x *file) bool {
	n := 0
	for _, y := range f.files {
		if y.trial && y.slot == x.slot && y.serial == x.serial {
			n++
		}
	}
	return n == 1
}

// clean removes the files of trials that are off. Names that may share their clusters stay, for fsck.
//
// Crash: they start nothing, whether they are there or not.
func (f *folder) clean() error {
	removed := false
	for _, x := range slices.Clone(f.files) {
		if !x.trial || x.on || !f.unique(x) {
			continue
		}
		if err := f.fs.Remove(x.path); err != nil {
			return fmt.Errorf("cannot remove %s: %w", x.path, err)
		}
		removed = true
		i := slices.Index(f.files, x)
		f.files = slices.Delete(f.files, i, i+1)
	}
	if !removed {
		return nil
	}
	return f.fs.SyncDir(f.o.Folder)
}

// Caps implements engine.Reading. It tells from the names whether all of them, with one trial before and after its
// rename, fit into the 16 entries of a sector.
func (f *folder) Caps() bootctl.Caps {
	c := bootctl.Caps{
		Backend:   "systemd-boot",
		Layout:    "boot counting, loader/entries in one sector, which the medium must write whole",
		PowerSafe: true, MaxTries: bootctl.MaxTries, Watchdog: f.o.Watchdog,
	}
	used, trial := 2, 0
	for _, n := range f.all {
		used += dirents(n)
	}
	for _, s := range f.o.Slots {
		trial = max(trial, dirents(name{slot: s, trial: true, serial: 999999}.file(f.o.Prefix)))
	}
	trials := 2
	for _, x := range f.files {
		if x.trial {
			trials = 1
		}
		if !x.trial && len(x.raw) != Size {
			c.Layout, c.PowerSafe = "boot counting, entries that are not padded", false
			c.Weakness = fmt.Sprintf("%s has not %d bytes, so that it cannot be replaced in one "+
				"step; pad it with empty lines", x.path, Size)
			return c
		}
	}
	if used+trials*trial > 16 {
		c.Layout, c.PowerSafe = "boot counting, loader/entries in several sectors", false
		c.Weakness = "a power cut inside the loader's rename may leave both names, and it then counts no more; keep " +
			"loader/entries for our entries alone"
	}
	return c
}
