package board

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/hal/linux"
)

const (
	ubootBinary = "/usr/lib/u-boot/qemu_arm64/u-boot.bin"
	flashBytes  = 64 << 20  // one bank of QEMU's virt board
	flashEnv    = 256 << 10 // bytes at its start that U-Boot takes for the environment
	EnvCopy     = 16 << 10  // bytes of one copy of the environment on the disk
)

var arm64UBoot = Kind{
	Name: "arm64-uboot", What: "arm64, U-Boot of Debian's u-boot-qemu, redundant environment",
	Arch: "arm64", console: "ttyAMA0", Kernel: "Image",
	qemu: "qemu-system-aarch64",
	hardware: func(dir string) []string {
		return []string{"-M", "virt", "-cpu", "cortex-a57", "-m", "128", "-bios", ubootBinary,
			"-drive", "if=pflash,format=raw,index=1,snapshot=on,file=" + filepath.Join(dir, flashFile)}
	},
	Tries: 3, SmokeBoots: 7, Smoke: true,
	Parts: layout(Part{5, EnvAt, envSize / image.Sector, "env"}),
	Boot:  "backend = \"u-boot\"\ntries = 3\n",
	files: map[string]string{"etc/fw_env.config": fmt.Sprintf("/dev/vda5 0x0 0x%x\n/dev/vda5 0x%x 0x%x\n", EnvCopy,
		EnvCopy, EnvCopy)},
	Script: ubootScript, flash: ubootFlash, Metadata: ubootMetadata, Model: ubootModel(),
	fill: func(ctx context.Context, t Kind, dir, disk string) error {
		return fillUBoot(ctx, t, dir, disk, diskEnvironment())
	},
}

// boardLines are the lines marked BOARD, as QEMU's board needs them.
var boardLines = [][2]string{
	{"root=/dev/mmcblk0p${rt_part}", "root=/dev/vda${rt_part}"},
	{"panic=10", "panic=1"},
	{"load mmc 0:${rt_part} ${kernel_addr_r} boot/Image",
		"load virtio 0:${rt_part} ${kernel_addr_r} boot/Image && load virtio 0:${rt_part} " +
			"${ramdisk_addr_r} boot/initrd"},
	{"booti ${kernel_addr_r} - ${fdt_addr}", "booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdt_addr}"},
}

// ubootScript is boot.cmd for QEMU's board. Debian's U-Boot for it has its environment in flash, one copy; the
// redundant one on the disk is read and written by variables (see flashEnvironment).
func ubootScript(Kind) (string, error) {
	return adapt(ubootenv.Script(), append([][2]string{{"saveenv; then", "run rt_save; then"},
		{"  saveenv\n", "  run rt_save\n"}}, boardLines...))
}

// saved are the variables that the board's environment holds; board_serial stands for those that are
// somebody else's.
const saved = "bootcmd board_serial BOOT_ORDER BOOT_A_LEFT BOOT_A_GOOD BOOT_B_LEFT BOOT_B_GOOD"

// flashEnvironment is what the board's manufacturer puts into the flash: addresses, and rt_load and
// rt_save, which are U-Boot's own env_import_redund and saveenv for two copies on the disk, written in
// hush: CRC, serial number, data (u-boot include/env_internal.h). "env import -c" knows CRC and data only,
// so the serial number is cut out and put in again. fw_printenv reads the result as it reads any
// redundant environment.
func flashEnvironment(t Kind) []string {
	load := []string{
		"virtio scan",
		fmt.Sprintf("virtio read 43000000 %x %x", EnvAt, 2*EnvCopy/image.Sector),
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
		fmt.Sprintf("if test ${rt_cur} = 0; then setenv rt_cur 1; setenv rt_at %x; "+
			"else setenv rt_cur 0; setenv rt_at %x; fi", EnvAt+EnvCopy/image.Sector, EnvAt),
		fmt.Sprintf("virtio write 43000000 ${rt_at} %x", EnvCopy/image.Sector),
	}
	return append(diskEnvironment(),
		"bootdelay=0", "kernel_addr_r=0x40400000", "ramdisk_addr_r=0x44000000", "fdt_addr=0x40000000",
		"fdt_high=0xffffffff", "initrd_high=0xffffffff", "scriptaddr=0x40200000",
		"ratchet_args=console="+t.console+" quiet",
		"rt_load="+strings.Join(load, "; "), "rt_save="+strings.Join(save, "; "))
}

