// Package hook is boot control through an executable of the integrator's, for bootloaders that have no
// backend of their own.
//
// # Contract, version 1
//
// The executable is called with a verb and its arguments, never through a shell, with an empty standard
// input, the working directory "/", an environment of PATH and LC_ALL=C only, and no other open file:
//
//	HOOK state                 print the state; change nothing
//	HOOK refresh SLOT TRIES    SLOT runs: make it bootable and confirmed, with TRIES where the loader counts
//	                           it; leave it alone when it is on trial. When the metadata is not valid,
//	                           restore the minimum: SLOT bootable and confirmed, every other slot disabled
//	HOOK disable SLOT          make SLOT not bootable
//	HOOK try SLOT TRIES        put SLOT on trial in front of all others for TRIES boots, and refill the
//	                           confirmed slots, in one step that a power cut cannot divide
//	HOOK confirm SLOT TRIES    end the trial: SLOT is bootable, first, confirmed
//
// Each verb has to be idempotent, durable when it returns, and old or new when the power is cut inside.
// SLOT is a configured name, of letters, digits and underscores; TRIES is a decimal number.
//
// Exit status: 0 done; 10 the metadata is not valid, nothing was written; 11 somebody else changed it
// meanwhile, nothing was written; 12 what was read back differs; 13 no other slot would be bootable,
// nothing was written. Any other means failed. The first line of standard error is shown to people.
//
// state prints lines "key=value" on standard output, in any order, each key once, and nothing else:
//
//	version=1
//	next=A                   slot that would boot now, empty for none
//	A.bootable=1             for every configured slot: 1 or 0
//	A.confirmed=1            1 or 0
//	A.tries=3                tries left 0..9, or -1 where there is no counter
//	A.exhausted=0            optional: 1 when the loader used up the tries, as opposed to disabled
//	max-tries=3              trial boots that the loader can count, 1..9
//	power-safe=1             1 or 0; 0 wants a weakness
//	weakness=one copy only   optional, one sentence
//	layout=nvram             optional
//	counts-confirmed=0       optional: 1 when confirmed slots are counted down, too
//	watchdog=0               optional: 1 when the loader starts a watchdog
//	reboot-arg=0 tryboot     optional: handed to the firmware with the reboot that starts a trial
//
// At most 16 KiB of printable ASCII. A key that is not listed here, a missing one, one that stands twice,
// or a value out of its range makes the whole output void.
//
// # What is not left to the executable
//
// Before a change the state is read and judged: a change that would leave no bootable confirmed slot
// (invariant I1) is refused, and one that is there already is not made. After it the state is read
// again, and a change that is not there is ErrNotVerified.
//
// # Power loss
//
// As safe as the executable is; power-safe is its own word for it. It is ended, with all that it
// started, when it takes longer than Options.Timeout.
package hook

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/choice"
)

// Options describe one hook.
type Options struct {
	Command string         // absolute path of the executable
	Slots   []bootctl.Slot // all slots that the hook knows
	// FullTries is what a confirmed slot is filled to, 1..9; zero means 3. A loader that counts less
	// gets its max-tries.
	FullTries int
	// Timeout ends a call, zero means 30 seconds.
	Timeout time.Duration
}

// Backend calls one hook, one call at a time.
type Backend struct {
	o  Options
	mu sync.Mutex
}

var _ bootctl.Backend = (*Backend)(nil)

// New validates o. It calls nothing.
func New(o Options) (*Backend, error) {
	if !filepath.IsAbs(o.Command) {
		return nil, errorf("cannot use the boot hook: %q is not an absolute path", o.Command)
	}
	if err := choice.CheckSlots(o.Slots); err != nil {
		return nil, errorf("cannot use the boot hook: %w", err)
	}
	if o.FullTries == 0 {
		o.FullTries = 3
	}
	if o.FullTries < 1 || o.FullTries > bootctl.MaxTries {
		return nil, errorf("cannot use the boot hook: %d tries are outside of 1 to %d",
			o.FullTries, bootctl.MaxTries)
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Timeout < 0 {
		return nil, errorf("cannot use the boot hook: the time limit %v is negative", o.Timeout)
	}
	return &Backend{o: o}, nil
}

// State implements bootctl.Backend.
func (b *Backend) State(ctx context.Context) (bootctl.State, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, err := b.state(ctx)
	if err != nil {
		return bootctl.State{}, errorf("cannot read the boot state: %w", err)
	}
	return s, nil
}

// Refresh implements bootctl.Backend.
func (b *Backend) Refresh(ctx context.Context, running bootctl.Slot) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.refresh(ctx, running); err != nil {
		return errorf("cannot refresh slot %s: %w", running, err)
	}
	return nil
}

func (b *Backend) refresh(ctx context.Context, running bootctl.Slot) error {
	if err := b.known(running); err != nil {
		return err
	}
	old, err := b.state(ctx)
	invalid := errors.Is(err, bootctl.ErrInvalid)
	if err != nil && !invalid {
		return err
	}
	tries := b.o.FullTries
	if !invalid {
		st := old.Slots[running]
		tries = min(tries, old.Caps.MaxTries)
		if !st.Confirmed || st.Bootable && (st.Tries < 0 || st.Tries >= tries) {
			return nil // on trial, or nothing to do
		}
	}
	return b.change(ctx, func(s bootctl.State) bool {
		for other, st := range s.Slots {
			if invalid && other != running && st.Bootable {
				return false
			}
		}
		return s.Slots[running].Bootable && s.Slots[running].Confirmed
	}, "refresh", string(running), strconv.Itoa(tries))
}

