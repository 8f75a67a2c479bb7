package boottest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
)

// Board opens a kind of board over any disk, for Explore.
type Board struct {
	Slots   [2]bootctl.Slot
	Factory *Disk
	Backend func(d *Disk) bootctl.Backend
	Model   func(d *Disk, loads func(slot string) bool) Model
	// Key identifies what matters of a disk, so that states that differ in a serial number alone are
	// explored once.
	Key func(d *Disk) string
	// Atomic: the layout promises that a cut leaves the old or the new choice. Where it does not, a
	// cut may leave invalid metadata, which Refresh must restore.
	Atomic bool
	// OursAtomic: the backend's own writes do, though the loader's do not.
	OursAtomic bool
	// First: Try of a slot that is still confirmed disables it first, in a record of its own, so that a cut
	// may leave it disabled.
	First bool
	// Guess: a cut may even leave another choice that looks valid (a torn block without a checksum).
	Guess bool
	// Halves: a Refresh that failed while it restored may leave metadata that validates and another slot in it, which
	// only the process that failed puts right.
	Halves bool
	// Tries are the trial lengths to arm with; Depth is how many operations deep to go.
	Tries []int
	Depth int
}

// Counts is what an exploration saw.
type Counts struct{ States, Operations, Cuts, Invalid, Guessed int }

// operation is one thing that happens to a board: a call of the backend, or a boot.
type operation struct {
	name string
	slot bootctl.Slot
	call func(ctx context.Context, b bootctl.Backend) error
	boot func(slot string) bool // what loads; for a boot
	adds bool                   // it makes slot confirmed
	arms bool                   // it puts slot on trial
}

func (b Board) operations() []operation {
	var ops []operation
	for _, s := range b.Slots {
		for _, n := range b.Tries {
			ops = append(ops, operation{name: fmt.Sprintf("Try(%s, %d)", s, n), slot: s, arms: true,
				call: func(ctx context.Context, x bootctl.Backend) error { return x.Try(ctx, s, n) }})
		}
		ops = append(ops,
			operation{name: "Confirm(" + string(s) + ")", slot: s, adds: true,
				call: func(ctx context.Context, x bootctl.Backend) error { return x.Confirm(ctx, s) }},
			operation{name: "Disable(" + string(s) + ")", slot: s,
				call: func(ctx context.Context, x bootctl.Backend) error { return x.Disable(ctx, s) }},
			operation{name: "Refresh(" + string(s) + ")", slot: s, adds: true,
				call: func(ctx context.Context, x bootctl.Backend) error { return x.Refresh(ctx, s) }},
			operation{name: "boot, only " + string(s) + " loads", boot: only(s)},
		)
	}
	return append(ops, operation{name: "boot", boot: all})
}

// explorer is one exploration.
type explorer struct {
	Board
	t     *testing.T
	count Counts
	seen  map[uint64]outcome
}

// outcome is what a disk means: to the backend, and to the loader.
type outcome struct {
	state   bootctl.State
	invalid bool
	err     error
	boots   []string // the slots that boot one after another while nobody confirms
}

// Explore goes through every state that calls and boots can reach from the factory's, and in each of
// them through every call and boot, and cuts the power at every operation on the medium: before it,
// inside it in every way that Disk knows, and after it. After every cut the loader's model boots, and
//
//   - the loader and the backend read the same choice, which is the old or the new one (Atomic);
//   - left alone, the board comes to rest on a slot that was confirmed before or is by this call (I1);
//   - the call, made again, ends as if there had been no cut.
//
// First it lets each operation of a call fail, and holds what the next call says to be done against a
// power cut.
func Explore(t *testing.T, b Board) Counts {
	t.Helper()
	failedFlush(t, b)
	x := &explorer{Board: b, t: t, seen: map[uint64]outcome{}}
	type node struct {
		d     *Disk
		depth int
		path  string
	}
	queue := []node{{d: b.Factory.Clone()}}
	visited := map[string]bool{b.Key(b.Factory): true}
	for len(queue) > 0 && !t.Failed() {
		at := queue[0]
		queue = queue[1:]
		x.count.States++
		for _, op := range b.operations() {
			if t.Failed() {
				break
			}
			next := x.step(at.d, op, at.path+" / "+op.name)
			if next == nil || at.depth == b.Depth {
				continue
			}
			if key := b.Key(next); !visited[key] {
				visited[key] = true
				queue = append(queue, node{next, at.depth + 1, at.path + " / " + op.name})
			}
		}
	}
	return x.count
}

