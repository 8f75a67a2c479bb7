package explorer

import (
	"sort"

	"github.com/ratchet-ota/ratchet/bootctl/bootmodel"
	"github.com/ratchet-ota/ratchet/bootctl/grubenv"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
)

// somebodySets is another program that changes the metadata behind the agent's back: durable at once,
// without a lock, and no operation of the machine.
func (d *Device) somebodySets(change map[string]string) {
	if d.l.efi != nil {
		d.l.efi.foreign(d.W)
		return
	}
	w := d.W
	fork := w.Fork()
	fork.CutAt(0, 0)
	var vars map[string]string
	var err error
	if d.l.uboot != nil {
		u := bootmodel.UBoot{FS: fork.FS()}
		for _, c := range d.l.uboot.Copies {
			u.Copies = append(u.Copies, bootmodel.Copy{Path: c.Path, Offset: c.Offset, Size: c.Size})
		}
		vars, err = u.Environment()
	} else {
		vars, err = bootmodel.GRUB{FS: fork.FS(), Path: grubenvPath}.Environment()
	}
	if err != nil {
		panic("internal error: " + err.Error())
	}
	for k, v := range change {
		vars[k] = v
	}
	var list []string
	for k, v := range vars {
		list = append(list, k+"="+v)
	}
	sort.Strings(list)
	if d.l.uboot == nil {
		if b, err := grubenv.Encode(list); err == nil {
			w.PutFile(grubenvPath, b)
		} else if d.l.PowerSafe {
			panic("internal error: " + err.Error())
		} // a cut has made nonsense of it, which the other program refuses
		return
	}
	for i, c := range d.l.uboot.Copies {
		flags := i + 1
		if len(d.l.uboot.Copies) == 1 {
			flags = -1
		}
		b, err := ubootenv.Encode(list, c.Size, flags)
		if err != nil {
			panic("internal error: " + err.Error())
		}
		d.put(c, b)
	}
}

func (d *Device) put(c ubootenv.Location, b []byte) {
	if d.l.disk == "" {
		d.W.PutFile(c.Path, b)
		return
	}
	off := c.Offset
	if off < 0 {
		off += 64 << 10
	}
	d.W.Poke(c.Path, off, b)
}

// somebodyRuins overwrites all metadata with nonsense.
func (d *Device) somebodyRuins() {
	if d.l.efi != nil {
		d.l.efi.ruins(d.W)
		return
	}
	junk := make([]byte, envSize)
	for i := range junk {
		junk[i] = byte(i*7 + 3)
	}
	if d.l.uboot == nil {
		d.W.PutFile(grubenvPath, junk[:grubenv.Size])
		return
	}
	for _, c := range d.l.uboot.Copies {
		d.put(c, junk)
	}
}

// somebodyArms arms a slot as if a person had done it.
func (d *Device) somebodyArms(slot string) {
	if d.l.efi != nil {
		d.l.efi.arms(d.W, slot)
		return
	}
	other := map[string]string{"A": "B", "B": "A"}[slot]
	if d.l.uboot != nil {
		d.somebodySets(map[string]string{"BOOT_ORDER": slot + " " + other, "BOOT_" + slot + "_LEFT": "3",
			"BOOT_" + slot + "_GOOD": "0"})
		return
	}
	d.somebodySets(map[string]string{"ORDER": slot + " " + other, slot + "_OK": "1", slot + "_TRY": "0",
		slot + "_GOOD": "0"})
}

// somebodyConfirms confirms a slot.
func (d *Device) somebodyConfirms(slot string) {
	if d.l.efi != nil {
		d.l.efi.confirms(d.W, slot)
		return
	}
	if d.l.uboot != nil {
		d.somebodySets(map[string]string{"BOOT_" + slot + "_LEFT": "3", "BOOT_" + slot + "_GOOD": "1"})
		return
	}
	d.somebodySets(map[string]string{slot + "_OK": "1", slot + "_TRY": "0", slot + "_GOOD": "1"})
}

// somebodyDisables makes a slot unbootable.
func (d *Device) somebodyDisables(slot string) {
	if d.l.efi != nil {
		d.l.efi.disables(d.W, slot)
		return
	}
	other := map[string]string{"A": "B", "B": "A"}[slot]
	if d.l.uboot != nil {
		d.somebodySets(map[string]string{"BOOT_ORDER": other, "BOOT_" + slot + "_LEFT": "0",
			"BOOT_" + slot + "_GOOD": "0"})
		return
	}
	d.somebodySets(map[string]string{"ORDER": other, slot + "_OK": "0", slot + "_TRY": "0", slot + "_GOOD": "0"})
}

// metadata tells whether a path holds boot metadata.
func (d *Device) metadata(path string) bool {
	if d.l.efi != nil {
		return d.l.efi.metadata(path)
	}
	if d.l.uboot == nil {
		return path == grubenvPath
	}
	for _, c := range d.l.uboot.Copies {
		if c.Path == path {
			return true
		}
	}
	return false
}