// Disable implements bootctl.Backend.
func (b *Backend) Disable(ctx context.Context, target bootctl.Slot) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.disable(ctx, target); err != nil {
		return errorf("cannot disable slot %s: %w", target, err)
	}
	return nil
}

func (b *Backend) disable(ctx context.Context, target bootctl.Slot) error {
	old, err := b.judge(ctx, target)
	if err != nil {
		return err
	}
	st := old.Slots[target]
	if !fallback(old, target, st.Bootable && st.Confirmed) {
		return bootctl.ErrNoFallback
	}
	if !st.Bootable && !st.Confirmed && !st.Exhausted {
		return nil
	}
	return b.change(ctx, func(s bootctl.State) bool {
		return !s.Slots[target].Bootable && fallback(s, target, false)
	}, "disable", string(target))
}

// Try implements bootctl.Backend.
func (b *Backend) Try(ctx context.Context, target bootctl.Slot, tries int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.try(ctx, target, tries); err != nil {
		return errorf("cannot arm slot %s: %w", target, err)
	}
	return nil
}

func (b *Backend) try(ctx context.Context, target bootctl.Slot, tries int) error {
	old, err := b.judge(ctx, target)
	if err != nil {
		return err
	}
	if tries < 1 || tries > old.Caps.MaxTries {
		return errorf("%d tries are outside of 1 to %d", tries, old.Caps.MaxTries)
	}
	if !fallback(old, target, true) {
		return bootctl.ErrNoFallback
	}
	armed := func(s bootctl.State) bool {
		st := s.Slots[target]
		return s.Next == target && st.Bootable && !st.Confirmed && (st.Tries == tries || st.Tries < 0) &&
			fallback(s, target, true)
	}
	full := min(b.o.FullTries, old.Caps.MaxTries)
	if armed(old) && filled(old, target, full) {
		return nil
	}
	return b.change(ctx, armed, "try", string(target), strconv.Itoa(tries))
}

// filled tells whether no fallback of target is low.
func filled(s bootctl.State, target bootctl.Slot, full int) bool {
	for slot, st := range s.Slots {
		if slot != target && st.Bootable && st.Confirmed && st.Tries >= 0 && st.Tries < full {
			return false
		}
	}
	return true
}

// Confirm implements bootctl.Backend.
func (b *Backend) Confirm(ctx context.Context, slot bootctl.Slot) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.confirm(ctx, slot); err != nil {
		return errorf("cannot confirm slot %s: %w", slot, err)
	}
	return nil
}

func (b *Backend) confirm(ctx context.Context, slot bootctl.Slot) error {
	old, err := b.judge(ctx, slot)
	if err != nil {
		return err
	}
	full := min(b.o.FullTries, old.Caps.MaxTries)
	confirmed := func(s bootctl.State) bool {
		return s.Next == slot && s.Slots[slot].Bootable && s.Slots[slot].Confirmed
	}
	if t := old.Slots[slot].Tries; confirmed(old) && (t < 0 || t >= full) {
		return nil
	}
	return b.change(ctx, confirmed, "confirm", string(slot), strconv.Itoa(full))
}

func (b *Backend) known(s bootctl.Slot) error {
	if !slices.Contains(b.o.Slots, s) {
		return errorf("no such slot %q in the slot table", string(s))
	}
	return nil
}

// judge reads the state before a change of slot s.
func (b *Backend) judge(ctx context.Context, s bootctl.Slot) (bootctl.State, error) {
	if err := b.known(s); err != nil {
		return bootctl.State{}, err
	}
	return b.state(ctx)
}

// fallback tells whether a slot besides target is bootable, and confirmed where asked for.
//
//go:noinline
func fallback(s bootctl.State, target bootctl.Slot, confirmed bool) bool {
	for slot, st := range s.Slots {
		if slot != target && st.Bootable && (!confirmed || st.Confirmed) {
			return true
		}
	}
	return false
}

// state calls the hook and judges what it prints.
func (b *Backend) state(ctx context.Context) (bootctl.State, error) {
	out, err := b.call(ctx, "state")
	if err != nil {
		return bootctl.State{}, err
	}
	s, err := parseState(out, b.o.Slots)
	if err != nil {
		return bootctl.State{}, errorf("the hook's output is not understood: %w", err)
	}
	return s, nil
}

// change calls the hook and reads the state again. What is begun does not end with ctx.
//
// Crash: before -> old; inside -> the hook's promise; after -> new.
func (b *Backend) change(ctx context.Context, there func(bootctl.State) bool, args ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	if _, err := b.call(ctx, args...); err != nil {
		return err
	}
	s, err := b.state(ctx)
	if err != nil {
		return errorf("%w: %w", bootctl.ErrNotVerified, err)
	}
	if !there(s) {
		return errorf("%w: after %q the hook says %+v", bootctl.ErrNotVerified, args, s.Slots)
	}
	return nil
}
