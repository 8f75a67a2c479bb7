// Package sim is a machine whose power can be cut at any operation. It implements all of package
// hal over one World, which counts the operations that change something: count those of a clean
// run, then run again with a cut at each one, switch on, and check what is there.
//
// It is stricter than hardware. What was not made durable by Sync or SyncDir survives a cut in a
// seeded subset: any sectors of any unsynced write, any unsynced change of a directory, in any
// combination. Unaligned access to a slot, access outside of it and writing the slot that runs are
// errors. One seed decides everything random; runs with one goroutine repeat exactly.
package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/medium"
)

var (
	// ErrPowerCut is what every operation returns after the power went, until PowerOn; and what
	// handles and locks of an earlier boot return for ever.
	ErrPowerCut = errors.New("simulated power cut")
	// ErrKilled is what handles and locks of a killed process return for ever.
	ErrKilled = errors.New("simulated process was killed")
)

// Mode says how an operation is cut.
type Mode int

const (
	// Before: nothing of the operation happens.
	Before Mode = iota
	// Torn: a seeded part of it happens: some sectors of a write, some of what a Sync should
	// flush; a rename, a removal or an atomic commit happens or not.
	Torn
	// After: the operation happens, but nobody is told.
	After
)

func (m Mode) String() string {
	switch m {
	case Before:
		return "before"
	case Torn:
		return "torn"
	}
	return "after"
}

// Op is one counted operation, for traces and failure messages.
type Op struct {
	N    int64
	Kind string // "write", "sync", "create", "rename", "syncdir", "remove", "commit", "raise", "reboot", ...
	What string // path, offset and length
}

func (o Op) String() string { return fmt.Sprintf("%d %s %s", o.N, o.Kind, o.What) }

// World is one machine. All methods may be called from several goroutines.
type World struct {
	mu     sync.Mutex
	pcg    *rand.PCG // the state of rng
	rng    *rand.Rand
	cache  Cache        // what the next cuts lose
	apart  string       // the folder on another medium, with a slash behind; "": there is one medium
	grain  medium.Grain // of new media, see SetGrain
	seed   uint64
	ops    int64
	trace  []Op
	cutAt  int64
	mode   Mode
	failAt map[int64]error
	down   bool
	early  bool // a boot loader runs: nobody has replayed the journals
	cause  string

	watcher func(fork func() *World) // before each operation, see Watch
	life    *life                    // of the process that runs now
	boots   int
	reset   hal.ResetKind // why the present boot began

	disks map[string]*disk
	fs    *tree
	locks map[string]*life // held locks, each by the life that took it
	vars  map[string]variable

	now, booted time.Duration // virtual time since the world began
	start       time.Time
	quality     hal.TimeQuality
	timers      []*timer

	running, marker string
	nameless        bool // there is no boot id
	count           uint64
	noCounter       bool
	dog             watch
	supply          hal.Supply
	reboots         []Reboot
}

// life is one process of one boot. Handles remember theirs.
type life struct{ err error }

// New makes a machine that is switched on, with no media, an empty file system, and mains power.
func New(seed uint64) *World {
	w := &World{
		seed: seed, grain: medium.Whole,
		disks: map[string]*disk{}, fs: newTree(), locks: map[string]*life{}, vars: map[string]variable{},
		failAt: map[int64]error{}, start: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), quality: hal.TimeSynced,
		supply: hal.Supply{Battery: -1, BatteryMWh: -1, Mains: true, Known: true},
		life:   &life{}, boots: 1, reset: hal.ResetPowerOn,
	}
	w.reseed(seed)
	return w
}

// Seed is what New was given: print it with every failure.
func (w *World) Seed() uint64 { return w.seed }

// CutAt cuts the power at operation op, counted from 1 as Ops does. 0 takes the order back.
func (w *World) CutAt(op int64, m Mode) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cutAt, w.mode = op, m
}

// FailAt makes operation op return err once, with a seeded part of its effect (a bad sector).
func (w *World) FailAt(op int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failAt[op] = err
}

// Ops is the number of operations so far, over all boots.
func (w *World) Ops() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ops
}

// Trace returns all operations so far.
func (w *World) Trace() []Op {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Op(nil), w.trace...)
}

// Down tells whether the machine is without power, and why: "cut", "watchdog".
func (w *World) Down() (bool, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.down, w.cause
}

// Cut cuts the power now.
func (w *World) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut("cut")
}

