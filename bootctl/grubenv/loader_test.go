//go:build loader

package grubenv_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl/bootmodel"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/grubenv"
)

// TestScriptInGRUB runs grub.cfg in Debian's grub-emu, with save_env on a disk, and compares what boots
// and what is saved with the model. It needs grub-emu and e2fsprogs:
//
//	go test -tags loader -run TestScriptInGRUB ./bootctl/grubenv
func TestScriptInGRUB(t *testing.T) {
	board := regexp.MustCompile(`(?s)  if \[ "\$1" = "A" \]; then set ratchet_part.*?boot\n  fi\n`)
	source := board.ReplaceAllLiteralString(grubenv.Script(), `
  if [ "$loads" = "all" -o "$loads" = "$1" ]; then echo RIG-BOOT-$1-; exit; fi
`)
	if source == grubenv.Script() {
		t.Fatal("the lines marked BOARD are not found")
	}
	source = strings.Replace(source, "(hd0,gpt1)/grubenv", "(hd0)/grubenv", 1)
	source = strings.Replace(source, "sleep 5\nreboot", "echo RIG-REBOOT\nexit", 1)

	for _, c := range []struct {
		vars  string
		loads string
	}{
		{"", "all"},
		{"", "B"},
		{"invalid", "all"},
		{"invalid", "B"},
		{"ORDER=A B,A_OK=1,A_TRY=0,A_GOOD=1", "all"},
		{"ORDER=B A,A_OK=1,A_TRY=0,A_GOOD=1,B_OK=1,B_TRY=0,B_GOOD=0", "all"},
		{"ORDER=B A,A_OK=1,A_TRY=0,A_GOOD=1,B_OK=1,B_TRY=0,B_GOOD=0", "A"},
		{"ORDER=B A,A_OK=1,A_TRY=0,A_GOOD=1,B_OK=1,B_TRY=1,B_GOOD=0", "all"},
		{"ORDER=B A,A_OK=1,A_TRY=1,A_GOOD=1,B_OK=1,B_TRY=1,B_GOOD=0", "all"},
		{"ORDER=B A,A_OK=1,A_TRY=1,B_OK=1,B_TRY=1", "all"},
		{"ORDER=A B,A_OK=1,A_TRY=1,A_GOOD=0,B_OK=0,B_TRY=0,B_GOOD=0", "all"},
		{"ORDER=R B A,A_OK=1,B_OK=yes,A_GOOD=0", "all"},
		{"ORDER=,A_OK=1,A_GOOD=1", "all"},
		{"ORDER=B A,A_OK=1,A_GOOD=1,B_OK=1,B_GOOD=0,zz=" + strings.Repeat("x", 948), "all"}, // no room to count B
	} {
		dir := t.TempDir()
		root := filepath.Join(dir, "root")
		if err := os.Mkdir(root, 0o700); err != nil {
			t.Fatal(err)
		}
		var vars []string
		if c.vars != "" {
			vars = strings.Split(c.vars, ",")
		}
		raw := make([]byte, grubenv.Size)
		if c.vars != "invalid" {
			var err error
			if raw, err = grubenv.Encode(vars); err != nil {
				t.Fatal(err)
			}
		}
		write(t, filepath.Join(root, "grubenv"), raw)
		write(t, filepath.Join(dir, "grub.cfg"), []byte("set loads="+c.loads+"\n"+source))
		disk := filepath.Join(dir, "disk")
		run(t, "mke2fs", "-q", "-t", "ext2", "-d", root, disk, "4M")
		write(t, filepath.Join(dir, "device.map"), []byte("(hd0) "+disk+"\n"))
		out := run(t, "timeout", "-s", "KILL", "20", "grub-emu", "-m", filepath.Join(dir, "device.map"), "-d", dir)
		booted := ""
		if m := regexp.MustCompile(`RIG-BOOT-(\w+)-`).FindStringSubmatch(out); m != nil {
			booted = m[1]
		} else if !strings.Contains(out, "RIG-REBOOT") {
			t.Fatalf("%v: GRUB says\n%s", c, out)
		}
		got := []byte(run(t, "debugfs", "-R", "cat /grubenv", disk))
		if i := strings.Index(string(got), "# GRUB"); i > 0 {
			got = got[i:] // debugfs says its version first
		}

		d := &boottest.Disk{}
		d.Put(file, raw)
		slot, _, err := bootmodel.GRUB{FS: d, Path: file,
			Loads: func(s string) bool { return c.loads == "all" || c.loads == s }}.Boot()
		if err != nil {
			t.Fatal(err)
		}
		if booted != slot {
			t.Errorf("%v: GRUB boots %q, the model %q", c, booted, slot)
		}
		g, gerr := grubenv.Decode(got)
		w, werr := grubenv.Decode(d.Get(file))
		if !slices.Equal(g, w) || (gerr == nil) != (werr == nil) {
			t.Errorf("%v: GRUB left %q (%v), the model %q (%v)", c, g, gerr, w, werr)
		}
		t.Logf("%.80v: %q %.100q", c, booted, g)
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "TERM=dumb")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}
