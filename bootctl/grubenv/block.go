package grubenv

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	// Size is the size in bytes of an environment block that is made new (grub-editenv's
	// DEFAULT_ENVBLK_SIZE). GRUB and its tools take a block of any size, the file's, and so does this package
	// up to MaxSize.
	Size = 1024
	// MaxSize is the size in bytes of the largest block that is used.
	MaxSize   = 64 << 10
	signature = "# GRUB Environment Block\n"
	sector    = 512
)

// block is the content of an environment block between signature and padding: lines as they stand,
// each with its newline. A line is "name=value", where value may hold escaped newlines, or a comment.
type block [][]byte

var errBroken = errors.New("broken environment block")

// parseBlock splits a block as GRUB's envblk.c does (grub_envblk_iterate, find_next_line): lines that
// begin with '#' are comments, a backslash takes the next byte with it, everything up to '=' is the
// name, newlines too. What GRUB gives up on is an error here, and the lines before it are returned with it.
func parseBlock(b []byte) (block, error) {
	if !bytes.HasPrefix(b, []byte(signature)) {
		return nil, fmt.Errorf("%w: no signature", errBroken)
	}
	used := bytes.TrimRight(b, "#")
	var lines block
	for rest := used[len(signature):]; len(rest) > 0; {
		n := 0
		if rest[0] != '#' {
			if n = bytes.IndexByte(rest, '='); n < 0 {
				return lines, fmt.Errorf("%w: a line without '='", errBroken)
			}
		}
		end := nextLine(rest[n:])
		if end < 0 {
			// save_env looks for its free space behind the last newline and gives up without one.
			return lines, fmt.Errorf("%w: the last line does not end", errBroken)
		}
		lines = append(lines, rest[:n+end])
		rest = rest[n+end:]
	}
	return lines, nil
}

// nextLine is the number of bytes up to and with the newline that ends a line, -1 for none.
func nextLine(b []byte) int {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '\n':
			return i + 1
		}
	}
	return -1
}

// cut splits a line into name and raw value. A comment has no name, as in load_env.
func cut(line []byte) (name string, value []byte) {
	if line[0] == '#' {
		return "", nil
	}
	n, v, _ := bytes.Cut(line, []byte("="))
	return string(n), bytes.TrimSuffix(v, []byte("\n"))
}

// get returns the unescaped value of a variable. Of a name that stands twice the last counts, as in load_env.
func (b block) get(name string) (value string, found bool) {
	for _, line := range b {
		if n, v := cut(line); n == name {
			value, found = unescape(v), true
		}
	}
	return value, found
}

func unescape(v []byte) string {
	var s strings.Builder
	for i := 0; i < len(v); i++ {
		if v[i] == '\\' {
			i++ // a line does not end within an escape
		}
		s.WriteByte(v[i])
	}
	return s.String()
}

func escape(v string) string {
	return strings.NewReplacer(`\`, `\\`, "\n", "\\\n").Replace(v)
}

// set puts name=value where the variable stands first, or at the end, and removes its other lines.
func (b block) set(name, value string) block {
	line := []byte(name + "=" + escape(value) + "\n")
	var out block
	done := false
	for _, l := range b {
		if n, _ := cut(l); n != name {
			out = append(out, l)
		} else if !done {
			out, done = append(out, line), true
		}
	}
	if !done {
		out = append(out, line)
	}
	return out
}

// without returns the lines whose names are not among names.
func (b block) without(names []string) block {
	return slices.DeleteFunc(slices.Clone(b), func(l []byte) bool {
		n, _ := cut(l)
		return slices.Contains(names, n)
	})
}

// used is the number of bytes before the padding.
func (b block) used() int {
	n := len(signature)
	for _, l := range b {
		n += len(l)
	}
	return n
}

// encode lays the block out in size bytes, padded with '#'.
func (b block) encode(size int) ([]byte, error) {
	if n := b.used(); n > size {
		return nil, fmt.Errorf("the variables need %d bytes, the environment block has %d", n, size)
	}
	out := []byte(signature)
	for _, l := range b {
		out = append(out, l...)
	}
	return append(out, bytes.Repeat([]byte("#"), size-len(out))...), nil
}

// Encode makes a new environment block from "name=value" variables in the order they are to stand
// in, for provisioning and tests.
func Encode(vars []string) ([]byte, error) {
	var b block
	for _, v := range vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" || name[0] == '#' || strings.ContainsAny(name, "\n\\") {
			return nil, fmt.Errorf("cannot make an environment block: %q is not name=value", v)
		}
		b = append(b, []byte(name+"="+escape(value)+"\n"))
	}
	out, err := b.encode(Size)
	if err != nil {
		return nil, fmt.Errorf("cannot make an environment block: %w", err)
	}
	return out, nil
}

// Decode returns the variables of an environment block as "name=value", unescaped, in their order.
func Decode(b []byte) ([]string, error) {
	lines, err := parseBlock(b)
	if err != nil {
		return nil, err
	}
	var vars []string
	for _, l := range lines {
		if l[0] != '#' {
			n, v := cut(l)
			vars = append(vars, n+"="+unescape(v))
		}
	}
	return vars, nil
}
