package sim_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/haltest"
	"github.com/ratchet-ota/ratchet/hal/medium"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

func TestConformance(t *testing.T) {
	for _, size := range []int64{64 << 10, 64<<10 + 1536} {
		haltest.Run(t, func(t *testing.T) haltest.Machine {
			w := sim.New(1)
			w.AddDisk("/dev/a", size)
			w.AddDisk("/dev/b", size)
			w.SetRunning("/dev/a", "A")
			root, err := w.Blocks().Identify("/dev/a")
			if err != nil {
				t.Fatal(err)
			}
			return haltest.Machine{Blocks: w.Blocks(), Running: "/dev/a", Target: "/dev/b", SlotSize: size,
				FS: w.FS(), Variables: w.Variables(), Dir: "/data", Counter: w.Counter(), Clock: w.Clock(),
				Advance: w.Advance, Identity: w.Identity(), Root: root}
		})
	}
}

// ReplaceFile is old or new at every cut, and new once it has returned.
func TestReplaceFilePowerCuts(t *testing.T) {
	old, new := bytes.Repeat([]byte("old "), 700), bytes.Repeat([]byte("new"), 2000)
	seen := map[string]int{}
	for seed := uint64(0); seed < 100; seed++ {
		for op := int64(1); ; op++ {
			w := sim.New(seed)
			w.PutFile("/boot/env", old)
			w.CutAt(op, sim.Mode(seed%3))
			err := hal.ReplaceFile(w.FS(), "/boot/env", new)
			done := err == nil
			if !done && !errors.Is(err, sim.ErrPowerCut) {
				t.Fatal(err)
			}
			w.Cut()
			w.PowerOn()
			got, ok := w.File("/boot/env")
			switch {
			case ok && bytes.Equal(got, new):
				seen["new"]++
			case ok && bytes.Equal(got, old) && !done:
				seen["old"]++
			default:
				t.Fatalf("seed %d, operation %d, done %v: %d bytes, there %v", seed, op, done, len(got), ok)
			}
			if done {
				break
			}
		}
	}
	if seen["old"] == 0 || seen["new"] == 0 {
		t.Error(seen)
	}
}

// What the simulator must be able to do to a writer that leaves out a Sync.
func TestUnsyncedIsLost(t *testing.T) {
	outcomes := map[string]bool{}
	for seed := uint64(0); seed < 200; seed++ {
		w := sim.New(seed)
		w.PutFile("/f", []byte("old"))
		f, err := w.FS().Open("/f.new", hal.Create)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("new"), 0); err != nil { // no Sync
			t.Fatal(err)
		}
		if err := w.FS().Rename("/f.new", "/f"); err != nil {
			t.Fatal(err)
		}
		w.PowerOn()
		got, ok := w.File("/f")
		outcomes[fmt.Sprintf("%s %v", bytes.Trim(got, "\x00"), ok)] = true
	}
	for _, want := range []string{"old true", "new true", " true"} {
		if !outcomes[want] {
			t.Errorf("a rename without Sync never left %q: %v", want, outcomes)
		}
	}

	outcomes = map[string]bool{}
	for seed := uint64(0); seed < 300; seed++ {
		w := sim.New(seed)
		w.AddDisk("b", 8192)
		m := target(t, w)
		one, two := hal.AlignedBuffer(4096), hal.AlignedBuffer(4096)
		for i := range one {
			one[i], two[i] = 1, 2
		}
		for _, p := range [][]byte{one, two} {
			if _, err := m.WriteAt(p, 0); err != nil {
				t.Fatal(err)
			}
		}
		w.PowerOn()
		got := w.Disk("b", 0, 4096)
		outcomes[fmt.Sprint(bytes.Count(got, []byte{0}) > 0, bytes.Count(got, []byte{1}) > 0,
			bytes.Count(got, []byte{2}) > 0)] = true
	}
	for _, want := range []string{"true false false", "false false true", "true true true"} {
		if !outcomes[want] {
			t.Errorf("two writes without Sync never left (0, 1, 2) = %s: %v", want, outcomes)
		}
	}
}

