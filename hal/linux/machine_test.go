//go:build linux

package linux_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/linux"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestMarker(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cmdline")
	for _, tc := range []struct{ line, key, want, fail string }{
		{"root=/dev/sda2 ratchet.slot=A quiet\n", "", "A", ""},
		{"root=/dev/sda2 rauc.slot=B", "", "B", ""},
		{"rauc.slot=B ratchet.slot=A", "", "A", ""},
		{"rauc.slot=B ratchet.slot=", "", "B", ""},
		{"rauc.slot=B", "ratchet.slot", "", ""},
		{"my.slot=system0", "my.slot", "system0", ""},
		{`ratchet.slot="A" x="ratchet.slot=B c"`, "", "A", ""},
		{`"ratchet.slot=A b"`, "", "A b", ""},
		{"quiet -- ratchet.slot=A", "", "", ""},
		{"ratchet.slot=A ratchet.slot=A", "", "A", ""},
		{"ratchet.slot=A ratchet.slot=B", "", "", `"A" and "B"`},
		{"ratchet.slot", "", "", ""},
		{"", "", "", ""},
	} {
		put(t, path, tc.line)
		got, err := linux.Identity{CmdlinePath: path, Key: tc.key}.Marker()
		if got != tc.want || (err == nil) != (tc.fail == "") ||
			(err != nil && !strings.Contains(err.Error(), tc.fail)) {
			t.Errorf("%q: %q, %v; want %q %s", tc.line, got, err, tc.want, tc.fail)
		}
	}
	if _, err := (linux.Identity{CmdlinePath: path + "-"}).Marker(); err == nil {
		t.Error("no command line, no error")
	}
}

func FuzzCmdline(f *testing.F) {
	path := filepath.Join(f.TempDir(), "cmdline")
	f.Add(`root=/dev/sda2 ratchet.slot="A B" --`)
	f.Add(`"""= ratchet.slot=`)
	f.Fuzz(func(t *testing.T, line string) {
		put(t, path, line)
		if got, _ := (linux.Identity{CmdlinePath: path}).Marker(); got != "" && !strings.Contains(line, got) {
			t.Errorf("%q out of %q", got, line)
		}
	})
}

func TestIdentityErrors(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "relative"), "sda2")
	put(t, filepath.Join(dir, "gone"), "/dev/does-not-exist")
	put(t, filepath.Join(dir, "empty"), "")
	for _, i := range []linux.Identity{
		{RootFile: filepath.Join(dir, "relative")}, {RootFile: filepath.Join(dir, "gone")},
		{RootFile: filepath.Join(dir, "none")},
		{RootFile: filepath.Join(dir, "empty")}, {RootPath: "/proc"}, {RootPath: filepath.Join(dir, "none")},
	} {
		if id, err := i.Root(); err == nil {
			t.Errorf("%+v: %v", i, id)
		}
	}
	if _, err := (linux.Identity{BootIDPath: filepath.Join(dir, "empty")}).BootID(); err == nil {
		t.Error("an empty boot id was taken")
	}
}

