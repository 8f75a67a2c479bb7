// Package board holds the kinds of board that the rig plays: for each its hardware in QEMU, its firmware, bootloader
// and disk as a factory makes them, how the boot metadata are found on a disk, and the model that boots the same bytes
// without QEMU.
//
// A board with power is one process. It tells what it does on its console, and loses its power at any moment; what its
// disk was told is in a log that package disk reads.
package board

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
)

// Kind is a kind of board: hardware, firmware, bootloader, and what of the reference script is adapted
// to it. All that differs between boards stands here as data or as a function, so that a further board
// is a further file and a line in the table.
type Kind struct {
	Name    string // of the report and the command line
	What    string // in words
	Arch    string // GOARCH of the guest
	console string // the guest's serial port
	Kernel  string // its name in the slot, below boot/

	// The program that is the hardware; its arguments are board, processor, memory and firmware. The files of a run are
	// in dir.
	qemu     string
	hardware func(dir string) []string
	// Files of the cache that a run takes a copy of; without them there is no such board.
	Cached []string

	Tries      int    // boots on trial that the loader counts
	SmokeBoots int    // cuts that the smoke test boots: fewer where a boot takes long
	Smoke      bool   // one of those that a smoke test is about
	Boot       string // the section [boot] of the device's configuration
	Forgets    bool   // after a boot that never came up the metadata do not tell that there was one
	// The boot metadata are not on the disk, so that its log does not tell what a power cut leaves.
	Uncut bool

	Parts    []Part
	esp      bool              // partition 1 is an EFI system partition
	mounts   string            // /etc/rig/mounts of a slot, besides the state partition
	files    map[string]string // what a slot holds besides, by name
	Versions []Version         // images of its own

	// Script is the reference script, adapted to this board.
	Script func(t Kind) (string, error)
	// Metadata reads the boot metadata with the agent's backend, and holds them against the loader's own tool where
	// there is one.
	Metadata func(ctx context.Context, a Access) (bootctl.State, error)
	// Make is a further step of the factory, with the firmware; nil for none.
	Make func(ctx context.Context, t Kind, f Factory) error
	// Model is the loader and its metadata without QEMU; nil: there is none.
	Model *Model
	// What the factory puts into the second bank of flash; nil where the board uses none.
	flash func(t Kind) ([]byte, error)
	// Makes the boot partition and the metadata; files for it go to dir.
	fill func(ctx context.Context, t Kind, dir, disk string) error

	// Of a board that stands for one matter, beside the bootloaders' own.

	// Matter says that it plays scenes of its own only; then Versions are all images but the factory's.
	Matter  bool
	kernels string   // folder of the unpacked kernel in the cache; "": named as Arch
	modules []string // kernel modules besides
	Config  string   // more sections of the device's configuration
	Health  string   // more lines of its section [health]
	HTTP    string   // more lines of its section [http]
	Rooted  bool     // desk and device have a trust root
	// Starts what stands beside the board while it has power; returns what takes it away.
	beside func(ctx context.Context, dir string) (func(), error)
}

// Version is one release, and what it suffers from, a word that the guest knows; "": nothing.
type Version struct {
	Name     string
	Sickness string
}

// Access is how a disk is looked at: its partitions, and a folder for files.
type Access struct {
	Dir  string
	Part func(number int64) []byte // the bytes of a partition, to be read only
}

// Access is how the disk d of the board is looked at, with dir for files.
func (t Kind) Access(d *disk.Disk, dir string) Access {
	return Access{dir, func(number int64) []byte {
		for _, p := range t.Parts {
			if p.Number == number {
				return d.At(p.Start*image.Sector, p.Size*image.Sector)
			}
		}
		return nil
	}}
}

// Factory is where a board is made.
type Factory struct {
	Dir   string // of the run, with factory.img
	Bin   string // with rig/ARCH/guest
	Cache string // of unpacked kernels
	KVM   bool   // let KVM run the guest
}

// Model is what a board needs for its disks to be booted without QEMU: the agent's own backend, and
// the model of the bootloader, which share no code, over files with the disk's boot metadata in dir.
type Model struct {
	Extract func(ctx context.Context, a Access, dir string) error
	Backend func(dir, state string) (bootctl.Backend, error) // state is a folder of the agent
	Boot    func(dir string) (slot string, err error)        // one power-on: the slot whose kernel is started
}

