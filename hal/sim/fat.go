package sim

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"

	"github.com/ratchet-ota/ratchet/hal"
)

// SetFAT makes a folder one of a FAT file system, which has no journal. A rename writes a new entry
// of the folder and removes the old one, never over a name that is there. While all entries fit into
// one sector, a cut leaves the sector as it was after any of the changes since SyncDir; where they do
// not (apart), any of the entries' changes is there or not: the old name, the new one, both, which
// then share their clusters, or none. A medium that tears sectors leaves of one sector what others leave of several;
// one that leaves garbage may take all entries of the folder with a cut in a change of one.
func (w *World) SetFAT(dir string, apart bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fs.fat[path.Clean(dir)], w.fs.grain = apart, w.grain
}

func (t *tree) oneSector(dir string) bool {
	apart, fat := t.fat[dir]
	return fat && !apart
}

// tear leaves each entry that a change touches old or new.
func (t *tree) tear(r renaming, rng *rand.Rand) {
	for _, name := range sorted(r.set) {
		if rng.IntN(2) == 0 {
			assign(t.durable, map[string]*store{name: r.set[name]})
		}
	}
}

// spoil makes garbage of folders that were being changed.
func (t *tree) spoil(rng *rand.Rand) {
	done := map[string]bool{}
	for _, r := range t.pending {
		if _, fat := t.fat[r.dir]; !t.grain.Garbage || !fat || done[r.dir] {
			continue
		}
		done[r.dir] = true
		if rng.IntN(4) > 0 {
			continue
		}
		for _, name := range sorted(t.durable) {
			if path.Dir(name) == r.dir {
				delete(t.durable, name)
			}
		}
	}
}

func (t *tree) renameFAT(from, to string, s *store, part *rand.Rand) error {
	if t.now[to] != nil {
		return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
	}
	dir := path.Dir(to)
	if t.oneSector(dir) {
		if part == nil || part.IntN(2) == 0 {
			t.change(renaming{dir, map[string]*store{from: nil, to: s}})
		}
		return nil
	}
	if part == nil || part.IntN(2) == 0 {
		t.change(renaming{dir, map[string]*store{to: s}})
	}
	if part == nil || part.IntN(2) == 0 {
		t.change(renaming{dir, map[string]*store{from: nil}})
	}
	return nil
}

// freeable: deleting one of two names of one chain of clusters frees what the other one needs.
func (t *tree) freeable(name string) error {
	if _, fat := t.fat[path.Dir(name)]; !fat {
		return nil
	}
	for other, s := range t.now {
		if other != name && s == t.now[name] {
			return fmt.Errorf("cannot delete %s: its clusters are those of %s, too", name, other)
		}
	}
	return nil
}

// List implements hal.Tree.
func (f files) List(dir string) ([]string, error) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	if err := f.w.alive(f.l); err != nil {
		return nil, err
	}
	dir = path.Clean(dir)
	var names []string
	seen := f.w.fs.now
	if f.w.early && f.w.fs.logs[dir] != none {
		seen = f.w.fs.placed
	}
	for _, name := range sorted(seen) {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	return names, nil
}

var _ hal.Tree = files{}
