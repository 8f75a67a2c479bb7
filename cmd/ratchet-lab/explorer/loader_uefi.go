package explorer

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/bootmodel"
	"github.com/ratchet-ota/ratchet/bootctl/efi"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// variables is plain UEFI firmware.
type variables struct{}

const globalGUID = "-8be4df61-93ca-11d2-aa0d-00e098032b8c"

// bootNumbers are the load options of the slots; option 0 is of somebody else.
func bootNumber(slot string) uint16 { return map[string]uint16{"A": 0x10, "B": 0x11}[slot] }

func (variables) factory(w *sim.World) {
	for title, n := range map[string]uint16{"UEFI Shell": 0, "ratchet A": bootNumber("A"),
		"ratchet B": bootNumber("B")} {
		b := []byte{1, 0, 0, 0, 4, 0}
		for _, c := range append(utf16.Encode([]rune(title)), 0) {
			b = binary.LittleEndian.AppendUint16(b, c)
		}
		w.PutVariable(fmt.Sprintf("Boot%04X", n)+globalGUID, 7, append(b, 0x7f, 0xff, 4, 0))
	}
	variables{}.order(w, bootNumber("A"), bootNumber("B"), 0)
}

func (variables) order(w *sim.World, numbers ...uint16) { variables{}.put(w, "BootOrder", numbers...) }

func (variables) put(w *sim.World, name string, numbers ...uint16) {
	var b []byte
	for _, n := range numbers {
		b = binary.LittleEndian.AppendUint16(b, n)
	}
	w.PutVariable(name+globalGUID, 7, b)
}

// without is BootOrder without a slot.
func (variables) without(w *sim.World, slot string) (rest []uint16) {
	_, b, _ := w.Fork().Variables().Get("BootOrder" + globalGUID)
	for ; len(b) >= 2; b = b[2:] {
		if n := binary.LittleEndian.Uint16(b); n != bootNumber(slot) {
			rest = append(rest, n)
		}
	}
	return rest
}

func (variables) backend(fsys hal.Tree, vars hal.Variables) (bootctl.Backend, error) {
	return efi.New(vars, fsys, efi.Options{Slots: []bootctl.Slot{"A", "B"},
		Locks: []string{"/run/ratchet/lock/efi.lock"}, Shadow: shadowFile, Watchdog: true})
}

func (variables) boot(w *sim.World, loads func(string) bool) (string, error) {
	slot, _, err := bootmodel.UEFI{Vars: w.Variables(), Loads: loads}.Boot()
	return slot, err
}

func (variables) metadata(name string) bool { return strings.HasPrefix(name, "Boot") }

func (v variables) foreign(w *sim.World) { v.order(w, append(v.without(w, ""), 0x99)...) }

// ruins leaves BootOrder with a number and a half, of which the firmware takes the number.
func (variables) ruins(w *sim.World) {
	w.PutVariable("BootOrder"+globalGUID, 7, append(binary.LittleEndian.AppendUint16(nil, bootNumber("A")), 7))
	w.PutVariable("BootNext"+globalGUID, 7, []byte{3})
}

func (v variables) arms(w *sim.World, slot string) {
	v.order(w, v.without(w, slot)...)
	v.put(w, "BootNext", bootNumber(slot))
}

func (v variables) confirms(w *sim.World, slot string) {
	v.order(w, append([]uint16{bootNumber(slot)}, v.without(w, slot)...)...)
}

func (v variables) disables(w *sim.World, slot string) { v.order(w, v.without(w, slot)...) }
