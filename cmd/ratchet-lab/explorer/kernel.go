package explorer

import (
	"bytes"

	"github.com/ratchet-ota/ratchet/hal/sim"
)

// kernelSize is how much of rootfs the kernel fills, from its beginning, in a slot without a part of its own for it.
const kernelSize = 16 << 10

// What a slot holds decides what becomes of it, and nothing else: a loader loads a kernel that is whole, and refuses
// one that is written in half, torn, or mixed of two images. A kernel that is whole starts, and panics where the rest
// of the slot is not of one image; so does one that the scenario says is sick that way.

// loads tells whether the loader can load the kernel of a slot of w. It is asked by the model of the loader, with
// nothing in the cache: at a power-on.
func (d *Device) loads(w *sim.World, slot string) bool {
	if d.parts(slot) == nil {
		return false
	}
	if n := d.holds(w, slot); n != 0 {
		return !d.s.unloads(n)
	}
	component, size := "rootfs", int64(kernelSize)
	if d.s.Both {
		component, size = "boot", bootSize
	}
	got := w.Disk(d.parts(slot)[component], 0, size)
	for n := byte(1); n <= 9; n++ {
		if bytes.Equal(got, d.image(component, n)[:size]) {
			return !d.s.unloads(n)
		}
	}
	return false
}

// tries is loads of the machine itself: no slot is tried that holds no whole image (I9), whether its kernel loads
// or not.
func (d *Device) tries(slot string) bool {
	if d.holds(d.W, slot) == 0 {
		d.breach("I9", "the bootloader tries slot %s, which holds no whole image", slot)
	}
	return d.loads(d.W, slot)
}
