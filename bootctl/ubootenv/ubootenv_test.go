package ubootenv_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/bootmodel"
	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
)

const size = 1024

// factory is a board as it leaves the factory: bootcmd, things of other programs, nothing of slots.
// The blob makes the variables cross from one sector into the next.
var factory = []string{"bootcmd=source boot.scr", "path=C:\\\\boot", "blob=" + strings.Repeat("x", 400), "zz_last=1"}

var slotAB = []bootctl.Slot{"A", "B"}

type layout struct {
	name   string
	copies []ubootenv.Location
	rauc   bool
	spoils int64
}

var layouts = []layout{
	{name: "two copies in files",
		copies: []ubootenv.Location{{Path: "/boot/uboot.env", Size: size},
			{Path: "/boot/uboot-redund.env", Size: size}}},
	{name: "two copies on a device",
		copies: []ubootenv.Location{{Path: "/dev/mmcblk0", Offset: 1024, Size: size},
			{Path: "/dev/mmcblk0", Offset: -2 * size, Size: size}}},
	{name: "two copies with RAUC's script",
		copies: []ubootenv.Location{{Path: "/boot/uboot.env", Size: size},
			{Path: "/boot/uboot-redund.env", Size: size}}, rauc: true},
	{name: "one copy in a file", copies: []ubootenv.Location{{Path: "/boot/uboot.env", Size: size}}},
	{name: "one copy on a device", copies: []ubootenv.Location{{Path: "/dev/mmcblk0", Offset: -1024, Size: size}}},
	{name: "two copies on flash that spoils blocks",
		copies: []ubootenv.Location{{Path: "/dev/mmcblk0", Offset: 4096, Size: size},
			{Path: "/dev/mmcblk0", Offset: -4096, Size: size}}, spoils: 4096},
}

// disk is a factory-new medium.
func (l layout) disk(t testing.TB, vars ...string) *boottest.Disk {
	d := &boottest.Disk{Spoils: l.spoils}
	for i, c := range l.copies {
		flags := -1
		if len(l.copies) == 2 {
			flags = 1 - i
		}
		raw, err := ubootenv.Encode(vars, size, flags)
		if err != nil {
			t.Fatal(err)
		}
		if c.Path[:5] == "/dev/" {
			dev := d.Get(c.Path)
			if dev == nil {
				dev = bytes.Repeat([]byte{0xa5}, 5120+2*int(l.spoils))
			}
			copy(dev[c.Offset+int64(len(dev))*b2i(c.Offset < 0):], raw)
			d.Put(c.Path, dev)
			continue
		}
		d.Put(c.Path, raw)
	}
	return d
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (l layout) options() ubootenv.Options {
	return ubootenv.Options{
		Copies: l.copies, Locks: []string{"/run/lock"}, Shadow: "/var/shadow", Slots: slotAB, CountsConfirmed: l.rauc,
	}
}

func (l layout) backend(t testing.TB, d *boottest.Disk) *ubootenv.Backend {
	b, err := ubootenv.New(d, l.options())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (l layout) model(d *boottest.Disk, loads func(string) bool) bootmodel.UBoot {
	m := bootmodel.UBoot{FS: d, Loads: loads}
	if l.rauc {
		m.Script = bootmodel.RAUC
	}
	for _, c := range l.copies {
		m.Copies = append(m.Copies, bootmodel.Copy{Path: c.Path, Offset: c.Offset, Size: c.Size})
	}
	return m
}

// raw is the bytes of all copies.
func (l layout) raw(d *boottest.Disk) (all [][]byte) {
	for _, c := range l.copies {
		f := d.Get(c.Path)
		off := c.Offset + int64(len(f))*b2i(c.Offset < 0)
		all = append(all, f[off:off+c.Size])
	}
	return all
}

// foreign is what other programs keep, as they would find it.
func (l layout) foreign(d *boottest.Disk) string {
	m := l.model(d, nil)
	vars, err := m.Environment()
	if err != nil {
		return err.Error()
	}
	out := ""
	for _, name := range []string{"bootcmd", "path", "blob", "zz_last"} {
		out += fmt.Sprintf("%s=%s\n", name, vars[name])
	}
	return out
}

func TestConformance(t *testing.T) {
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			boottest.Run(t, func(t *testing.T) boottest.Rig {
				d := l.disk(t, factory...)
				return boottest.Rig{
					Backend: l.backend(t, d),
					Slots:   [2]bootctl.Slot{"A", "B"},
					Model:   func(loads func(string) bool) boottest.Model { return l.model(d, loads) },
					Raw:     func() []byte { return bytes.Join(l.raw(d), nil) },
					Foreign: func() string { return l.foreign(d) },
					Damage: func() {
						for _, c := range l.copies {
							f := d.Get(c.Path)
							f[c.Offset+int64(len(f))*b2i(c.Offset < 0)+c.Size/2] ^= 1
							d.Put(c.Path, f)
						}
					},
				}
			})
		})
	}
}