// step runs op on a copy of from, cuts it everywhere, and returns the disk after it, nil when op was
// refused without a write.
func (x *explorer) step(from *Disk, op operation, path string) *Disk {
	x.t.Helper()
	x.count.Operations++
	if op.boot != nil {
		// A drive that still has the loader's write of one boot in its cache at the next boot could
		// lose both; package ubootenv says so. Explored is one write that was not flushed.
		from = from.PowerOn()
	}
	old, ok := x.before(from, path)
	if !ok {
		return nil
	}
	var cuts []*Disk
	var where []string
	d := from.Clone()
	d.trace = func(at string, images []*Disk) {
		for _, image := range images {
			cuts, where = append(cuts, image), append(where, at)
		}
	}
	err := x.perform(d, op)
	d.trace = nil
	if op.boot != nil {
		d.Cache()
	}
	if err != nil {
		if len(cuts) > 0 {
			x.t.Errorf("%s: it wrote and failed: %v", path, err)
		}
		return nil
	}
	fresh := []outcome{x.outcome(d)}
	for _, image := range from.Cut() {
		if x.perform(image, op) == nil {
			fresh = append(fresh, x.outcome(image))
		}
	}
	for _, o := range fresh {
		if o.err != nil {
			x.t.Errorf("%s: %v", path, o.err)
			return nil
		}
	}
	if x.First && op.arms {
		for _, image := range from.Cut() {
			if x.Backend(image).Disable(x.t.Context(), op.slot) == nil {
				old = append(old, x.outcome(image))
			}
		}
	}
	done := map[uint64]bool{}
	for i, image := range cuts {
		if h := image.Hash(); !done[h] && !x.t.Failed() {
			done[h] = true
			x.count.Cuts++
			x.check(image, op, old, fresh, path+", cut at "+where[i])
		}
	}
	return d
}

// before returns what there may be when an operation begins on from.
func (x *explorer) before(from *Disk, path string) (old []outcome, ok bool) {
	x.t.Helper()
	// What the loader wrote may still be lost: each disk that a cut leaves of from is old.
	for _, image := range from.Cut() {
		o := x.outcome(image)
		if o.err != nil || o.invalid && x.Atomic {
			x.t.Errorf("%s: the loader left %v", path, o)
			return nil, false
		}
		old = append(old, o)
	}
	return old, true
}

func (x *explorer) perform(d *Disk, op operation) error {
	if op.boot != nil {
		_, _, err := x.Model(d, op.boot).Boot()
		return err
	}
	return op.call(x.t.Context(), x.Backend(d))
}

// check looks at one disk that a cut left.
func (x *explorer) check(image *Disk, op operation, old, fresh []outcome, where string) {
	x.t.Helper()
	got := x.outcome(image)
	if got.err != nil {
		x.t.Errorf("%s: %v", where, got.err)
		return
	}
	var trusted []bootctl.Slot
	for _, o := range slices.Concat(old, fresh) {
		for _, s := range confirmed(o) {
			if !slices.Contains(trusted, s) {
				trusted = append(trusted, s)
			}
		}
	}
	switch {
	case got.invalid && !x.Atomic:
		if x.OursAtomic && op.call != nil && !among(got, old) {
			x.t.Errorf("%s: invalid", where)
			return
		}
		x.count.Invalid++
		x.restores(image, trusted[0], where)
		return
	case among(got, old) || among(got, fresh):
		if rest := got.boots[len(got.boots)-1]; !slices.Contains(trusted, bootctl.Slot(rest)) {
			x.t.Errorf("%s: the board comes to rest on %q (boots %v), confirmed are %v",
				where, rest, got.boots, trusted)
		}
	case x.Atomic:
		x.t.Errorf("%s: neither old nor new:\n got %v\n new %v\n old %v", where, got, fresh, old)
		return
	case x.Guess:
		x.count.Guessed++
		x.restores(image, trusted[0], where)
		return
	default:
		x.t.Errorf("%s: neither old nor new nor invalid: %v", where, got)
		return
	}
	if op.call == nil {
		return
	}
	again := image.Clone()
	if err := x.perform(again, op); err != nil {
		x.t.Errorf("%s: made again: %v", where, err)
		return
	}
	if end := x.outcome(again); !among(end, fresh) {
		x.t.Errorf("%s: made again it ends in %v, want one of %v", where, end, fresh)
	}
}

