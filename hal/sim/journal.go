package sim

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"

	"github.com/ratchet-ota/ratchet/hal"
)

// journaling is what a file system keeps in its journal until it is written where it belongs (a checkpoint).
type journaling int

const (
	// none: nothing; or every reader replays it.
	none journaling = iota
	// names: names, sizes and which blocks a file has (ext4, data=ordered). Bytes go into blocks that a file has.
	names
	// all: the bytes, too (data=journal).
	all
)

// SetJournal makes a folder one of a file system with a journal that boot loaders do not replay, as those of GRUB and
// U-Boot do not replay ext4's: after a power-on they see, until SetRunning, what stands in place, and write there. data
// tells that bytes go through the journal, too. Files that are made from now on are of this kind.
//
// What Sync and SyncDir cover is durable in the journal. It is in place after a restart in good order, after
// Checkpoint, and, by chance, at a cut.
func (w *World) SetJournal(dir string, data bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kind := names
	if data {
		kind = all
	}
	w.fs.logs[path.Clean(dir)] = kind
}

// replay is what a system does when it mounts what a cut has left. Before it, Open, List, and what is written are those
// of a boot loader.
func (w *World) replay() {
	w.early = false
	if len(w.fs.logs) == 0 {
		return
	}
	for _, s := range w.fs.stores() {
		for i := range s.pending {
			s.replayOver(&s.pending[i])
		}
	}
	w.fs.checkpoint("")
}

// replayOver writes the journal's sectors over what a loader wrote there.
func (s *store) replayOver(c *change) {
	if !c.place {
		return
	}
	c.place, c.data = false, bytes.Clone(c.data)
	for n := range s.behind {
		overlay(c.data, c.off, s.sectors[n], n*sector)
	}
}

// Checkpoint writes what is durable in the folder of a file where it belongs.
func (f files) Checkpoint(name string) error {
	dir := path.Dir(path.Clean(name))
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	if f.w.fs.logs[dir] == none {
		return nil
	}
	return f.w.do(f.l, "checkpoint", dir, func(part *rand.Rand) error {
		if part == nil || part.IntN(2) == 0 {
			f.w.fs.checkpoint(dir)
		}
		return nil
	})
}

// stores are the files that are durable, by name, and those that only a loader still sees.
func (t *tree) stores() (list []*store) {
	for _, name := range sorted(t.durable) {
		list = append(list, t.durable[name])
	}
	for _, name := range sorted(t.placed) {
		if s := t.placed[name]; s != t.durable[name] {
			list = append(list, s)
		}
	}
	return list
}

// checkpoint of a folder, of all for "".
func (t *tree) checkpoint(dir string) {
	for _, names := range []map[string]*store{t.placed, t.durable} {
		for _, name := range sorted(names) {
			if d := path.Dir(name); t.logs[d] != none && (dir == "" || d == dir) {
				t.place(name)
			}
		}
	}
}

// place makes one name what it is in the journal.
func (t *tree) place(name string) {
	s := t.durable[name]
	if s == nil {
		delete(t.placed, name)
		return
	}
	t.placed[name] = s
	clear(s.behind)
}

// settleJournals is what a cut leaves of checkpoints that the kernel makes by itself: some.
func (t *tree) settleJournals(rng *rand.Rand) {
	both := maps.Clone(t.placed)
	maps.Copy(both, t.durable)
	for _, name := range sorted(both) {
		if t.logs[path.Dir(name)] != none && rng.IntN(3) == 0 {
			t.place(name)
		}
	}
}

// sector is a copy of a sector that is to be changed, put where the change becomes durable: in the journal, with what
// stands in place kept behind it, or in place, where a replay overwrites it.
func (s *store) sector(n int64, place bool) []byte {
	b := make([]byte, sector)
	old, there := s.sectors[n]
	late, isLate := s.behind[n]
	if place && isLate {
		copy(b, late)
		s.behind[n] = b
		return b
	}
	if !place && !isLate && (s.log == all || s.log == names && !there) {
		s.behind[n] = old
	}
	copy(b, old)
	s.sectors[n] = b
	return b
}

// readInPlace is read by a loader.
func (s *store) readInPlace(p []byte, off int64) {
	own := &store{sectors: maps.Clone(s.sectors), size: s.size, now: s.now}
	for n, b := range s.behind {
		own.sectors[n] = b
	}
	for _, c := range s.pending {
		if c.place {
			own.pending = append(own.pending, c)
		}
	}
	own.read(p, off)
}

// inPlace is what a loader finds under a name; early tells whether one reads.
func (w *World) inPlace(name string) (s *store, early bool) {
	if !w.early || w.fs.logs[path.Dir(name)] == none {
		return nil, false
	}
	return w.fs.placed[name], true
}

// openInPlace is Open of a loader, which makes no files here.
func (f files) openInPlace(name string, a hal.Access, s *store) (hal.Medium, error) {
	if s == nil || a == hal.Create {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &fileHandle{w: f.w, l: f.l, name: name, s: s, size: s.size, fixed: true, place: true,
		write: a != hal.ReadOnly}, nil
}

// JournalTexts say what is durable and not in place, sorted.
func (w *World) JournalTexts() (texts []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range sorted(w.fs.placed) {
		s := w.fs.placed[name]
		if s != w.fs.durable[name] {
			b := make([]byte, s.size)
			s.readInPlace(b, 0)
			texts = append(texts, fmt.Sprintf("%s was %x", name, b))
		}
	}
	for _, name := range sorted(w.fs.durable) {
		s := w.fs.durable[name]
		if w.fs.logs[path.Dir(name)] != none && w.fs.placed[name] == nil {
			texts = append(texts, name+" was not there")
		}
		for _, n := range sorted64(s.behind) {
			texts = append(texts, fmt.Sprintf("%s, sector %d was %x", name, n, s.behind[n]))
		}
	}
	return texts
}
