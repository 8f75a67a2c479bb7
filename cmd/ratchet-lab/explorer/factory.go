package explorer

import (
	"fmt"

	"github.com/ratchet-ota/ratchet/bootctl/grubenv"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// made is how boot metadata is before any agent has run.
type made string

const (
	// asDescribed: the texts of docs/integration/bootloader.md: slot A is good, B is empty and not booted.
	asDescribed made = "as described"
	// adopted: a device in the field, whose loader boots both slots and of which nothing says that one is good.
	adopted made = "adopted"
)

// leave puts the metadata onto w with which a device meets its first agent.
func (l Loader) leave(w *sim.World, how made) error {
	if l.disk != "" {
		w.AddDisk(l.disk, 64<<10)
	}
	switch {
	case l.efi != nil:
		l.efi.factory(w)
		if how == asDescribed {
			l.efi.disables(w, "B")
		}
		return nil
	case l.uboot != nil:
		vars := []string{"BOOT_ORDER=A", "BOOT_A_LEFT=3", "BOOT_A_GOOD=1", "BOOT_B_LEFT=0", "BOOT_B_GOOD=0"}
		if how == adopted {
			vars = []string{"BOOT_ORDER=A B", "BOOT_A_LEFT=3", "BOOT_B_LEFT=3"}
		}
		return l.leaveUBoot(w, append(vars, "bootcmd=source boot.scr"))
	}
	vars := []string{"ORDER=A", "A_OK=1", "A_TRY=0", "A_GOOD=1", "B_OK=0", "B_TRY=0"}
	if how == adopted {
		vars = []string{"ORDER=A B", "A_OK=1", "A_TRY=0", "B_OK=1", "B_TRY=0"}
	}
	b, err := grubenv.Encode(vars)
	if err != nil {
		return fmt.Errorf("cannot make the factory's environment: %w", err)
	}
	w.PutFile(grubenvPath, b)
	return nil
}

// leaveUBoot writes one image into all copies, as mkenvimage makes it: their serials are equal.
func (l Loader) leaveUBoot(w *sim.World, vars []string) error {
	for _, c := range l.uboot.Copies {
		serial := 1
		if len(l.uboot.Copies) == 1 {
			serial = -1
		}
		b, err := ubootenv.Encode(vars, c.Size, serial)
		if err != nil {
			return fmt.Errorf("cannot make the factory's environment: %w", err)
		}
		if l.disk == "" {
			w.PutFile(c.Path, b)
			continue
		}
		off := c.Offset
		if off < 0 {
			off += 64 << 10
		}
		w.Poke(c.Path, off, b)
	}
	return nil
}

// factoryScenarios begin before any agent has run.
func factoryScenarios() []Scenario {
	return []Scenario{
		{Name: "factory", Says: "the first start behind the factory, and the first update into an empty slot",
			Factory: asDescribed, Blank: true, Offers: offer2, Ends: updated},
		{Name: "two-media", Says: "state on one medium, slots and boot metadata on another: each loses its cache alone",
			Apart: true, Offers: offer2, Ends: updated},
		{Name: "adopted", Says: "the first start on a device in the field, of which nothing says what is good",
			Factory: adopted, Offers: offer2, Ends: updated},
	}
}
