package ubootenv

import (
	"encoding/binary"
	"fmt"
	"path"
	"strings"

	"github.com/ratchet-ota/ratchet/bootctl/internal/engine"
	"github.com/ratchet-ota/ratchet/hal"
)

// block is what is lost together at the least on a disk, in bytes: see hal.Region.
const block = hal.Align

const noFlash = "MTD and UBI are not supported, put the environment on a block device or in files"

// span is a copy as its bytes lie on a device.
type span struct {
	loc      Location
	region   hal.Region
	from, to int64
	placed   bool // from and to are known
}

// Look holds the places of the copies against each other, the slots and the partition table, as far as they can be
// found now. A place that cannot be found is an error only of who reads it. It writes nothing.
func (o Options) Look(fsys hal.FS) error {
	if err := checkCopies(o.Copies); err != nil {
		return err
	}
	_, _, err := codec{fs: fsys, o: o}.look()
	return err
}

// look is the copies with what they are, and why a power cut may take both, "" where it does not. Copies that can
// harm each other, or something else, are an error: nothing is read or written there.
//
// Two copies within one block are refused: one torn write takes the whole environment, and CONFIG_ENV_OFFSET_REDUND can
// be moved. Two that only meet in one (a size or an offset that is no multiple of the block, as counted from the end of
// eMMC) are what boards in the field have: they boot, nobody can change them there, and so it is said, not refused.
func (c codec) look() (copies []Location, weakness string, err error) {
	if c.o.Locate == nil {
		return c.o.Copies, "", nil
	}
	var spans []span
	for _, loc := range c.o.Copies {
		if err := engine.Apart(c.o.Locate, loc.Path, c.o.Parts); err != nil {
			return nil, "", err
		}
		s, err := c.span(loc)
		if err != nil {
			return nil, "", err
		}
		if err := c.apart(s); err != nil {
			return nil, "", err
		}
		copies, spans = append(copies, s.loc), append(spans, s)
	}
	if spans[0].region.LogsData {
		return copies, hal.LogsDataWeakness, nil
	}
	known := len(spans) == 2 && spans[0].placed && spans[1].placed && spans[0].region.On.Known()
	if known && spans[0].region.On == spans[1].region.On {
		weakness, err = together(spans[0], spans[1])
	}
	return copies, weakness, err
}

func (c codec) span(loc Location) (span, error) {
	r, err := c.o.Locate(loc.Path)
	if err != nil {
		return span{loc: loc}, nil // whoever reads it says so
	}
	if r.Flash {
		return span{}, errorf("%s leads to raw flash: %s", loc.Path, noFlash)
	}
	if r.Self.Block && loc.Kind == Auto {
		loc.Kind = Block // behind a link
	}
	s := span{loc: loc, region: r, placed: r.Size > 0 || loc.Offset >= 0}
	s.from = r.Start + loc.at(r.Size)
	s.to = s.from + loc.Size
	return s, nil
}

// together compares two copies on one device, by whatever paths and from whichever end they are given.
func together(a, b span) (weakness string, err error) {
	if a.from < b.to && b.from < a.to {
		return "", errorf("the copies overlap: %s leads to the bytes of %s; use the places of CONFIG_ENV_OFFSET "+
			"and CONFIG_ENV_OFFSET_REDUND", a.loc, b.loc)
	}
	unit := max(a.region.Unit, 1)
	if oneBlock(a.from, a.to, b.from, b.to, unit) {
		return "", errOneBlock(unit)
	}
	if a.from > b.from {
		a, b = b, a
	}
	if (a.to-1)/unit == b.from/unit {
		return fmt.Sprintf("the two copies meet in one block of %d bytes, and a write that is cut can spoil all of a "+
			"block, so that both are lost; on new boards, let both offsets be multiples of %d", unit, unit), nil
	}
	return "", nil
}

