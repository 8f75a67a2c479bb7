// Package haltest is the conformance suite of package hal: what every machine, real or simulated,
// must do. A machine's own test builds one and calls Run.
package haltest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/hal"
)

// Machine is one machine under test. Slots hold at least 64 KiB; Running and Target are different.
type Machine struct {
	Blocks hal.Blocks
	// Running and Target are paths of two slots of SlotSize bytes, filled with zeros.
	Running, Target string
	SlotSize        int64

	FS  hal.Tree
	Dir string // an empty folder
	// Variables are left out when nil.
	Variables hal.Variables

	Counter  hal.Counter // not used before; nil is left out
	Clock    hal.Clock
	Advance  func(d time.Duration) // lets the clock go on by d at least
	Identity hal.Identity
	// Root is what Identity must say runs; zero leaves it out.
	Root hal.DeviceID
}

// Run runs the suite. make is called for each part and gives a fresh machine.
func Run(t *testing.T, make func(t *testing.T) Machine) {
	for _, part := range []struct {
		name string
		run  func(t *testing.T, m Machine)
	}{
		{"identify", identify}, {"running is never opened", running}, {"exclusive", exclusive},
		{"access", access}, {"read only", readOnly}, {"beside what runs", beside}, {"no such slot", missing},
		{"files", files}, {"list", list}, {"variables", variables}, {"replace", replace}, {"locks", locks},
		{"counter", counter}, {"clock", clock}, {"identity", identity},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, make(t)) })
	}
}

