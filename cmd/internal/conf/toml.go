// Package conf reads configuration files: strict TOML, and the values that more than one file has.
//
// A key that the program does not know is an error with its line and column: a misspelt rule must not be
// a rule that does not hold. What is wrong with a value is said with the line of its key.
package conf

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/ratchet-ota/ratchet/hal/textfile"
)

// MaxSize is the largest TOML file that is read, in bytes.
const MaxSize = 1 << 20

// Document is a TOML file that was decoded strictly. It knows where each key stands, so that what
// is wrong with a value can be said with its line.
type Document struct {
	Name string
	text []byte
	root *node
}

// Integer reports whether the value of a key is written as an integer.
func (d Document) Integer(key string) bool {
	n, _, there := d.find(key)
	return there && n.kind == integer
}

// Errorf is an error about the value of a key, with the line of the key or of the nearest table around it.
func (d Document) Errorf(key, format string, args ...any) error {
	where := d.Name
	n, shown, _ := d.find(key)
	if n != d.root {
		line, _ := d.line(n.key)
		where = fmt.Sprintf("%s:%d", d.Name, line)
	}
	return fmt.Errorf("%s: %s: %s", where, shown, fmt.Sprintf(format, args...))
}

// find walks to what stands behind a key such as "component.0.file", as far as it is there. shown is the key as people
// count: "component[1].file".
func (d Document) find(key string) (n *node, shown string, there bool) {
	n = d.root
	for at := n; key != ""; {
		part, _, _ := strings.Cut(key, ".")
		for name := range at.names() { // which may have dots
			if key == name || strings.HasPrefix(key, name+".") {
				part = name
			}
		}
		next := at.names()[part]
		if i, err := strconv.Atoi(part); err == nil && at.isArray() {
			shown += fmt.Sprintf("[%d]", i+1)
			if i >= 0 && i < len(at.list) {
				next = at.list[i]
			}
		} else {
			shown = strings.TrimPrefix(shown+"."+part, ".")
		}
		if there = next != nil; there {
			n = next
		}
		at, key = next, strings.TrimPrefix(key[len(part):], ".")
	}
	return n, shown, there
}

// line and column of an offset are counted from 1.
func (d Document) line(at int) (line, column int) {
	before := d.text[:at]
	return 1 + bytes.Count(before, []byte("\n")), at - bytes.LastIndexByte(before, '\n')
}

func (d Document) place(at int) string {
	line, column := d.line(at)
	return fmt.Sprintf("%s:%d:%d", d.Name, line, column)
}

// Read reads a file and decodes it.
func Read(path string, into any) (Document, error) {
	b, err := ReadFile(path)
	if err != nil {
		return Document{}, err
	}
	return Decode(path, b, into)
}

// ReadFile reads a file of at most MaxSize bytes.
func ReadFile(path string) ([]byte, error) { return textfile.Read(path, MaxSize) }

// Decode decodes strictly: a key that into does not have is an error with its line. All such
// keys are reported at once.
func Decode(name string, b []byte, into any) (Document, error) {
	if len(b) > MaxSize {
		return Document{}, fmt.Errorf("%s: larger than %d bytes, which is too large", name, MaxSize)
	}
	root, err := parse(b)
	d := Document{Name: name, text: b, root: root}
	var f filler
	if err == nil {
		err = f.fill(reflect.ValueOf(into).Elem(), root)
	}
	if bad, ok := errors.AsType[*fault](err); ok {
		what := bad.what
		if len(bad.key) > 0 {
			what = strings.Join(bad.key, ".") + ": " + what
		}
		return Document{}, fmt.Errorf("%s: %s", d.place(bad.at), what)
	}
	var all []string
	for _, u := range f.unknown {
		all = append(all, fmt.Sprintf("%s: unknown key %q", d.place(u.at), strings.Join(u.key, ".")))
	}
	if len(all) > 0 {
		return Document{}, errors.New(strings.Join(all, "\n"))
	}
	return d, nil
}

// Quote writes a basic string.
func Quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, "\\u%04x", c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// Zoneless reports whether a decoded value is a date or a time that names no time zone.
func Zoneless(v any) bool {
	switch v.(type) {
	case toml.LocalDateTime, toml.LocalDate, toml.LocalTime:
		return true
	}
	return false
}