func target(t *testing.T, w *sim.World) hal.Medium {
	t.Helper()
	m, err := w.Blocks().OpenTarget("b", hal.DeviceID{Block: true, Major: 1})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAfterTheCut(t *testing.T) {
	w := sim.New(1)
	w.AddDisk("b", 8192)
	m, files, count := target(t, w), w.FS(), w.Counter()
	release, err := files.Lock(t.Context(), "/l")
	if err != nil {
		t.Fatal(err)
	}
	f, err := files.Open("/f", hal.Create)
	if err != nil {
		t.Fatal(err)
	}
	w.Cut()
	dead := func(when string, want error) {
		t.Helper()
		_, e1 := m.WriteAt(hal.AlignedBuffer(4096), 0)
		_, e2 := m.ReadAt(hal.AlignedBuffer(4096), 0)
		_, e3 := f.WriteAt([]byte("x"), 0)
		_, e4 := files.Open("/f", hal.ReadOnly)
		_, e5 := files.Lock(t.Context(), "/l")
		_, e6 := count.Read(t.Context())
		for i, err := range []error{e1, e2, e3, e4, e5, e6, m.Sync(), f.Sync(), files.SyncDir("/"),
			files.Rename("/f", "/g"), files.Remove("/f"), count.Raise(t.Context(), 9)} {
			if !errors.Is(err, want) {
				t.Errorf("%s, call %d: %v", when, i, err)
			}
		}
	}
	dead("down", sim.ErrPowerCut)
	if err := w.Atomic("x", func() { t.Error("committed without power") }); !errors.Is(err, sim.ErrPowerCut) {
		t.Error(err)
	}
	if down, why := w.Down(); !down || why != "cut" {
		t.Error(down, why)
	}
	before, _ := w.Identity().BootID()
	w.PowerOn()
	dead("in the next boot, through old handles", sim.ErrPowerCut)
	if after, _ := w.Identity().BootID(); after == before {
		t.Error("same boot id")
	}
	release() // of the dead boot: does nothing
	again, err := w.FS().Lock(t.Context(), "/l")
	if err != nil {
		t.Fatal(err)
	}
	defer again()
	m, files, count = target(t, w), w.FS(), w.Counter()
	if f, err = files.Open("/f", hal.Create); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("kept"), 0); err != nil {
		t.Fatal(err)
	}
	w.Kill()
	dead("killed", sim.ErrKilled)
	if got, ok := w.File("/f"); !ok || string(got) != "kept" {
		t.Errorf("SIGKILL lost the page cache: %q, %v", got, ok)
	}
}

func TestStrictness(t *testing.T) {
	w := sim.New(1)
	w.AddDisk("a", 8192)
	w.AddDisk("b", 8192)
	w.SetRunning("a", "A")
	if _, err := w.Blocks().OpenTarget("a", hal.DeviceID{Block: true, Major: 99}); !errors.Is(err, hal.ErrRunning) {
		t.Errorf("a wrong idea of what runs opened the running slot: %v", err)
	}
	if _, err := w.FS().Open("a", hal.InPlace); !errors.Is(err, hal.ErrRunning) {
		t.Errorf("the running slot was opened as a file: %v", err)
	}
	m := target(t, w)
	w.SetRunning("b", "B")
	if _, err := m.WriteAt(hal.AlignedBuffer(4096), 0); !errors.Is(err, hal.ErrRunning) {
		t.Errorf("wrote the slot that runs: %v", err)
	}
	m.Close()
	w.SetRunning("a", "A")
	w.SetMounted("b", true)
	if _, err := w.Blocks().OpenTarget("b", hal.DeviceID{Block: true, Major: 1}); !errors.Is(err, hal.ErrBusy) {
		t.Errorf("opened a mounted slot: %v", err)
	}
	if _, err := w.FS().Open("b", hal.Create); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("created a file over a device: %v", err)
	}
	if err := w.FS().Rename("/x/f", "/y/f"); err == nil {
		t.Error("renamed from one folder to another")
	}
}

func TestMachine(t *testing.T) {
	w := sim.New(1)
	w.SetWall(time.Date(1970, 1, 1, 0, 5, 0, 0, time.UTC), hal.TimeUnknown)
	w.Advance(time.Minute)
	if now, q := w.Clock().Wall(); now.Minute() != 6 || q != hal.TimeUnknown {
		t.Error(now, q)
	}
	late, soon := w.Clock().After(2*time.Hour), w.Clock().After(time.Hour)
	if d, ok := w.NextTimer(); d != time.Hour || !ok {
		t.Error(d, ok)
	}
	w.Advance(time.Hour)
	<-soon
	select {
	case <-late:
		t.Error("fired an hour early")
	default:
	}
	if err := w.Power().Reboot(t.Context(), "0 tryboot"); err != nil {
		t.Error(err)
	}
	if err := w.Power().Force(t.Context()); err != nil {
		t.Error(err)
	}
	if r := w.Reboots(); len(r) != 2 || r[0].Arg != "0 tryboot" || r[0].Forced || !r[1].Forced {
		t.Error(r)
	}
	dog := w.Watchdog()
	if err := dog.Feed(); err == nil {
		t.Error("fed a watchdog that is not armed")
	}
	if err := dog.Arm(time.Minute); err != nil {
		t.Fatal(err)
	}
	w.Advance(50 * time.Second)
	if err := dog.Feed(); err != nil {
		t.Fatal(err)
	}
	w.Advance(59 * time.Second)
	if down, _ := w.Down(); down {
		t.Error("reset although it was fed")
	}
	w.Advance(2 * time.Second)
	if down, why := w.Down(); !down || why != "watchdog" {
		t.Error(down, why)
	}
	w.PowerOn()
	if w.Clock().Uptime() != 0 {
		t.Error(w.Clock().Uptime())
	}
	w.SetCounter(0, false)
	if _, err := w.Counter().Read(t.Context()); !errors.Is(err, hal.ErrUnsupported) {
		t.Error(err)
	}
	w.Restart()
	if down, _ := w.Down(); down {
		t.Error("down after a reboot")
	}
}

