//go:build loader

package ubootenv_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl/bootmodel"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
)

// TestScriptInUBoot runs boot.cmd in a real U-Boot in QEMU, on environments that the model boots, too,
// and compares what boots and what is saved. It needs Debian's qemu-system-arm, u-boot-qemu and
// u-boot-tools:
//
//	go test -tags loader -run TestScriptInUBoot ./bootctl/ubootenv
func TestScriptInUBoot(t *testing.T) {
	const envSize = 0x40000 // of Debian's qemu_arm64
	dir := t.TempDir()
	script := filepath.Join(dir, "boot.scr")
	board := regexp.MustCompile(`(?s)    setenv bootargs "\$\{ratchet_args\}.*?    fi\n`)
	source := board.ReplaceAllLiteralString(ubootenv.Script(), `
    if test "x${loads}" = "xall" || test "x${loads}" = "x${rt_slot}"; then echo RIG-BOOT ${rt_slot}; reset; fi
`)
	if source == ubootenv.Script() {
		t.Fatal("the lines marked BOARD are not found")
	}
	// QEMU's flash is too slow for this U-Boot's saveenv; it exports the same bytes to a disk instead.
	source = strings.ReplaceAll(source, " && saveenv;", " && run rigsave;")
	source = strings.ReplaceAll(source, "  saveenv\n", "  run rigsave\n")
	source = strings.Replace(source, "sleep 3\nreset", "echo RIG-RESET\nreset", 1)
	write(t, filepath.Join(dir, "boot.cmd"), []byte(source))
	run(t, "mkimage", "-A", "arm64", "-T", "script", "-C", "none", "-d", filepath.Join(dir, "boot.cmd"), script)

	for i, c := range []struct{ vars, loads string }{
		{"", "all"},
		{"", "B"},
		{"BOOT_ORDER=A B,BOOT_A_LEFT=3,BOOT_A_GOOD=1", "all"},
		{"BOOT_ORDER=B A,BOOT_A_LEFT=3,BOOT_A_GOOD=1,BOOT_B_LEFT=2,BOOT_B_GOOD=0", "all"},
		{"BOOT_ORDER=B A,BOOT_A_LEFT=3,BOOT_A_GOOD=1,BOOT_B_LEFT=2,BOOT_B_GOOD=0", "A"},
		{"BOOT_ORDER=B A,BOOT_A_LEFT=3,BOOT_A_GOOD=1,BOOT_B_LEFT=0,BOOT_B_GOOD=0", "all"},
		{"BOOT_ORDER=B A,BOOT_A_LEFT=0,BOOT_A_GOOD=1,BOOT_B_LEFT=0,BOOT_B_GOOD=0", "all"},
		{"BOOT_ORDER=B A,BOOT_A_LEFT=0,BOOT_B_LEFT=0", "all"},
		{"BOOT_ORDER=B A,BOOT_A_LEFT=0,BOOT_A_GOOD=0,BOOT_B_LEFT=0,BOOT_B_GOOD=0", "all"},
		{"BOOT_ORDER=R B A,BOOT_A_LEFT=9,BOOT_B_LEFT=9,BOOT_B_GOOD=0", "all"},
		{"BOOT_ORDER=A B,BOOT_A_LEFT=a,BOOT_A_GOOD=1,BOOT_B_LEFT=10,BOOT_B_GOOD=1", "all"},
		{"BOOT_ORDER=B A,BOOT_A_LEFT=3,BOOT_A_GOOD=1,BOOT_B_LEFT=2,BOOT_B_GOOD=0,.flags=BOOT_B_LEFT:dr", "all"},
		{"BOOT_ORDER=B A,BOOT_A_LEFT=3,BOOT_A_GOOD=1,BOOT_B_LEFT=2,BOOT_B_GOOD=0,.flags=BOOT_B_LEFT:do", "all"},
		{".flags=BOOT_B_LEFT:do,BOOT_ORDER=B A,BOOT_A_LEFT=3,BOOT_A_GOOD=1,BOOT_B_LEFT=2,BOOT_B_GOOD=0", "all"},
		{"BOOT_ORDER=A,BOOT_A_LEFT=1,BOOT_A_GOOD=yes,BOOT_B_LEFT=3", "B"},
	} {
		vars := []string{"rigsave=env export -c -s 0x40000 0x48000000 && virtio write 0x48000000 0 0x200",
			"bootdelay=0", "bootcmd=virtio scan; source 0x40200000", "loads=" + c.loads, `slash=a\\b`, `gone=a\b`}
		if c.vars != "" {
			vars = append(vars, strings.Split(c.vars, ",")...)
		}
		raw, err := ubootenv.Encode(vars, envSize, -1)
		if err != nil {
			t.Fatal(err)
		}
		flash := filepath.Join(dir, fmt.Sprintf("flash%d.img", i))
		write(t, flash, raw)
		if err := os.Truncate(flash, 64<<20); err != nil {
			t.Fatal(err)
		}
		disk := filepath.Join(dir, fmt.Sprintf("disk%d.img", i))
		write(t, disk, raw)
		out := run(t, "timeout", "-s", "KILL", "60", "qemu-system-aarch64", "-M", "virt", "-cpu",
			"cortex-a57", "-m", "512", "-accel", "tcg", "-nodefaults", "-display", "none", "-no-reboot",
			"-serial", "stdio", "-bios", "/usr/lib/u-boot/qemu_arm64/u-boot.bin",
			"-drive", "if=pflash,format=raw,index=1,file="+flash,
			"-drive", "if=none,id=d0,format=raw,file="+disk, "-device", "virtio-blk-pci,drive=d0",
			"-device", "loader,file="+script+",addr=0x40200000,force-raw=on")
		booted := ""
		if m := regexp.MustCompile(`RIG-BOOT (\S+)`).FindStringSubmatch(out); m != nil {
			booted = m[1]
		} else if !strings.Contains(out, "RIG-RESET") {
			t.Fatalf("%v: U-Boot says\n%s", c, out)
		}
		saved, err := os.ReadFile(disk)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ubootenv.Decode(saved, false)
		if err != nil {
			t.Fatalf("%v: U-Boot left %v\n%s", c, err, out)
		}

		d := &boottest.Disk{}
		d.Put("/env", raw)
		m := bootmodel.UBoot{FS: d, Copies: []bootmodel.Copy{{Path: "/env", Size: envSize}}, Once: true,
			Loads: func(s string) bool {
				return c.loads == "all" || c.loads == s
			}}
		slot, _, err := m.Boot()
		if err != nil {
			t.Fatal(err)
		}
		want, err := ubootenv.Decode(d.Get("/env"), false)
		if err != nil {
			t.Fatal(err)
		}
		if booted != slot {
			t.Errorf("%v: U-Boot boots %q, the model %q", c, booted, slot)
		}
		if g, w := slots(got), slots(want); !slices.Equal(g, w) {
			t.Errorf("%v: U-Boot left %q, the model %q", c, g, w)
		}
		t.Logf("%v: %q %q", c, booted, slots(got))
	}
}

// slots are the variables that the model keeps, sorted. U-Boot sets some of its own besides.
func slots(vars []string) (out []string) {
	for _, v := range vars {
		if strings.HasPrefix(v, "BOOT_") || strings.HasPrefix(v, "slash=") || strings.HasPrefix(v, "gone=") ||
			strings.HasPrefix(v, "rt_") {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}
