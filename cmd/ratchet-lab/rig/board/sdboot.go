package board

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/bootmodel"
	"github.com/ratchet-ota/ratchet/bootctl/sdboot"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/hal/linux"
)

const systemdBoot = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"

// x86SDBoot has a kernel for each slot on the EFI system partition, where systemd-boot looks for them. They
// are the factory's: an update of this board brings the root file system alone.
var x86SDBoot = Kind{
	Name: "x86-sdboot", What: "x86_64, OVMF, systemd-boot with boot counting, entries on the EFI system partition",
	Arch: "amd64", console: "ttyS0", Kernel: "vmlinuz",
	qemu:     "qemu-system-x86_64",
	hardware: func(dir string) []string { return ovmf(dir, 256) },
	Tries:    3, SmokeBoots: 3,
	Parts:  kernelParts(),
	mounts: fmt.Sprintf("/dev/vda%d /efi vfat\n", kernelPart),
	Boot:   "backend = \"systemd-boot\"\nentries = \"/efi/loader/entries\"\ntries = 3\n",
	Script: sdbootEntries, flash: ovmfVariables, fill: sdbootFill,
	Metadata: func(ctx context.Context, a Access) (bootctl.State, error) {
		dir := filepath.Join(a.Dir, "sdboot")
		if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755), sdbootExtract(ctx, a, dir)); err != nil {
			return bootctl.State{}, err
		}
		b, err := sdbootBackend(dir, "")
		if err != nil {
			return bootctl.State{}, err
		}
		return b.State(ctx)
	},
	Model: &Model{
		Extract: sdbootExtract,
		Backend: func(dir, state string) (bootctl.Backend, error) {
			return sdbootBackend(dir, filepath.Join(state, "boot-shadow"))
		},
		Boot: func(dir string) (string, error) {
			slot, _, err := bootmodel.SystemdBoot{FS: linux.FS{}, Folder: filepath.Join(dir, "entries"),
				Config: filepath.Join(dir, "loader.conf")}.Boot()
			return slot, err
		},
	},
}

func sdbootBackend(dir, shadow string) (bootctl.Backend, error) {
	return sdboot.New(linux.FS{}, sdboot.Options{Folder: filepath.Join(dir, "entries"), Locks: []string{},
		Shadow: shadow, Slots: []bootctl.Slot{"A", "B"}})
}

// sdbootExtract copies loader.conf and the entries, as files, into dir.
func sdbootExtract(ctx context.Context, a Access, dir string) error {
	esp := filepath.Join(a.Dir, "esp")
	if err := os.WriteFile(esp, a.Part(kernelPart), 0o644); err != nil {
		return err
	}
	copied := func() error {
		_, err := image.Tool(ctx, "", "mcopy", "-n", "-s", "-i", esp, "::loader/loader.conf", "::loader/entries", dir)
		return err
	}
	if copied() == nil {
		return nil
	}
	// A file that was being made has its name before its clusters: a board runs fsck before it mounts
	// (docs/integration/bootloader.md). Exit code 1: things were put right.
	if _, err := image.Tool(ctx, "", "fsck.vfat", "-a", esp); err != nil &&
		!strings.Contains(err.Error(), "exit status 1:") {
		return err
	}
	if err := os.RemoveAll(filepath.Join(dir, "entries")); err != nil {
		return err
	}
	return copied()
}

// sdbootEntry is the reference entry of a slot, adapted. Nothing that systemd-boot prints says which
// entry it took, so that the initramfs does (rig.loader).
func sdbootEntry(t Kind, slot string) (string, error) {
	low := strings.ToLower(slot)
	s, err := adapt(string(sdboot.Reference(slot)), [][2]string{
		{"initrd /ratchet/" + low + "/initrd.img", "initrd /ratchet/" + low + "/initrd"},
		{"root=PARTLABEL=rootfs-" + low + " ro panic=10", kernelArgs(t, slot)},
	})
	if err != nil {
		return "", err
	}
	s = strings.TrimRight(s, "\n") + "\n"
	if len(s) > sdboot.Size {
		return "", fmt.Errorf("the entry of slot %s has %d bytes", slot, len(s))
	}
	return s + strings.Repeat("\n", sdboot.Size-len(s)), nil
}

func sdbootEntries(t Kind) (string, error) {
	a, err := sdbootEntry(t, "A")
	b, berr := sdbootEntry(t, "B")
	return a + b, errors.Join(err, berr)
}

// sdbootFill makes the EFI system partition: loader, entries, and a kernel for each slot.
func sdbootFill(ctx context.Context, t Kind, dir, disk string) error {
	a, err := sdbootEntry(t, "A")
	b, berr := sdbootEntry(t, "B")
	if err := errors.Join(err, berr); err != nil {
		return err
	}
	return kernelFill(ctx, dir, disk, [][2]string{{systemdBoot, "EFI/BOOT/BOOTX64.EFI"},
		{systemdBoot, "EFI/systemd/systemd-bootx64.efi"}},
		map[string]string{"loader/loader.conf": sdboot.LoaderConf(), "loader/entries/ratchet-A.conf": a,
			"loader/entries/ratchet-B.conf": b})
}

// kernelPart is an EFI system partition with the kernels of both slots, where others have the
// environment of U-Boot.
const (
	kernelPart = 5
	kernelSize = 40 << 20
)

func kernelParts() []Part {
	return layout(Part{kernelPart, EnvAt, kernelSize / image.Sector, "esp"})[1:]
}

// kernelArgs is the kernel's command line. rig.loader has the initramfs say what these loaders do not.
func kernelArgs(t Kind, slot string) string {
	return fmt.Sprintf("root=/dev/vda%d rootwait ro console=%s quiet panic=1 rig.loader=mute", SlotPart(slot),
		t.console)
}

// kernelFill makes that partition, with files from the host, texts, and kernel and initramfs for each slot.
func kernelFill(ctx context.Context, dir, disk string, from [][2]string, texts map[string]string) error {
	for _, slot := range []string{"a", "b"} {
		from = append(from, [2]string{filepath.Join(dir, "vmlinuz"), "ratchet/" + slot + "/vmlinuz"},
			[2]string{filepath.Join(dir, "initrd"), "ratchet/" + slot + "/initrd"})
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		path := filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(path, []byte(texts[name]), 0o644); err != nil {
			return err
		}
		from = append(from, [2]string{path, name})
	}
	esp := fmt.Sprintf("%s@@%d", disk, EnvAt*image.Sector)
	sectors := fmt.Sprint(kernelSize / image.Sector)
	if _, err := image.Tool(ctx, "", "mformat", "-i", esp, "-N", "c0ffee05", "-T", sectors, "::"); err != nil {
		return err
	}
	made := map[string]bool{".": true}
	for _, f := range from {
		var above []string
		for d := filepath.Dir(f[1]); !made[d]; d = filepath.Dir(d) {
			made[d], above = true, append([]string{"::" + d}, above...)
		}
		if len(above) > 0 {
			if _, err := image.Tool(ctx, "", "mmd", append([]string{"-i", esp}, above...)...); err != nil {
				return err
			}
		}
		if _, err := image.Tool(ctx, "", "mcopy", "-i", esp, f[0], "::"+f[1]); err != nil {
			return err
		}
	}
	return nil
}

// utf16 is little-endian UTF-16 of ASCII, with a NUL.
func utf16(s string) []byte {
	var b bytes.Buffer
	for _, c := range []byte(s + "\x00") {
		b.Write([]byte{c, 0})
	}
	return b.Bytes()
}