func id(t *testing.T, m Machine, path string) hal.DeviceID {
	t.Helper()
	d, err := m.Blocks.Identify(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func target(t *testing.T, m Machine) hal.Medium {
	t.Helper()
	med, err := m.Blocks.OpenTarget(m.Target, id(t, m, m.Running))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { med.Close() })
	return med
}

func identify(t *testing.T, m Machine) {
	a, b := id(t, m, m.Running), id(t, m, m.Target)
	if a == b || !a.Known() || !b.Known() {
		t.Errorf("%v and %v", a, b)
	}
	if again := id(t, m, m.Target); again != b {
		t.Errorf("identity changed from %v to %v", b, again)
	}
}

// I3.
func running(t *testing.T, m Machine) {
	run := id(t, m, m.Running)
	if _, err := m.Blocks.OpenTarget(m.Running, run); !errors.Is(err, hal.ErrRunning) {
		t.Errorf("opened the running slot: %v", err)
	}
	if _, err := m.Blocks.OpenTarget(m.Target, hal.DeviceID{}); !errors.Is(err, hal.ErrRunning) {
		t.Errorf("opened a slot while it is not known what runs: %v", err)
	}
	med, err := m.Blocks.OpenTarget(m.Target, run)
	if err != nil {
		t.Fatalf("refusals left the target in use: %v", err)
	}
	med.Close()
}

func exclusive(t *testing.T, m Machine) {
	first := target(t, m)
	if _, err := m.Blocks.OpenTarget(m.Target, id(t, m, m.Running)); !errors.Is(err, hal.ErrBusy) {
		t.Errorf("second writer: %v", err)
	}
	if _, err := m.Blocks.OpenMedium(m.Target); !errors.Is(err, hal.ErrBusy) {
		t.Errorf("reader beside a writer: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	reader, err := m.Blocks.OpenMedium(m.Target)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := m.Blocks.OpenTarget(m.Target, id(t, m, m.Running)); !errors.Is(err, hal.ErrBusy) {
		t.Errorf("writer beside a reader: %v", err)
	}
	if _, err := first.ReadAt(hal.AlignedBuffer(hal.Align), 0); err == nil {
		t.Error("read through a closed medium")
	}
}

func access(t *testing.T, m Machine) {
	med := target(t, m)
	if med.Size() != m.SlotSize {
		t.Fatalf("size %d, want %d", med.Size(), m.SlotSize)
	}
	body := m.SlotSize - m.SlotSize%hal.Align
	good := []struct{ off, n int64 }{{0, hal.Align}, {hal.Align, 3 * hal.Align}, {body - hal.Align, hal.Align}}
	if tail := m.SlotSize - body; tail > 0 {
		good = append(good, struct{ off, n int64 }{body, tail}, struct{ off, n int64 }{m.SlotSize - 512, 512})
	}
	for i, a := range good {
		p, q := hal.AlignedBuffer(int(a.n)), hal.AlignedBuffer(int(a.n))
		for j := range p {
			p[j] = byte(i + j + 1)
		}
		if n, err := med.WriteAt(p, a.off); n != len(p) || err != nil {
			t.Errorf("write of %d at %d: %d, %v", a.n, a.off, n, err)
		}
		if n, err := med.ReadAt(q, a.off); n != len(q) || err != nil || !bytes.Equal(p, q) {
			t.Errorf("read of %d at %d: %d, %v", a.n, a.off, n, err)
		}
	}
	if err := med.Sync(); err != nil {
		t.Error(err)
	}
	whole := hal.AlignedBuffer(int(m.SlotSize) + hal.Align)
	for _, a := range []struct{ off, n int64 }{
		{1, hal.Align}, {512, hal.Align}, {0, 1}, {0, 512}, {0, hal.Align - 512}, {-hal.Align, hal.Align},
		{m.SlotSize, hal.Align}, {body, hal.Align}, {0, (m.SlotSize + hal.Align) / hal.Align * hal.Align},
		{1 << 62, hal.Align},
	} {
		if a.off == body && body == m.SlotSize-hal.Align {
			continue
		}
		if _, err := med.WriteAt(whole[:a.n], a.off); err == nil {
			t.Errorf("write of %d at %d was taken", a.n, a.off)
		}
		if _, err := med.ReadAt(whole[:a.n], a.off); err == nil {
			t.Errorf("read of %d at %d was taken", a.n, a.off)
		}
	}
	if _, err := med.WriteAt(whole[8:hal.Align+8], 0); err == nil {
		t.Error("a buffer not aligned in memory was taken")
	}
	// What was refused changed nothing; what was written is there for the next reader.
	med.Close()
	reader, err := m.Blocks.OpenMedium(m.Target)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	p := hal.AlignedBuffer(hal.Align)
	if _, err := reader.ReadAt(p, 0); err != nil || p[0] != 1 || p[1] != 2 {
		t.Errorf("first page begins % x, %v", p[:2], err)
	}
}

func readOnly(t *testing.T, m Machine) {
	med, err := m.Blocks.OpenMedium(m.Target)
	if err != nil {
		t.Fatal(err)
	}
	defer med.Close()
	if _, err := med.WriteAt(hal.AlignedBuffer(hal.Align), 0); err == nil {
		t.Error("wrote through OpenMedium")
	}
}

// beside: the running slot is read while others use it, and never written by that.
func beside(t *testing.T, m Machine) {
	for range 2 {
		med, err := m.Blocks.OpenRunning(m.Running)
		if err != nil {
			t.Fatal(err)
		}
		defer med.Close()
		p := hal.AlignedBuffer(hal.Align)
		if _, err := med.ReadAt(p, 0); err != nil || med.Size() < hal.Align {
			t.Errorf("%v, %d bytes", err, med.Size())
		}
		if _, err := med.WriteAt(p, 0); err == nil {
			t.Error("wrote through OpenRunning")
		}
	}
	target(t, m) // and it does not hold the target
}

func missing(t *testing.T, m Machine) {
	none := path.Join(m.Dir, "none")
	if _, err := m.Blocks.Identify(none); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := m.Blocks.OpenTarget(none, id(t, m, m.Running)); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := m.Blocks.OpenMedium(none); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := m.Blocks.OpenRunning(none); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func identity(t *testing.T, m Machine) {
	if got, err := m.Identity.Root(); m.Root.Known() && (got != m.Root || err != nil) {
		t.Errorf("root %v, %v; want %v", got, err, m.Root)
	}
	one, err := m.Identity.BootID()
	if err != nil || one == "" {
		t.Errorf("boot id %q, %v", one, err)
	}
	if two, _ := m.Identity.BootID(); two != one {
		t.Errorf("boot id changed from %q to %q", one, two)
	}
	if _, err := m.Identity.Marker(); err != nil {
		t.Error(err)
	}
}

func clock(t *testing.T, m Machine) {
	before := m.Clock.Uptime()
	wall, _ := m.Clock.Wall()
	if wall.Location() != time.UTC {
		t.Error("wall clock is not in UTC")
	}
	soon := m.Clock.After(20 * time.Millisecond)
	m.Advance(30 * time.Millisecond)
	select {
	case <-soon:
	case <-time.After(10 * time.Second):
		t.Error("the timer did not fire")
	}
	if d := m.Clock.Uptime() - before; d < 30*time.Millisecond {
		t.Errorf("uptime went on by %v", d)
	}
	select {
	case <-m.Clock.After(0):
	case <-time.After(10 * time.Second):
		t.Error("a timer of no time did not fire")
	}
}

func counter(t *testing.T, m Machine) {
	if m.Counter == nil {
		t.Skip("this machine has no counter")
	}
	Counter(t, m.Counter, false)
}

// Counter is the part of the suite for a counter by itself: c was not used before. small says that
// it goes up by small steps only, as one in a TPM does.
func Counter(t *testing.T, c hal.Counter, small bool) {
	t.Helper()
	ctx := context.Background()
	want := func(v uint64) {
		t.Helper()
		if got, err := c.Read(ctx); got != v || err != nil {
			t.Errorf("counter is %d, %v; want %d", got, err, v)
		}
	}
	want(0)
	for _, step := range []struct{ to, then uint64 }{{0, 0}, {1, 1}, {1, 1}, {2, 2}, {7, 7}, {3, 7}, {0, 7},
		{8, 8}, {1 << 40, 1 << 40}} {
		if small && step.to > 8 {
			if err := c.Raise(ctx, step.to); err == nil {
				t.Errorf("a raise to %d was taken", step.to)
			}
			want(8)
			continue
		}
		if err := c.Raise(ctx, step.to); err != nil {
			t.Errorf("raise to %d: %v", step.to, err)
		}
		want(step.then)
	}
	origin, err := c.Origin(ctx)
	if err != nil {
		t.Error(err)
	}
	if again, _ := c.Origin(ctx); again != origin {
		t.Errorf("the origin changed from %q to %q", origin, again)
	}
	if c.Kind() == "" {
		t.Error("the counter does not say what it is")
	}
}