// Devices that share bytes with what runs, in a made-up sysfs: disk 241:0 with partitions 241:1
// (slot a) and 241:2 (slot b), a second disk 241:16, dm 242:0 (verity) over 241:1, dm 242:1 over that. The
// majors are of the range for local use, so that no real device is opened.
func TestTopology(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("device nodes need root")
	}
	dir := t.TempDir()
	sys := filepath.Join(dir, "sys")
	for dev, at := range map[string]string{"241:0": "devices/sda", "241:1": "devices/sda/sda1",
		"241:2": "devices/sda/sda2", "241:16": "devices/sdb", "242:0": "devices/virtual/dm-0",
		"242:1": "devices/virtual/dm-1"} {
		put(t, filepath.Join(sys, at, "dev"), dev+"\n")
		if strings.Contains(at, "sda/") {
			put(t, filepath.Join(sys, at, "partition"), "1\n")
		}
		if err := os.MkdirAll(filepath.Join(sys, "dev/block"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("../..", at), filepath.Join(sys, "dev/block", dev)); err != nil {
			t.Fatal(err)
		}
	}
	for dm, below := range map[string]string{"dm-0": "sda/sda1", "dm-1": "virtual/dm-0"} {
		slaves := filepath.Join(sys, "devices/virtual", dm, "slaves")
		if err := os.MkdirAll(slaves, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(sys, "devices", below),
			filepath.Join(slaves, filepath.Base(below))); err != nil {
			t.Fatal(err)
		}
	}
	node := func(major, minor uint32) (string, hal.DeviceID) {
		path := filepath.Join(dir, fmt.Sprintf("node-%d-%d", major, minor))
		if _, err := os.Stat(path); err != nil {
			if err := unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(major, minor))); err != nil {
				t.Skip("cannot make device nodes: ", err)
			}
		}
		return path, hal.DeviceID{Block: true, Major: unix.Mkdev(major, minor)}
	}
	for _, tc := range []struct {
		what            string
		running, target [2]uint32
		refused         bool
	}{
		{"itself", [2]uint32{241, 1}, [2]uint32{241, 1}, true},
		{"its disk", [2]uint32{241, 1}, [2]uint32{241, 0}, true},
		{"its partition", [2]uint32{241, 0}, [2]uint32{241, 2}, true},
		{"the other partition", [2]uint32{241, 1}, [2]uint32{241, 2}, false},
		{"another disk", [2]uint32{241, 1}, [2]uint32{241, 16}, false},
		{"below verity", [2]uint32{242, 0}, [2]uint32{241, 1}, true},
		{"disk below verity", [2]uint32{242, 0}, [2]uint32{241, 0}, true},
		{"two below", [2]uint32{242, 1}, [2]uint32{241, 1}, true},
		{"beside verity", [2]uint32{242, 0}, [2]uint32{241, 2}, false},
		{"not in sysfs", [2]uint32{9, 9}, [2]uint32{241, 2}, false},
	} {
		_, running := node(tc.running[0], tc.running[1])
		path, _ := node(tc.target[0], tc.target[1])
		m, err := linux.Blocks{SysPath: sys}.OpenTarget(path, running)
		if err == nil {
			m.Close()
			t.Errorf("%s: opened a device that is not there", tc.what)
		}
		if errors.Is(err, hal.ErrRunning) != tc.refused {
			t.Errorf("%s: %v", tc.what, err)
		}
	}
}

