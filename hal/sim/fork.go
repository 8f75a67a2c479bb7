package sim

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"time"

	"github.com/ratchet-ota/ratchet/hal/medium"
)

// Reseed lets chance begin anew from seed, so that what one cut loses does not depend on the cuts
// before it.
func (w *World) Reseed(seed uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reseed(seed)
}

func (w *World) reseed(seed uint64) {
	w.pcg = rand.NewPCG(seed, 0x5261746368657421)
	w.rng = rand.New(w.pcg)
}

// Cache says what a cut does to what is not flushed.
type Cache int

const (
	// LosePart: a seeded part of it is lost, in any combination of sectors. So begins a new machine.
	LosePart Cache = iota
	// Keep: all of it reaches the medium, as with capacitors.
	Keep
	// LoseAll: nothing of it does.
	LoseAll
	// LoseApart: all of it is lost on the medium that was set apart (SetApart), and kept on the others.
	LoseApart
	// KeepApart: all of it is kept there, and lost on the others.
	KeepApart
)

func (c Cache) String() string {
	return []string{"part", "kept", "lost", "apart-lost", "apart-kept"}[c]
}

// SetApart puts the files below a folder onto a medium of their own, with a cache of its own.
func (w *World) SetApart(folder string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.apart = path.Clean(folder) + "/"
}

// SetCache says what the cuts from now on do to the write cache.
func (w *World) SetCache(c Cache) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cache = c
}

// SetGrain says what media and files that are added from now on write whole or not at all, and what a cut leaves of
// the rest. A new machine's are medium.Whole.
func (w *World) SetGrain(g medium.Grain) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if g.Unit <= 0 || g.Unit%sector != 0 || g.Erase%g.Unit != 0 {
		panic("internal error: simulated sector")
	}
	w.grain = g
}

// Fork returns a second machine in the same state, with its cache, its chance and its count of
// operations: what happens to one does not happen to the other. Whatever was open, locked or
// waiting on the first is not so on the second, which runs a new process in the same boot.
func (w *World) Fork() *World {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fork()
}

func (w *World) fork() *World {
	pcg := *w.pcg
	c := &World{
		pcg: &pcg, rng: rand.New(&pcg), cache: w.cache, apart: w.apart, grain: w.grain, seed: w.seed,
		ops: w.ops, trace: slices.Clip(w.trace), cutAt: w.cutAt, mode: w.mode, failAt: maps.Clone(w.failAt),
		down: w.down, cause: w.cause, life: &life{}, boots: w.boots, reset: w.reset,
		disks: map[string]*disk{}, locks: map[string]*life{}, vars: maps.Clone(w.vars),
		now: w.now, booted: w.booted, start: w.start, quality: w.quality,
		early: w.early, running: w.running, marker: w.marker, nameless: w.nameless,
		count: w.count, noCounter: w.noCounter,
		supply: w.supply, reboots: slices.Clip(w.reboots),
	}
	for name, d := range w.disks {
		c.disks[name] = &disk{store: d.fork(), id: d.id, mounted: d.mounted}
	}
	c.fs = w.fs.fork()
	return c
}

// fork is a copy; sectors are shared, for they are never changed in place. Pending data is, by Poke.
func (s *store) fork() *store {
	c := &store{sectors: maps.Clone(s.sectors), version: s.version, size: s.size, now: s.now, grain: s.grain,
		pending: slices.Clone(s.pending), bad: maps.Clone(s.bad), log: s.log, behind: maps.Clone(s.behind),
		lies: s.lies, lied: slices.Clone(s.lied)}
	for i, p := range c.pending {
		c.pending[i].data = slices.Clone(p.data)
	}
	return c
}