// diskEnvironment is what the factory puts into the environment on the disk.
func diskEnvironment() []string {
	return []string{"bootcmd=run rt_load; load virtio 0:1 ${scriptaddr} boot.scr && source ${scriptaddr}",
		"board_serial=rig-0001"}
}

// ubootFlash is the second bank: the environment of a U-Boot that has it there.
func ubootFlash(t Kind) ([]byte, error) {
	env, err := ubootenv.Encode(flashEnvironment(t), flashEnv, -1)
	return append(env, make([]byte, flashBytes-len(env))...), err
}

// fillUBoot makes boot.scr, and the environment on the disk.
func fillUBoot(ctx context.Context, t Kind, dir, disk string, vars []string) error {
	script, err := t.Script(t)
	if err != nil {
		return err
	}
	cmd, scr, fs := filepath.Join(dir, "boot.cmd"), filepath.Join(dir, "boot.scr"), filepath.Join(dir, "boot.img")
	if err := os.WriteFile(cmd, []byte(script), 0o644); err != nil {
		return err
	}
	_, err = image.Tool(ctx, "", "mkimage",
		"-A", "arm64", "-T", "script", "-C", "none", "-n", "ratchet", "-d", cmd, scr)
	if err != nil {
		return err
	}
	if err := image.Ext4(ctx, fs, bootSize, 1, false, nil, map[string]image.File{"boot.scr": {From: scr}}); err != nil {
		return err
	}
	defer os.Remove(fs)
	var env []byte
	for serial := 1; serial >= 0; serial-- { // copy 0 counts
		b, err := ubootenv.Encode(vars, EnvCopy, serial)
		if err != nil {
			return err
		}
		env = append(env, b...)
	}
	return errors.Join(image.CopyAt(disk, fs, bootStart*image.Sector), image.WriteAt(disk, env, EnvAt*image.Sector))
}

// ubootMetadata reads the environment with the agent's backend, and holds it against fw_printenv.
func ubootMetadata(ctx context.Context, a Access) (bootctl.State, error) {
	env := filepath.Join(a.Dir, "env")
	if err := os.WriteFile(env, a.Part(5)[:2*EnvCopy], 0o644); err != nil {
		return bootctl.State{}, err
	}
	b, err := ubootenv.New(linux.FS{}, ubootenv.Options{Locks: []string{}, Slots: []bootctl.Slot{"A", "B"},
		Copies: []ubootenv.Location{{Path: env, Size: EnvCopy}, {Path: env, Offset: EnvCopy, Size: EnvCopy}}})
	if err != nil {
		return bootctl.State{}, err
	}
	s, err := b.State(ctx)
	if err != nil {
		return s, err
	}
	fw := filepath.Join(a.Dir, "fw_env.config")
	if err := os.WriteFile(fw, fmt.Appendf(nil, "%s 0x0 0x%x\n%s 0x%x 0x%x\n", env, EnvCopy, env, EnvCopy, EnvCopy),
		0o644); err != nil {
		return s, err
	}
	out, err := image.Tool(ctx, "", "fw_printenv", "-c", fw)
	if err != nil {
		return s, err
	}
	order := "A B"
	serial := ""
	for _, l := range strings.Split(string(out), "\n") {
		if v, ok := strings.CutPrefix(l, "BOOT_ORDER="); ok {
			order = v
		}
		if v, ok := strings.CutPrefix(l, "board_serial="); ok {
			serial = v
		}
	}
	if !strings.HasPrefix(order, string(s.Next)) {
		return s, fmt.Errorf("fw_printenv has the order %q, the agent boots %q next", order, s.Next)
	}
	if serial == "" {
		return s, errors.New("fw_printenv does not find the board's own variable")
	}
	return s, nil
}
