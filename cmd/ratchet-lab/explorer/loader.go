package explorer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/bootmodel"
	"github.com/ratchet-ota/ratchet/bootctl/grubenv"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/medium"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// Loader is a bootloader with a layout of its metadata on a medium.
type Loader struct {
	Name string
	// Layout is the line of docs/integration/bootloader.md.
	Layout string
	// PowerSafe: no brick is allowed. Of the others the explorer shows how they fail.
	PowerSafe bool
	// Breaks is the scenario that shows it, where the layout is not power-safe.
	Breaks string
	Few    bool         // of the main loaders, the one of its kind that all scenarios are explored on
	Main   bool         // explored with all scenarios also in the time-boxed mode
	Medium medium.Grain // zero: medium.Whole
	// Journal: of the file system that holds the metadata, which the loader does not replay: "", "ordered" (names and
	// blocks) or "data" (bytes, too).
	Journal string
	Tries   int // trial boots that the loader can count
	lies    int // flushes that the medium may lose

	uboot *ubootenv.Options
	grub  *grubenv.Options
	rauc  bool
	files map[string][]byte // metadata files of the factory
	disk  string            // a block device for the metadata, or ""
	efi   firmware
	// builtIn: where no copy of U-Boot's environment is good, its built-in one runs the boot script all the same.
	builtIn bool
}

const (
	envSize = 2048
	envDisk = "/dev/mmcblk0boot0"

	envDiskSize = 64 << 10
	shadowFile  = "/state/boot-shadow"
)

// Loaders are the loaders that the explorer knows, the power-safe ones first.
func Loaders() []Loader { return slices.Concat(safeLoaders(), weakLoaders(), efiLoaders()) }

// envFiles is an environment of n copies in files.
func envFiles(n int) *ubootenv.Options {
	o := &ubootenv.Options{}
	for i := range n {
		o.Copies = append(o.Copies, ubootenv.Location{Path: fmt.Sprintf("/boot/uboot.env%d", i), Size: envSize})
	}
	return o
}

// envBlock is one with its copies on a device.
func envBlock(offsets ...int64) *ubootenv.Options {
	o := &ubootenv.Options{}
	for _, off := range offsets {
		o.Copies = append(o.Copies, ubootenv.Location{Path: envDisk, Offset: off, Size: envSize})
	}
	return o
}

// ofAnother is a variable of another program that pushes ours into the second sector.
func ofAnother() string { return "kernelopts=" + strings.Repeat("x", 442) }

func safeLoaders() []Loader {
	rauc := envFiles(2)
	rauc.CountsConfirmed = true
	return []Loader{
		{Name: "uboot-files",
			Main: true, Few: true, Layout: "U-Boot, two copies in two files", PowerSafe: true, Tries: 3,
			uboot: envFiles(2)},
		{Name: "uboot-block", Main: true, Layout: "U-Boot, two copies on a block device, sectors of 512 bytes",
			PowerSafe: true, Tries: 3, uboot: envBlock(8192, -8192), disk: envDisk},
		{Name: "uboot-block-4k", Layout: "U-Boot, two copies on a block device, sectors of 4096 bytes", PowerSafe: true,
			Tries: 3, Medium: medium.Large, uboot: envBlock(8192, -8192), disk: envDisk},
		{Name: "uboot-block-torn", Layout: "U-Boot, two copies on a block device that tears sectors", PowerSafe: true,
			Medium: medium.Torn, Tries: 3, uboot: envBlock(8192, -8192), disk: envDisk},
		{Name: "uboot-block-spoilt",
			Layout:    "U-Boot, two copies on flash that a cut leaves garbage on, in blocks of 4096 bytes",
			PowerSafe: true, Medium: medium.Spoiling, Tries: 3, uboot: envBlock(8192, -8192), disk: envDisk},
		{Name: "uboot-block-unreadable",
			Layout:    "U-Boot, two copies on such flash, which then gives read errors",
			PowerSafe: true, Medium: medium.Unreadable, Tries: 3, uboot: envBlock(8192, -8192), disk: envDisk},
		{Name: "uboot-files-spoilt", Layout: "U-Boot, two copies in two files on such flash",
			PowerSafe: true, Medium: medium.Spoiling, Tries: 3, uboot: envFiles(2)},
		{Name: "uboot-ext4", Layout: "U-Boot, two copies in two files on ext4, whose journal U-Boot does not replay",
			PowerSafe: true, Journal: "ordered", Tries: 3, uboot: envFiles(2)},
		{Name: "uboot-rauc",
			Main: true, Layout: "U-Boot with RAUC's script, which counts every boot, two copies in two files",
			PowerSafe: true, Tries: 3, uboot: rauc, rauc: true},
		{Name: "grub", Main: true, Few: true,
			Layout: "GRUB, all variables in the first sector of grubenv", PowerSafe: true,
			Tries: 1, grub: &grubenv.Options{}},
		{Name: "grub-ext4", Layout: "GRUB, grubenv on ext4, whose journal GRUB does not replay", PowerSafe: true,
			Journal: "ordered", Tries: 1, grub: &grubenv.Options{}},
		{Name: "grub-4k", Layout: "GRUB, a medium with sectors of 4096 bytes, variables in all of grubenv",
			PowerSafe: true, Tries: 1, Medium: medium.Large, grub: &grubenv.Options{}, files: grubFile(ofAnother())},
	}
}

