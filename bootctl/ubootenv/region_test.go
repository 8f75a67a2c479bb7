package ubootenv_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl/boottest"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
	"github.com/ratchet-ota/ratchet/hal"
)

const mmcSize = 1 << 20

// board is an eMMC of 1 MiB with partitions at 256 KiB and 512 KiB, seen by several paths.
func board(name string) (hal.Region, error) {
	dev := func(minor uint64) hal.DeviceID { return hal.DeviceID{Block: true, Major: 0xb300 + minor} }
	part := func(n int64) hal.Region {
		return hal.Region{Self: dev(uint64(n)), On: dev(0), Start: n * mmcSize / 4, Size: mmcSize / 4, Unit: 4096}
	}
	disk := hal.Region{Self: dev(0), On: dev(0), Size: mmcSize, Unit: 4096}
	file := func(inode uint64, unit int64) hal.Region {
		id := hal.DeviceID{Major: 0xb301, Minor: inode}
		return hal.Region{Self: id, On: id, Size: 1 << 16, Unit: unit, FS: dev(1)}
	}
	r, ok := map[string]hal.Region{
		"/dev/mmcblk0": disk, "/dev/disk/by-path/mmc": disk, "/etc/env-disk": disk,
		"/dev/mmcblk0p1": part(1), "/dev/disk/by-partlabel/env": part(1), "/dev/mmcblk0p2": part(2),
		"/boot/env": file(7, 4096), "/boot/link": file(7, 4096), "/boot/env2": file(8, 4096),
		"/sys/eeprom": file(9, 256), "/dev/flash": {Flash: true}, "/dev/big": {Self: dev(9), On: dev(9), Size: mmcSize,
			Unit: 65536},
	}[name]
	if !ok {
		return r, &fs.PathError{Op: "locate", Path: name, Err: fs.ErrNotExist}
	}
	return r, nil
}

// TestCopiesThatHarmEachOther: whatever path and whichever end a copy is given by, two that a cut write can spoil
// together are refused, or said where boards have them; and so is what lies in a slot or a partition table.
func TestCopiesThatHarmEachOther(t *testing.T) {
	for _, c := range []struct{ name, config, refused, weak string }{
		{"apart", "/dev/mmcblk0 0x2000 2000\n/dev/mmcblk0 0x4000 2000", "", ""},
		{"from both ends, apart", "/dev/mmcblk0 0x2000 2000\n/dev/mmcblk0 -0x2000 2000", "", ""},
		{"the same place from both ends", "/dev/mmcblk0 0xfe000 2000\n/dev/mmcblk0 -0x2000 2000", "overlap", ""},
		{"half over each other from both ends", "/dev/mmcblk0 0xfd000 2000\n/dev/mmcblk0 -0x2000 2000", "overlap", ""},
		{"one block from both ends", "/dev/mmcblk0 0xff000 800\n/dev/mmcblk0 -0x800 800", "one block of 4096", ""},
		{"two names of a disk", "/dev/mmcblk0 0x2000 2000\n/dev/disk/by-path/mmc 0x2000 2000", "overlap", ""},
		{"two names of a partition", "/dev/mmcblk0p1 0 2000\n/dev/disk/by-partlabel/env 0x1000 2000", "overlap", ""},
		{"a disk and its partition", "/dev/mmcblk0 0x41000 2000\n/dev/mmcblk0p1 0 2000", "overlap", ""},
		{"a disk and its partition, apart", "/dev/mmcblk0 0x2000 2000\n/dev/mmcblk0p1 0 2000", "", ""},
		{"a link outside of /dev", "/etc/env-disk 0x2000 800\n/dev/mmcblk0 0x2800 800", "one block of 4096", ""},
		{"one file by two names", "/boot/env 0 400\n/boot/link 0x200 400", "overlap", ""},
		{"two files", "/boot/env 0 400\n/boot/env2 0 400", "", ""},
		{"one block of a file", "/boot/env 0 400\n/boot/env 0x400 400", "one block of 4096", ""},
		{"one EEPROM", "/sys/eeprom 0 800\n/sys/eeprom 0x800 800", "", ""},
		{"one page of an EEPROM", "/sys/eeprom 0 80\n/sys/eeprom 0x80 80", "one block of 256", ""},
		{"one block of a slow medium", "/dev/big 0x10000 2000\n/dev/big 0x18000 2000", "one block of 65536", ""},
		{"meeting in a block", "/dev/mmcblk0 0x2200 2000\n/dev/mmcblk0 0x4200 2000", "", "meet in one block of 4096"},
		{"meeting, counted from the end", "/dev/mmcblk0 -0x2200 2000\n/dev/mmcblk0 -0x4200 2000", "",
			"meet in one block"},
		{"flash behind a link", "/dev/flash 0 2000", "MTD and UBI", ""},
		{"in a slot", "/dev/mmcblk0 0x2000 2000\n/dev/mmcblk0 0x81000 2000", "which is a slot", ""},
		{"in a slot's partition", "/dev/mmcblk0p2 0 2000", "which is a slot", ""},
		{"a file in a slot", "/boot/env 0 400\n/boot/env2 0 400", "/boot/env lies on /dev/mmcblk0p1", ""},
		{"in the MBR", "/dev/mmcblk0 0 2000\n/dev/mmcblk0 0x8000 2000", "partition table", ""},
		{"in the GPT's entries", "/dev/mmcblk0 0x4000 2000\n/dev/mmcblk0 0x8000 2000", "partition table", ""},
		{"in the second GPT", "/dev/mmcblk0 -0x2000 2000\n/dev/mmcblk0 0x8000 2000", "partition table", ""},
		{"not there yet", "/dev/mmcblk1 0 2000\n/dev/mmcblk1 0x2000 2000", "", ""},
	} {
		locs, err := ubootenv.ParseConfig([]byte(c.config))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		gpt := strings.Contains(c.refused, "table")
		d := disks(t, locs, gpt)
		o := layouts[0].options()
		o.Copies, o.Locate = locs, board
		if strings.Contains(c.refused, "slot") {
			o.Parts = []string{"/dev/absent", "/dev/mmcblk0p2"}
		}
		if strings.Contains(c.refused, "/boot/env lies on /dev/mmcblk0p1") {
			o.Parts = []string{"/dev/mmcblk0p1"}
		}
		for what, err := range map[string]error{"a check": o.Look(d), "a reading": reads(t, d, o, c.weak)} {
			if gone := err != nil && c.name == "not there yet"; gone && what == "a reading" {
				continue
			}
			if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s, %s: %v, want %q", c.name, what, err, c.refused)
			}
		}
		if writes := d.Writes(); c.refused != "" && writes > 0 {
			t.Errorf("%s: refused, and %d writes", c.name, writes)
		}
	}
}

