package board_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl/grubenv"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
)

// TestAdapt: the reference scripts are those that the rig adapts, in every line marked BOARD and
// wherever a board's own saveenv is meant.
func TestAdapt(t *testing.T) {
	for _, x := range board.Kinds() {
		script, err := x.Script(x)
		if err != nil {
			t.Fatal(err)
		}
		for _, old := range []string{"mmc", "/dev/sda", "panic=10"} {
			if strings.Contains(script, old) {
				t.Errorf("%s: %q is still in the script", x.Name, old)
			}
		}
		for _, l := range strings.Split(script, "\n") {
			if x.Name == "arm64-uboot" && !strings.HasPrefix(l, "#") && strings.Contains(l, "saveenv") {
				t.Errorf("%s: %q", x.Name, l)
			}
		}
	}
	if strings.Count(ubootenv.Script(), "BOARD") < 5 || strings.Count(grubenv.Script(), "BOARD") < 4 {
		t.Error("the reference scripts do not mark the lines to adapt")
	}
}

func find(t *testing.T, name string) board.Kind {
	t.Helper()
	k, ok := board.Find(name)
	if !ok {
		t.Fatalf("there is no board %s", name)
	}
	return k
}

// TestKinds: boards have names of their own, each is found by it, and one that stands for a matter has images for it.
func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range board.Kinds() {
		if got := find(t, k.Name); got.What != k.What || seen[k.Name] {
			t.Errorf("%s is there twice", k.Name)
		}
		seen[k.Name] = true
		if k.Matter && (len(k.Versions) == 0 || k.Smoke) {
			t.Errorf("%s: versions %v, smoke %v", k.Name, k.Versions, k.Smoke)
		}
	}
	if _, ok := board.Find("toaster"); ok {
		t.Error("there is a toaster")
	}
}

// TestMissing: a board needs its kernel and its own files of the cache, and says which is not there.
func TestMissing(t *testing.T) {
	cache, own := t.TempDir(), find(t, "arm64-uboot-own")
	if got := own.Missing(cache); got != "arm64/boot" {
		t.Errorf("%q", got)
	}
	if err := os.MkdirAll(filepath.Join(cache, "arm64", "boot"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := own.Missing(cache); got != own.Cached[0] {
		t.Errorf("%q", got)
	}
	if got := find(t, "arm64-uboot").Missing(cache); got != "" {
		t.Errorf("%q", got)
	}
}

// TestWhere: a write is named after the partition that it goes to.
func TestWhere(t *testing.T) {
	k := find(t, "arm64-uboot")
	for _, p := range k.Parts {
		for _, at := range []int64{p.Start, p.Start + p.Size - 1} {
			if got := k.Where(disk.Write{At: at, N: 1}); got != p.Name {
				t.Errorf("sector %d: %q, want %q", at, got, p.Name)
			}
		}
	}
	if got := k.Where(disk.Write{At: 1, N: 1}); got != "outside" {
		t.Errorf("the partition table: %q", got)
	}
	if got := k.Where(disk.Write{}); got != "flush" {
		t.Errorf("no sectors: %q", got)
	}
	if k.Where(disk.Write{At: board.SlotBytes("B") / image.Sector, N: 1}) != "slot-b" ||
		board.SlotPath("B") != "/dev/vda3" {
		t.Error("slot B is elsewhere")
	}
}

// TestTree: a system has what its board boots and what its device trusts, and the configuration names that file.
func TestTree(t *testing.T) {
	for name, anchor := range map[string]string{"arm64-uboot": "etc/ratchet/release.pub.pem",
		"arm64-tpm": "etc/ratchet/root-bundle.cbor"} {
		k := find(t, name)
		_, files := k.Tree(board.System{Version: "1.2.3", Kernel: "/kernel", Anchor: "/anchor"})
		if files[anchor].From != "/anchor" || files["boot/"+k.Kernel].From != "/kernel" ||
			files["etc/rig/version"].Text != "1.2.3\n" {
			t.Errorf("%s: %v", name, files)
		}
		if !strings.Contains(k.Trusts(), `"/`+anchor+`"`) {
			t.Errorf("%s trusts %s", name, k.Trusts())
		}
	}
}
