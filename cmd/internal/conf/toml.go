// Package conf reads configuration files: strict TOML, and the values that more than one file has.
//
// A key that the program does not know is an error with its line and column: a misspelt rule must not be
// a rule that does not hold. What is wrong with a value is said with the line of its key.
package conf

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/ratchet-ota/ratchet/hal/textfile"
)

// MaxSize is the largest TOML file that is read, in bytes.
const MaxSize = 1 << 20

// Document is a TOML file that was decoded strictly. It knows where each key stands, so that what
// is wrong with a value can be said with its line.
type Document struct {
	Name   string
	keys   map[string]int  // "table.key", "component.0.file" -> line
	arrays map[string]bool // "component": what stands below it are numbers, not names
	ints   map[string]bool // keys whose values are written as integers
}

// Integer reports whether the value of a key, outside of an array, is written as an integer.
func (d Document) Integer(key string) bool { return d.ints[key] }

// Errorf is an error about the value of a key.
func (d Document) Errorf(key, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	for at := key; at != ""; at = at[:max(strings.LastIndexByte(at, '.'), 0)] {
		if line, ok := d.keys[at]; ok {
			return fmt.Errorf("%s:%d: %s: %s", d.Name, line, d.shown(key), text)
		}
	}
	return fmt.Errorf("%s: %s: %s", d.Name, d.shown(key), text)
}

// shown writes "component.0.file" as people count: "component[1].file".
func (d Document) shown(key string) string {
	var b strings.Builder
	at := ""
	for part := range strings.SplitSeq(key, ".") {
		if n, err := strconv.Atoi(part); err == nil && d.arrays[at] {
			fmt.Fprintf(&b, "[%d]", n+1)
		} else if at == "" {
			b.WriteString(part)
		} else {
			b.WriteString("." + part)
		}
		at = strings.TrimPrefix(at+"."+part, ".")
	}
	return b.String()
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
	dec := toml.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	var (
		missing *toml.StrictMissingError
		bad     *toml.DecodeError
	)
	switch {
	case errors.As(err, &missing):
		var all []string
		for _, e := range missing.Errors {
			line, column := e.Position()
			all = append(all, fmt.Sprintf("%s:%d:%d: unknown key %q", name, line, column, strings.Join(e.Key(), ".")))
		}
		return Document{}, errors.New(strings.Join(all, "\n"))
	case errors.As(err, &bad):
		line, column := bad.Position()
		what := plain(strings.TrimPrefix(bad.Error(), "toml: "))
		key := strings.Join(bad.Key(), ".")
		if key == "" {
			key = keyAt(b, line)
		}
		if key != "" {
			what = key + ": " + what
		}
		return Document{}, fmt.Errorf("%s:%d:%d: %s", name, line, column, what)
	case err != nil:
		return Document{}, fmt.Errorf("%s: %w", name, err)
	}
	return placed(name, b), nil
}

// plain says what the decoder says about a value in the words of somebody who edits the file. It does without
// regular expressions, which would be a fiftieth of the device's program.
func plain(what string) string {
	if n, ok := strings.CutPrefix(strings.TrimPrefix(what, "negative "), "integer value "); ok {
		if n, _, ok = strings.Cut(n, " cannot be stored in "); ok {
			return n + " is out of range"
		}
	}
	found, into, ok := strings.Cut(strings.TrimPrefix(what, "cannot decode TOML "), " into ")
	if !ok || !strings.HasPrefix(what, "cannot decode TOML ") {
		return what
	}
	into = into[strings.LastIndexByte(into, ' ')+1:] // behind "struct field x of type"
	want := "a table"
	switch t := into; {
	case t == "string":
		want = "text in quotes"
	case t == "bool":
		want = "true or false"
	case strings.HasPrefix(t, "int") || strings.HasPrefix(t, "uint"):
		want = "a whole number"
	case strings.HasPrefix(t, "float"):
		want = "a number"
	case strings.HasPrefix(t, "["):
		want = "an array"
	case strings.HasSuffix(t, ".Duration"):
		want = `a duration such as "90s"`
	}
	article := "a"
	if strings.HasPrefix(found, "a") || strings.HasPrefix(found, "i") {
		article = "an"
	}
	return fmt.Sprintf("want %s, found %s %s", want, article, found)
}

// integers adds the keys below at whose values are integers.
func integers(at string, v *unstable.Node, into map[string]bool) {
	switch v.Kind {
	case unstable.Integer:
		into[at] = true
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			below := at
			for key := it.Node().Key(); key.Next(); {
				below += "." + string(key.Node().Data)
			}
			integers(below, it.Node().Value(), into)
		}
	}
}

// placed is a valid document, with where each table and key stands, and what it is. Keys inside of inline tables
// count to the key that holds the table.
func placed(name string, b []byte) Document {
	d := Document{Name: name, keys: map[string]int{}, arrays: map[string]bool{}, ints: map[string]bool{}}
	var newlines []int
	for i, c := range b {
		if c == '\n' {
			newlines = append(newlines, i)
		}
	}
	elements, table := map[string]int{}, ""
	p := unstable.Parser{}
	p.Reset(b)
	for p.NextExpression() {
		e := p.Expression()
		at := table
		if e.Kind != unstable.KeyValue {
			at = ""
		}
		var offset int
		last := ""
		for it := e.Key(); it.Next(); {
			if last != "" {
				// Below an array of tables stands its newest element.
				if n, ok := elements[at]; ok {
					at += "." + strconv.Itoa(n-1)
				}
			}
			last, offset = string(it.Node().Data), int(it.Node().Raw.Offset)
			at = strings.TrimPrefix(at+"."+last, ".")
		}
		switch e.Kind {
		case unstable.KeyValue:
			integers(at, e.Value(), d.ints)
			if e.Value().Kind == unstable.Array {
				d.arrays[at] = true
			}
		case unstable.ArrayTable:
			d.arrays[at] = true
			elements[at]++
			at += "." + strconv.Itoa(elements[at]-1)
			table = at
		case unstable.Table:
			if n, ok := elements[at]; ok {
				at += "." + strconv.Itoa(n-1)
			}
			table = at
		}
		line, _ := slices.BinarySearch(newlines, offset)
		if _, ok := d.keys[at]; !ok {
			d.keys[at] = line + 1
		}
	}
	return d
}

// keyAt is the key that begins on a line; "" where the document is not valid, or none or more than one does.
func keyAt(b []byte, line int) (key string) {
	var any map[string]any
	if toml.Unmarshal(b, &any) != nil {
		return ""
	}
	d := placed("", b)
	for k, at := range d.keys {
		if at == line {
			if key != "" {
				return ""
			}
			key = d.shown(k)
		}
	}
	return key
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
