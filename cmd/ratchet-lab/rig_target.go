package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
)

// target is a kind of board: hardware, firmware, bootloader, and what of the reference script is adapted
// to it. All that differs between boards stands here as data or as a function, so that a further board
// is a further file and a line in the table.
type target struct {
	name    string // of the report and the command line
	what    string // in words
	arch    string // GOARCH of the guest
	console string
	kernel  string // its name in the slot, below boot/

	qemu       string                    // program
	cached     []string                  // files of the cache that a run takes a copy of; without them there is no such board
	hardware   func(dir string) []string // the program's arguments: board, processor, memory, firmware; the run's files are in dir
	tries      int                       // boots on trial that the loader counts
	smokeBoots int                       // cuts that the smoke test boots: fewer where a boot takes long
	esp        bool                      // partition 1 is an EFI system partition
	parts      []part
	mounts     string            // /etc/rig/mounts of a slot, besides the state partition
	boot       string            // the section [boot] of the device's configuration
	forgets    bool              // after a boot that never came up the metadata do not tell that there was one
	uncut      bool              // its boot metadata are not on the disk, so that its log does not tell what a power cut leaves
	smoke      bool              // one of those that a smoke test is about
	versions   []version         // images of its own
	files      map[string]string // what a slot holds besides, by name

	script   func(t target) (string, error)                              // the reference script, adapted to this board
	flash    func(t target) ([]byte, error)                              // what the factory puts into the second bank of flash; nil where the board uses none
	fill     func(ctx context.Context, t target, dir, disk string) error // the boot partition and the metadata; files for it go to dir
	metadata func(ctx context.Context, a access) (bootctl.State, error)  // with the agent's backend, held against the loader's own tool where there is one
	make     func(ctx context.Context, t target, f factory) error        // a further step of the factory, with the firmware; nil for none
	model    *modelled                                                   // the loader and its metadata without QEMU; nil: there is no model

	// Of a board that stands for one matter, beside the bootloaders' own.
	matter  bool                                                  // it plays scenes of its own only; then versions are all images but the factory's
	kernels string                                                // folder of the unpacked kernel in the cache; "": named as arch
	modules []string                                              // kernel modules besides
	config  string                                                // more sections of the device's configuration
	health  string                                                // more lines of its section [health]
	http    string                                                // more lines of its section [http]
	rooted  bool                                                  // desk and device have a trust root
	beside  func(ctx context.Context, dir string) (func(), error) // what stands beside the board while it has power; returns what takes it away
}

// version is one release, and what it suffers from, a word that the guest knows; "": nothing.
type version struct {
	name     string
	sickness string
}

// access is how a disk is looked at: its partitions, and a folder for files.
type access struct {
	dir  string
	part func(number int64) []byte // the bytes of a partition, to be read only
}

// factory is where a board is made.
type factory struct {
	dir   string // of the run, with factory.img
	bin   string // with rig/ARCH/guest
	cache string // of unpacked kernels
	kvm   bool   // let KVM run the guest
}

// modelled is what a board needs for its disks to be booted without QEMU: the agent's own backend, and
// the model of the bootloader, which share no code, over files with the disk's boot metadata in dir.
type modelled struct {
	extract func(ctx context.Context, a access, dir string) error
	backend func(dir, state string) (bootctl.Backend, error) // state is a folder of the agent
	boot    func(dir string) (slot string, err error)        // one power-on: the slot whose kernel is started
}

// kernelDir is the folder of the unpacked kernel.
func (t target) kernelDir(cache string) string {
	if t.kernels != "" {
		return filepath.Join(cache, t.kernels)
	}
	return filepath.Join(cache, t.arch)
}

// targets are all boards, those of a smoke test first.
func targets() []target {
	return append([]target{arm64UBoot, arm64UBootOwn, x86GRUB, x86SDBoot, x86UEFI}, matters...)
}

// findTarget returns the board of that name.
func findTarget(name string) (target, bool) {
	for _, t := range targets() {
		if t.name == name {
			return t, true
		}
	}
	return target{}, false
}

// flashFile is the file of the second bank in a run's directory.
const flashFile = "flash.img"

// missing is the first file that a board needs of the cache and that is not there, "" for none.
func (t target) missing(cache string) string {
	for _, name := range append([]string{filepath.Join(t.kernelDir(""), "boot")}, t.cached...) {
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
	slotSize  = 64 << 20
	stateSize = 32 << 20
	envSize   = 1 << 20
	slotAt    = bootStart + bootSize/image.Sector
	stateAt   = slotAt + 2*slotSize/image.Sector
	envAt     = stateAt + stateSize/image.Sector
	diskSize  = (envAt+kernelSize/image.Sector)*image.Sector + 1<<20 // the largest of what stands last
)

// part is one partition.
type part struct {
	number int64
	start  int64 // sector
	size   int64 // sectors
	name   string
}

// layout is the boot partition, both slots and the state partition, and what the board has besides.
func layout(more ...part) []part {
	return append([]part{{1, bootStart, bootSize / image.Sector, "boot"}, {2, slotAt, slotSize / image.Sector, "slot-a"}, {3, slotAt + slotSize/image.Sector, slotSize / image.Sector, "slot-b"},
		{4, stateAt, stateSize / image.Sector, "state"}}, more...)
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

// makeDisk lays out a device that runs system, a file system, in slot A, as it leaves the factory.
func (t target) makeDisk(ctx context.Context, out, system string, state map[string]image.File) error {
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
	for _, p := range t.parts {
		kind := "8300"
		if p.number == 1 && t.esp || p.number == kernelPart && p.name == "esp" {
			kind = "ef00"
		}
		args = append(args, "-n", fmt.Sprintf("%d:%d:%d", p.number, p.start, p.start+p.size-1), "-c", fmt.Sprintf("%d:%s", p.number, p.name),
			"-t", fmt.Sprintf("%d:%s", p.number, kind), "-u", fmt.Sprintf("%d:c0ffee00-0000-4000-8000-%012x", p.number, p.number))
	}
	if _, err := image.Tool(ctx, "", "sgdisk", append(args, out)...); err != nil {
		return err
	}
	if err := t.fill(ctx, t, dir, out); err != nil {
		return err
	}
	fs := filepath.Join(dir, "state.img")
	if err := image.Ext4(ctx, fs, stateSize, 4, true, nil, state); err != nil {
		return err
	}
	defer os.Remove(fs)
	return errors.Join(image.CopyAt(out, system, slotAt*image.Sector), image.CopyAt(out, fs, stateAt*image.Sector))
}
