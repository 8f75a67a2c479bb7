package wire

import (
	"fmt"
	"os"
	"path/filepath"
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
			return out, fmt.Errorf("slots.%s.index: one slot has index 0 and the other has index 1", n)
		}
		out[index] = agent.SlotDef{Name: bootctl.Slot(n), Index: index, Parts: s.Parts}
	}
	return out, nil
}

// backend is the one switch over bootloaders.
func backend(c *config.Config, fsys hal.Tree, names []bootctl.Slot) (bootctl.Backend, error) {
	b := c.Boot
	shadow := filepath.Join(c.State.Directory, "boot-shadow")
	switch b.Backend {
	case "u-boot":
		o, err := ubootOptions(b, names, shadow)
		if err != nil {
			return nil, err
		}
		return ubootenv.New(fsys, o)
	case "grub":
		path := b.Grubenv
		if path == "" {
			path = "/boot/grub/grubenv"
		}
		return grubenv.New(fsys, grubenv.Options{Path: path, Shadow: shadow, Slots: names,
			CountsConfirmed: b.CountsConfirmed, Watchdog: b.Watchdog, Locks: b.Locks})
	case "systemd-boot":
		folder := b.Entries
		if folder == "" {
			folder = "/efi/loader/entries"
		}
		return sdboot.New(fsys, sdboot.Options{Folder: folder, Shadow: shadow, Slots: names,
			Watchdog: b.Watchdog, Locks: b.Locks})
	case "uefi":
		o := efi.Options{Shadow: shadow, Slots: names, Numbers: map[bootctl.Slot]uint16{},
			Watchdog: b.Watchdog, Locks: b.Locks}
		for slot, digits := range b.Options {
			n, ok := efi.ParseNumber(digits)
			if !ok {
				return nil,
					fmt.Errorf("boot.load-options.%s: %q is not four capital hexadecimal digits, as in Boot0010",
						slot, digits)
			}
			o.Numbers[bootctl.Slot(slot)] = n
		}
		return efi.New(linux.Variables{}, fsys, o)
	case "hook":
		return hook.New(hook.Options{Command: b.Hook, Slots: names, FullTries: b.Tries})
	}
	return nil, fmt.Errorf("boot.backend %q is not known", b.Backend)
}

// ubootOptions reads what the configuration names: fw_env.config and the default environment.
func ubootOptions(b config.Boot, names []bootctl.Slot, shadow string) (o ubootenv.Options, err error) {
	o = ubootenv.Options{Shadow: shadow, Slots: names, FullTries: b.Tries,
		CountsConfirmed: b.CountsConfirmed, Watchdog: b.Watchdog, Locks: b.Locks}
	for _, x := range b.Copies {
		o.Copies = append(o.Copies, ubootenv.Location{Path: x.Path, Offset: x.Offset, Size: x.Size})
	}
	if len(o.Copies) == 0 {
		path := b.FwEnvConfig
		if path == "" {
			path = "/etc/fw_env.config"
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return o, fmt.Errorf("boot.fw-env-config: %w", err)
		}
		if o.Copies, err = ubootenv.ParseConfig(raw); err != nil {
			return o, fmt.Errorf("boot.fw-env-config %s: %w", path, err)
		}
	}
	if b.Defaults != "" {
		raw, err := os.ReadFile(b.Defaults)
		if err != nil {
			return o, fmt.Errorf("boot.default-environment: %w", err)
		}
		o.Defaults = strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	}
	return o, nil
}
