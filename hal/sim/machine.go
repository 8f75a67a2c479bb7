package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ratchet-ota/ratchet/hal"
)

// SetRunning says which disk the machine booted from and what the boot loader's marker says of it.
// "" for the disk is a root that nobody can tell. The system has mounted its file systems (SetJournal). A model of a
// boot loader calls it at each boot.
func (w *World) SetRunning(path, marker string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if path != "" {
		w.mustDisk(path)
	}
	w.running, w.marker = path, marker
	w.replay()
}

// SetNameless takes the boot id away: nothing tells one boot from another.
func (w *World) SetNameless(nameless bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nameless = nameless
}

type identity struct{ w *World }

// Identity returns hal.Identity of the machine.
func (w *World) Identity() hal.Identity { return identity{w} }

func (i identity) Root() (hal.DeviceID, error) {
	i.w.mu.Lock()
	defer i.w.mu.Unlock()
	if i.w.running == "" {
		return hal.DeviceID{}, errors.New("cannot find the device behind /")
	}
	return i.w.mustDisk(i.w.running).id, nil
}

func (i identity) Marker() (string, error) {
	i.w.mu.Lock()
	defer i.w.mu.Unlock()
	return i.w.marker, nil
}

func (i identity) BootID() (string, error) {
	i.w.mu.Lock()
	defer i.w.mu.Unlock()
	if i.w.nameless {
		return "", errors.New("cannot read the boot id")
	}
	return fmt.Sprintf("%08x-0000-4000-8000-%012d", uint32(i.w.seed), i.w.boots), nil
}

type counter struct {
	w *World
	l *life
}

// Counter returns hal.Counter of the machine: durable at once, old or new after a cut.
func (w *World) Counter() hal.Counter {
	w.mu.Lock()
	defer w.mu.Unlock()
	return counter{w, w.life}
}

// HasCounter tells whether there is a counter.
func (w *World) HasCounter() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.noCounter
}

// SetCounter sets the counter, or with ok false takes the hardware away.
func (w *World) SetCounter(v uint64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count, w.noCounter = v, !ok
}

func (c counter) Kind() string { return "sim" }

func (c counter) Origin(context.Context) (string, error) { return "", c.usable() }

func (c counter) Read(context.Context) (uint64, error) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if err := c.usable(); err != nil {
		return 0, err
	}
	return c.w.count, nil
}

func (c counter) Raise(_ context.Context, to uint64) error {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if err := c.usable(); err != nil || to <= c.w.count {
		return err
	}
	return c.w.do(c.l, "raise", fmt.Sprint(to), func(part *rand.Rand) error {
		if part == nil || part.IntN(2) == 0 {
			c.w.count = to
		}
		return nil
	})
}

func (c counter) usable() error {
	if err := c.w.alive(c.l); err != nil {
		return err
	}
	if c.w.noCounter {
		return fmt.Errorf("cannot use the counter: %w", hal.ErrUnsupported)
	}
	return nil
}

// watch is the watchdog: due is the virtual time of the reset.
type watch struct {
	armed   bool
	timeout time.Duration
	due     time.Duration
}

type watchdog struct {
	w *World
	l *life
}

// Watchdog returns hal.Watchdog of the machine. Unfed, it cuts the power when Advance passes its time.
func (w *World) Watchdog() hal.Watchdog {
	w.mu.Lock()
	defer w.mu.Unlock()
	return watchdog{w, w.life}
}

func (d watchdog) Arm(timeout time.Duration) error {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	if err := d.w.alive(d.l); err != nil {
		return err
	}
	d.w.dog = watch{true, timeout, d.w.now + timeout}
	return nil
}

func (d watchdog) Feed() error {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	if err := d.w.alive(d.l); err != nil {
		return err
	}
	if !d.w.dog.armed {
		return errors.New("cannot feed watchdog: it is not armed")
	}
	d.w.dog.due = d.w.now + d.w.dog.timeout
	return nil
}

func (d watchdog) Disarm() error {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	if err := d.w.alive(d.l); err != nil {
		return err
	}
	d.w.dog = watch{}
	return nil
}

// Reboot is one request to reboot. The world does nothing else with it: the test answers with
// Restart or PowerOn.
type Reboot struct {
	Arg    string
	Forced bool
	At     time.Duration // virtual time
}

// Reboots returns all requests so far.
func (w *World) Reboots() []Reboot {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Reboot(nil), w.reboots...)
}

// SetSupply sets the power supply.
func (w *World) SetSupply(s hal.Supply) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.supply = s
}

type power struct {
	w *World
	l *life
}

// Power returns hal.Power of the machine.
func (w *World) Power() hal.Power {
	w.mu.Lock()
	defer w.mu.Unlock()
	return power{w, w.life}
}

func (p power) Reboot(_ context.Context, arg string) error { return p.reboot("reboot", arg, false) }

func (p power) Force(context.Context) error { return p.reboot("force", "", true) }

func (p power) reboot(kind, arg string, forced bool) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.w.do(p.l, kind, arg, func(*rand.Rand) error {
		p.w.reboots = append(p.w.reboots, Reboot{arg, forced, p.w.now})
		return nil
	})
}

func (p power) Supply() hal.Supply {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.w.supply
}

type timer struct {
	due time.Duration
	c   chan time.Time
}

type clock struct{ w *World }

// Clock returns hal.Clock of the machine: virtual, it moves by Advance only.
func (w *World) Clock() hal.Clock { return clock{w} }

// Advance moves the time and fires what is due: timers, then the watchdog.
func (w *World) Advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now += d
	var rest []*timer
	for _, t := range w.timers {
		if t.due > w.now {
			rest = append(rest, t)
			continue
		}
		t.c <- w.wall() // has room for one
	}
	w.timers = rest
	if w.dog.armed && w.dog.due <= w.now {
		w.cut("watchdog")
	}
}

// SetWall sets the calendar time and its quality; it goes on from there.
func (w *World) SetWall(t time.Time, q hal.TimeQuality) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.start, w.quality = t.Add(-w.now), q
}

// NextTimer is how far Advance must go for the next timer to fire; ok is false when none waits.
func (w *World) NextTimer() (d time.Duration, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.timers {
		if left := t.due - w.now; !ok || left < d {
			d, ok = left, true
		}
	}
	return d, ok
}

func (w *World) wall() time.Time { return w.start.Add(w.now).UTC() }

func (c clock) Wall() (time.Time, hal.TimeQuality) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	return c.w.wall(), c.w.quality
}

func (c clock) Uptime() time.Duration {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	return c.w.now - c.w.booted
}

// After fires once; a timer of a boot that ended never does.
func (c clock) After(d time.Duration) <-chan time.Time {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	t := &timer{due: c.w.now + d, c: make(chan time.Time, 1)}
	if d <= 0 {
		t.c <- c.w.wall()
	} else if !c.w.down {
		c.w.timers = append(c.w.timers, t)
	}
	return t.c
}