func (t *tree) fork() *tree {
	twins := map[*store]*store{nil: nil}
	twin := func(names map[string]*store) map[string]*store {
		out := make(map[string]*store, len(names))
		for name, s := range names {
			if twins[s] == nil && s != nil {
				twins[s] = s.fork()
			}
			out[name] = twins[s]
		}
		return out
	}
	c := &tree{durable: twin(t.durable), now: twin(t.now), fat: t.fat, grain: t.grain,
		logs: t.logs, placed: twin(t.placed)}
	for _, r := range t.pending {
		c.pending = append(c.pending, renaming{r.dir, twin(r.set)})
	}
	return c
}

// Watch calls f before each operation, from the goroutine that asks for it, with the machine as it is
// then: what a cut before this operation, or behind the one before it, meets. f must not use the machine
// but by fork. nil takes it back. A fork is not watched.
func (w *World) Watch(f func(fork func() *World)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watcher = f
}

// Dirty tells whether anything is written and not flushed: else a cut leaves one machine only.
func (w *World) Dirty() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.disks {
		if len(d.pending) > 0 {
			return true
		}
	}
	if len(w.fs.pending) > 0 {
		return true
	}
	for _, names := range []map[string]*store{w.fs.durable, w.fs.now} {
		for _, s := range names {
			if len(s.pending) > 0 {
				return true
			}
		}
	}
	return false
}

// Version names what is durable on a disk: two forks of one machine with the same version hold the same.
func (w *World) Version(path string) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mustDisk(path).version
}

// VariableTexts returns the firmware's variables as text, sorted: name, attributes, bytes.
func (w *World) VariableTexts() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, name := range sorted(w.vars) {
		out = append(out, fmt.Sprintf("%s %x %x", name, w.vars[name].attributes, w.vars[name].data))
	}
	return out
}

// Durable returns what is left of a disk at off when the power goes now and the whole cache is lost.
func (w *World) Durable(path string, off, n int64) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.mustDisk(path)
	p := make([]byte, n)
	(&store{sectors: d.sectors, size: d.size, now: d.size}).read(p, off)
	return p
}

// sumSeed makes sums comparable within one process only.
var sumSeed = maphash.MakeSeed()

// Sum identifies what the machine holds: media, files with what is cached of them, counter, boot and
// the time. Two machines with one sum behave alike under the same calls, chance left out.
// Sums of two processes cannot be compared.
func (w *World) Sum() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var h maphash.Hash
	h.SetSeed(sumSeed)
	num := func(v ...int64) {
		for _, x := range v {
			_, _ = h.Write(binary.LittleEndian.AppendUint64(nil, uint64(x)))
		}
	}
	for _, name := range sorted(w.disks) {
		_, _ = h.WriteString(name)
		w.disks[name].sum(&h, num)
	}
	for _, names := range []map[string]*store{w.fs.durable, w.fs.now} {
		num(int64(len(names)))
		for _, name := range sorted(names) {
			_, _ = h.WriteString(name)
			names[name].sum(&h, num)
		}
	}
	for _, name := range sorted(w.vars) {
		num(int64(w.vars[name].attributes), int64(len(w.vars[name].data)))
		_, _ = h.WriteString(name)
		_, _ = h.Write(w.vars[name].data)
	}
	_, _ = h.WriteString(w.running + "/" + w.marker)
	num(int64(w.count), int64(w.boots), int64(w.now-w.booted), int64(w.now/time.Second), int64(len(w.reboots)))
	return h.Sum64()
}

func (s *store) sum(h io.Writer, num func(...int64)) {
	num(s.size, s.now, int64(len(s.pending)))
	for _, n := range slices.Sorted(maps.Keys(s.bad)) {
		num(n, -2)
	}
	for _, n := range slices.Sorted(maps.Keys(s.sectors)) {
		num(n)
		_, _ = h.Write(s.sectors[n])
	}
	for _, c := range s.pending {
		num(c.off, c.size, int64(len(c.data)))
		if c.ghost {
			num(-1)
		}
		_, _ = h.Write(c.data)
	}
}

// CounterValue is where the counter stands. It is no operation of the machine.
func (w *World) CounterValue() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}
