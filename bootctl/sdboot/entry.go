package sdboot

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ratchet-ota/ratchet/bootctl"
)

// Size is the length in bytes of an entry's file: one sector, so that one write is the old entry or the new.
const Size = 512

const (
	suffix    = ".conf"
	sortKey   = "ratchet"
	off       = "#- "   // before each line of an entry that is switched off
	maxRead   = 4096    // an entry's file is never so long
	maxSerial = 1 << 40 // versions and serials are below
	maxDone   = 99      // boots that a name can tell of
)

// entry is the content of an entry's file.
type entry struct {
	on      bool     // systemd-boot takes it for an entry
	version int64    // 0: none
	lines   []string // all but those that this package writes
}

// decode reads an entry as systemd-boot does (Boot Loader Specification, type #1 entries: lines of a
// key, blanks and a value; what follows a NUL does not count). An entry is on when it names
// something to start. An entry that is on and would not be sorted by its version alone is an error.
func decode(raw []byte) (entry, error) {
	text, _, _ := bytes.Cut(raw, []byte{0})
	var e entry
	var shown, hidden []string
	for _, line := range strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = strings.Trim(line, " \t")
		if rest, ok := strings.CutPrefix(line, off); ok {
			hidden = append(hidden, strings.Trim(rest, " \t"))
			continue
		}
		shown = append(shown, line)
		switch key, _ := keyValue(line); key {
		case "linux", "efi", "uki", "uki-url":
			e.on = true
		}
	}
	lines := hidden
	if e.on {
		lines = shown
	}
	sorted, grouped, versions := false, false, 0
	for _, line := range lines {
		key, value := keyValue(line)
		switch key {
		case "version":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n < 1 || n >= maxSerial || strconv.FormatInt(n, 10) != value {
				n = 0
			}
			e.version = n
			versions++
		case "sort-key":
			sorted = value == sortKey
		case "machine-id":
			grouped = true
		case "":
			if line != "" {
				e.lines = append(e.lines, line) // a comment
			}
		default:
			e.lines = append(e.lines, line)
		}
	}
	switch {
	case !e.on:
		return e, nil
	case len(text) < len(raw) && len(bytes.Trim(raw[len(text):], "\x00")) > 0:
		return e, errors.New("there is text after a NUL")
	case !sorted || grouped:
		return e, fmt.Errorf("it has no line \"sort-key %s\", or a machine-id", sortKey)
	case versions != 1 || e.version == 0:
		return e, errors.New("it needs exactly one version, a plain number from 1 on")
	}
	_, err := encode(entry{version: e.version, lines: e.lines}) // it must fit when it is off
	return e, err
}

// counted refuses an entry whose boots systemd-boot does not count: a trial of it that does not come up would be
// started again for ever. Up to 256 it counts all that have a counter in their name; from 257 on those that name their
// kernel by linux or uki, and it passes over an entry that names two kinds (src/boot/boot.c, LOADER_TYPE_BUMP_COUNTERS
// and boot_entry_add_type1). It is no ErrInvalid: nothing is restored over it, a person has to write another entry.
func counted(lines []string) error {
	kind := ""
	for _, line := range lines {
		switch key, _ := keyValue(line); {
		case key == "efi" || key == "uki-url":
			return fmt.Errorf("systemd-boot does not count the boots of an entry with the key %s: "+
				"name its kernel by linux, or its unified image by uki", key)
		case (key == "linux" || key == "uki") && kind != "" && kind != key:
			return errors.New("systemd-boot passes over an entry with both linux and uki: leave one out")
		case key == "linux" || key == "uki":
			kind = key
		}
	}
	return nil
}

// keyValue splits a line; key is "" for a comment and for what has no value.
func keyValue(line string) (key, value string) {
	if strings.HasPrefix(line, "#") {
		return "", ""
	}
	i := strings.IndexAny(line, " \t")
	if i < 0 {
		return "", ""
	}
	return line[:i], strings.Trim(line[i:], " \t")
}

// encode writes e, padded with empty lines.
func encode(e entry) ([]byte, error) {
	lines := append([]string{"sort-key " + sortKey, "version " + strconv.FormatInt(e.version, 10)}, e.lines...)
	starts := false
	var b strings.Builder
	size := 0
	for _, line := range lines {
		key, _ := keyValue(line)
		starts = starts || key == "linux" || key == "efi" || key == "uki"
		size += len(off) + len(line) + 1
		if !e.on {
			b.WriteString(off)
		}
		b.WriteString(line + "\n")
	}
	if !starts {
		return nil, fmt.Errorf("%w: the entry names nothing to start", bootctl.ErrInvalid)
	}
	if size > Size {
		return nil, fmt.Errorf("the entry needs %d bytes, there are %d: shorten its options", size, Size)
	}
	return append([]byte(b.String()), bytes.Repeat([]byte("\n"), Size-b.Len())...), nil
}

// Encode returns a provisioned entry's file: the board's lines (title, linux, initrd, options, ...)
// with the version and the sort-key of this package, switched on or off. version is from 1 on.
func Encode(lines []string, version int64, on bool) ([]byte, error) {
	if version < 1 || version >= maxSerial {
		return nil, fmt.Errorf("version %d is less than 1", version)
	}
	return encode(entry{on: on, version: version, lines: lines})
}

// name is what the name of one of our files says.
type name struct {
	slot   bootctl.Slot
	trial  bool
	serial int64 // of a trial
	left   int   // tries, of a trial
	done   int
}

// parseName reads PREFIX SLOT ".conf" and PREFIX SLOT "-" SERIAL "+" LEFT ["-" DONE] ".conf". ok is
// false for the files of others.
func parseName(prefix, file string, slots []bootctl.Slot) (n name, ok bool) {
	stem, found := strings.CutPrefix(file, prefix)
	if !found {
		return n, false
	}
	if stem, found = strings.CutSuffix(stem, suffix); !found {
		return n, false
	}
	stem, counter, counted := strings.Cut(stem, "+")
	slot, serial, hyphen := strings.Cut(stem, "-")
	if counted != hyphen || !contains(slots, bootctl.Slot(slot)) {
		return n, false
	}
	n.slot = bootctl.Slot(slot)
	if !counted {
		return n, true
	}
	n.trial = true
	left, done, _ := strings.Cut(counter, "-")
	if !strings.Contains(counter, "-") {
		done = "0"
	}
	var okSerial, okLeft, okDone bool
	n.serial, okSerial = number(serial, maxSerial)
	l, okLeft := number(left, bootctl.MaxTries+1)
	d, okDone := number(done, maxDone+1)
	n.left, n.done = int(l), int(d)
	return n, okSerial && okLeft && okDone
}

func contains(slots []bootctl.Slot, s bootctl.Slot) bool {
	for _, x := range slots {
		if x == s {
			return true
		}
	}
	return false
}

// number reads digits below limit.
func number(s string, limit int64) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n < limit
}

// file is the name on the disk.
func (n name) file(prefix string) string {
	if !n.trial {
		return prefix + string(n.slot) + suffix
	}
	return fmt.Sprintf("%s%s-%d+%d-%d%s", prefix, n.slot, n.serial, n.left, n.done, suffix)
}

// dirents is how many of a FAT folder's 32-byte entries a name takes (Microsoft FAT specification,
// long names: 13 characters each, and one of the short name).
func dirents(file string) int { return (len(file)+12)/13 + 1 }
