package board

import (
	"fmt"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
)

// Where names the partition that a write goes to.
func (t Kind) Where(w disk.Write) string {
	if w.N == 0 {
		return "flush"
	}
	for _, p := range t.Parts {
		if w.At >= p.Start && w.At < p.Start+p.Size {
			return p.Name
		}
	}
	return "outside"
}

// SlotPart is the number of a slot's partition.
func SlotPart(slot string) int64 {
	if slot == "A" {
		return 2
	}
	return 3
}

// SlotBytes is where a slot begins on the disk, in bytes.
func SlotBytes(slot string) int64 { return slotAt*image.Sector + (SlotPart(slot)-2)*SlotSize }

// SlotPath is the device of a slot, as the guest calls it.
func SlotPath(slot string) string { return fmt.Sprintf("/dev/vda%d", SlotPart(slot)) }
