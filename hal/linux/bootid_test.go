package linux_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/hal/linux"
)

// memory is a file system in memory, and a function that empties it as a boot does.
func memory(t *testing.T) (dir string, reboot func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir = t.TempDir()
	mount := func() {
		if out, err := exec.Command("mount", "-t", "tmpfs", "tmpfs", dir).CombinedOutput(); err != nil {
			t.Skipf("no tmpfs can be mounted: %s", out)
		}
	}
	unmount := func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Fatalf("%s", out)
		}
	}
	mount()
	t.Cleanup(unmount)
	return dir, func() { unmount(); mount() }
}

// A kernel's boot id that is the same in two boots, or missing, does not make one boot of two, nor two of one.
func TestBootsAreToldApart(t *testing.T) {
	run, reboot := memory(t)
	dir := t.TempDir()
	put(t, filepath.Join(dir, "same"), "00000000-0000-4000-8000-000000000000\n")
	put(t, filepath.Join(dir, "empty"), "\n")
	for _, kernel := range []string{"same", "empty", "missing"} {
		i := linux.Identity{BootIDPath: filepath.Join(dir, kernel), MarkDir: filepath.Join(run, "ratchet", "boot")}
		ask := func() string {
			id, err := i.BootID()
			if err != nil || id == "" {
				t.Fatalf("%s: boot id %q, %v", kernel, id, err)
			}
			return id
		}
		one, again := ask(), ask()
		reboot()
		two := ask()
		if one != again || one == two || strings.HasPrefix(one, "0000") != (kernel == "same") {
			t.Errorf("%s: boot ids %q, %q and in another boot %q", kernel, one, again, two)
		}
		if err := os.WriteFile(filepath.Join(run, "ratchet", "boot", "boot"), []byte("torn"), 0o600); err != nil {
			t.Fatal(err)
		}
		if id := ask(); id == two || id != ask() {
			t.Errorf("%s: boot id %q after what was kept was spoiled, it was %q", kernel, id, two)
		}
	}
}

// A folder that outlives the boot proves nothing: the kernel's id counts alone, and without it there is none.
func TestBootIDOnADisk(t *testing.T) {
	dir := t.TempDir()
	if onTmpfs(dir) {
		var err error
		if dir, err = os.MkdirTemp(".", "bootid-"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
	}
	put(t, filepath.Join(dir, "id"), "6f1c0d2e\n")
	i := linux.Identity{BootIDPath: filepath.Join(dir, "id"), MarkDir: filepath.Join(dir, "boot")}
	if id, err := i.BootID(); id != "6f1c0d2e" || err != nil {
		t.Errorf("boot id %q, %v", id, err)
	}
	i.BootIDPath = filepath.Join(dir, "none")
	if id, err := i.BootID(); err == nil {
		t.Errorf("boot id %q, and nothing tells boots apart", id)
	}
}

func onTmpfs(dir string) bool {
	out, err := exec.Command("stat", "-f", "-c", "%T", dir).Output()
	return err == nil && strings.TrimSpace(string(out)) == "tmpfs"
}