// reads is what State says, which is to name weak.
func reads(t *testing.T, d *boottest.Disk, o ubootenv.Options, weak string) error {
	b, err := ubootenv.New(d, o)
	if err != nil {
		return err
	}
	_ = b.Refresh(t.Context(), "A")
	before := d.Writes()
	s, err := b.State(t.Context())
	if err == nil && (s.Caps.PowerSafe == (weak != "") && len(o.Copies) == 2 ||
		!strings.Contains(s.Caps.Weakness, weak)) {
		t.Errorf("%v: %+v", o.Copies, s.Caps)
	}
	if before != d.Writes() {
		t.Error("State writes")
	}
	return err
}

// disks hold the copies, as far as they do not lie over each other, and a GPT.
func disks(t *testing.T, locs []ubootenv.Location, gpt bool) *boottest.Disk {
	d := &boottest.Disk{}
	for i, loc := range locs {
		r, err := board(loc.Path)
		if err != nil || r.Flash {
			continue
		}
		b := d.Get(loc.Path)
		if b == nil {
			b = make([]byte, r.Size)
		}
		raw, err := ubootenv.Encode([]string{"bootcmd=x"}, loc.Size, i)
		if err != nil {
			t.Fatal(err)
		}
		if len(locs) == 1 {
			raw, _ = ubootenv.Encode([]string{"bootcmd=x"}, loc.Size, -1)
		}
		off := loc.Offset
		if off < 0 {
			off += r.Size
		}
		copy(b[off:], raw)
		d.Put(loc.Path, b)
	}
	if gpt {
		b := d.Get("/dev/mmcblk0")
		copy(b, bytes.Repeat([]byte{0}, 0x6000))
		clear(b[mmcSize-0x2000:])
		copy(b, gptHead())
		d.Put("/dev/mmcblk0", b)
	}
	return d
}

// gptHead is a protective MBR, and a header of 128 entries of 128 bytes from block 2.
func gptHead() []byte {
	b := make([]byte, 1024)
	b[510], b[511] = 0x55, 0xaa
	h := b[512:]
	copy(h, "EFI PART")
	binary.LittleEndian.PutUint64(h[40:], 34)
	binary.LittleEndian.PutUint64(h[48:], mmcSize/512-34)
	binary.LittleEndian.PutUint64(h[72:], 2)
	binary.LittleEndian.PutUint32(h[80:], 128)
	binary.LittleEndian.PutUint32(h[84:], 128)
	return b
}

// TestEnvironmentInATableThatWorks: where U-Boot has a valid copy over a table, the board works, and goes on.
func TestEnvironmentInATableThatWorks(t *testing.T) {
	locs, err := ubootenv.ParseConfig([]byte("/dev/mmcblk0 0x4000 2000\n/dev/mmcblk0 0x8000 2000"))
	if err != nil {
		t.Fatal(err)
	}
	d := disks(t, locs, false)
	b := d.Get("/dev/mmcblk0")
	copy(b, gptHead())
	d.Put("/dev/mmcblk0", b)
	o := layouts[0].options()
	o.Copies, o.Locate = locs, board
	if err := reads(t, d, o, ""); err != nil {
		t.Error(err)
	}
}

// TestCopiesInOneBlock: what two lines with one path tell by themselves.
func TestCopiesInOneBlock(t *testing.T) {
	for config, ok := range map[string]bool{
		"/dev/a 0x2000 800\n/dev/a 0x2800 800":   false,
		"/dev/a 0x2800 800\n/dev/a 0x3000 800":   true,
		"/dev//a 0x2000 800\n/dev/a 0x2800 800":  false,
		"/dev/a -0x1000 800\n/dev/a -0x800 800":  false,
		"/dev/a -0x1800 800\n/dev/a -0x1000 800": true,
		"/dev/./mtd0 0 2000":                     false,
		"/sys/bus/e 0 800\n/sys/bus/e 0x800 800": true,
		"/dev/a 0x1000 1000\n/dev/a 0x2000 1000": true,
	} {
		if _, err := ubootenv.ParseConfig([]byte(config)); (err == nil) != ok {
			t.Errorf("%q: %v", config, err)
		}
	}
}

// FuzzTables: no bytes of a disk make it panic, or name a place outside of the disk.
func FuzzTables(f *testing.F) {
	f.Add(gptHead(), int64(mmcSize))
	f.Fuzz(func(t *testing.T, head []byte, size int64) {
		for _, e := range ubootenv.Tables(head, size) {
			if size >= 0 && (e[0] < 0 || e[1] < e[0] || e[0] > max(size, 8192)) {
				t.Error(fmt.Sprint(e, size))
			}
		}
	})
}
