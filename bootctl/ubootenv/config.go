package ubootenv

import (
	"path"
	"strconv"
	"strings"
)

// maxConfig bounds a configuration file in bytes.
const maxConfig = 64 << 10

// ParseConfig reads fw_env.config, the file of fw_printenv(8) and fw_setenv(8): one line for each
// copy with device, offset and size, in the order of the copies; what follows on the line concerns
// MTD only and is ignored. The offset is a C literal (0x for hexadecimal, 0 for octal), negative from
// the end of a block device. The size is hexadecimal with or without 0x, because that is how the tools
// read it: "4000" is 16 KiB.
//
// Unlike the tools it refuses what it cannot read: a damaged second line would otherwise turn two
// copies into one without a word. MTD and UBI devices are refused.
func ParseConfig(b []byte) ([]Location, error) {
	if len(b) > maxConfig {
		return nil, errorf("cannot read the environment's configuration: %d bytes are more than %d",
			len(b), maxConfig)
	}
	var locs []Location
	for i, line := range strings.Split(string(b), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		loc, err := parseLine(fields)
		if err == nil && len(locs) == 2 {
			err = errorf("a third copy; U-Boot has at most two")
		}
		if err != nil {
			return nil, errorf("cannot read line %d of the environment's configuration: %w", i+1, err)
		}
		locs = append(locs, loc)
	}
	if err := checkCopies(locs); err != nil {
		return nil, errorf("cannot use the environment's configuration: %w", err)
	}
	return locs, nil
}

func parseLine(fields []string) (Location, error) {
	if strings.HasSuffix(fields[0], ":") {
		return Location{}, errorf("%q looks like YAML; write one line for each copy instead", fields[0])
	}
	if len(fields) < 3 {
		return Location{}, errorf("want device, offset and size")
	}
	loc := Location{Path: fields[0]}
	var err error
	if loc.Offset, err = strconv.ParseInt(cLiteral(fields[1]), 0, 64); err != nil {
		return Location{}, errorf("the offset %q is not a number", fields[1])
	}
	digits := strings.TrimPrefix(strings.TrimPrefix(fields[2], "0x"), "0X")
	size, err := strconv.ParseUint(digits, 16, 32)
	if err != nil {
		return Location{}, errorf("the size %q is not a hexadecimal number", fields[2])
	}
	loc.Size = int64(size)
	return loc, nil
}

// cLiteral takes away what Go reads as a number and C does not.
func cLiteral(s string) string {
	if strings.ContainsAny(s, "_oO") || strings.HasPrefix(strings.TrimLeft(s, "+-"), "0b") ||
		strings.HasPrefix(strings.TrimLeft(s, "+-"), "0B") {
		return ""
	}
	return s
}

// checkCopies validates one or two locations as far as they tell by themselves; Options.Look sees the devices.
func checkCopies(locs []Location) error {
	if len(locs) != 1 && len(locs) != 2 {
		return errorf("%d copies of the environment are configured; configure one or two", len(locs))
	}
	for _, l := range locs {
		switch {
		case !strings.HasPrefix(l.Path, "/"):
			return errorf("%q is not an absolute path", l.Path)
		case strings.HasPrefix(path.Clean(l.Path), "/dev/mtd"), strings.HasPrefix(path.Clean(l.Path), "/dev/ubi"):
			return errorf("%s: %s", l.Path, noFlash)
		case l.Size < minSize || l.Size > maxSize:
			return errorf("%s: the size of an environment cannot be %d bytes; use %d to %d",
				l.Path, l.Size, minSize, maxSize)
		case l.Offset < -(1<<50) || l.Offset > 1<<50:
			return errorf("%s: the offset %d is outside of any device", l.Path, l.Offset)
		case l.Offset < 0 && -l.Offset < l.Size:
			return errorf("%s: %d bytes do not fit %d bytes before the end", l.Path, l.Size, -l.Offset)
		}
	}
	if len(locs) == 1 {
		return nil
	}
	a, b := locs[0], locs[1]
	if a.Size != b.Size {
		return errorf("the copies have different sizes, %d and %d bytes", a.Size, b.Size)
	}
	if path.Clean(a.Path) != path.Clean(b.Path) || (a.Offset < 0) != (b.Offset < 0) {
		return nil // what Look finds
	}
	if a.Offset < b.Offset+b.Size && b.Offset < a.Offset+a.Size {
		return errorf("the copies overlap")
	}
	if a.disk() && oneBlock(a.Offset, a.Offset+a.Size, b.Offset, b.Offset+b.Size, block) {
		return errOneBlock(block)
	}
	return nil
}
