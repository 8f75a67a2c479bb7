package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ratchet-ota/ratchet/bootctl/grubenv"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
)

// target is a kind of board: firmware, bootloader, and what of the reference script is adapted to it.
type target struct {
	name    string // of the report and the command line
	what    string // in words
	arch    string // GOARCH of the guest
	console string
	kernel  string // its name in the slot, below boot/
}

var targets = []target{
	{name: "arm64-uboot", what: "arm64, U-Boot of Debian's u-boot-qemu, redundant environment", arch: "arm64", console: "ttyAMA0", kernel: "Image"},
	{name: "x86-grub", what: "x86_64, OVMF, GRUB, grubenv on the EFI system partition", arch: "amd64", console: "ttyS0", kernel: "vmlinuz"},
}

func (t target) uboot() bool { return t.arch == "arm64" }

// Where things are on the disk, in sectors of 512 bytes. Slots are 2 and 3, as in the reference scripts.
const (
	sector    = 512
	bootStart = 2048
	bootSize  = 16 << 20
	slotSize  = 64 << 20
	stateSize = 32 << 20
	envSize   = 1 << 20
	slotAt    = bootStart + bootSize/sector
	stateAt   = slotAt + 2*slotSize/sector
	envAt     = stateAt + stateSize/sector
	diskSize  = (envAt+envSize/sector)*sector + 1<<20
	envCopy   = 16 << 10 // bytes of one copy of the U-Boot environment
)

// part is one partition.
type part struct {
	number, start, size int64 // sectors
	name                string
}

func (t target) parts() []part {
	kind := []part{{1, bootStart, bootSize / sector, "boot"}, {2, slotAt, slotSize / sector, "slot-a"}, {3, slotAt + slotSize/sector, slotSize / sector, "slot-b"},
		{4, stateAt, stateSize / sector, "state"}}
	if t.uboot() {
		kind = append(kind, part{5, envAt, envSize / sector, "env"})
	}
	return kind
}

// adapt changes the reference script at its lines marked BOARD, and fails where it is not what it was.
func adapt(script string, changes [][2]string) (string, error) {
	for _, c := range changes {
		if !strings.Contains(script, c[0]) {
			return "", fmt.Errorf("the reference script has changed: %q is not in it; adapt the rig", c[0])
		}
		script = strings.ReplaceAll(script, c[0], c[1])
	}
	return script, nil
}

// bootScript is boot.cmd for QEMU's board. Its U-Boot has its environment in flash, one copy; the
// redundant one on the disk is read and written by variables (see flashEnvironment).
func (t target) bootScript() (string, error) {
	return adapt(ubootenv.Script(), [][2]string{
		{"root=/dev/mmcblk0p${rt_part}", "root=/dev/vda${rt_part}"},
		{"panic=10", "panic=1"},
		{"load mmc 0:${rt_part} ${kernel_addr_r} boot/Image", "load virtio 0:${rt_part} ${kernel_addr_r} boot/Image && load virtio 0:${rt_part} ${ramdisk_addr_r} boot/initrd"},
		{"booti ${kernel_addr_r} - ${fdt_addr}", "booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdt_addr}"},
		{"saveenv; then", "run rt_save; then"},
		{"  saveenv\n", "  run rt_save\n"},
	})
}

func (t target) grubConfig() (string, error) {
	s, err := adapt(grubenv.Script(), [][2]string{
		{"root=/dev/sda$ratchet_part", "root=/dev/vda$ratchet_part"},
		{"panic=10", "panic=1"},
		{"    boot\n", "    initrd /boot/initrd\n    boot\n"},
	})
	return "set ratchet_args=\"console=" + t.console + " quiet\"\n" + s, err
}

// saved are the variables that the board's environment holds; board_serial stands for those that are
// somebody else's.
const saved = "bootcmd board_serial BOOT_ORDER BOOT_A_LEFT BOOT_A_GOOD BOOT_B_LEFT BOOT_B_GOOD"

