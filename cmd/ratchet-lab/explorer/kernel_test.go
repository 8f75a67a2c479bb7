package explorer_test

import (
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/explorer"
)

// What a slot holds decides whether it starts: an armed slot that is written in half, torn or mixed does not, the old
// one does, and it is told that a slot was armed which nobody signed. A whole image starts.
func TestHalfWrittenSlotDoesNotStart(t *testing.T) {
	lab, err := explorer.NewLab(t)
	if err != nil {
		t.Fatal(err)
	}
	type put = func(component string, off int64, b []byte)
	type image = func(component string, n byte) []byte
	for _, tt := range []struct {
		name  string
		both  bool
		fill  func(put, image)
		whole bool
	}{
		{"whole", false, func(p put, i image) { p("rootfs", 0, i("rootfs", 2)) }, true},
		{"the kernel alone", false, func(p put, i image) { p("rootfs", 0, i("rootfs", 2)[:20<<10]) }, false},
		{"half of the kernel", false, func(p put, i image) { p("rootfs", 0, i("rootfs", 2)[:4<<10]) }, false},
		{"all but the beginning", false, func(p put, i image) { p("rootfs", 512, i("rootfs", 2)[512:]) }, false},
		{"one sector of the old", false, func(p put, i image) {
			p("rootfs", 0, i("rootfs", 2))
			p("rootfs", 51_200, i("rootfs", 9)[51_200:51_712])
		}, false},
		{"the last bytes of the old", false, func(p put, i image) { p("rootfs", 0, i("rootfs", 2)[:69_632]) }, false},
		{"both parts", true, func(p put, i image) {
			p("rootfs", 0, i("rootfs", 2))
			p("boot", 0, i("boot", 2))
		}, true},
		{"rootfs of one image and kernel of another", true,
			func(p put, i image) { p("rootfs", 0, i("rootfs", 2)) }, false},
		{"a torn kernel", true, func(p put, i image) {
			p("rootfs", 0, i("rootfs", 2))
			p("boot", 0, i("boot", 2)[:2048])
		}, false},
	} {
		for _, loader := range []string{"uboot-files", "uboot-rauc", "grub", "sdboot", "uefi"} {
			slot, said := lab.Half(t, loader, tt.both, tt.fill)
			switch {
			case tt.whole && (slot != "B" || len(said) != 0):
				t.Errorf("%s on %s: slot %s starts, %v", tt.name, loader, slot, said)
			case !tt.whole && (slot != "A" || len(said) == 0 || said[0].What != "I9"):
				t.Errorf("%s on %s: slot %s starts, %v; want A, and I9", tt.name, loader, slot, said)
			}
		}
	}
}
