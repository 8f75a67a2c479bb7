// Package engine is what the backends of boot metadata do alike: lock, read, decide, write, verify by
// reading again, keep a shadow copy, and restore the minimum. A backend adds a codec (bytes to a
// choice and back), places (where its bytes lie and how one of them is replaced) and its capabilities.
//
// # What is shared
//
// Each verb of bootctl.Backend is one run under the locks of the loader's own tools: read the metadata,
// let package choice decide, write, read again. Metadata that does not validate is never changed, except
// by Refresh, which restores the minimum. A change that is there already is not made. How a place is
// replaced (Replace) is the same for a block of variables, a copy of an environment, an entry's file
// and a firmware variable.
//
// # What is not
//
// How a decision becomes writes stays with the backend. Grubenv and ubootenv hold the whole choice in
// one record: they write down what differs between Change.Old and Change.Next, in one Replace, whatever
// the verb was. Sdboot holds it in several files and efi in several variables: they have one place that
// decides and others that do not, and each verb has an order of steps, argued beside the steps. A common
// form of the two would be a flag for each backend. Package hook has no bytes of ours and stays apart.
//
// # Power loss
//
// A verb has one write that decides: the new block, the next copy of the environment, the sector of
// one entry, BootOrder or BootNext.
//
//	Crash: before it -> the old choice; after it -> the new one. What is written before and after it
//	changes no choice. Inside it -> as safe as the place, which Caps.PowerSafe and Caps.Weakness tell.
//	Called again, the verb reads what there is and does what is left.
//
// A write whose flush failed may stand in a cache only, where it reads back as if it were written, and
// Linux reports such a failure once. So a process trusts what it reads only after a write of its own
// was flushed and verified (sure); until then a verb writes what is there already once more (Change.Again).
// Firmware variables have no such cache.
package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/choice"
	"github.com/ratchet-ota/ratchet/hal"
)

// Verb is what a change is for.
type Verb int

// The verbs of bootctl.Backend that change something.
const (
	Refresh Verb = iota
	Disable
	Try
	Confirm
)

// Change is a decision on its way to the medium.
type Change struct {
	Verb  Verb
	Slot  bootctl.Slot
	Tries int // of a trial
	// Old is what was read; of metadata that does not validate the zero value. Next is what is to be there.
	Old, Next choice.Choice
	// Again: what was read may stand in a cache only, write it even where nothing differs.
	Again bool
}

// Needed tells whether a backend with one record has to write it.
func (c Change) Needed() bool { return c.Again || !c.Next.Equal(c.Old) }

// Reading is one reading of a backend's metadata. It is used under the locks that it was made under.
type Reading interface {
	// Choice is what the loader would do.
	Choice() choice.Choice
	Caps() bootctl.Caps
	// Write makes c durable, in one write that decides.
	Write(c Change) error
	// Restore makes c.Next, the minimum, out of metadata that does not validate, or that a Restore which failed has
	// left.
	Restore(c Change) error
	// Tidy follows a Refresh of metadata that validates, and keeps the shadow copy. It changes no choice.
	Tidy(running bootctl.Slot) error
}

// Options describe one backend.
type Options struct {
	// Read reads the metadata. Where it does not validate the error wraps bootctl.ErrInvalid and the
	// reading is returned, too: only Restore is called on it. Any other error means that it cannot be
	// read, and nothing may be restored over it.
	Read      func() (Reading, error)
	Slots     []bootctl.Slot
	FullTries int // what a confirmed slot is filled to
	MaxTries  int // trial boots that the loader can count
	// Locks are taken in this order over reading, deciding and writing, each within 10 s; nil means
	// DefaultLocks, of which one whose directory is not there is left out. Empty means none.
	Locks, DefaultLocks []string
}

// Engine is a bootctl.Backend over Options. It is safe for concurrent use.
type Engine struct {
	fs    hal.FS
	o     Options
	locks locks
	turn  chan struct{} // holds one value while no verb is at work
	// sure: what reads back was written and flushed by this process (package comment).
	sure atomic.Bool
	// restoring: a Restore of this process failed. What reads as valid now may be half of it.
	restoring atomic.Bool
	// failed: so did the last write of this process. What reads back may stand in a cache only.
	failed atomic.Bool
}

var _ bootctl.Backend = (*Engine)(nil)

// New touches no file. fsys holds the locks. The backend has validated o.
//
//go:noinline
func New(fsys hal.FS, o Options) *Engine {
	e := &Engine{fs: fsys, o: o, locks: locks{paths: o.Locks}, turn: make(chan struct{}, 1)}
	e.turn <- struct{}{}
	if o.Locks == nil {
		e.locks = locks{paths: o.DefaultLocks, optional: true}
	}
	return e
}

