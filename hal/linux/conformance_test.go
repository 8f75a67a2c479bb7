//go:build linux

package linux_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/haltest"
	"github.com/ratchet-ota/ratchet/hal/linux"
)

// makeFile makes a slot of size bytes.
func makeFile(t *testing.T, path string, size int64) string {
	t.Helper()
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// loop sets up a loop device on path, or skips the test.
func loop(t *testing.T, path string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("loop devices need root")
	}
	out, err := exec.Command("losetup", "--find", "--show", "--direct-io=on", path).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device: %v: %s", err, out)
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", dev).CombinedOutput(); err != nil {
			t.Errorf("losetup --detach %s: %v: %s", dev, err, out)
		}
	})
	return dev
}

func machine(t *testing.T, dir, running, target string, size int64) haltest.Machine {
	root := filepath.Join(t.TempDir(), "root")
	if err := os.WriteFile(root, []byte(running+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	id, err := linux.Blocks{}.Identify(running)
	if err != nil {
		t.Fatal(err)
	}
	vars := t.TempDir() // a folder stands in for efivarfs: the same calls, without flags
	if err := os.WriteFile(filepath.Join(vars, "BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c"),
		[]byte("\x07\x00\x00\x00\x01\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	return haltest.Machine{Blocks: linux.Blocks{}, Running: running, Target: target, SlotSize: size, FS: linux.FS{},
		Dir: dir, Variables: linux.Variables{Dir: vars},
		Counter: linux.NewFileCounter(linux.FS{}, filepath.Join(dir, "counter")),
		Clock:   linux.Clock{}, Advance: time.Sleep, Identity: linux.Identity{RootFile: root}, Root: id}
}

func TestConformance(t *testing.T) {
	for name, base := range map[string]string{"disk": "", "memory": "/dev/shm"} {
		for _, size := range []int64{64 << 10, 64<<10 + 1536} {
			t.Run(name, func(t *testing.T) {
				haltest.Run(t, func(t *testing.T) haltest.Machine {
					dir := t.TempDir()
					if base != "" {
						d, err := os.MkdirTemp(base, "hal-")
						if err != nil {
							t.Skip(err)
						}
						t.Cleanup(func() { os.RemoveAll(d) })
						dir = d
					}
					slots := t.TempDir()
					if base != "" {
						slots = dir + "/"
					}
					return machine(t, dir, makeFile(t, filepath.Join(slots, "slot-a"), size),
						makeFile(t, filepath.Join(slots, "slot-b"), size), size)
				})
			})
		}
	}
}

func TestConformanceLoop(t *testing.T) {
	const size = 64<<10 + 1536
	haltest.Run(t, func(t *testing.T) haltest.Machine {
		slots := t.TempDir()
		a := loop(t, makeFile(t, filepath.Join(slots, "a"), size))
		b := loop(t, makeFile(t, filepath.Join(slots, "b"), size))
		return machine(t, t.TempDir(), a, b, size)
	})
}

// A file system without direct I/O: the page cache is used, and nothing else changes.
func TestConformanceBuffered(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	mnt := t.TempDir()
	if out, err := exec.Command("mount", "-t", "ramfs", "ramfs", mnt).CombinedOutput(); err != nil {
		t.Skipf("cannot mount: %v: %s", err, out)
	}
	defer func() {
		if out, err := exec.Command("umount", mnt).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	}()
	const size = 64<<10 + 1536
	haltest.Run(t, func(t *testing.T) haltest.Machine {
		dir, err := os.MkdirTemp(mnt, "")
		if err != nil {
			t.Fatal(err)
		}
		return machine(t, dir, makeFile(t, filepath.Join(mnt, "a"), size),
			makeFile(t, filepath.Join(mnt, "b"), size), size)
	})
}

// Another path to the same slot is the same slot (I3).
func TestRunningByAnotherPath(t *testing.T) {
	dir := t.TempDir()
	a := makeFile(t, filepath.Join(dir, "a"), 8192)
	id, err := linux.Blocks{}.Identify(a)
	if err != nil {
		t.Fatal(err)
	}
	soft, hard := filepath.Join(dir, "soft"), filepath.Join(dir, "hard")
	if err := os.Symlink(a, soft); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(a, hard); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{soft, hard} {
		if _, err := (linux.Blocks{}).OpenTarget(path, id); !errors.Is(err, hal.ErrRunning) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestLoopTopology(t *testing.T) {
	dir := t.TempDir()
	file := makeFile(t, filepath.Join(dir, "a"), 64<<10)
	other := makeFile(t, filepath.Join(dir, "b"), 64<<10)
	dev := loop(t, file)
	devID, err := linux.Blocks{}.Identify(dev)
	if err != nil {
		t.Fatal(err)
	}
	otherID, err := linux.Blocks{}.Identify(other)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (linux.Blocks{}).OpenTarget(file, devID); !errors.Is(err, hal.ErrRunning) {
		t.Errorf("opened the file below the running loop device: %v", err)
	}
	if _, err := (linux.Blocks{}).OpenTarget(file, otherID); !errors.Is(err, hal.ErrBusy) {
		t.Errorf("opened a file with a loop device on it: %v", err)
	}
}

func TestMounted(t *testing.T) {
	dir := t.TempDir()
	file := makeFile(t, filepath.Join(dir, "a"), 2<<20)
	if out, err := exec.Command("mke2fs", "-q", "-F", file).CombinedOutput(); err != nil {
		t.Skipf("no mke2fs: %v: %s", err, out)
	}
	dev := loop(t, file)
	mnt := filepath.Join(dir, "mnt")
	if err := os.Mkdir(mnt, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "ro", dev, mnt).CombinedOutput(); err != nil {
		t.Skipf("cannot mount: %v: %s", err, out)
	}
	mounted := true
	umount := func() {
		if !mounted {
			return
		}
		mounted = false
		if out, err := exec.Command("umount", mnt).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	}
	defer umount()
	elsewhere := hal.DeviceID{Block: true, Major: 1}
	if _, err := (linux.Blocks{}).OpenTarget(dev, elsewhere); !errors.Is(err, hal.ErrBusy) {
		t.Errorf("opened a mounted device: %v", err)
	}
	if _, err := (linux.Blocks{}).OpenMedium(dev); !errors.Is(err, hal.ErrBusy) {
		t.Errorf("opened a mounted device for reading: %v", err)
	}
	if m, err := (linux.Blocks{}).OpenRunning(dev); err != nil {
		t.Errorf("a mounted device cannot be carried from: %v", err)
	} else {
		m.Close()
	}
	id, err := linux.Identity{RootPath: mnt}.Root()
	if want, _ := (linux.Blocks{}).Identify(dev); err != nil || id != want {
		t.Errorf("device behind the mount is %v, %v; want %v", id, err, want)
	}
	umount()
	// And the other way: what is open cannot be mounted.
	m, err := linux.Blocks{}.OpenMedium(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := exec.Command("mount", "-o", "ro", dev, mnt).Run(); err == nil {
		mounted = true
		t.Error("a device that is being checked was mounted")
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	elsewhere := hal.DeviceID{Block: true, Major: 1}
	fifo := filepath.Join(dir, "fifo")
	if out, err := exec.Command("mkfifo", fifo).CombinedOutput(); err != nil {
		t.Skipf("%v: %s", err, out)
	}
	for path, text := range map[string]string{
		fifo:        "neither a block device nor a regular file",
		dir:         "neither a block device nor a regular file",
		"/dev/null": "neither a block device nor a regular file",
		makeFile(t, filepath.Join(dir, "empty"), 0):   "empty",
		makeFile(t, filepath.Join(dir, "short"), 511): "empty",
	} {
		for _, open := range []func() (hal.Medium, error){
			func() (hal.Medium, error) { return linux.Blocks{}.OpenTarget(path, elsewhere) },
			func() (hal.Medium, error) { return linux.Blocks{}.OpenMedium(path) },
		} {
			if _, err := open(); err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v, want %q", path, err, text)
			}
		}
	}
	if _, err := (linux.FS{}).Open(fifo, hal.ReadOnly); err == nil {
		t.Error("opened a FIFO as a file")
	}
	// Without /proc nothing is opened for writing, and the message says what is missing.
	file := makeFile(t, filepath.Join(dir, "a"), 8192)
	if _, err := (linux.Blocks{ProcPath: dir}).OpenTarget(file, elsewhere); err == nil ||
		!strings.Contains(err.Error(), "mounted?") {
		t.Error(err)
	}
	// The part of a file behind its last sector is not used, and the file does not grow.
	odd := makeFile(t, filepath.Join(dir, "odd"), 8192+700)
	m, err := linux.Blocks{}.OpenTarget(odd, elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Size() != 8192+512 {
		t.Errorf("size %d", m.Size())
	}
	if _, err := m.WriteAt(hal.AlignedBuffer(512), 8192); err != nil {
		t.Error(err)
	}
	if st, err := os.Stat(odd); err != nil || st.Size() != 8192+700 {
		t.Error(st.Size(), err)
	}
}
