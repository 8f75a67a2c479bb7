package main

import (
	"fmt"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
)

// where names the partition that a write goes to.
func (t target) where(w disk.Write) string {
	if w.N == 0 {
		return "flush"
	}
	for _, p := range t.parts {
		if w.At >= p.start && w.At < p.start+p.size {
			return p.name
		}
	}
	return "outside"
}

// slotPart is the number of a slot's partition.
func slotPart(slot string) int64 {
	if slot == "A" {
		return 2
	}
	return 3
}

// slotBytes is where a slot begins on the disk.
func slotBytes(slot string) int64 { return slotAt*image.Sector + (slotPart(slot)-2)*slotSize }

func slotPath(slot string) string { return fmt.Sprintf("/dev/vda%d", slotPart(slot)) }
