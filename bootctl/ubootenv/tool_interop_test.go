//go:build interop

package ubootenv_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/bootmodel"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
	"github.com/ratchet-ota/ratchet/hal/linux"
)

// The tests of this file run against Debian's fw_printenv and fw_setenv (libubootenv-tool) and, as
// root, on loop devices. They fail where these are missing: scripts/deps.sh installs them.

const toolSize = 0x4000

// tool is fw_printenv and fw_setenv on one environment.
type tool struct {
	t      *testing.T
	config string
	locs   []ubootenv.Location
}

// newTool provisions the copies and writes fw_env.config for them.
func newTool(t *testing.T, locs []ubootenv.Location) tool {
	t.Helper()
	config := ""
	for i, l := range locs {
		config += fmt.Sprintf("%s %#x %#x\n", l.Path, l.Offset, l.Size)
		flags := -1
		if len(locs) == 2 {
			flags = 1 - i
		}
		raw, err := ubootenv.Encode([]string{"bootcmd=source boot.scr", "zz=1", "aa=2"}, l.Size, flags)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(l.Path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(raw, l.Offset); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	name := filepath.Join(t.TempDir(), "fw_env.config")
	if err := os.WriteFile(name, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	parsed, err := ubootenv.ParseConfig([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return tool{t, name, parsed}
}

func (x tool) run(name string, args ...string) string {
	x.t.Helper()
	out, err := exec.Command(name, append([]string{"-c", x.config}, args...)...).Output()
	if err != nil {
		x.t.Fatalf("%s %v: %v", name, args, err)
	}
	return strings.TrimSpace(string(out))
}

func (x tool) get(name string) string { return x.run("fw_printenv", "-n", name) }

func (x tool) set(name, value string) {
	x.t.Helper()
	x.run("fw_setenv", "-f", "/dev/null", name, value)
}

func (x tool) backend() *ubootenv.Backend {
	x.t.Helper()
	b, err := ubootenv.New(linux.FS{}, ubootenv.Options{
		Copies: x.locs, Slots: slotAB, Shadow: filepath.Join(filepath.Dir(x.config), "shadow"),
	})
	if err != nil {
		x.t.Fatal(err)
	}
	return b
}

func (x tool) model() bootmodel.UBoot {
	m := bootmodel.UBoot{FS: linux.FS{}}
	for _, l := range x.locs {
		m.Copies = append(m.Copies, bootmodel.Copy{Path: l.Path, Offset: l.Offset, Size: l.Size})
	}
	return m
}

// serials are the flags bytes of the copies.
func (x tool) serials() (out []byte) {
	x.t.Helper()
	for _, l := range x.locs {
		f, err := os.Open(l.Path)
		if err != nil {
			x.t.Fatal(err)
		}
		var b [5]byte
		if _, err := f.ReadAt(b[:], l.Offset); err != nil {
			x.t.Fatal(err)
		}
		f.Close()
		out = append(out, b[4])
	}
	return out
}

// loop makes a loop device of size bytes.
func loop(t *testing.T, size int64) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("loop devices need root; run make interop as root")
	}
	img := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(img, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", img).CombinedOutput()
	if err != nil {
		t.Fatalf("losetup: %v\n%s", err, out)
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "-d", dev).CombinedOutput(); err != nil {
			t.Errorf("losetup -d %s: %v\n%s", dev, err, out)
		}
	})
	return dev
}

// eachMedium runs f on files and on a loop device, with one copy and with two.
func eachMedium(t *testing.T, f func(t *testing.T, x tool)) {
	t.Run("one copy in a file", func(t *testing.T) {
		f(t, newTool(t, []ubootenv.Location{{Path: filepath.Join(t.TempDir(), "uboot.env"), Size: toolSize}}))
	})
	t.Run("two copies in files", func(t *testing.T) {
		dir := t.TempDir()
		f(t, newTool(t, []ubootenv.Location{
			{Path: filepath.Join(dir, "uboot.env"), Size: toolSize},
			{Path: filepath.Join(dir, "uboot-redund.env"), Size: toolSize},
		}))
	})
	t.Run("one copy on a loop device", func(t *testing.T) {
		f(t, newTool(t, []ubootenv.Location{{Path: loop(t, 1<<20), Offset: 0x10000, Size: toolSize}}))
	})
	t.Run("two copies on a loop device", func(t *testing.T) {
		dev := loop(t, 1<<20)
		f(t, newTool(t, []ubootenv.Location{
			{Path: dev, Offset: 0x10000, Size: toolSize}, {Path: dev, Offset: 0x20000, Size: toolSize},
		}))
	})
}

// TestToolReadsOurs: fw_printenv reads what each operation wrote, and the other way round.
func TestToolReadsOurs(t *testing.T) {
	eachMedium(t, func(t *testing.T, x tool) {
		b := x.backend()
		want := func(order, left, good string) {
			t.Helper()
			if got := x.get("BOOT_ORDER"); got != order {
				t.Errorf("BOOT_ORDER is %q, want %q", got, order)
			}
			if got := x.get("BOOT_B_LEFT"); got != left {
				t.Errorf("BOOT_B_LEFT is %q, want %q", got, left)
			}
			if got := x.get("BOOT_B_GOOD"); got != good {
				t.Errorf("BOOT_B_GOOD is %q, want %q", got, good)
			}
			if x.get("zz") != "1" || x.get("bootcmd") != "source boot.scr" {
				t.Error("variables of others are lost")
			}
		}
		for _, err := range []error{b.Refresh(t.Context(), "A"), b.Disable(t.Context(), "B")} {
			if err != nil {
				t.Fatal(err)
			}
		}
		want("A", "0", "0")
		if err := b.Try(t.Context(), "B", 2); err != nil {
			t.Fatal(err)
		}
		want("B A", "2", "0")
		if slot, _, err := x.model().Boot(); slot != "B" || err != nil {
			t.Errorf("the loader boots %q (%v)", slot, err)
		}
		want("B A", "1", "0")
		if err := b.Confirm(t.Context(), "B"); err != nil {
			t.Fatal(err)
		}
		want("B A", "3", "1")

		x.set("BOOT_ORDER", "A B")
		x.set("BOOT_B_LEFT", "0")
		x.set("zz", "a value\\with a backslash")
		s, err := b.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Next != "A" || s.Slots["B"].Bootable || !s.Slots["B"].Confirmed {
			t.Errorf("after fw_setenv: %+v", s)
		}
		if err := b.Confirm(t.Context(), "A"); err != nil {
			t.Fatal(err)
		}
		if got := x.get("zz"); got != "a value\\with a backslash" {
			t.Errorf("zz is %q", got)
		}
	})
}

// TestSerials: the two programs alternate between the copies, through the wrap.
func TestSerials(t *testing.T) {
	dir := t.TempDir()
	x := newTool(t, []ubootenv.Location{
		{Path: filepath.Join(dir, "a"), Size: toolSize}, {Path: filepath.Join(dir, "b"), Size: toolSize},
	})
	b := x.backend()
	serial, current := byte(1), 0
	for i := range 300 {
		if i%2 == 0 {
			x.set("n", fmt.Sprint(i))
		} else if err := b.Try(t.Context(), "B", 1+i/2%9); err != nil {
			t.Fatal(err)
		}
		old := serial
		serial, current = serial+1, 1-current
		if got := x.serials(); got[current] != serial || got[1-current] != old {
			t.Fatalf("step %d: the serials are %v, want %d in copy %d and %d in the other",
				i, got, serial, current, old)
		}
	}
	if got := x.get("n"); got != "298" {
		t.Errorf("n is %q, want 298", got)
	}
	if got := x.get("BOOT_B_LEFT"); got != fmt.Sprint(1+299/2%9) {
		t.Errorf("BOOT_B_LEFT is %q", got)
	}
}

// TestConcurrent: fw_setenv and we write at the same time, under the lock; nothing is lost.
func TestConcurrent(t *testing.T) {
	eachMedium(t, func(t *testing.T, x tool) {
		const rounds = 30
		var wait sync.WaitGroup
		wait.Go(func() {
			for i := range rounds {
				out, err := exec.Command("fw_setenv", "-c", x.config, "-f", "/dev/null",
					fmt.Sprintf("v%d", i), "set").CombinedOutput()
				if err != nil {
					t.Errorf("fw_setenv: %v\n%s", err, out)
				}
			}
		})
		b := x.backend()
		for i := range rounds {
			if err := b.Try(t.Context(), "B", 1+i%9); err != nil {
				t.Errorf("Try: %v", err)
			}
			if err := b.Confirm(t.Context(), bootctl.Slot("AB"[i%2:i%2+1])); err != nil {
				t.Errorf("Confirm: %v", err)
			}
			if err := b.Confirm(t.Context(), "A"); err != nil {
				t.Errorf("Confirm: %v", err)
			}
		}
		wait.Wait()
		for i := range rounds {
			if got := x.get(fmt.Sprintf("v%d", i)); got != "set" {
				t.Errorf("v%d is %q: lost", i, got)
			}
		}
		if s, err := b.State(t.Context()); err != nil || s.Next != "A" {
			t.Errorf("next is %q (%v)", s.Next, err)
		}
	})
}

// TestToolFacts measures what this package relies on, so that a new version of the tools that does
// otherwise is noticed.
func TestToolFacts(t *testing.T) {
	x := newTool(t, []ubootenv.Location{{Path: filepath.Join(t.TempDir(), "uboot.env"), Size: 0x1000}})

	// The size is hexadecimal, with 0x or without.
	if err := os.WriteFile(x.config, []byte(x.locs[0].Path+" 0 1000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := x.get("zz"); got != "1" {
		t.Errorf("zz is %q", got)
	}

	// It waits for its lock.
	held, err := linux.FS{}.Lock(t.Context(), "/var/lock/fw_printenv.lock")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("timeout", "1", "fw_printenv", "-c", x.config)
	err = cmd.Run()
	held()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 124 {
		t.Errorf("fw_printenv does not wait for /var/lock/fw_printenv.lock: %v", err)
	}

	// It writes a single file in place.
	inode := func() uint64 {
		t.Helper()
		var st syscall.Stat_t
		if err := syscall.Stat(x.locs[0].Path, &st); err != nil {
			t.Fatal(err)
		}
		return st.Ino
	}
	before := inode()
	x.set("zz", "2")
	if inode() != before {
		t.Error("fw_setenv replaces the file")
	}
}
