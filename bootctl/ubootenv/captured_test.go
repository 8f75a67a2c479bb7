package ubootenv_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
)

// TestCaptured reads environments that U-Boot, mkenvimage and fw_setenv wrote (testdata/boot/README).
func TestCaptured(t *testing.T) {
	trial := map[bootctl.Slot]bootctl.SlotState{
		"A": {Bootable: true, Confirmed: true, Tries: 3}, "B": {Bootable: true, Tries: 2},
	}
	last := map[bootctl.Slot]bootctl.SlotState{
		"A": {Bootable: true, Confirmed: true, Tries: 3}, "B": {Bootable: true, Tries: 1},
	}
	spent := map[bootctl.Slot]bootctl.SlotState{
		"A": {Bootable: true, Confirmed: true, Tries: 3}, "B": {Exhausted: true},
	}
	for _, c := range []struct {
		files []string
		next  bootctl.Slot
		slots map[bootctl.Slot]bootctl.SlotState
	}{
		{[]string{"uboot-mkenvimage.bin"}, "B", trial},
		{[]string{"uboot-2023.01.bin"}, "B", last},
		{[]string{"uboot-mkenvimage-redundant.bin", "uboot-mkenvimage-redundant.bin"}, "B", trial},
		{[]string{"uboot-libubootenv-0.bin", "uboot-libubootenv-1.bin"}, "A", spent},
	} {
		d := &boottest.Disk{}
		o := ubootenv.Options{Locks: []string{}, Slots: slotAB}
		for i, name := range c.files {
			raw, err := os.ReadFile(filepath.Join("../../testdata/boot", name))
			if err != nil {
				t.Fatal(err)
			}
			path := "/boot/" + string(rune('0'+i))
			d.Put(path, raw)
			o.Copies = append(o.Copies, ubootenv.Location{Path: path, Size: int64(len(raw))})
		}
		b, err := ubootenv.New(d, o)
		if err != nil {
			t.Fatal(err)
		}
		s, err := b.State(t.Context())
		if err != nil || s.Next != c.next {
			t.Errorf("%v: next is %q (%v)", c.files, s.Next, err)
		}
		for slot, want := range c.slots {
			if s.Slots[slot] != want {
				t.Errorf("%v: slot %s is %+v, want %+v", c.files, slot, s.Slots[slot], want)
			}
		}
	}
}