func TestSupply(t *testing.T) {
	mains := func(online string) map[string]string { return map[string]string{"type": "Mains", "online": online} }
	battery := map[string]string{"type": "Battery", "present": "1", "capacity": "57", "energy_now": "24500000",
		"status": "Discharging"}
	with := func(m map[string]string, k, v string) map[string]string {
		c := map[string]string{k: v}
		for x, y := range m {
			if x != k {
				c[x] = y
			}
		}
		return c
	}
	for name, tc := range map[string]struct {
		supplies []map[string]string
		want     hal.Supply
	}{
		"nothing": {nil, hal.Supply{Battery: -1, BatteryMWh: -1}},
		"mains only": {[]map[string]string{mains("1")},
			hal.Supply{Battery: -1, BatteryMWh: -1, Mains: true, Known: true}},
		"laptop, unplugged": {[]map[string]string{battery, mains("0")},
			hal.Supply{Battery: 57, BatteryMWh: 24500, Known: true}},
		"laptop, plugged": {[]map[string]string{battery, mains("1")},
			hal.Supply{Battery: 57, BatteryMWh: 24500, Mains: true, Known: true}},
		"charging, no outlet": {[]map[string]string{with(battery, "status", "Charging")},
			hal.Supply{Battery: 57, BatteryMWh: 24500, Mains: true, Known: true}},
		"the outlet counts": {[]map[string]string{with(battery, "status", "Full"), mains("0")},
			hal.Supply{Battery: 57, BatteryMWh: 24500, Known: true}},
		"charge, not energy": {[]map[string]string{{"type": "Battery", "capacity": "80", "charge_now": "2000000",
			"voltage_now": "3700000"}}, hal.Supply{Battery: 80, BatteryMWh: 7400, Known: true}},
		"two batteries": {[]map[string]string{battery, with(battery, "capacity", "20")},
			hal.Supply{Battery: 20, BatteryMWh: 49000, Known: true}},
		"a mouse": {[]map[string]string{with(battery, "scope", "Device"), mains("1")},
			hal.Supply{Battery: -1, BatteryMWh: -1, Mains: true, Known: true}},
		"battery bay is empty": {[]map[string]string{with(battery, "present", "0"), mains("1")},
			hal.Supply{Battery: -1, BatteryMWh: -1, Mains: true, Known: true}},
		"nonsense": {[]map[string]string{{"type": "Battery", "capacity": "4711", "energy_now": "-3"}},
			hal.Supply{Battery: -1, BatteryMWh: -1, Known: true}},
	} {
		dir := t.TempDir()
		for i, s := range tc.supplies {
			for attr, v := range s {
				put(t, filepath.Join(dir, fmt.Sprintf("s%d", i), attr), v+"\n")
			}
		}
		if got := (&linux.Power{SupplyDir: dir}).Supply(); got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
	if got := (&linux.Power{SupplyDir: "/nowhere"}).Supply(); got.Known {
		t.Errorf("%+v", got)
	}
}

// Only commands of the test's own are run: nothing here may reboot the machine.
func TestReboot(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	script := filepath.Join(dir, "script")
	put(t, script, "#!/bin/sh\necho \"$@\" > "+out+"\n")
	if err := os.Chmod(script, 0o700); err != nil {
		t.Fatal(err)
	}
	said := func() string {
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	none := ""
	p := &linux.Power{Command: []string{script, "reboot"}, ForceCommand: []string{script, "force"}}
	if err := p.Reboot(t.Context(), ""); err != nil || said() != "reboot" {
		t.Error(err, said())
	}
	if err := p.Reboot(t.Context(), "0 tryboot"); err != nil || said() != "reboot --reboot-argument=0 tryboot" {
		t.Error(err, said())
	}
	p.ArgPrefix = &none
	if err := p.Reboot(t.Context(), "0 tryboot"); err != nil || said() != "reboot 0 tryboot" {
		t.Error(err, said())
	}
	if err := p.Force(t.Context()); err != nil || said() != "force" {
		t.Error(err, said())
	}
	p.Command = []string{"/bin/sh", "-c", "echo no such unit >&2; exit 3"}
	if err := p.Reboot(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "no such unit") {
		t.Error(err)
	}
	p.Command = []string{filepath.Join(dir, "none")}
	if err := p.Reboot(t.Context(), ""); err == nil {
		t.Error("no command, no error")
	}
	p.Command = []string{"sleep", "60"}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Reboot(ctx, ""); err == nil {
		t.Error("a hanging command was waited for")
	}
}

func TestWatchdogThatIsNone(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "file"), "")
	for _, path := range []string{filepath.Join(dir, "none"), filepath.Join(dir, "file"), dir} {
		if _, err := linux.OpenWatchdog(path); !errors.Is(err, hal.ErrUnsupported) {
			t.Errorf("%s: %v", path, err)
		}
	}
	// A character device that takes no watchdog calls.
	w, err := linux.OpenWatchdog("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Feed(); err == nil {
		t.Error("fed before it was armed")
	}
	if err := w.Arm(time.Minute); err == nil {
		t.Error("armed /dev/null")
	}
	if err := w.Arm(0); err == nil {
		t.Error("armed for no time")
	}
	if err := w.Disarm(); err != nil {
		t.Error(err)
	}
}

func TestClockQuality(t *testing.T) {
	if _, q := (linux.Clock{Floor: time.Now().Add(time.Hour)}).Wall(); q != hal.TimeUnknown {
		t.Errorf("a clock before its floor is %v", q)
	}
	if _, q := (linux.Clock{Floor: time.Now().Add(-time.Hour)}).Wall(); q == hal.TimeUnknown {
		t.Errorf("a clock after its floor is %v", q)
	}
}

