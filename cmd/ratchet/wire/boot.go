package wire

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/efi"
	"github.com/ratchet-ota/ratchet/bootctl/grubenv"
	"github.com/ratchet-ota/ratchet/bootctl/hook"
	"github.com/ratchet-ota/ratchet/bootctl/sdboot"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/linux"
	"github.com/ratchet-ota/ratchet/hal/textfile"
)

// slotDefs sorts the slot table by index, or by name where none is given.
func slotDefs(c *config.Config) ([2]agent.SlotDef, error) {
	var out [2]agent.SlotDef
	var names []string
	for n := range c.Slots {
		names = append(names, n)
	}
	sort.Strings(names)
	for i, n := range names {
		s := c.Slots[n]
		index := i
		if s.Index != nil {
			index = *s.Index
		}
		if index < 0 || index > 1 || out[index].Name != "" {
			return out, c.Errorf("slots."+n+".index", "one slot has index 0 and the other has index 1")
		}
		out[index] = agent.SlotDef{Name: bootctl.Slot(n), Index: index, Parts: s.Parts}
	}
	root := c.Running.RootComponent
	if root == "" {
		root = "rootfs"
	}
	for i, s := range out {
		if s.Parts[root] == "" && out[1-i].Parts[root] == "" {
			return out, c.Errorf("slots."+string(s.Name)+".parts."+root,
				"missing: running.root-component is mounted at /")
		}
		for _, part := range slices.Sorted(maps.Keys(s.Parts)) {
			if other := out[1-i]; other.Parts[part] == "" {
				return out, c.Errorf("slots."+string(other.Name)+".parts."+part,
					"missing: slot %s has the component %s, and both slots have the same components", s.Name, part)
			}
		}
	}
	return out, nil
}

// makeLockDir makes the folder of the locks that grubenv, sdboot and efi take where no others are configured.
func makeLockDir(c *config.Config) error {
	if c.Boot.Locks != nil || c.Boot.Backend == "u-boot" || c.Boot.Backend == "hook" {
		return nil
	}
	return linux.PrivateDir("/run/ratchet/lock")
}

// backend is the boot control of the configuration.
func backend(c *config.Config, fsys hal.Tree, names []bootctl.Slot) (bootctl.Backend, error) {
	if err := checkBoot(c, names); err != nil {
		return nil, err
	}
	var uboot ubootenv.Options
	if c.Boot.Backend == "u-boot" {
		var err error
		if uboot, err = ubootOptions(c, names); err != nil {
			return nil, err
		}
	}
	b, err := loader(c, fsys, names, uboot)
	if err != nil {
		return nil, c.Errorf("boot", "%v", err)
	}
	return b, nil
}

// checkLoader looks at the slots, the boot control, and where its metadata lies, as the backend does each time that it
// reads it.
func checkLoader(c *config.Config) error {
	defs, err := slotDefs(c)
	if err != nil {
		return err
	}
	names := []bootctl.Slot{defs[0].Name, defs[1].Name}
	if _, err := backend(c, linux.FS{}, names); err != nil || c.Boot.Backend != "u-boot" {
		return err
	}
	o, err := ubootOptions(c, names)
	if err != nil {
		return err
	}
	if err := o.Look(linux.FS{}); err != nil {
		return c.Errorf("boot", "%v", err)
	}
	return nil
}

// checkBoot finds what is wrong with single keys.
func checkBoot(c *config.Config, names []bootctl.Slot) error {
	b := c.Boot
	switch {
	case b.Backend == "hook" && b.Hook == "":
		return c.Errorf("boot.hook", "missing: name the program that controls the bootloader")
	case b.Backend == "hook" && !filepath.IsAbs(b.Hook):
		return c.Errorf("boot.hook", "%q is not an absolute path", b.Hook)
	case b.Grubenv != "" && !filepath.IsAbs(b.Grubenv):
		return c.Errorf("boot.grubenv", "%q is not an absolute path", b.Grubenv)
	case b.Entries != "" && !filepath.IsAbs(b.Entries):
		return c.Errorf("boot.entries", "%q is not an absolute path", b.Entries)
	case b.Tries < 0 || b.Tries > bootctl.MaxTries:
		return c.Errorf("boot.tries", "%d is not 1 to %d", b.Tries, bootctl.MaxTries)
	}
	taken := map[string]string{}
	for _, slot := range slices.Sorted(maps.Keys(b.Options)) {
		key, digits := "boot.load-options."+slot, b.Options[slot]
		switch _, ok := efi.ParseNumber(digits); {
		case !ok:
			return c.Errorf(key, "%q is not four hexadecimal digits in capitals, as in Boot0010", digits)
		case !slices.Contains(names, bootctl.Slot(slot)):
			return c.Errorf(key, "there is no slot %s", slot)
		case taken[digits] != "":
			return c.Errorf(key, "slot %s has the number %s already", taken[digits], digits)
		}
		taken[digits] = slot
	}
	return nil
}

