package bootmodel

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strconv"
	"strings"

	"github.com/ratchet-ota/ratchet/hal"
)

// SystemdBoot is a machine with systemd-boot 250 or newer, started by firmware that starts it again
// when a kernel cannot be loaded.
type SystemdBoot struct {
	FS     hal.Tree
	Folder string // loader/entries
	Config string // loader.conf, "" or not there: no default
	// Loads tells whether the kernel of a slot can be loaded. nil means all can.
	Loads func(slot string) bool
	// Before257: systemd-boot 250 to 256, which counts every entry with a counter in its name, whatever it
	// starts, and knows no uki. From 257 on linux and uki are counted, and efi and uki-url are not.
	Before257 bool
	// Once: stop where a kernel cannot be loaded instead of starting the loader again.
	Once bool
}

// sdEntry is a type #1 entry.
type sdEntry struct {
	file, id                    string
	sortKey, machineID, version string
	options                     string
	kind                        string // the key that names what to start, "" nothing
	twoKinds                    bool
	left, done                  int64 // left -1: no counter
	next                        string
}

// Boot powers the machine on and returns the slot whose kernel is started and its command line. slot
// is "" when none is.
func (m SystemdBoot) Boot() (slot, args string, err error) {
	for range 10 {
		e, err := m.selected()
		if err != nil || e == nil {
			return "", "", err
		}
		if e.left >= 0 && (m.Before257 || e.kind == "linux" || e.kind == "uki") {
			if err := m.bump(e); err != nil {
				return "", "", err
			}
		}
		slot = ""
		for _, w := range strings.Fields(e.options) {
			if s, ok := strings.CutPrefix(w, "ratchet.slot="); ok {
				slot = s
			}
		}
		if m.Loads == nil || m.Loads(slot) {
			return slot, e.options, nil
		}
		if m.Once {
			break
		}
		// The firmware's next boot option is the loader again.
	}
	return "", "", nil
}

// bump counts by a rename, without a flush of Linux's kind. A name that is taken, and any other
// error of the file system, is said on the screen and booted past.
func (m SystemdBoot) bump(e *sdEntry) error {
	names, err := m.FS.List(m.Folder)
	if err != nil {
		return err
	}
	for _, n := range names {
		if strings.EqualFold(n, e.next) {
			return nil
		}
	}
	return m.FS.Rename(path.Join(m.Folder, e.file), path.Join(m.Folder, e.next))
}

// selected is the entry that is booted without a key pressed: the first that the default pattern
// matches, else the first.
func (m SystemdBoot) selected() (*sdEntry, error) {
	pattern, err := m.pattern()
	if err != nil {
		return nil, err
	}
	list, err := m.entries()
	if err != nil || len(list) == 0 {
		return nil, err
	}
	for _, e := range list {
		if ok, err := path.Match(pattern, e.id); ok && err == nil && pattern != "" {
			return e, nil
		}
	}
	return list[0], nil
}

func (m SystemdBoot) pattern() (pattern string, err error) {
	if m.Config == "" {
		return "", nil
	}
	text, err := m.text(m.Config)
	each(text, func(key, value string) {
		if key == "default" {
			pattern = strings.ToLower(value)
		}
	})
	return pattern, err
}

// text reads a file as a C string; none, and one that cannot be read, is "".
func (m SystemdBoot) text(name string) (string, error) {
	f, err := m.FS.Open(name, hal.ReadOnly)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot open %s: %w", name, err)
	}
	size := f.Size()
	f.Close()
	b, err := readAt(m.FS, name, 0, size)
	text, _, _ := strings.Cut(string(b), "\x00")
	return text, err
}

// each calls f for each line of a key, blanks and a value.
func each(text string, f func(key, value string)) {
	for _, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = strings.Trim(line, " \t")
		i := strings.IndexAny(line, " \t")
		if i < 0 || line[0] == '#' {
			continue
		}
		value := strings.Trim(line[i:], " \t")
		if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
			value = value[1 : len(value)-1]
		}
		f(line[:i], value)
	}
}

// Entries are the ids of the menu's entries in their order.
func (m SystemdBoot) Entries() ([]string, error) {
	list, err := m.entries()
	var ids []string
	for _, e := range list {
		ids = append(ids, e.file)
	}
	return ids, err
}

