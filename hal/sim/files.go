package sim

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/medium"
)

// tree is a file system: names that lead to files. Folders need not be made. pending holds the
// changes of names since their folder was last synced, oldest first.
type tree struct {
	durable, now map[string]*store
	pending      []renaming
	fat          map[string]bool // folders without a journal, by path; true: over several sectors
	grain        medium.Grain    // of their medium
	logs         map[string]journaling
	placed       map[string]*store // of folders with a journal: the names in place
}

// renaming is one change of names in one folder; nil removes a name.
type renaming struct {
	dir string
	set map[string]*store
}

func newTree() *tree {
	return &tree{durable: map[string]*store{}, now: map[string]*store{}, fat: map[string]bool{},
		logs: map[string]journaling{}, placed: map[string]*store{}}
}

func (t *tree) change(r renaming) {
	t.pending = append(t.pending, r)
	assign(t.now, r.set)
}

func assign(names, set map[string]*store) {
	for name, s := range set {
		if s == nil {
			delete(names, name)
		} else {
			names[name] = s
		}
	}
}

// syncDir makes the pending changes of dir durable, or with part each of them by chance.
func (t *tree) syncDir(dir string, part *rand.Rand) {
	var rest []renaming
	late := false
	for _, r := range t.pending {
		if r.dir != dir {
			rest = append(rest, r)
		} else if !late && (part == nil || part.IntN(2) == 0) {
			assign(t.durable, r.set)
		} else {
			rest = append(rest, r)
			late = t.oneSector(dir)
		}
	}
	t.pending = rest
}

func (t *tree) flush() {
	for _, r := range t.pending {
		assign(t.durable, r.set)
	}
	t.pending = nil
	for _, s := range t.stores() {
		s.flush(nil)
	}
}

func (t *tree) crash(rng *rand.Rand) {
	late := map[string]bool{}
	for _, r := range t.pending {
		if t.grain.Tears && t.oneSector(r.dir) {
			t.tear(r, rng)
		} else if !late[r.dir] && rng.IntN(2) == 0 {
			assign(t.durable, r.set)
		} else {
			late[r.dir] = t.oneSector(r.dir)
		}
	}
	t.spoil(rng)
	t.pending = nil
	for _, s := range t.stores() {
		s.crash(rng)
	}
	t.settleJournals(rng)
	t.now = maps.Clone(t.durable)
}

// split keeps what is cached below a folder and loses the rest, or the other way round.
func (t *tree) split(folder string, keep bool) {
	for _, r := range t.pending {
		if strings.HasPrefix(r.dir+"/", folder) == keep {
			assign(t.durable, r.set)
		}
	}
	t.pending = nil
	for _, names := range []map[string]*store{t.durable, t.placed} {
		for name, s := range names {
			if strings.HasPrefix(name, folder) == keep {
				s.flush(nil)
			} else {
				s.drop()
			}
		}
	}
	t.now = maps.Clone(t.durable)
}

// drop forgets everything that is not durable.
func (t *tree) drop() {
	t.pending = nil
	for _, s := range t.stores() {
		s.drop()
	}
	t.now = maps.Clone(t.durable)
}

func sorted64[V any](m map[int64]V) []int64 { return slices.Sorted(maps.Keys(m)) }

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// PutFile puts a durable file there, behind everybody's back.
func (w *World) PutFile(name string, data []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := newStore(0, w.grain)
	s.write(data, 0, nil)
	s.flush(nil)
	name = path.Clean(name)
	if dir := path.Dir(name); w.fs.oneSector(dir) {
		w.fs.syncDir(dir, nil) // who writes the sector writes all of it
	}
	w.fs.durable[name], w.fs.now[name] = s, s
	if kind := w.fs.logs[path.Dir(name)]; kind != none {
		s.log, w.fs.placed[name] = kind, s
	}
}

// File returns what a process reads in a file now; ok is false when it is not there.
func (w *World) File(name string) (data []byte, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.fs.now[path.Clean(name)]
	if s == nil {
		return nil, false
	}
	data = make([]byte, s.now)
	s.read(data, 0)
	return data, true
}

// Files lists the names that a process sees.
func (w *World) Files() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return sorted(w.fs.now)
}

type files struct {
	w *World
	l *life
}

// FS returns the file system of the process that runs now: after PowerOn or Kill, ask again. Disks
// can be opened through it too, at their paths (boot environments).
func (w *World) FS() hal.Tree {
	w.mu.Lock()
	defer w.mu.Unlock()
	return files{w, w.life}
}