// loader is the one switch over bootloaders.
func loader(c *config.Config, fsys hal.Tree, names []bootctl.Slot,
	uboot ubootenv.Options) (bootctl.Backend, error) {
	b, shadow := c.Boot, shadowFile(c)
	switch b.Backend {
	case "u-boot":
		return ubootenv.New(fsys, uboot)
	case "grub":
		path := b.Grubenv
		if path == "" {
			path = "/boot/grub/grubenv"
		}
		return grubenv.New(fsys, grubenv.Options{Path: path, Shadow: shadow, Slots: names,
			CountsConfirmed: b.CountsConfirmed, Watchdog: b.Watchdog, Locks: b.Locks, Checkpoint: linux.Checkpoint,
			Locate: linux.Blocks{}.Locate, Parts: allParts(c)})
	case "systemd-boot":
		folder := b.Entries
		if folder == "" {
			folder = "/efi/loader/entries"
		}
		return sdboot.New(fsys, sdboot.Options{Folder: folder, Shadow: shadow, Slots: names,
			Watchdog: b.Watchdog, Locks: b.Locks, Locate: linux.Blocks{}.Locate, Parts: allParts(c)})
	case "uefi":
		o := efi.Options{Shadow: shadow, Slots: names, Numbers: map[bootctl.Slot]uint16{},
			Watchdog: b.Watchdog, Locks: b.Locks}
		for slot, digits := range b.Options {
			o.Numbers[bootctl.Slot(slot)], _ = efi.ParseNumber(digits)
		}
		return efi.New(linux.Variables{}, fsys, o)
	case "hook":
		return hook.New(hook.Options{Command: b.Hook, Slots: names, FullTries: b.Tries})
	}
	return nil, fmt.Errorf("backend %q is not known", b.Backend)
}

// allParts are the devices and files of both slots.
func allParts(c *config.Config) (parts []string) {
	for _, slot := range slices.Sorted(maps.Keys(c.Slots)) {
		parts = append(parts, slices.Sorted(maps.Values(c.Slots[slot].Parts))...)
	}
	return parts
}

// shadowFile is where the backends keep a copy of the boot metadata.
func shadowFile(c *config.Config) string { return filepath.Join(c.State.Directory, "boot-shadow") }

// ubootOptions reads what the configuration names: fw_env.config and the default environment.
func ubootOptions(c *config.Config, names []bootctl.Slot) (o ubootenv.Options, err error) {
	b := c.Boot
	o = ubootenv.Options{Shadow: shadowFile(c), Slots: names, FullTries: b.Tries,
		CountsConfirmed: b.CountsConfirmed, Watchdog: b.Watchdog, Locks: b.Locks, Locate: linux.Blocks{}.Locate,
		Checkpoint: linux.Checkpoint}
	o.Parts = allParts(c)
	for _, x := range b.Copies {
		o.Copies = append(o.Copies, ubootenv.Location{Path: x.Path, Offset: x.Offset, Size: x.Size})
	}
	if len(o.Copies) == 0 {
		path := b.FwEnvConfig
		if path == "" {
			path = "/etc/fw_env.config"
		}
		raw, err := textfile.Read(path, maxFwEnv)
		if err != nil {
			return o, c.Errorf("boot.fw-env-config", "%v", err)
		}
		if o.Copies, err = ubootenv.ParseConfig(raw); err != nil {
			return o, c.Errorf("boot.fw-env-config", "%s: %v", path, err)
		}
	}
	if b.Defaults != "" {
		raw, err := textfile.Read(b.Defaults, maxDefaults)
		if err != nil {
			return o, c.Errorf("boot.default-environment", "%v", err)
		}
		o.Defaults = strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	}
	return o, nil
}