// oneBlock tells whether two ranges lie in the same block, wholly.
func oneBlock(from, to, from2, to2, unit int64) bool {
	n := floor(from, unit)
	return floor(to-1, unit) == n && floor(from2, unit) == n && floor(to2-1, unit) == n
}

func floor(n, unit int64) int64 {
	if n < 0 {
		return -((-n + unit - 1) / unit)
	}
	return n / unit
}

func errOneBlock(unit int64) error {
	return errorf("the copies lie in one block of %d bytes, and a write that is cut can spoil all of a block: "+
		"move CONFIG_ENV_OFFSET_REDUND to another multiple of %d", unit, unit)
}

// apart refuses a copy among the bytes of a slot or of a partition table.
func (c codec) apart(s span) error {
	if !s.placed {
		return nil
	}
	for _, part := range c.o.Parts {
		r, err := c.o.Locate(part)
		switch {
		case err != nil:
		case r.On.Known() && r.On == s.region.On && r.Size > 0 && s.from < r.Start+r.Size && r.Start < s.to:
			return errorf("%s lies in %s, which is a slot: an update would overwrite it, or it the slot; "+
				"correct the offset", s.loc, part)
		}
	}
	if s.region.Self != s.region.On || !s.region.Self.Block {
		return nil
	}
	return c.tables(s)
}

// tables refuses a copy where a partition table is. A copy that is valid was written there by U-Boot: then the
// board works so, and the table has its other copy.
func (c codec) tables(s span) error {
	head, err := c.bytes(s.loc.Path, 0, min(2*block, s.region.Size))
	if err != nil {
		return nil // whoever reads the copy says so
	}
	for _, t := range tablesOf(head, s.region.Size) {
		if s.from >= t.to || t.from >= s.to {
			continue
		}
		raw, err := c.bytes(s.loc.Path, s.from, s.loc.Size)
		if err == nil && parseCopy(raw, len(c.o.Copies) == 2).crcOK {
			continue
		}
		return errorf("%s lies in the partition table of the disk, in bytes %d to %d: correct the offset", s.loc,
			t.from, t.to)
	}
	return nil
}

func (c codec) bytes(name string, off, n int64) ([]byte, error) {
	m, err := c.fs.Open(name, hal.ReadOnly)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	b := make([]byte, n)
	_, err = m.ReadAt(b, off)
	return b, err
}

type extent struct{ from, to int64 }

// tablesOf finds the partition tables of a disk of size bytes by its first bytes: the MBR's sector (also before a GPT),
// and both copies of a GPT (UEFI 2.10, section 5.3), with logical blocks of 512 or 4096 bytes.
func tablesOf(head []byte, size int64) (list []extent) {
	if len(head) >= 512 && head[510] == 0x55 && head[511] == 0xaa {
		list = append(list, extent{0, 512})
	}
	for _, lba := range []int64{512, 4096} {
		if int64(len(head)) < lba+92 || string(head[lba:lba+8]) != "EFI PART" {
			continue
		}
		h := head[lba:]
		first, entries := binary.LittleEndian.Uint64(h[40:]), binary.LittleEndian.Uint64(h[72:])
		last := binary.LittleEndian.Uint64(h[48:])
		n, each := binary.LittleEndian.Uint32(h[80:]), binary.LittleEndian.Uint32(h[84:])
		blocks := uint64(size / lba)
		if entries >= blocks || last >= blocks || first > last || n > 1024 || each > 4096 {
			continue // no GPT that anybody could use
		}
		list = append(list, extent{lba, 2 * lba},
			extent{int64(entries) * lba, int64(entries)*lba + int64(n)*int64(each)}, extent{int64(last+1) * lba, size})
	}
	return list
}

// String names a copy as fw_env.config does.
func (l Location) String() string { return fmt.Sprintf("%s at %#x", l.Path, l.Offset) }

// disk tells whether a path that nobody has looked at is that of a disk, where whole blocks are lost.
func (l Location) disk() bool {
	return l.Kind == Block || l.Kind == Auto && strings.HasPrefix(path.Clean(l.Path), "/dev/")
}