// State implements bootctl.Backend. It wraps ErrInvalid when the metadata does not say what boots.
func (e *Engine) State(ctx context.Context) (s bootctl.State, err error) {
	err = e.locked(ctx, "cannot read the boot state", func(passed []string) error {
		r, err := e.o.Read()
		if err != nil {
			return err
		}
		c := r.Choice()
		s = bootctl.State{Slots: c.Slots(), Next: bootctl.Slot(c.Next()), Caps: r.Caps(), Unlocked: passed}
		return nil
	})
	return s, err
}

// Refresh implements bootctl.Backend. It also keeps the shadow copy: call it in every healthy boot.
//
//go:noinline
func (e *Engine) Refresh(ctx context.Context, running bootctl.Slot) error {
	return e.locked(ctx, "cannot refresh slot "+string(running), func([]string) error {
		r, err := e.o.Read()
		if errors.Is(err, bootctl.ErrInvalid) || err == nil && e.restoring.Load() {
			return e.restore(r, running)
		}
		if err != nil {
			return err
		}
		c := Change{Verb: Refresh, Slot: running, Old: r.Choice(), Again: e.failed.Load()}
		if c.Next, err = c.Old.Refresh(running, e.o.FullTries); err != nil {
			return err
		}
		if c.Needed() {
			if err := e.write(r, c); err != nil {
				return err
			}
		}
		return r.Tidy(running)
	})
}

// restore makes the minimum: running boots and nothing else does (invariant I1).
//
// Crash: before and inside -> the metadata still does not validate and the loader does what it did, or it
// is whole, or validates with another slot as it was; after -> running boots. A step that fails is made good by
// the next Refresh of this process.
func (e *Engine) restore(r Reading, running bootctl.Slot) error {
	next, err := choice.Restore(e.o.Slots, running, e.o.FullTries)
	if err != nil {
		return err
	}
	err = r.Restore(Change{Verb: Refresh, Slot: running, Next: next, Again: e.failed.Load()})
	e.restoring.Store(err != nil)
	if e.failed.Store(err != nil); err != nil {
		e.sure.Store(false)
	}
	return err
}

// Disable implements bootctl.Backend.
//
//go:noinline
func (e *Engine) Disable(ctx context.Context, target bootctl.Slot) error {
	return e.change(ctx, "cannot disable slot ", Change{Verb: Disable, Slot: target})
}

// Try implements bootctl.Backend.
//
//go:noinline
func (e *Engine) Try(ctx context.Context, target bootctl.Slot, tries int) error {
	return e.change(ctx, "cannot arm slot ", Change{Verb: Try, Slot: target, Tries: tries})
}

// Confirm implements bootctl.Backend.
//
//go:noinline
func (e *Engine) Confirm(ctx context.Context, slot bootctl.Slot) error {
	return e.change(ctx, "cannot confirm slot ", Change{Verb: Confirm, Slot: slot})
}

// change reads, decides and writes under the locks.
func (e *Engine) change(ctx context.Context, cannot string, c Change) error {
	return e.locked(ctx, cannot+string(c.Slot), func([]string) error {
		r, err := e.o.Read()
		if err != nil {
			return err
		}
		c.Old, c.Again = r.Choice(), !e.sure.Load()
		if c.Next, err = e.decide(c); err != nil {
			return err
		}
		return e.write(r, c)
	})
}

func (e *Engine) decide(c Change) (choice.Choice, error) {
	switch c.Verb {
	case Disable:
		return c.Old.Disable(c.Slot)
	case Confirm:
		return c.Old.Confirm(c.Slot, e.o.FullTries)
	}
	if c.Tries > e.o.MaxTries {
		return c.Old, fmt.Errorf("%d tries: the loader can count %d only", c.Tries, e.o.MaxTries)
	}
	return c.Old.Try(c.Slot, c.Tries, e.o.FullTries)
}

func (e *Engine) write(r Reading, c Change) error {
	err := r.Write(c)
	e.sure.Store(err == nil)
	e.failed.Store(err != nil)
	return err
}

// locked runs do under the locks. Only waiting for them ends with ctx: what is begun is finished.
// It tells do which locks were gone on without.
func (e *Engine) locked(ctx context.Context, cannot string, do func(passed []string) error) error {
	select {
	case <-e.turn:
		defer func() { e.turn <- struct{}{} }()
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", cannot, ctx.Err())
	}
	unlock, passed, err := e.locks.take(ctx, e.fs)
	if err == nil {
		defer unlock()
		err = do(passed)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", cannot, err)
	}
	return nil
}
