package engine_test

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/internal/choice"
	"github.com/ratchet-ota/ratchet/bootctl/internal/engine"
)

const full, most = 3, 5

var errIO = errors.New("input/output error")

// board is metadata without bytes, and what was asked of it.
type board struct {
	c     choice.Choice
	read  error // of the next readings
	fails error // of the next writes
	did   []string
	last  engine.Change
}

func (b *board) Choice() choice.Choice { return b.c }
func (b *board) Caps() bootctl.Caps    { return bootctl.Caps{Backend: "board"} }

func (b *board) Write(c engine.Change) error {
	b.did, b.last = append(b.did, fmt.Sprintf("write again=%v needed=%v", c.Again, c.Needed())), c
	if b.fails == nil {
		b.c = c.Next
	}
	return b.fails
}

func (b *board) Restore(c engine.Change) error {
	b.did, b.last = append(b.did, "restore"), c
	if b.fails == nil {
		b.c, b.read = c.Next, nil
	}
	return b.fails
}

func (b *board) Tidy(running bootctl.Slot) error {
	b.did = append(b.did, "tidy "+string(running))
	return nil
}

// machine has A confirmed and first, B disabled.
func machine() (*board, *engine.Engine) {
	b := &board{c: choice.Choice{Known: []bootctl.Slot{"A", "B"}, Order: []string{"A"},
		Entries: map[string]choice.Entry{
			"A": {Tries: full, Good: choice.Confirmed}, "B": {Good: choice.Trial}}}}
	return b, engine.New(&boottest.Disk{}, engine.Options{
		Read:  func() (engine.Reading, error) { return b, b.read },
		Slots: b.c.Known, FullTries: full, MaxTries: most, Locks: []string{},
	})
}

func (b *board) took() []string {
	did := b.did
	b.did = nil
	return did
}

func want(t *testing.T, what string, b *board, did ...string) {
	t.Helper()
	if got := b.took(); !slices.Equal(got, did) {
		t.Errorf("%s: it did %q, want %q", what, got, did)
	}
}

// TestOwnFlush: what reads back is believed after a write of this process that succeeded, and only then.
func TestOwnFlush(t *testing.T) {
	b, e := machine()
	try := func() error { return e.Try(t.Context(), "B", 2) }
	b.fails = errIO
	if err := try(); !errors.Is(err, errIO) {
		t.Errorf("Try: %v", err)
	}
	want(t, "the first write, which fails", b, "write again=true needed=true")
	b.fails = nil
	if err := try(); err != nil {
		t.Fatal(err)
	}
	want(t, "after a write that failed", b, "write again=true needed=true")
	if err := try(); err != nil {
		t.Fatal(err)
	}
	want(t, "what is there already", b, "write again=false needed=false")
	if err := e.Disable(t.Context(), "A"); !errors.Is(err, bootctl.ErrNoFallback) {
		t.Errorf("Disable of the only confirmed slot: %v", err)
	}
	want(t, "a refused change", b)
	if err := try(); err != nil {
		t.Fatal(err)
	}
	want(t, "after a refusal", b, "write again=false needed=false")
	b.fails = errIO
	if err := e.Confirm(t.Context(), "B"); !errors.Is(err, errIO) {
		t.Errorf("Confirm: %v", err)
	}
	b.fails = nil
	if err := e.Confirm(t.Context(), "B"); err != nil {
		t.Fatal(err)
	}
	want(t, "after another failure", b, "write again=false needed=true", "write again=true needed=true")
}

// TestChange: what a codec is told.
func TestChange(t *testing.T) {
	for _, c := range []struct {
		verb engine.Verb
		do   func(e *engine.Engine) error
		next string
		good bool
	}{
		{engine.Try, func(e *engine.Engine) error { return e.Try(t.Context(), "B", most) }, "B", false},
		{engine.Disable, func(e *engine.Engine) error { return e.Disable(t.Context(), "B") }, "A", false},
		{engine.Confirm, func(e *engine.Engine) error { return e.Confirm(t.Context(), "B") }, "B", true},
	} {
		b, e := machine()
		if err := c.do(e); err != nil {
			t.Fatal(err)
		}
		l := b.last
		if l.Verb != c.verb || l.Slot != "B" || l.Old.Next() != "A" || l.Next.Next() != c.next ||
			l.Next.Confirmed("B") != c.good {
			t.Errorf("verb %d: %+v", c.verb, l)
		}
		if c.verb == engine.Try && (b.last.Tries != most || b.c.Entries["B"].Tries != most) {
			t.Errorf("%d tries were asked for: %+v", most, b.last)
		}
		if c.verb == engine.Confirm && b.c.Entries["B"].Tries != full {
			t.Errorf("confirmed with %d tries, want %d", b.c.Entries["B"].Tries, full)
		}
	}
}

// TestMostTries: the loader can count so many boots and no more.
func TestMostTries(t *testing.T) {
	b, e := machine()
	for tries, ok := range map[int]bool{0: false, 1: true, most: true, most + 1: false} {
		if err := e.Try(t.Context(), "B", tries); (err == nil) != ok {
			t.Errorf("%d tries: %v", tries, err)
		}
		if did := b.took(); (len(did) > 0) != ok {
			t.Errorf("%d tries: it did %q", tries, did)
		}
	}
}

