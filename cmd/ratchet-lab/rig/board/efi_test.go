package board

import (
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/bootmodel"
	"github.com/ratchet-ota/ratchet/bootctl/efi"
	"github.com/ratchet-ota/ratchet/bootctl/sdboot"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// TestFactoryVariables: the agent finds the slots in what the factory writes, A confirmed and B off, and
// the model of the firmware starts A.
func TestFactoryVariables(t *testing.T) {
	w := sim.New(1)
	for name, value := range factoryVariables(x86UEFI) {
		w.PutVariable(strings.TrimPrefix(name, "efivars/"), 7, []byte(value[4:]))
	}
	b, err := efi.New(w.Variables(), w.FS(), efi.Options{Locks: []string{}, Slots: []bootctl.Slot{"A", "B"}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.State(t.Context())
	if err != nil || s.Next != "A" || !s.Slots["A"].Confirmed || s.Slots["B"].Bootable {
		t.Errorf("%+v, %v", s, err)
	}
	if err := b.Try(t.Context(), "B", 1); err != nil {
		t.Error(err)
	}
	slot, args, err := bootmodel.UEFI{Vars: w.Variables()}.Boot()
	if err != nil || slot != "B" || !strings.Contains(args, "root=/dev/vda3") ||
		!strings.Contains(args, `initrd=\ratchet\b\initrd`) {
		t.Errorf("%q starts, with %q, %v", slot, args, err)
	}
}

// TestEntries: the entries of the rig are one sector, and say to the kernel which slot it is.
func TestEntries(t *testing.T) {
	for slot, device := range map[string]string{"A": "root=/dev/vda2 ", "B": "root=/dev/vda3 "} {
		e, err := sdbootEntry(x86SDBoot, slot)
		if err != nil || len(e) != sdboot.Size || !strings.Contains(e, device) ||
			!strings.Contains(e, " ratchet.slot="+slot) {
			t.Errorf("%q, %v", e, err)
		}
	}
}
