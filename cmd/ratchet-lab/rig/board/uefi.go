package board

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
)

// x86UEFI has no bootloader: the firmware starts the slot's kernel by its load option. Its variables are in
// flash, which the write log of the disk does not have, so that its power is not cut here.
var x86UEFI = Kind{
	Name: "x86-uefi", What: "x86_64, OVMF alone: BootOrder and BootNext, kernels by their EFI stub",
	Arch: "amd64", console: "ttyS0", Kernel: "vmlinuz",
	qemu:     "qemu-system-x86_64",
	hardware: func(dir string) []string { return ovmfKept(dir, 256) },
	Tries:    1, Uncut: true, Forgets: true,
	Parts:   kernelParts(),
	modules: []string{"efivarfs"},
	mounts:  "efivarfs /sys/firmware/efi/efivars efivarfs\n",
	Boot:    "backend = \"uefi\"\ntries = 1\n",
	Script:  uefiArguments, flash: ovmfVariables,
	fill: func(ctx context.Context, _ Kind, dir, disk string) error {
		return kernelFill(ctx, dir, disk, nil, nil)
	},
	Make: uefiMake,
}

func uefiArguments(t Kind) (string, error) {
	return kernelArgs(t, "A") + "\n" + kernelArgs(t, "B") + "\n", nil
}

// Numbers of the slots' load options, and the vendor of the boot manager's variables (UEFI 2.10, section 3.3).
const (
	optionA    = 0x10
	optionB    = 0x11
	bootVendor = "-8be4df61-93ca-11d2-aa0d-00e098032b8c"
)

// loadOption is an EFI_LOAD_OPTION (UEFI 2.10, sections 3.1.3 and 10.3) for a file on the kernels' partition.
func loadOption(what, path, args string) []byte {
	le := binary.LittleEndian
	drive := []byte{4, 1, 42, 0}                            // media, hard drive
	drive = le.AppendUint32(drive, kernelPart)              // partition
	drive = le.AppendUint64(drive, EnvAt)                   // start
	drive = le.AppendUint64(drive, kernelSize/image.Sector) // blocks
	// The partition's GUID c0ffee00-0000-4000-8000-000000000005, its first three parts little endian.
	drive = append(drive, 0x00, 0xee, 0xff, 0xc0, 0, 0, 0, 0x40, 0x80, 0, 0, 0, 0, 0, 0, kernelPart)
	drive = append(drive, 2, 2) // GPT, GUID
	name := utf16(path)
	file := append(le.AppendUint16([]byte{4, 4}, uint16(4+len(name))), name...) // media, file path
	paths := bytes.Join([][]byte{drive, file, {0x7f, 0xff, 4, 0}}, nil)
	b := le.AppendUint32(nil, 1) // active
	b = le.AppendUint16(b, uint16(len(paths)))
	return bytes.Join([][]byte{b, utf16(what), paths, utf16(args)}, nil)
}

// factoryVariables are the load options and BootOrder, as efivarfs takes them, by their names in the
// factory's initramfs: A boots, B is in no order.
func factoryVariables(t Kind) map[string]string {
	vars := map[string]string{}
	const attributes = "\x07\x00\x00\x00" // kept, at boot and at run time
	for n, slot := range map[int]string{optionA: "A", optionB: "B"} {
		low := map[string]string{"A": "a", "B": "b"}[slot]
		args := kernelArgs(t, slot) + " ratchet.slot=" + slot + ` initrd=\ratchet\` + low + `\initrd`
		vars[fmt.Sprintf("efivars/Boot%04X%s", n, bootVendor)] = attributes +
			string(loadOption("ratchet "+slot, `\ratchet\`+low+`\vmlinuz`, args))
	}
	vars["efivars/BootOrder"+bootVendor] = attributes + string([]byte{optionA, 0})
	return vars
}

// uefiMake is the factory's step of this board: the firmware starts a kernel that QEMU hands it, whose
// initramfs writes the load options and BootOrder through efivarfs.
func uefiMake(ctx context.Context, t Kind, f Factory) error {
	kernels := filepath.Join(f.Cache, t.Arch)
	initrd, err := initramfs(filepath.Join(f.Bin, "rig", t.Arch, "guest"), filepath.Join(kernels, "lib", "modules"),
		[]string{"efivarfs"}, factoryVariables(t))
	if err != nil {
		return err
	}
	path, device := filepath.Join(f.Dir, "factory-initrd"), filepath.Join(f.Dir, "device.img")
	if err := errors.Join(os.WriteFile(path, initrd, 0o644),
		image.CopySparse(filepath.Join(f.Dir, "factory.img"), device)); err != nil {
		return err
	}
	t.hardware = func(dir string) []string {
		return append(ovmfKept(dir, 256), "-no-reboot", "-kernel", filepath.Join(dir, "vmlinuz"), "-initrd", path,
			"-append", "console=ttyS0 quiet panic=1 rig.factory=efivars")
	}
	m, err := t.Power(ctx, Supply{Dir: f.Dir, Disk: device, Console: filepath.Join(f.Dir, "factory.console"),
		KVM: f.KVM})
	if err != nil {
		return err
	}
	defer m.Cut()
	return m.Follow(ctx, 2*time.Minute, "the factory's variables",
		func(line string) bool { return strings.HasSuffix(line, "rig: factory done") })
}