func weakLoaders() []Loader {
	return []Loader{
		{Name: "uboot-one-file", Layout: "U-Boot, one copy in a file", Breaks: "update", Tries: 3, uboot: envFiles(1)},
		{Name: "uboot-one-block",
			Layout: "U-Boot, one copy on a block device", Breaks: "update", Tries: 3,
			uboot: envBlock(8192), disk: envDisk},
		{Name: "uboot-block-shared", Layout: "U-Boot, two copies that meet in a block of such flash", Breaks: "update",
			Medium: medium.Spoiling, Tries: 3, uboot: envBlock(7168, 7168+envSize), disk: envDisk},
		{Name: "uboot-ext4-data", Layout: "U-Boot, two copies in two files on ext4 with data=journal", Breaks: "update",
			Journal: "data", Tries: 3, uboot: envFiles(2)},
		{Name: "grub-ext4-data", Layout: "GRUB, grubenv on ext4 with data=journal", Breaks: "update", Journal: "data",
			Tries: 1, grub: &grubenv.Options{}},
		{Name: "grub-two-sectors", Layout: "GRUB, variables reach into the second sector of grubenv", Breaks: "panic",
			Tries: 1, grub: &grubenv.Options{}, files: grubFile(ofAnother())},
		{Name: "grub-torn", Layout: "GRUB on a medium that tears sectors", Breaks: "sick", Medium: medium.Torn,
			Tries: 1, grub: &grubenv.Options{}},
		{Name: "grub-spoilt", Layout: "GRUB on flash that a cut leaves garbage on", Breaks: "update",
			Medium: medium.Spoiling, Tries: 1, grub: &grubenv.Options{}},
		{Name: "grub-rauc", Layout: "GRUB with RAUC's sample, which counts every boot", Breaks: "panic", Tries: 1,
			grub: &grubenv.Options{CountsConfirmed: true}, rauc: true},
	}
}

const grubenvPath = "/boot/grub/grubenv"

func grubFile(vars ...string) map[string][]byte {
	b, err := grubenv.Encode(vars)
	if err != nil {
		panic("internal error: " + err.Error())
	}
	return map[string][]byte{grubenvPath: b}
}

// FindLoader returns the loader of a name, as NAME~N on a medium that lies.
func FindLoader(name string) (Loader, bool) {
	name, flushes, lies := strings.Cut(name, "~")
	n, err := strconv.Atoi(flushes)
	for _, l := range Loaders() {
		switch {
		case l.Name == name && !lies:
			return l, true
		case l.Name == name && err == nil && n > 0 && n <= maxLies:
			return l.lying(n), true
		}
	}
	return Loader{}, false
}

// maxLies is how many flushes a medium may lie about at the most.
const maxLies = 99

// lying is the layout on a medium that says of its last n flushes of boot metadata that they are done, and may lose
// them. No layout is safe there.
func (l Loader) lying(n int) Loader {
	l.Name, l.Layout = fmt.Sprintf("%s~%d", l.Name, n), fmt.Sprintf("%s, the last %d flushes may be lost", l.Layout, n)
	l.PowerSafe, l.lies = false, n
	return l
}

// lie lets the media of the boot metadata lie.
func (l Loader) lie(w *sim.World) {
	if l.lies == 0 {
		return
	}
	w.SetLies(l.disk, l.lies)
	for _, name := range w.Files() {
		if strings.HasPrefix(name, "/boot/") || strings.HasPrefix(name, "/efi/") {
			w.SetLies(name, l.lies)
		}
	}
}

