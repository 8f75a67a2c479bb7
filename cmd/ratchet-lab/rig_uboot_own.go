package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
)

// ownUBoot is Debian's U-Boot with other options, built by scripts/rig/uboot.sh: saveenv writes two
// copies on the disk, and bootcount is on.
const ownUBoot = "uboot/u-boot.bin" // in the cache

var arm64UBootOwn = target{
	name: "arm64-uboot-own", what: "arm64, U-Boot of Debian's source with its own redundant environment and bootcount", arch: "arm64", console: "ttyAMA0", kernel: "Image",
	qemu: "qemu-system-aarch64", cached: []string{ownUBoot},
	hardware: func(dir string) []string {
		return []string{"-M", "virt", "-cpu", "cortex-a57", "-m", "128", "-bios", filepath.Join(dir, filepath.Base(ownUBoot))}
	},
	tries: 3, smokeBoots: 7,
	parts:  layout(part{5, envAt, envSize / image.Sector, "env"}),
	boot:   "backend = \"u-boot\"\ntries = 3\n",
	files:  arm64UBoot.files,
	script: ownScript,
	fill: func(ctx context.Context, t target, dir, disk string) error {
		return fillUBoot(ctx, t, dir, disk, ownEnvironment())
	},
	metadata: ubootMetadata, model: ubootModel(),
	versions: []version{{"9.0.0", "panic"}},
}

// ownScript is boot.cmd with nothing changed but lines marked BOARD. Its saveenv is U-Boot's.
func ownScript(target) (string, error) { return adapt(ubootenv.Script(), boardLines) }

// Words of altbootcmd, and how often U-Boot boots before it takes that: less often than a slot is tried.
const (
	altWords   = "Ratchet: altbootcmd"
	altCommand = "echo " + altWords + "; run bootcmd"
	bootLimit  = 2
)

// ownEnvironment is what the factory puts into the environment: all of it, since a valid environment
// replaces the one that is built in. altbootcmd runs the script too, so that the slots decide whatever
// bootcount says.
func ownEnvironment() []string {
	return []string{"bootcmd=load virtio 0:1 ${scriptaddr} boot.scr && source ${scriptaddr}", "altbootcmd=" + altCommand,
		fmt.Sprint("bootlimit=", bootLimit), "board_serial=rig-0001", "bootdelay=0", "kernel_addr_r=0x40400000", "ramdisk_addr_r=0x44000000", "fdt_addr=0x40000000",
		"fdt_high=0xffffffff", "initrd_high=0xffffffff", "scriptaddr=0x40200000", "ratchet_args=console=ttyAMA0 quiet"}
}