// kernelDir is the folder of the unpacked kernel.
func (t Kind) kernelDir(cache string) string {
	if t.kernels != "" {
		return filepath.Join(cache, t.kernels)
	}
	return filepath.Join(cache, t.Arch)
}

// Kinds are all boards, those of a smoke test first.
func Kinds() []Kind {
	return append([]Kind{arm64UBoot, arm64UBootOwn, x86GRUB, x86SDBoot, x86UEFI}, matters...)
}

// Find returns the board of that name.
func Find(name string) (Kind, bool) {
	for _, t := range Kinds() {
		if t.Name == name {
			return t, true
		}
	}
	return Kind{}, false
}

// flashFile is the file of the second bank in a run's directory.
const flashFile = "flash.img"

// Missing is the first file that a board needs of the cache and that is not there, "" for none.
func (t Kind) Missing(cache string) string {
	for _, name := range append([]string{filepath.Join(t.kernelDir(""), "boot")}, t.Cached...) {
		if _, err := os.Stat(filepath.Join(cache, name)); err != nil {
			return name
		}
	}
	return ""
}

// Where things are on the disk, in sectors of 512 bytes. Slots are 2 and 3, as in the reference scripts.
const (
	bootStart = 2048
	bootSize  = 16 << 20
	SlotSize  = 64 << 20
	StateSize = 32 << 20
	envSize   = 1 << 20
	slotAt    = bootStart + bootSize/image.Sector
	StateAt   = slotAt + 2*SlotSize/image.Sector
	EnvAt     = StateAt + StateSize/image.Sector
	DiskSize  = (EnvAt+kernelSize/image.Sector)*image.Sector + 1<<20 // the largest of what stands last
)

// Part is one partition.
type Part struct {
	Number int64
	Start  int64 // sector
	Size   int64 // sectors
	Name   string
}

// layout is the boot partition, both slots and the state partition, and what the board has besides.
func layout(more ...Part) []Part {
	return append([]Part{{1, bootStart, bootSize / image.Sector, "boot"},
		{2, slotAt, SlotSize / image.Sector, "slot-a"},
		{3, slotAt + SlotSize/image.Sector, SlotSize / image.Sector, "slot-b"},
		{4, StateAt, StateSize / image.Sector, "state"}}, more...)
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

// MakeDisk lays out a device that runs system, a file system, in slot A, as it leaves the factory.
func (t Kind) MakeDisk(ctx context.Context, out, system string, state map[string]image.File) error {
	dir := filepath.Dir(out)
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	disk, err := os.Create(out)
	if err != nil {
		return err
	}
	if err := errors.Join(disk.Truncate(DiskSize), disk.Close()); err != nil {
		return err
	}
	args := []string{"-a", "8", "-U", "c0ffee00-0000-4000-8000-00000000d15c"}
	for _, p := range t.Parts {
		kind := "8300"
		if p.Number == 1 && t.esp || p.Number == kernelPart && p.Name == "esp" {
			kind = "ef00"
		}
		args = append(args, "-n", fmt.Sprintf("%d:%d:%d", p.Number, p.Start, p.Start+p.Size-1),
			"-c", fmt.Sprintf("%d:%s", p.Number, p.Name),
			"-t", fmt.Sprintf("%d:%s", p.Number, kind), "-u",
			fmt.Sprintf("%d:c0ffee00-0000-4000-8000-%012x", p.Number, p.Number))
	}
	if _, err := image.Tool(ctx, "", "sgdisk", append(args, out)...); err != nil {
		return err
	}
	if err := t.fill(ctx, t, dir, out); err != nil {
		return err
	}
	fs := filepath.Join(dir, "state.img")
	if err := image.Ext4(ctx, fs, StateSize, 4, true, nil, state); err != nil {
		return err
	}
	defer os.Remove(fs)
	return errors.Join(image.CopyAt(out, system, slotAt*image.Sector), image.CopyAt(out, fs, StateAt*image.Sector))
}