func (f files) Open(name string, a hal.Access) (hal.Medium, error) {
	name = path.Clean(name)
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	if err := f.w.alive(f.l); err != nil {
		return nil, err
	}
	if s, early := f.w.inPlace(name); early {
		return f.openInPlace(name, a, s)
	}
	h := &fileHandle{w: f.w, l: f.l, name: name, write: a != hal.ReadOnly}
	if d := f.w.disks[name]; d != nil {
		if a == hal.Create {
			return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrInvalid}
		}
		if name == f.w.running && h.write {
			return nil, fmt.Errorf("cannot open %s for writing: invariant I3: %w", name, hal.ErrRunning)
		}
		h.s, h.fixed, h.size = d.store, true, d.now
		return h, nil
	}
	h.s = f.w.fs.now[name]
	if a != hal.Create {
		if h.s == nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		h.size = h.s.now
		return h, nil
	}
	err := f.w.do(f.l, "create", name, func(part *rand.Rand) error {
		if part != nil && part.IntN(2) == 0 {
			return nil
		}
		if h.s != nil {
			h.s.truncate(0)
			return nil
		}
		h.s = newStore(0, f.w.grain)
		h.s.log = f.w.fs.logs[path.Dir(name)]
		f.w.fs.change(renaming{path.Dir(name), map[string]*store{name: h.s}})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

func (f files) Rename(from, to string) error {
	from, to = path.Clean(from), path.Clean(to)
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	if path.Dir(from) != path.Dir(to) {
		return fmt.Errorf("cannot rename %s to %s: not in one folder, so no one SyncDir makes it durable", from, to)
	}
	return f.w.do(f.l, "rename", from+" "+to, func(part *rand.Rand) error {
		s := f.w.fs.now[from]
		if s == nil {
			return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
		}
		if _, fat := f.w.fs.fat[path.Dir(to)]; fat && from != to {
			return f.w.fs.renameFAT(from, to, s, part)
		}
		if from != to && (part == nil || part.IntN(2) == 0) {
			f.w.fs.change(renaming{path.Dir(to), map[string]*store{from: nil, to: s}})
		}
		return nil
	})
}

func (f files) SyncDir(dir string) error {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	dir = path.Clean(dir)
	return f.w.do(f.l, "syncdir", dir, func(part *rand.Rand) error {
		f.w.fs.syncDir(dir, part)
		return nil
	})
}

func (f files) Remove(name string) error {
	name = path.Clean(name)
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	if err := f.w.alive(f.l); err != nil {
		return err
	}
	if f.w.fs.now[name] == nil {
		return nil
	}
	if err := f.w.fs.freeable(name); err != nil {
		return err
	}
	return f.w.do(f.l, "remove", name, func(part *rand.Rand) error {
		if part == nil || part.IntN(2) == 0 {
			f.w.fs.change(renaming{path.Dir(name), map[string]*store{name: nil}})
		}
		return nil
	})
}

// Lock does not create the file: a lock leaves nothing behind that matters after a cut.
func (f files) Lock(ctx context.Context, name string) (func(), error) {
	return f.w.lock(ctx, f.l, path.Clean(name))
}

// fileHandle is an opened file, or a disk through the page cache.
type fileHandle struct {
	w      *World
	l      *life
	s      *store
	name   string
	size   int64
	fixed  bool
	place  bool
	write  bool
	closed bool
	failed error
}

func (h *fileHandle) usable() error {
	if err := h.w.alive(h.l); err != nil {
		return err
	}
	if h.closed {
		return &fs.PathError{Op: "use", Path: h.name, Err: fs.ErrClosed}
	}
	return nil
}

func (h *fileHandle) ReadAt(p []byte, off int64) (int, error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if err := h.usable(); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, &fs.PathError{Op: "read", Path: h.name, Err: fs.ErrInvalid}
	}
	n := min(int64(len(p)), max(h.s.now-off, 0))
	if err := h.s.readable(h.name, off, n); err != nil {
		return 0, err
	}
	if h.place {
		h.s.readInPlace(p[:n], off)
	} else {
		h.s.read(p[:n], off)
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

func (h *fileHandle) WriteAt(p []byte, off int64) (int, error) {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if err := h.usable(); err != nil {
		return 0, err
	}
	if off < 0 || !h.write || (h.fixed && off+int64(len(p)) > h.s.now) {
		return 0, &fs.PathError{Op: "write", Path: h.name, Err: fs.ErrInvalid}
	}
	err := h.w.do(h.l, "write", fmt.Sprintf("%s %d+%d", h.name, off, len(p)), func(part *rand.Rand) error {
		first := len(h.s.pending)
		h.s.write(p, off, part)
		for i := range h.s.pending[first:] {
			h.s.pending[first+i].place = h.place
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// Sync is sticky, as it is on Linux.
func (h *fileHandle) Sync() error {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if err := h.usable(); err != nil {
		return err
	}
	if h.failed == nil {
		h.failed = h.w.do(h.l, "sync", h.name, func(part *rand.Rand) error {
			h.s.sync(part)
			return nil
		})
		if h.failed != nil {
			h.s.haunt()
		}
	}
	return h.failed
}

func (h *fileHandle) Size() int64 { return h.size }

func (h *fileHandle) Close() error {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	h.closed = true
	return nil
}