// flashEnvironment is what the board's manufacturer puts into the flash: addresses, and rt_load and
// rt_save, which are U-Boot's own env_import_redund and saveenv for two copies on the disk, written in
// hush: CRC, serial number, data (u-boot include/env_internal.h). "env import -c" knows CRC and data only,
// so the serial number is cut out and put in again. fw_printenv reads the result as it reads any
// redundant environment.
func (t target) flashEnvironment() []string {
	load := []string{
		"virtio scan",
		fmt.Sprintf("virtio read 43000000 %x %x", envAt, 2*envCopy/sector),
		"cp.b 43000000 43010000 4", "cp.b 43000005 43010004 3ffb", "setexpr.b rt_f0 *43000004",
		"cp.b 43004000 43014000 4", "cp.b 43004005 43014004 3ffb", "setexpr.b rt_f1 *43004004",
		"setenv rt_v n", "env import -c 43010000 3fff rt_none && setenv rt_v y",
		"setenv rt_w n", "env import -c 43014000 3fff rt_none && setenv rt_w y",
		"setenv rt_cur x",
		"test ${rt_v} = y && setenv rt_cur 0",
		"if test ${rt_w} = y; then if test ${rt_v} = n; then setenv rt_cur 1; else " +
			"if itest 0x${rt_f1} -gt 0x${rt_f0}; then setenv rt_cur 1; fi; " +
			"if test ${rt_f0}${rt_f1} = ff0; then setenv rt_cur 1; fi; " +
			"if test ${rt_f1}${rt_f0} = ff0; then setenv rt_cur 0; fi; fi; fi",
		"echo rig: environment ${rt_v}${rt_w} serials ${rt_f0} ${rt_f1} takes copy ${rt_cur}",
		"if test ${rt_cur} = 0; then env import -c 43010000 3fff; setenv rt_serial ${rt_f0}; fi",
		"if test ${rt_cur} = 1; then env import -c 43014000 3fff; setenv rt_serial ${rt_f1}; fi",
		"if test ${rt_cur} = x; then setenv rt_serial 0; setenv rt_cur 1; fi",
	}
	save := []string{
		"setexpr rt_serial ${rt_serial} + 1",
		"if test ${rt_serial} = 100; then setenv rt_serial 0; fi",
		"env export -c -s 3fff 43010000 " + saved,
		"cp.b 43010000 43000000 4", "mw.b 43000004 ${rt_serial} 1", "cp.b 43010004 43000005 3ffb",
		fmt.Sprintf("if test ${rt_cur} = 0; then setenv rt_cur 1; setenv rt_at %x; else setenv rt_cur 0; setenv rt_at %x; fi", envAt+envCopy/sector, envAt),
		fmt.Sprintf("virtio write 43000000 ${rt_at} %x", envCopy/sector),
	}
	return append(t.diskEnvironment(),
		"bootdelay=0", "kernel_addr_r=0x40400000", "ramdisk_addr_r=0x44000000", "fdt_addr=0x40000000",
		"fdt_high=0xffffffff", "initrd_high=0xffffffff", "scriptaddr=0x40200000",
		"ratchet_args=console="+t.console+" quiet",
		"rt_load="+strings.Join(load, "; "), "rt_save="+strings.Join(save, "; "))
}

// diskEnvironment is what the factory puts into the environment on the disk.
func (t target) diskEnvironment() []string {
	return []string{"bootcmd=run rt_load; load virtio 0:1 ${scriptaddr} boot.scr && source ${scriptaddr}", "board_serial=rig-0001"}
}

// makeDisk lays out a device that runs the image in slot A, as it leaves the factory.
func (t target) makeDisk(ctx context.Context, out, image string, state map[string]file) error {
	dir := filepath.Dir(out)
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	disk, err := os.Create(out)
	if err != nil {
		return err
	}
	if err := errors.Join(disk.Truncate(diskSize), disk.Close()); err != nil {
		return err
	}
	args := []string{"-a", "8", "-U", "c0ffee00-0000-4000-8000-00000000d15c"}
	for _, p := range t.parts() {
		kind := "8300"
		if p.number == 1 && !t.uboot() {
			kind = "ef00"
		}
		args = append(args, "-n", fmt.Sprintf("%d:%d:%d", p.number, p.start, p.start+p.size-1), "-c", fmt.Sprintf("%d:%s", p.number, p.name),
			"-t", fmt.Sprintf("%d:%s", p.number, kind), "-u", fmt.Sprintf("%d:c0ffee00-0000-4000-8000-%012x", p.number, p.number))
	}
	if _, err := tool(ctx, "", "sgdisk", append(args, out)...); err != nil {
		return err
	}
	if err := t.makeBoot(ctx, dir, out); err != nil {
		return err
	}
	fs := filepath.Join(dir, "state.img")
	if err := makeExt4(ctx, fs, stateSize, 4, true, nil, state); err != nil {
		return err
	}
	defer os.Remove(fs)
	return errors.Join(copyAt(out, image, slotAt*sector), copyAt(out, fs, stateAt*sector))
}

