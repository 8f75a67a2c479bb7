package ubootenv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
)

const (
	crcLen = 4
	// headerSingle and headerRedundant are the bytes before the data; the flags byte of a redundant
	// copy stands behind the CRC and is not covered by it (u-boot include/env_internal.h).
	headerSingle    = crcLen
	headerRedundant = crcLen + 1
	// maxSize bounds one environment. U-Boot boards use 8 KiB to 256 KiB.
	maxSize = 1 << 20
	minSize = 64
)

// list is the data of an environment: its entries as they stand, each "name=value" or whatever else
// somebody wrote, none empty. Entries that are not ours are kept byte for byte and in their order.
type list [][]byte

var errStructure = errors.New("not a list of variables")

// parseList splits the data of a valid copy as U-Boot's himport_r does: entries end with a NUL, the
// list ends with an empty entry, or with the data. What comes after is of no meaning.
func parseList(data []byte) (list, error) {
	if data[0] == 0 && data[1] != 0 {
		// U-Boot deletes the variable without a name and reads on; fw_printenv sees an empty list.
		return nil, errorf("%w: it starts with an empty entry that is not the last", errStructure)
	}
	var l list
	for len(data) > 0 && data[0] != 0 {
		entry, rest, _ := bytes.Cut(data, []byte{0})
		if name, value := cut(entry); name == "" && len(value) > 0 {
			// himport_r gives the whole import up here and U-Boot takes its built-in defaults.
			return nil, errorf("%w: a value without a name", errStructure)
		}
		l = append(l, entry)
		data = rest
	}
	return l, nil
}

// cut splits an entry into name and value as U-Boot does: blanks before the name do not count. What begins
// with '#' is a comment to U-Boot, and has no name of ours.
func cut(entry []byte) (name string, value []byte) {
	n, v, _ := bytes.Cut(bytes.TrimLeft(entry, " \t"), []byte("="))
	return string(n), v
}

// get returns the value of a variable as U-Boot imports it: the last entry of a name counts, one
// without a value deletes it, and a backslash takes the next byte as it is.
func (l list) get(name string) (value string, found bool) {
	for _, entry := range l {
		if n, v := cut(entry); n == name {
			value, found = unescape(v), len(v) > 0
		}
	}
	return value, found
}

func unescape(v []byte) string {
	var s strings.Builder
	for i := 0; i < len(v); i++ {
		if v[i] == '\\' && i+1 < len(v) {
			i++
		}
		s.WriteByte(v[i])
	}
	return s.String()
}

// set puts name=value where the variable stands first, or at the end, and removes its other entries.
// The value must hold nothing that needs an escape.
func (l list) set(name, value string) list {
	entry := []byte(name + "=" + value)
	var out list
	done := false
	for _, e := range l {
		if n, _ := cut(e); n != name {
			out = append(out, e)
		} else if !done {
			out, done = append(out, entry), true
		}
	}
	if !done {
		out = append(out, entry)
	}
	return out
}

// without returns the entries whose names are not among names.
func (l list) without(names []string) list {
	return slices.DeleteFunc(slices.Clone(l), func(e []byte) bool {
		n, _ := cut(e)
		return slices.Contains(names, n)
	})
}

// encode lays the list out as one copy of size bytes, filled with zeros. flags is the serial of a
// redundant copy, negative for a single one.
func (l list) encode(size int64, flags int) ([]byte, error) {
	b := make([]byte, size)
	head := headerSingle
	if flags >= 0 {
		head = headerRedundant
		b[crcLen] = byte(flags)
	}
	p := head
	for _, entry := range l {
		// One NUL ends the entry, a second one the list.
		if len(entry)+2 > len(b)-p {
			return nil, errorf("the variables do not fit into the environment's %d bytes", size)
		}
		p += copy(b[p:], entry) + 1
	}
	binary.LittleEndian.PutUint32(b, crc32.ChecksumIEEE(b[head:]))
	return b, nil
}

// Encode makes a new environment of size bytes: one copy as mkenvimage(1) makes it, for provisioning
// and tests. vars are "name=value" in the order they are to stand in. flags is the serial number of
// a redundant copy (0..255), or -1 for a single one.
func Encode(vars []string, size int64, flags int) ([]byte, error) {
	if size < minSize || size > maxSize || flags > 255 {
		return nil, errorf("cannot make an environment of %d bytes with flags %d", size, flags)
	}
	l := make(list, 0, len(vars))
	for _, v := range vars {
		if name, value, ok := strings.Cut(v, "="); !ok || name == "" || value == "" || strings.ContainsRune(v, 0) {
			return nil, errorf("cannot make an environment: %q is not name=value", v)
		}
		l = append(l, []byte(v))
	}
	return l.encode(size, flags)
}
