package board

import (
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
)

// TestDiskLayout: partitions follow each other, aligned, within the disk.
func TestDiskLayout(t *testing.T) {
	for _, x := range Kinds() {
		next := x.Parts[0].Start // an EFI system partition may stand last, and none first
		if next != bootStart && next != slotAt {
			t.Errorf("%s: the first partition is at %d", x.Name, next)
		}
		for _, p := range x.Parts {
			if p.Start != next || p.Start%8 != 0 || p.Size%8 != 0 {
				t.Errorf("%s: partition %s at %d, want %d", x.Name, p.Name, p.Start, next)
			}
			next = p.Start + p.Size
		}
		if (next+34)*image.Sector > DiskSize {
			t.Errorf("%s: the disk is too small", x.Name)
		}
	}
}