// TestRefresh: it writes when the running slot is low, tidies always, and restores what does not validate.
func TestRefresh(t *testing.T) {
	b, e := machine()
	refresh := func() error { return e.Refresh(t.Context(), "A") }
	if err := refresh(); err != nil {
		t.Fatal(err)
	}
	want(t, "nothing is wrong", b, "tidy A")
	b.c.Entries["A"] = choice.Entry{Tries: 1, Good: choice.Confirmed}
	b.fails = errIO
	if err := refresh(); !errors.Is(err, errIO) {
		t.Errorf("Refresh: %v", err)
	}
	want(t, "a write that fails", b, "write again=false needed=true")
	b.fails = nil
	if err := refresh(); err != nil || b.c.Entries["A"].Tries != full {
		t.Errorf("%v, %+v", err, b.c)
	}
	want(t, "tries are low", b, "write again=true needed=true", "tidy A")
	if l := b.last; l.Verb != engine.Refresh || l.Slot != "A" || l.Old.Entries["A"].Tries != 1 {
		t.Errorf("a codec is told %+v", l)
	}
	if err := e.Refresh(t.Context(), "C"); err == nil || len(b.took()) > 0 {
		t.Errorf("Refresh of a slot in no table: %v", err)
	}

	b.read = fmt.Errorf("%w: torn", bootctl.ErrInvalid)
	for what, err := range map[string]error{
		"Try": e.Try(t.Context(), "B", 1), "Disable": e.Disable(t.Context(), "B"),
		"Confirm": e.Confirm(t.Context(), "B"),
	} {
		if !errors.Is(err, bootctl.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := e.Refresh(t.Context(), "C"); err == nil {
		t.Error("metadata is restored for a slot in no table")
	}
	want(t, "invalid", b)
	b.fails = errIO
	if err := refresh(); !errors.Is(err, errIO) {
		t.Errorf("Refresh: %v", err)
	}
	b.fails, b.read = nil, nil // half of it validates
	if err := refresh(); err != nil {
		t.Fatal(err)
	}
	l := b.last
	if l.Slot != "A" || l.Next.Next() != "A" || !l.Next.Confirmed("A") || l.Next.Bootable("B") || len(l.Old.Order) > 0 {
		t.Errorf("restored is %+v", l)
	}
	want(t, "restored", b, "restore", "restore")
	if err := e.Disable(t.Context(), "B"); err != nil {
		t.Fatal(err)
	}
	want(t, "after a restore that failed", b, "write again=true needed=true")

	b.read = fmt.Errorf("%w: torn", bootctl.ErrInvalid)
	if err := errors.Join(refresh(), e.Disable(t.Context(), "B")); err != nil {
		t.Fatal(err)
	}
	want(t, "after a restore that succeeded", b, "restore", "write again=false needed=false")

	b.read = errIO
	if err := refresh(); !errors.Is(err, errIO) {
		t.Errorf("Refresh: %v", err)
	}
	want(t, "metadata that cannot be read", b)
}

// TestState: what the choice and the codec say, and an error that says what was wanted.
func TestState(t *testing.T) {
	b, e := machine()
	s, err := e.State(t.Context())
	if err != nil || s.Next != "A" || !s.Slots["A"].Confirmed || s.Slots["B"].Bootable || s.Caps.Backend != "board" {
		t.Errorf("%+v, %v", s, err)
	}
	b.c.Uncounted = true
	if s, _ := e.State(t.Context()); s.Slots["A"].Tries != -1 || s.Slots["B"].Tries != 0 {
		t.Errorf("without a counter for confirmed slots: %+v", s.Slots)
	}
	b.read = errIO
	for wanted, err := range map[string]error{
		"cannot read the boot state: ": second(e.State(t.Context())),
		"cannot refresh slot A: ":      e.Refresh(t.Context(), "A"),
		"cannot disable slot B: ":      e.Disable(t.Context(), "B"), "cannot arm slot B: ": e.Try(t.Context(), "B", 1),
		"cannot confirm slot B: ": e.Confirm(t.Context(), "B"),
	} {
		if !errors.Is(err, errIO) || !strings.HasPrefix(err.Error(), wanted) {
			t.Errorf("%v, want %q", err, wanted)
		}
	}
}

func second(_ bootctl.State, err error) error { return err }

// TestWhichLocks: configured locks have to be there, those of other tools need not.
func TestWhichLocks(t *testing.T) {
	held := 0
	gone := lockFS{held: &held, errs: map[string]error{"/configured": fs.ErrNotExist, "/default": fs.ErrNotExist}}
	for _, c := range []struct {
		locks []string
		ok    bool
	}{{nil, true}, {[]string{}, true}, {[]string{"/configured"}, false}} {
		b, _ := machine()
		e := engine.New(gone, engine.Options{Read: func() (engine.Reading, error) { return b, nil }, Slots: b.c.Known,
			Locks: c.locks, DefaultLocks: []string{"/default"}})
		if _, err := e.State(t.Context()); (err == nil) != c.ok {
			t.Errorf("locks %q: %v", c.locks, err)
		}
	}
	b, _ := machine()
	free := lockFS{held: &held}
	e := engine.New(free, engine.Options{Read: func() (engine.Reading, error) {
		if held != 1 {
			t.Errorf("it reads under %d locks", held)
		}
		return b, b.read
	}, Slots: b.c.Known, FullTries: full, MaxTries: most, Locks: []string{"/configured"}})
	for _, b.read = range []error{nil, errIO} {
		e.State(t.Context())
		e.Try(t.Context(), "B", 1)
		e.Refresh(t.Context(), "A")
	}
	if held != 0 {
		t.Errorf("%d locks are held after the verbs", held)
	}
	busy := lockFS{errs: map[string]error{"/default": errIO}}
	b, _ = machine()
	e = engine.New(busy, engine.Options{Read: func() (engine.Reading, error) { return b, nil }, Slots: b.c.Known,
		DefaultLocks: []string{"/default"}})
	if err := e.Disable(t.Context(), "B"); !errors.Is(err, errIO) || len(b.did) > 0 {
		t.Errorf("without the lock: %v, it did %q", err, b.did)
	}
}