// PowerOn switches the machine on again: media hold their crash image, nothing is open, locked or
// pending, the uptime is zero and the boot id is new. A machine that is on is cut first.
func (w *World) PowerOn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut("cut")
	w.reset = hal.ResetPowerOn
	if w.cause == "watchdog" {
		w.reset = hal.ResetWatchdog
	}
	w.down, w.cause = false, ""
	w.life = &life{}
	w.boots++
	w.early = true
	w.booted = w.now
}

// Reset is why the present boot began: a power cut, the watchdog, or software (Restart).
func (w *World) Reset() hal.ResetCause {
	w.mu.Lock()
	defer w.mu.Unlock()
	return hal.ResetCause{Kind: w.reset, Source: "the simulator says so"}
}

// Restart is an orderly reboot: everything written becomes durable, then the machine boots anew.
func (w *World) Restart() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.down {
		w.flush()
		if !w.early { // who has mounted nothing writes no journal back
			w.fs.checkpoint("")
		}
	}
	at := w.cutAt
	w.cut("cut")
	w.down, w.cause, w.reset = false, "", hal.ResetSoftware
	w.cutAt = at // an order to cut the power in a later boot stands
	w.life = &life{}
	w.boots++
	w.early = true
	w.booted = w.now
}

// Kill ends the process as SIGKILL does: its handles and locks are gone, what it wrote stays.
func (w *World) Kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end(ErrKilled)
	w.life = &life{}
}

// cut takes the power away and leaves the crash image behind. Callers hold mu.
func (w *World) cut(cause string) {
	if w.down {
		return
	}
	w.down, w.cause, w.cutAt = true, cause, 0
	switch w.cache {
	case Keep:
		w.flush()
	case LoseAll:
		for _, d := range w.disks {
			d.drop()
		}
		w.fs.drop()
	case LoseApart, KeepApart:
		for _, d := range w.disks { // none of them is apart
			if w.cache == LoseApart {
				d.flush()
			} else {
				d.drop()
			}
		}
		w.fs.split(w.apart, w.cache == KeepApart)
	default:
		for _, name := range sorted(w.disks) {
			w.disks[name].crash(w.rng)
		}
		w.fs.crash(w.rng)
	}
	w.end(ErrPowerCut)
	w.timers = nil
	w.dog = watch{}
}

// flush makes everything durable.
func (w *World) flush() {
	for _, d := range w.disks {
		d.flush()
	}
	w.fs.flush()
}

// end makes all handles of the present life useless.
func (w *World) end(err error) {
	w.life.err = err
	for _, d := range w.disks {
		d.held = nil
	}
	w.locks = map[string]*life{}
}

// alive returns why an operation of l cannot happen, nil when it can. Callers hold mu.
func (w *World) alive(l *life) error {
	if w.down {
		return ErrPowerCut
	}
	return l.err
}

// do is the one choke point of everything that changes the machine. apply is called with part nil
// for the whole effect, or with a source of randomness for a seeded part of it. Callers hold mu.
func (w *World) do(l *life, kind, what string, apply func(part *rand.Rand) error) error {
	if err := w.alive(l); err != nil {
		return err
	}
	if w.watcher != nil {
		w.watcher(w.fork)
	}
	w.ops++
	w.trace = append(w.trace, Op{w.ops, kind, what})
	if err, ok := w.failAt[w.ops]; ok {
		delete(w.failAt, w.ops)
		if e := apply(w.rng); e != nil {
			return e
		}
		return err
	}
	if w.ops != w.cutAt {
		return apply(nil)
	}
	if w.mode != Before {
		var part *rand.Rand
		if w.mode == Torn {
			part = w.rng
		}
		// An operation that fails by its own rules fails as it would have: the power goes anyway.
		_ = apply(part)
	}
	w.cut("cut")
	return ErrPowerCut
}

// Atomic is a durable commit outside of hal that is old or new and nothing in between (a journal
// transaction): apply is called, or not when a cut prevents it. Torn is one or the other, by the seed.
func (w *World) Atomic(what string, apply func()) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.do(w.life, "commit", what, func(part *rand.Rand) error {
		if part == nil || part.IntN(2) == 0 {
			apply()
		}
		return nil
	})
}

// lock implements hal.FS.Lock.
func (w *World) lock(ctx context.Context, l *life, path string) (func(), error) {
	for {
		w.mu.Lock()
		if err := w.alive(l); err != nil {
			w.mu.Unlock()
			return nil, err
		}
		if w.locks[path] == nil {
			held := &life{}
			w.locks[path] = held
			w.mu.Unlock()
			return func() {
				w.mu.Lock()
				defer w.mu.Unlock()
				if w.locks[path] == held {
					delete(w.locks, path)
				}
			}, nil
		}
		w.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("cannot lock %s: %w", path, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}
