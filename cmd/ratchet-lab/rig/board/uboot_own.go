package board

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

var arm64UBootOwn = Kind{
	Name: "arm64-uboot-own", What: "arm64, U-Boot of Debian's source with its own redundant environment and bootcount",
	Arch: "arm64", console: "ttyAMA0", Kernel: "Image",
	qemu: "qemu-system-aarch64", Cached: []string{ownUBoot},
	hardware: func(dir string) []string {
		return []string{"-M", "virt", "-cpu", "cortex-a57", "-m", "128",
			"-bios", filepath.Join(dir, filepath.Base(ownUBoot))}
	},
	Tries: 3, SmokeBoots: 7,
	Parts:  layout(Part{5, EnvAt, envSize / image.Sector, "env"}),
	Boot:   "backend = \"u-boot\"\ntries = 3\n",
	files:  arm64UBoot.files,
	Script: ownScript,
	fill: func(ctx context.Context, t Kind, dir, disk string) error {
		return fillUBoot(ctx, t, dir, disk, ownEnvironment())
	},
	Metadata: ubootMetadata, Model: ubootModel(),
	Versions: []Version{{"9.0.0", "panic"}},
}

// ownScript is boot.cmd with nothing changed but lines marked BOARD. Its saveenv is U-Boot's.
func ownScript(Kind) (string, error) { return adapt(ubootenv.Script(), boardLines) }

// Words of altbootcmd, and how often U-Boot boots before it takes that: less often than a slot is tried.
const (
	AltWords   = "Ratchet: altbootcmd"
	AltCommand = "echo " + AltWords + "; run bootcmd"
	BootLimit  = 2
)

// ownEnvironment is what the factory puts into the environment: all of it, since a valid environment
// replaces the one that is built in. altbootcmd runs the script too, so that the slots decide whatever
// bootcount says.
func ownEnvironment() []string {
	return []string{"bootcmd=load virtio 0:1 ${scriptaddr} boot.scr && source ${scriptaddr}", "altbootcmd=" +
		AltCommand,
		fmt.Sprint("bootlimit=", BootLimit), "board_serial=rig-0001", "bootdelay=0",
		"kernel_addr_r=0x40400000", "ramdisk_addr_r=0x44000000", "fdt_addr=0x40000000",
		"fdt_high=0xffffffff", "initrd_high=0xffffffff", "scriptaddr=0x40200000", "ratchet_args=console=ttyAMA0 quiet"}
}
