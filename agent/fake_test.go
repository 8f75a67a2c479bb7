package agent_test

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// fakeBoot is a backend whose operations can fail, or lie. Each function that is there stands in
// front of the real one.
type fakeBoot struct {
	bootctl.Backend
	state   func(bootctl.State, error) (bootctl.State, error)
	disable func(real func() error) error
	try     func(real func() error) error
	confirm func(real func() error) error
}

func (f fakeBoot) State(ctx context.Context) (bootctl.State, error) {
	st, err := f.Backend.State(ctx)
	if f.state != nil {
		return f.state(st, err)
	}
	return st, err
}

func (f fakeBoot) Disable(ctx context.Context, s bootctl.Slot) error {
	return through(f.disable, func() error { return f.Backend.Disable(ctx, s) })
}

func (f fakeBoot) Try(ctx context.Context, s bootctl.Slot, n int) error {
	return through(f.try, func() error { return f.Backend.Try(ctx, s, n) })
}

func (f fakeBoot) Confirm(ctx context.Context, s bootctl.Slot) error {
	return through(f.confirm, func() error { return f.Backend.Confirm(ctx, s) })
}

func through(f func(func() error) error, real func() error) error {
	if f == nil {
		return real()
	}
	return f(real)
}

// deadPower never reboots.
type deadPower struct {
	hal.Power
	asked *int
}

func (p deadPower) Reboot(context.Context, string) error { *p.asked++; return nil }
func (p deadPower) Force(context.Context) error          { *p.asked++; return nil }

// forgetful is a loader whose counter is lost: what it writes is not there at the next boot.
type forgetful struct {
	uboot
	w **sim.World
}

func (f forgetful) boot(fsys hal.FS) (string, error) {
	before := map[string][]byte{}
	for _, p := range []string{"/env/0", "/env/1"} {
		before[p], _ = (*f.w).File(p)
	}
	slot, err := f.uboot.boot(fsys)
	for p, b := range before {
		(*f.w).PutFile(p, b)
	}
	return slot, err
}

// bootNext is a loader that loses the order to try the target, the first so many times.
type bootNext struct {
	uboot
	lose *int
}

func (b bootNext) boot(fsys hal.FS) (string, error) {
	backend, err := b.backend(fsys)
	if err != nil {
		return "", err
	}
	st, err := backend.State(context.Background())
	if err == nil && *b.lose > 0 && !st.Slots[st.Next].Confirmed {
		*b.lose--
		return map[bootctl.Slot]string{"A": "B", "B": "A"}[st.Next], nil
	}
	return b.uboot.boot(fsys)
}

// until runs one boot until rests holds; the device must not reboot before.
func (r *rig) until(envelopes [][]byte, rests func(control.Status) bool) {
	r.t.Helper()
	for r.boot(&envelopes, func(a *agent.Agent) bool { return rests(a.Console().Status(context.Background())) }) {
		r.loader()
	}
}

// inPhase runs on, through reboots, until the phase is there.
func (r *rig) inPhase(p life.Phase, envelopes ...[]byte) {
	r.t.Helper()
	r.until(envelopes, func(s control.Status) bool { return s.Phase == string(p) })
}

// spend runs on, through reboots, for a stretch of virtual time, and returns the number of reboots.
func (r *rig) spend(d time.Duration, envelopes ...[]byte) (boots int) {
	r.t.Helper()
	clock := r.w.Clock()
	end, _ := clock.Wall()
	end = end.Add(d)
	for r.boot(&envelopes, func(*agent.Agent) bool { now, _ := clock.Wall(); return now.After(end) }) {
		boots++
		if boots > 40 {
			r.t.Fatalf("the device reboots for ever (seed %d)\n%s", r.w.Seed(), strings.Join(r.story(), "\n"))
		}
		r.loader()
	}
	return boots
}

// told is the whole story as one text.
func (r *rig) told() string { return strings.Join(r.story(), "\n") }

// is fails unless slot runs, confirmed, with image n, and the story has all words (with "!" in front: not).
func (r *rig) is(slot string, n byte, words ...string) {
	r.t.Helper()
	st := r.state()
	if r.runs() != slot || !r.holds(device(slot), n) || !st.Slots[bootctl.Slot(slot)].Confirmed {
		r.t.Errorf("slot %s runs, state %+v; want %s confirmed with image %d", r.runs(), st, slot, n)
	}
	told := r.told()
	for _, w := range words {
		if not := strings.TrimPrefix(w, "!"); (not != w) == strings.Contains(told, not) {
			r.t.Errorf("the story should say %q", w)
		}
	}
	if r.t.Failed() {
		r.t.Log(told)
	}
}

// ask lets a person ask for something while the device is idle, and goes on until it is at rest.
func (r *rig) ask(what func(context.Context, *agent.Agent)) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	asked := false
	rests := func(a *agent.Agent) bool {
		if !asked {
			asked = true
			go what(ctx, a)
			synctest.Wait() // it has asked before the time goes on
			return false
		}
		d, ok := r.w.NextTimer()
		return a.Console().Status(ctx).Phase == "idle" && (!ok || d > 10*time.Minute)
	}
	for r.boot(nil, rests) {
		r.loader()
	}
}

type body = io.ReadCloser

// hanging is a body of which no byte comes until it is closed.
type hanging struct {
	gone <-chan struct{}
	once sync.Once
	shut chan struct{}
}

func (h *hanging) closed() chan struct{} {
	h.once.Do(func() { h.shut = make(chan struct{}) })
	return h.shut
}

func (h *hanging) Read([]byte) (int, error) {
	select {
	case <-h.closed():
	case <-h.gone:
	}
	return 0, io.ErrUnexpectedEOF
}

func (h *hanging) Close() error {
	select {
	case <-h.closed():
	default:
		close(h.closed())
	}
	return nil
}

// waiting is a source that answers when something is over.
type waiting struct {
	simSource
	over <-chan struct{}
}

func (w *waiting) Open(ctx context.Context, off int64, validator string) (body, string, error) {
	select {
	case <-w.over:
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
	return w.simSource.Open(ctx, off, validator)
}