// restores checks that a running slot gets its metadata back, whatever is left of it.
func (x *explorer) restores(image *Disk, running bootctl.Slot, where string) {
	x.t.Helper()
	d := image.Clone()
	b := x.Backend(d)
	err := b.Refresh(x.t.Context(), running)
	if err == nil {
		err = b.Confirm(x.t.Context(), running)
	}
	if err != nil {
		x.t.Errorf("%s: not restored: %v", where, err)
		return
	}
	if got := x.outcome(d); got.err != nil || got.boots[0] != string(running) {
		x.t.Errorf("%s: restored for %s, but %+v", where, running, got)
	}
}

// outcome reads and boots a copy of d.
func (x *explorer) outcome(d *Disk) outcome {
	h := d.Hash()
	if o, ok := x.seen[h]; ok {
		return o
	}
	var o outcome
	o.state, o.err = x.Backend(d.Clone()).State(x.t.Context())
	if errors.Is(o.err, bootctl.ErrInvalid) {
		o.invalid, o.err = true, nil
	}
	on := d.PowerOn()
	for range bootctl.MaxTries + 2 {
		written := on.Writes()
		slot, _, err := x.Model(on, all).Boot()
		if err != nil {
			o.err = err
			break
		}
		o.boots = append(o.boots, slot)
		if on.Writes() == written {
			break // and so it will for ever
		}
	}
	if o.err == nil && !o.invalid {
		if string(o.state.Next) != o.boots[0] {
			o.err = fmt.Errorf("the backend says that %q boots, the loader boots %q", o.state.Next, o.boots[0])
		}
		if len(confirmed(o)) == 0 {
			o.err = fmt.Errorf("no confirmed slot is bootable: %+v", o.state)
		}
	}
	x.seen[h] = o
	return o
}

func confirmed(o outcome) (slots []bootctl.Slot) {
	for s, st := range o.state.Slots {
		if st.Bootable && st.Confirmed {
			slots = append(slots, s)
		}
	}
	slices.Sort(slots)
	return slots
}

func among(o outcome, list []outcome) bool {
	return slices.ContainsFunc(list, func(p outcome) bool { return sameState(o, p) })
}

func sameState(a, b outcome) bool {
	if a.invalid != b.invalid || a.state.Next != b.state.Next || len(a.state.Slots) != len(b.state.Slots) {
		return false
	}
	for s, st := range a.state.Slots {
		if b.state.Slots[s] != st {
			return false
		}
	}
	return true
}

// failedFlush disables the second slot of the factory's board with an I/O error at each operation on the
// medium, and again: where the second call says that it is done, no power cut may bring the slot back.
// What a failed flush leaves in the cache reads as written.
func failedFlush(t *testing.T, b Board) {
	t.Helper()
	target := b.Slots[1]
	broken := errors.New("input/output error")
	for _, restarted := range []bool{false, true} {
		op := 1
		for hit := true; hit; op++ {
			d := b.Factory.Clone()
			hit = false
			d.Before = func(n int) error {
				if n != op {
					return nil
				}
				hit = true
				return broken
			}
			x := b.Backend(d)
			if err := x.Disable(t.Context(), target); hit == (err == nil) {
				t.Errorf("operation %d of Disable fails: %v", op, err)
			}
			d.Before = nil
			if restarted {
				x = b.Backend(d)
			}
			if err := x.Disable(t.Context(), target); err != nil {
				t.Errorf("after a failed operation %d: %v", op, err)
			}
			for _, left := range d.Cut() {
				if s, err := b.Backend(left).State(t.Context()); err != nil || s.Slots[target].Bootable {
					t.Errorf("operation %d of Disable failed, Disable again did not, and a power cut leaves %+v, %v",
						op, s, err)
					break
				}
			}
		}
		if op < 3 {
			t.Errorf("Disable does %d operations", op-2)
		}
	}
}