// TestClockUnderTheUnit: systemd's ProtectClock= refuses adjtimex(2); the time of systemd-timesyncd is synchronised all
// the same. Whoever may ask the kernel hears the kernel.
func TestClockUnderTheUnit(t *testing.T) {
	stamp := filepath.Join(t.TempDir(), "synchronized")
	refused := func(*unix.Timex) (int, error) { return -1, unix.EPERM }
	says := func(state int, status int32) func(*unix.Timex) (int, error) {
		return func(tx *unix.Timex) (int, error) { tx.Status = status; return state, nil }
	}
	look := func(adjtimex func(*unix.Timex) (int, error), want bool) {
		t.Helper()
		if got := linux.Synchronised(adjtimex, stamp); got != want {
			t.Errorf("synchronised: %v, want %v", got, want)
		}
	}
	look(refused, false)
	look(says(unix.TIME_OK, 0), true)
	if err := os.WriteFile(stamp, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	look(refused, true)
	look(says(unix.TIME_ERROR, unix.STA_UNSYNC), false)
	look(says(unix.TIME_OK, unix.STA_UNSYNC), false)
}

func TestFileCounterFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counter")
	c := linux.NewFileCounter(linux.FS{}, path)
	if c.Kind() != "file" {
		t.Error(c.Kind())
	}
	for v := uint64(1); v <= 5; v++ {
		if err := c.Raise(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil || len(b) != 8192 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	// Either copy may be lost.
	read := func(damage ...int) (uint64, error) {
		d := append([]byte(nil), b...)
		for _, at := range damage {
			d[at] ^= 1
		}
		put(t, path, string(d))
		return c.Read(t.Context())
	}
	one, err1 := read(19)
	two, err2 := read(4096 + 19)
	if err1 != nil || err2 != nil || min(one, two) != 4 || max(one, two) != 5 {
		t.Errorf("%d, %v; %d, %v", one, err1, two, err2)
	}
	if _, err := read(0, 4096); !errors.Is(err, linux.ErrCounterDamaged) {
		t.Error(err)
	}
	if err := c.Raise(t.Context(), 9); !errors.Is(err, linux.ErrCounterDamaged) {
		t.Error(err)
	}
	for _, n := range []int{0, 5, 24, 4096, 4100} {
		put(t, path, string(b[:n]))
		if v, err := c.Read(t.Context()); (err == nil) != (n >= 24) || (err == nil && v < 4) {
			t.Errorf("%d bytes: %d, %v", n, v, err)
		}
	}
}

func FuzzFileCounter(f *testing.F) {
	f.Add([]byte("RATCHCTR\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00"))
	f.Add(make([]byte, 8192))
	f.Fuzz(func(t *testing.T, b []byte) {
		w := sim.New(1)
		w.PutFile("/c", b)
		c := linux.NewFileCounter(w.FS(), "/c")
		v, err := c.Read(t.Context())
		if err == nil && v < 1<<63 {
			if err := c.Raise(t.Context(), v+1); err != nil {
				t.Fatal(err)
			}
			if now, err := c.Read(t.Context()); now != v+1 || err != nil {
				t.Fatal(now, err)
			}
		}
	})
}

// Under power cuts the counter shows the old or the new value, and can be raised again.
func TestFileCounterPowerCuts(t *testing.T) {
	seen := map[uint64]bool{}
	for seed := uint64(0); seed < 60; seed++ {
		for op := int64(1); ; op++ {
			w := sim.New(seed)
			if err := linux.NewFileCounter(w.FS(), "/data/counter").Raise(t.Context(), 5); err != nil {
				t.Fatal(err)
			}
			w.CutAt(w.Ops()+op, sim.Mode(seed%3))
			err := linux.NewFileCounter(w.FS(), "/data/counter").Raise(t.Context(), 6)
			if err == nil {
				break
			}
			if !errors.Is(err, sim.ErrPowerCut) {
				t.Fatal(err)
			}
			w.PowerOn()
			c := linux.NewFileCounter(w.FS(), "/data/counter")
			v, err := c.Read(t.Context())
			if err != nil || v != 5 && v != 6 {
				t.Fatalf("seed %d, operation %d: counter is %d, %v", seed, op, v, err)
			}
			seen[v] = true
			if err := c.Raise(t.Context(), 7); err != nil {
				t.Fatal(err)
			}
			if v, err := c.Read(t.Context()); v != 7 || err != nil {
				t.Fatalf("seed %d, operation %d: counter is %d, %v after the raise", seed, op, v, err)
			}
		}
	}
	if !seen[5] || !seen[6] {
		t.Errorf("cuts only ever left %v", seen)
	}
}
