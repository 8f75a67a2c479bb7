//go:build interop

package linux_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/linux"
)

// TestCheckpoint: on a real ext4 a file that was replaced, with its folder flushed, is not there for one who does not
// replay the journal (debugfs, as U-Boot and GRUB); after Checkpoint it is. Bytes in blocks that a file has are there
// at once.
func TestCheckpoint(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	image, at := filepath.Join(dir, "image"), filepath.Join(dir, "at")
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	put(t, image, "")
	if err := os.Truncate(image, 32<<20); err != nil {
		t.Fatal(err)
	}
	run("mkfs.ext4", "-q", "-F", image)
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	mount := func() { t.Helper(); run("mount", "-o", "loop", image, at) }
	mount()
	mounted := true
	t.Cleanup(func() {
		if mounted {
			_ = exec.Command("umount", at).Run()
		}
	})
	put(t, filepath.Join(at, "inplace"), "old\n")
	put(t, filepath.Join(at, "replaced"), "old\n")
	run("umount", at)
	mount()
	// loader reads a copy of the image: reading the loop device itself would write back what is dirty.
	loader := func(name string) string {
		b, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, "copy"), string(b))
		out, err := exec.Command("debugfs", "-R", "cat "+name, filepath.Join(dir, "copy")).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	if err := hal.ReplaceFile(linux.FS{}, filepath.Join(at, "replaced"), []byte("new\n")); err != nil {
		t.Fatal(err)
	}
	m, err := linux.FS{}.Open(filepath.Join(at, "inplace"), hal.InPlace)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.WriteAt([]byte("new\n"), 0); err != nil {
		t.Fatal(err)
	}
	if err := m.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if r, i := loader("replaced"), loader("inplace"); r == "new\n" || i != "new\n" {
		t.Errorf("before: replaced %q, in place %q", r, i)
	}
	if err := linux.Checkpoint(filepath.Join(at, "replaced")); err != nil {
		t.Fatal(err)
	}
	if r := loader("replaced"); r != "new\n" {
		t.Errorf("after: replaced %q", r)
	}
	run("umount", at)
	mounted = false
}

// TestCheckpointElsewhere: where there is no journal it is a flush, and what is not there is an error.
func TestCheckpointElsewhere(t *testing.T) {
	put(t, "/dev/shm/ratchet-checkpoint", "x")
	defer os.Remove("/dev/shm/ratchet-checkpoint")
	if err := linux.Checkpoint("/dev/shm/ratchet-checkpoint"); err != nil {
		t.Error(err)
	}
	if err := linux.Checkpoint(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("what is not there was flushed")
	}
}