// provision puts the metadata of the factory onto w: slot A runs, slot B is the confirmed one behind
// it, or with blank holds nothing and is disabled.
func (l Loader) provision(w *sim.World, blank bool) error {
	if l.Journal != "" {
		for _, dir := range []string{"/boot", "/boot/grub"} {
			w.SetJournal(dir, l.Journal == "data")
		}
	}
	if l.disk != "" {
		w.AddDisk(l.disk, envDiskSize)
	}
	if l.uboot != nil && l.disk == "" {
		for _, c := range l.uboot.Copies {
			w.PutFile(c.Path, make([]byte, c.Size))
		}
	}
	if l.grub != nil {
		for path, b := range grubFile() {
			w.PutFile(path, b)
		}
	}
	for path, b := range l.files {
		w.PutFile(path, b)
	}
	if l.efi != nil {
		l.efi.factory(w)
	}
	b, err := l.backend(w.FS(), w.Variables())
	if err != nil {
		return err
	}
	ctx := context.Background()
	err = errors.Join(b.Refresh(ctx, "A"), b.Confirm(ctx, "B"), b.Confirm(ctx, "A"))
	if blank {
		err = errors.Join(err, b.Disable(ctx, "B"))
	}
	if err = errors.Join(err, b.Refresh(ctx, "A")); err != nil { // keeps the shadow copy
		return fmt.Errorf("cannot provision %s: %w", l.Name, err)
	}
	return nil
}

// backend is the product's own, over fsys or vars.
func (l Loader) backend(fsys hal.Tree, vars hal.Variables) (bootctl.Backend, error) {
	if l.efi != nil {
		return l.efi.backend(fsys, vars)
	}
	slots := []bootctl.Slot{"A", "B"}
	if l.uboot != nil {
		o := *l.uboot
		o.Locate, o.Checkpoint = l.locate, placed(fsys)
		o.Slots, o.Locks, o.Shadow, o.Watchdog = slots, []string{"/run/fw_printenv.lock"}, shadowFile, true
		// Of the board's maker: so the variables of slots stand in another sector than the CRC.
		o.Defaults = []string{"BOARD_INFO=" + strings.Repeat("i", 700), "bootcmd=source boot.scr"}
		return ubootenv.New(fsys, o)
	}
	o := *l.grub
	o.Locate, o.Checkpoint = l.locate, placed(fsys)
	o.Path, o.Slots, o.Locks, o.Shadow, o.Watchdog = grubenvPath, slots, []string{"/run/ratchet/lock/grubenv.lock"},
		shadowFile, true
	return grubenv.New(fsys, o)
}

// placed is what hal/linux does with the file system of a path.
func placed(fsys hal.Tree) func(path string) error {
	return fsys.(interface{ Checkpoint(path string) error }).Checkpoint
}

// locate tells what hal/linux would; of files only how their file system writes.
func (l Loader) locate(path string) (hal.Region, error) {
	if path != envDisk {
		return hal.Region{LogsData: l.Journal == "data"}, nil
	}
	id := hal.DeviceID{Block: true, Major: 1}
	return hal.Region{Self: id, On: id, Size: envDiskSize, Unit: medium.Spoiling.Erase}, nil
}

// boot is one power-on, by the model: the slot whose kernel is started, "" for none. loads tells whether the
// kernel of a slot can be loaded.
func (l Loader) boot(w *sim.World, loads func(slot string) bool) (string, error) {
	if l.efi != nil {
		return l.efi.boot(w, loads)
	}
	fsys := w.FS()
	script := bootmodel.Reference
	if l.rauc {
		script = bootmodel.RAUC
	}
	if l.uboot != nil {
		u := bootmodel.UBoot{FS: fsys, Script: script, Loads: loads}
		if !l.builtIn {
			u.Default = map[string]string{} // U-Boot's own defaults know no boot script: its prompt is a brick
		}
		for _, c := range l.uboot.Copies {
			u.Copies = append(u.Copies, bootmodel.Copy{Path: c.Path, Offset: c.Offset, Size: c.Size})
		}
		slot, _, err := u.Boot()
		return slot, err
	}
	slot, _, err := bootmodel.GRUB{FS: fsys, Path: grubenvPath, Script: script, Loads: loads}.Boot()
	return slot, err
}
