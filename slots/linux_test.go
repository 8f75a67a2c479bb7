//go:build linux

package slots_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/linux"
	"github.com/ratchet-ota/ratchet/slots"
)

// elsewhere runs: it is no device of this machine's.
var elsewhere = hal.DeviceID{Block: true, Major: 1}

func installReal(t *testing.T, path string, content []byte) slots.Image {
	t.Helper()
	m, err := linux.Blocks{}.OpenTarget(path, elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	img, payload := zstdImage(t, content, 256*kib)
	var s saves
	if _, err := slots.Write(t.Context(), m, img, &source{data: payload},
		slots.Options{Every: 1 << 20, Save: s.save}); err != nil {
		t.Fatal(err)
	}
	return img
}

func checkReal(t *testing.T, path string, img slots.Image) error {
	t.Helper()
	m, err := linux.Blocks{}.OpenMedium(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	return slots.Check(t.Context(), m, img, nil)
}

func TestInstallFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slot")
	content := pattern(30, 5<<20+1234)
	if err := os.WriteFile(path, make([]byte, 5<<20+1536), 0o600); err != nil {
		t.Fatal(err)
	}
	img := installReal(t, path, content)
	if err := checkReal(t, path, img); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || len(got) != 5<<20+1536 || string(got[:len(content)]) != string(content) {
		t.Errorf("the file does not hold the image: %d bytes, %v", len(got), err)
	}
}

// The page cache says that all is well; the medium does not.
func TestCheckReadsTheMedium(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("loop devices need root")
	}
	path := filepath.Join(t.TempDir(), "backing")
	if err := os.WriteFile(path, make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", "--direct-io=on", path).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device: %v: %s", err, out)
	}
	dev := strings.TrimSpace(string(out))
	defer exec.Command("losetup", "--detach", dev).Run()
	content := pattern(31, 4<<20)
	img := installReal(t, dev, content)

	cached, err := os.Open(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer cached.Close()
	if _, err := io.Copy(io.Discard, cached); err != nil { // now it is in the page cache
		t.Fatal(err)
	}
	under, err := os.OpenFile(path, os.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		t.Skip("no direct I/O: ", err)
	}
	defer under.Close()
	page := hal.AlignedBuffer(hal.Align)
	if _, err := under.ReadAt(page, 1<<20); err != nil {
		t.Fatal(err)
	}
	page[77] ^= 1
	if _, err := under.WriteAt(page, 1<<20); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := cached.ReadAt(b, 1<<20+77); err != nil || b[0] != content[1<<20+77] {
		t.Skip("the page cache already noticed: ", err)
	}
	if err := checkReal(t, dev, img); !errors.Is(err, slots.ErrDigest) {
		t.Errorf("decay below the page cache: %v", err)
	}
}

// TestCarryFromAMountedSystem: the root that runs is mounted, and is carried as the medium has it. A read-only mount
// leaves it as it was confirmed; one that was written to carries nothing.
func TestCarryFromAMountedSystem(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("loop devices need root")
	}
	dir := t.TempDir()
	path, mnt, target := filepath.Join(dir, "root"), filepath.Join(dir, "mnt"), filepath.Join(dir, "target")
	for _, f := range []string{path, target} {
		if err := os.WriteFile(f, make([]byte, 4<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(mnt, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mke2fs", "-q", "-F", path).CombinedOutput(); err != nil {
		t.Skipf("no mke2fs: %v: %s", err, out)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", path).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device: %v: %s", err, out)
	}
	dev := strings.TrimSpace(string(out))
	defer exec.Command("losetup", "--detach", dev).Run()
	carry := func(mode string) error {
		t.Helper()
		if out, err := exec.Command("mount", "-o", mode, dev, mnt).CombinedOutput(); err != nil {
			t.Skipf("cannot mount: %v: %s", err, out)
		}
		defer exec.Command("umount", mnt).Run()
		if mode == "rw" {
			if err := os.WriteFile(filepath.Join(mnt, "note"), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			unix.Sync()
		}
		from, err := linux.Blocks{}.OpenRunning(dev)
		if err != nil {
			t.Fatal(err)
		}
		defer from.Close()
		to, err := linux.Blocks{}.OpenTarget(target, elsewhere)
		if err != nil {
			t.Fatal(err)
		}
		defer to.Close()
		img := rawImage(content)
		if _, err := slots.Write(t.Context(), to, img, slots.Carried(from, img.Size), slots.Options{}); err != nil {
			return err
		}
		return slots.Check(t.Context(), to, img, nil)
	}
	if err := carry("ro"); err != nil {
		t.Errorf("mounted read-only: %v", err)
	}
	if err := carry("rw"); !errors.Is(err, slots.ErrDigest) {
		t.Errorf("mounted for writing, and written: %v", err)
	}
}