func (m SystemdBoot) entries() ([]*sdEntry, error) {
	names, err := m.FS.List(m.Folder)
	if err != nil {
		return nil, err
	}
	var list []*sdEntry
	for _, n := range names {
		low := strings.ToLower(n)
		if strings.HasPrefix(n, ".") || strings.HasPrefix(low, "auto-") || !strings.HasSuffix(low, ".conf") {
			continue
		}
		text, err := m.text(path.Join(m.Folder, n))
		if err != nil {
			return nil, err
		}
		e := &sdEntry{file: n, id: low, left: -1}
		each(text, func(key, value string) {
			switch key {
			case "uki", "uki-url":
				if m.Before257 {
					return
				}
				fallthrough
			case "linux", "efi":
				e.twoKinds = e.twoKinds || e.kind != "" && e.kind != key
				e.kind = key
			case "version":
				e.version = value
			case "sort-key":
				e.sortKey = value
			case "machine-id":
				e.machineID = value
			case "options":
				e.options = strings.TrimPrefix(e.options+" "+value, " ")
			}
		})
		e.tries()
		if e.kind != "" && (m.Before257 || !e.twoKinds) {
			list = append(list, e)
		}
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].compare(list[j]) < 0 })
	return list, nil
}

// tries reads "+LEFT" or "+LEFT-DONE" before the suffix.
func (e *sdEntry) tries() {
	plus := strings.LastIndexByte(e.file, '+')
	if plus < 0 {
		return
	}
	left, rest, ok := leading(e.file[plus+1:])
	if !ok {
		return
	}
	done := int64(0)
	if after, found := strings.CutPrefix(rest, "-"); found {
		if done, rest, ok = leading(after); !ok {
			return
		}
	}
	if !strings.EqualFold(rest, ".conf") {
		return
	}
	e.left, e.done = left, done
	e.next = fmt.Sprintf("%s+%d-%d%s", e.file[:plus], max(left-1, 0), done+1, rest)
}

// leading reads a decimal number at the beginning of s.
func leading(s string) (n int64, rest string, ok bool) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	n, err := strconv.ParseInt(s[:i], 10, 32)
	return n, s[i:], err == nil
}

// compare sorts as the Boot Loader Specification says: entries without tries last; with a sort-key
// first, by it, by machine and by falling version; then by falling id, and by the tries left.
func (e *sdEntry) compare(o *sdEntry) int {
	if a, b := e.left == 0, o.left == 0; a != b {
		return order(a)
	}
	if a, b := e.sortKey == "", o.sortKey == ""; a != b {
		return order(a)
	}
	if e.sortKey != "" {
		if c := strings.Compare(e.sortKey, o.sortKey); c != 0 {
			return c
		}
		if c := strings.Compare(e.machineID, o.machineID); c != 0 {
			return c
		}
		if c := versions(o.version, e.version); c != 0 {
			return c
		}
	}
	if c := versions(o.id, e.id); c != 0 || e.left < 0 || o.left < 0 || e.left == o.left && e.done == o.done {
		return c
	}
	if e.left != o.left {
		return order(e.left < o.left)
	}
	return order(e.done > o.done)
}

// order is 1 for what comes later.
func order(later bool) int {
	if later {
		return 1
	}
	return -1
}

// versions compares as the UAPI version format specification says (UAPI.10).
func versions(a, b string) int {
	for {
		a, b = strings.TrimLeftFunc(a, foreign), strings.TrimLeftFunc(b, foreign)
		for _, mark := range []byte{'~', 0, '-', '^', '.'} {
			x, y := begins(a, mark), begins(b, mark)
			if x && y && mark == 0 {
				return 0
			}
			if x != y {
				return map[bool]int{true: -1, false: 1}[x]
			}
			if x {
				a, b = a[1:], b[1:]
			}
		}
		digits := begins(a, '0') || begins(b, '0')
		var p, q string
		p, a = run(a, digits)
		q, b = run(b, digits)
		if digits {
			p, q = strings.TrimLeft(p, "0"), strings.TrimLeft(q, "0")
			if len(p) != len(q) {
				return len(p) - len(q)
			}
		}
		if c := strings.Compare(p, q); c != 0 {
			return c
		}
	}
}

func digit10(c rune) bool { return c >= '0' && c <= '9' }
func letter(c rune) bool  { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func foreign(c rune) bool { return !digit10(c) && !letter(c) && !strings.ContainsRune("-~^.", c) }

// begins tells whether s begins with mark; 0 is the end, '0' any digit.
func begins(s string, mark byte) bool {
	switch {
	case s == "" || mark == 0:
		return s == "" && mark == 0
	case mark == '0':
		return digit10(rune(s[0]))
	}
	return s[0] == mark
}

// run takes the digits, or the letters, off the front.
func run(s string, digits bool) (head, rest string) {
	in := letter
	if digits {
		in = digit10
	}
	rest = strings.TrimLeftFunc(s, in)
	return s[:len(s)-len(rest)], rest
}