// makeBoot fills the boot partition, and for U-Boot the environment.
func (t target) makeBoot(ctx context.Context, dir, disk string) error {
	if t.uboot() {
		script, err := t.bootScript()
		if err != nil {
			return err
		}
		cmd, scr, fs := filepath.Join(dir, "boot.cmd"), filepath.Join(dir, "boot.scr"), filepath.Join(dir, "boot.img")
		if err := os.WriteFile(cmd, []byte(script), 0o644); err != nil {
			return err
		}
		if _, err := tool(ctx, "", "mkimage", "-A", "arm64", "-T", "script", "-C", "none", "-n", "ratchet", "-d", cmd, scr); err != nil {
			return err
		}
		if err := makeExt4(ctx, fs, bootSize, 1, false, nil, map[string]file{"boot.scr": {from: scr}}); err != nil {
			return err
		}
		defer os.Remove(fs)
		var env []byte
		for serial := 1; serial >= 0; serial-- { // copy 0 counts
			b, err := ubootenv.Encode(t.diskEnvironment(), envCopy, serial)
			if err != nil {
				return err
			}
			env = append(env, b...)
		}
		return errors.Join(copyAt(disk, fs, bootStart*sector), writeAt(disk, env, envAt*sector))
	}
	config, err := t.grubConfig()
	if err != nil {
		return err
	}
	cfg, efi, env := filepath.Join(dir, "grub.cfg"), filepath.Join(dir, "grubx64.efi"), filepath.Join(dir, "grubenv")
	// The factory says which slot is good. With nothing said, GRUB counts the one try of the first boot,
	// and a power cut in it leads to the empty slot.
	block, err := grubenv.Encode([]string{"ORDER=A", "A_OK=1", "A_TRY=0", "A_GOOD=1", "B_OK=0", "B_TRY=0"})
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(cfg, []byte(config), 0o644), os.WriteFile(env, block, 0o644)); err != nil {
		return err
	}
	modules := "part_gpt fat ext2 normal linux loadenv test echo search sleep reboot serial terminal true"
	if _, err := tool(ctx, "", "grub-mkstandalone", "-O", "x86_64-efi", "-o", efi, "--modules="+modules, "--install-modules="+modules,
		"--locales=", "--fonts=", "--themes=", "boot/grub/grub.cfg="+cfg); err != nil {
		return err
	}
	esp := fmt.Sprintf("%s@@%d", disk, bootStart*sector)
	if _, err := tool(ctx, "", "mformat", "-i", esp, "-N", "c0ffee01", "-T", fmt.Sprint(bootSize/sector), "::"); err != nil {
		return err
	}
	if _, err := tool(ctx, "", "mmd", "-i", esp, "::EFI", "::EFI/BOOT"); err != nil {
		return err
	}
	if _, err := tool(ctx, "", "mcopy", "-i", esp, efi, "::EFI/BOOT/BOOTX64.EFI"); err != nil {
		return err
	}
	_, err = tool(ctx, "", "mcopy", "-i", esp, env, "::grubenv")
	return err
}

func copyAt(disk, from string, offset int64) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return writeAt(disk, b, offset)
}

// writeAt writes what is not zero, so that the disk stays small.
func writeAt(disk string, b []byte, offset int64) error {
	f, err := os.OpenFile(disk, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	const piece = 64 << 10
	zero := string(make([]byte, piece))
	for i := 0; i < len(b) && err == nil; i += piece {
		p := b[i:min(i+piece, len(b))]
		if string(p) != zero[:len(p)] {
			_, err = f.WriteAt(p, offset+int64(i))
		}
	}
	return errors.Join(err, f.Close())
}

// slotTree is the root file system of one version.
func (t target) slotTree(version string, kernel, agent, guest, initrd, key, ca, sickness, config string) ([]string, map[string]file) {
	files := map[string]file{
		"boot/" + t.kernel:            {from: kernel},
		"boot/initrd":                 {from: initrd},
		"sbin/init":                   {from: guest, mode: 0o755},
		"usr/bin/ratchet":             {from: agent, mode: 0o755},
		"etc/ratchet/ratchet.toml":    {text: config},
		"etc/ratchet/release.pub.pem": {from: key},
		"etc/ratchet/ca.pem":          {from: ca},
		"etc/rig/version":             {text: version + "\n"},
		"etc/rig/sickness":            {text: sickness + "\n"},
		"etc/rig/mounts":              {text: t.mounts()},
		"etc/fw_env.config":           {text: fmt.Sprintf("/dev/vda5 0x0 0x%x\n/dev/vda5 0x%x 0x%x\n", envCopy, envCopy, envCopy)},
	}
	return []string{"dev", "proc", "sys", "run", "tmp", "var/lib/ratchet", "var/lock", "boot/efi"}, files
}

func (t target) mounts() string {
	m := "/dev/vda4 /var/lib/ratchet ext4\n"
	if !t.uboot() {
		m += "/dev/vda1 /boot/efi vfat\n"
	}
	return m
}

// bootSection is the [boot] section of the device's configuration.
func (t target) bootSection() string {
	if t.uboot() {
		return "backend = \"u-boot\"\ntries = 3\n"
	}
	return "backend = \"grub\"\ngrubenv = \"/boot/efi/grubenv\"\n"
}