// The same seed and the same calls give the same world.
func TestReplay(t *testing.T) {
	image := func() []byte {
		w := sim.New(42)
		w.AddDisk("b", 1<<16)
		m := target(t, w)
		w.CutAt(9, sim.Torn)
		for i := range int64(12) {
			p := hal.AlignedBuffer(8192)
			for j := range p {
				p[j] = byte(i + 1)
			}
			if _, err := m.WriteAt(p, i%7*8192); err != nil {
				break
			}
		}
		w.PowerOn()
		return w.Disk("b", 0, 1<<16)
	}
	if !bytes.Equal(image(), image()) {
		t.Error("two runs of one seed differ")
	}
}

// An order to cut stands through reboots: else a cut behind the first of them never comes.
func TestCutAfterRestart(t *testing.T) {
	w := sim.New(1)
	w.CutAt(3, sim.Before)
	for i := 1; i <= 3; i++ {
		if down, _ := w.Down(); down {
			t.Fatalf("down before operation %d", i)
		}
		_, _ = w.FS().Open(fmt.Sprintf("/f%d", i), hal.Create)
		if i < 3 {
			w.Restart()
		}
	}
	if down, _ := w.Down(); !down {
		t.Error("the cut never came")
	}
	w.PowerOn()
	w.Restart()
	if _, err := w.FS().Open("/f4", hal.Create); err != nil {
		t.Error(err)
	}
}

func TestFork(t *testing.T) {
	w := sim.New(3)
	w.AddDisk("b", 1<<16)
	m := target(t, w)
	p := hal.AlignedBuffer(4096)
	for i := range p {
		p[i] = 7
	}
	if _, err := m.WriteAt(p, 0); err != nil {
		t.Fatal(err)
	}
	f, err := w.FS().Open("/x", hal.Create)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("cached"), 0); err != nil {
		t.Fatal(err)
	}
	c := w.Fork()
	if c.Sum() != w.Sum() {
		t.Error("a fork is another machine")
	}
	if got := c.Durable("b", 0, 1); got[0] != 0 {
		t.Error("what is cached is durable")
	}
	c.PowerOn()
	w.PowerOn()
	if !bytes.Equal(c.Disk("b", 0, 4096), w.Disk("b", 0, 4096)) || c.Sum() != w.Sum() {
		t.Error("chance is not forked")
	}
	before := w.Sum()
	m = target(t, c)
	if _, err := m.WriteAt(p, 8192); err != nil {
		t.Fatal(err)
	}
	if err := m.Sync(); err != nil {
		t.Fatal(err)
	}
	if w.Sum() != before || c.Sum() == before {
		t.Error("what happens to a fork happens to the first machine")
	}
	w.SetCache(sim.Keep)
	f, err = w.FS().Open("/y", hal.Create)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("kept"), 0); err != nil {
		t.Fatal(err)
	}
	w.PowerOn()
	if got, _ := w.File("/y"); string(got) != "kept" {
		t.Errorf("a medium that keeps its cache kept %q", got)
	}
}

// A medium with large sectors never leaves half of one.
func TestSectors(t *testing.T) {
	half := 0
	for seed := range uint64(200) {
		for _, unit := range []int64{512, 4096} {
			w := sim.New(seed)
			w.SetGrain(medium.Grain{Unit: unit})
			w.AddDisk("b", 1<<16)
			m := target(t, w)
			p := hal.AlignedBuffer(4096)
			for i := range p {
				p[i] = 1
			}
			if _, err := m.WriteAt(p, 4096); err != nil {
				t.Fatal(err)
			}
			w.PowerOn()
			n := bytes.Count(w.Disk("b", 4096, 4096), []byte{1})
			if n%4096 != 0 {
				if half++; unit == 4096 {
					t.Fatalf("%d bytes of a sector of 4096", n)
				}
			}
		}
	}
	if half == 0 {
		t.Error("no write of 8 sectors was ever torn")
	}
}

// TestTears: a sector that is cut on such a medium is new up to some byte; others are old or new.
func TestTears(t *testing.T) {
	for _, tears := range []bool{false, true} {
		torn := 0
		for seed := range uint64(200) {
			w := sim.New(seed)
			w.SetGrain(medium.Grain{Unit: 512, Tears: tears})
			w.AddDisk("/dev/x", 4096)
			m, err := w.FS().Open("/dev/x", hal.InPlace)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.WriteAt(bytes.Repeat([]byte{1}, 512), 512); err != nil {
				t.Fatal(err)
			}
			w.PowerOn()
			got := w.Disk("/dev/x", 0, 4096)
			n := bytes.Count(got, []byte{1})
			if n != bytes.Count(got[512:512+n], []byte{1}) {
				t.Fatalf("seed %d: the new bytes are not the first of their sector", seed)
			}
			if n > 0 && n < 512 {
				torn++
			}
		}
		if (torn > 0) != tears {
			t.Errorf("tears %v: %d of 200 sectors are torn", tears, torn)
		}
	}
}
