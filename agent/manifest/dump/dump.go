// Package dump shows SUIT envelopes and reports to people, in diagnostic notation with names and
// offsets, acceptable or not. It reads any CBOR with a cursor of its own, since package manifest's
// reader stops at the first thing that is not deterministic. It never runs on a device.
package dump

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/internal/suit"
)

// Bounds of Write.
const (
	maxInput  = 4 * manifest.MaxEnvelope
	maxOutput = 4 << 20 // bytes
	maxDepth  = 24
)

// Write writes an envelope or a report in annotated diagnostic notation (RFC 8949 section 8): one item
// a line, each with its offset in the file; byte strings that hold CBOR opened; keys, commands and
// parameters named; commands with their offset in their section as errors and reports state it. It
// shows what is there, acceptable or not, marks what is not deterministic, and ends with what this
// profile says of it. Text is made safe to show. Nothing is verified but digests.
//
// Only a failing writer or more than 256 KiB of input is an error.
func Write(w io.Writer, b []byte) error {
	if len(b) > maxInput {
		return fmt.Errorf("cannot dump envelope: %d bytes, at most %d", len(b), maxInput)
	}
	d := &dumper{w: bufio.NewWriter(w), b: b, left: maxOutput}
	c := &cursor{b: b, end: len(b)}
	document, report := shapeDocument(), reportWithin(b)
	if report != nil {
		document = shapeReported()
	}
	err := d.value(c, 0, "", document, 0)
	if err == nil && c.pos < c.end {
		err = fmt.Errorf("%d bytes follow", c.end-c.pos)
	}
	if err != nil && !errors.Is(err, errCut) {
		d.line(c.pos, 0, "/ ! %v / %s", err, suit.Brief(b[c.pos:]))
	}
	d.left = 1 << 12 // the verdict is always shown
	if report != nil {
		d.reported(len(b), report)
	} else {
		d.verdict(b)
	}
	if err := d.w.Flush(); err != nil {
		return fmt.Errorf("cannot dump envelope: %w", err)
	}
	return nil
}

var errCut = errors.New("output is cut")

// verdict says what the profile thinks of the bytes.
func (d *dumper) verdict(b []byte) {
	e, err := manifest.Parse(b)
	if err != nil {
		d.line(len(b), 0, "/ refused: %s /", manifest.Printable(err.Error()))
		return
	}
	state := "matches"
	if !e.Matches() {
		state = "DOES NOT MATCH"
	}
	d.line(len(b), 0, "/ manifest digest %s %s /", e.ClaimedDigest(), state)
	signatures := "1 signature"
	if n := len(e.Parts().Blocks); n != 1 {
		signatures = fmt.Sprintf("%d signatures", n)
	}
	d.line(len(b), 0, "/ %s, not verified here /", signatures)
	// said above; within another error it is of an element
	if err := manifest.Check(e); err != nil && err != manifest.ErrDigest {
		var refused *manifest.Error
		if !errors.As(err, &refused) {
			refused = &manifest.Error{Code: manifest.CodeParse, Offset: -1, What: "manifest is malformed", Err: err}
		}
		d.line(len(b), 0, "/ refused: %s /", manifest.Printable(refused.Error()))
		return
	}
	d.line(len(b), 0, "/ within the profile /")
}

// dumper writes lines up to a bound.
type dumper struct {
	w    *bufio.Writer
	b    []byte
	left int
	at   int // offset of the next line in place of its own, 0 = none
}

func (d *dumper) line(offset, indent int, format string, args ...any) error {
	if d.at > 0 {
		offset, d.at = d.at, 0
	}
	s := fmt.Sprintf("%6d  %s%s\n", offset, strings.Repeat("  ", indent), fmt.Sprintf(format, args...))
	if d.left < len(s) {
		if d.left > 0 {
			d.left = 0
			fmt.Fprintf(d.w, "%6d  / output is cut here /\n", offset)
		}
		return errCut
	}
	d.left -= len(s)
	d.w.WriteString(s) // the error stays in the writer until Flush
	return nil
}

// cursor reads any CBOR within [pos, end) of b, deterministic or not.
type cursor struct {
	b        []byte
	pos, end int
}

// item is a head with what can be said about it.
type item struct {
	offset int
	major  int
	arg    uint64
	low    byte
	length int    // of the head
	notes  string // what is not deterministic
}

func (c *cursor) head() (item, error) {
	if c.pos >= c.end {
		return item{}, errors.New("data ends early")
	}
	h := item{offset: c.pos, major: int(c.b[c.pos] >> 5), low: c.b[c.pos] & 0x1f, length: 1}
	switch {
	case h.low < 24:
		h.arg = uint64(h.low)
	case h.low < 28:
		width := 1 << (h.low - 24)
		if c.end-c.pos-1 < width {
			return item{}, errors.New("data ends inside a head")
		}
		var wide [8]byte
		copy(wide[8-width:], c.b[c.pos+1:c.pos+1+width])
		h.arg = binary.BigEndian.Uint64(wide[:])
		h.length += width
		if h.major != suit.MajorOther && (width == 1 && h.arg < 24 || width > 1 && h.arg < 1<<(4*width)) {
			h.notes = " / ! not the shortest head /"
		}
	case h.low < 31 || h.major <= suit.MajorNint || h.major == suit.MajorTag:
		return item{}, fmt.Errorf("reserved head 0x%02x", c.b[c.pos])
	default:
		h.notes = " / ! indefinite length /"
	}
	c.pos += h.length
	return h, nil
}

// indefinite reports a string, array or map without a length.
func (h item) indefinite() bool { return h.low == 31 && h.major != suit.MajorOther }

// stop reports the break code that ends one.
func (h item) stop() bool { return h.low == 31 && h.major == suit.MajorOther }

// value writes one item. lead is what stands before it on its line; base is where the surrounding
// section's sequence begins.
func (d *dumper) value(c *cursor, indent int, lead string, s shape, base int) error {
	if indent > maxDepth {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	start := c.pos
	h, err := c.head()
	if err != nil {
		return err
	}
	back := func(err error) error { c.pos = start; return err }
	switch h.major {
	case suit.MajorUint, suit.MajorNint:
		n := strconv.FormatUint(h.arg, 10)
		if h.major == suit.MajorNint {
			n = "-1-" + n
			if h.arg < 1<<62 {
				n = strconv.FormatInt(-1-int64(h.arg), 10)
			}
		}
		note := ""
		if s.number != nil {
			if t := s.number(h); t != "" {
				note = " / " + t + " /"
			}
		}
		return d.line(start, indent, "%s%s%s%s", lead, n, note, h.notes)
	case suit.MajorBytes, suit.MajorText:
		if h.indefinite() {
			return back(errors.New("string of indefinite length"))
		}
		if h.arg > uint64(c.end-c.pos) {
			return back(fmt.Errorf("string of %d bytes is longer than the data", h.arg))
		}
		content := c.b[c.pos : c.pos+int(h.arg)]
		c.pos += int(h.arg)
		if h.major == suit.MajorText {
			return d.line(start, indent, "%s%s%s", lead, strconv.Quote(manifest.Printable(string(content))), h.notes)
		}
		return d.bytes(c, h, content, indent, lead, s, base)
	case suit.MajorArray, suit.MajorMap:
		return d.container(c, h, indent, lead, s, base)
	case suit.MajorTag:
		name := ""
		if t := tagNames(h.arg); t != "" {
			name = " / " + t + " /"
		}
		if err := d.line(start, indent, "%s%d(%s%s", lead, h.arg, name, h.notes); err != nil {
			return err
		}
		if err := d.value(c, indent+1, "", s.tagged(h.arg), base); err != nil {
			return err
		}
		return d.line(c.pos, indent, ")")
	}
	if h.stop() {
		return back(errors.New("break without a container"))
	}
	return d.line(start, indent, "%s%s", lead, simple(h))
}

// bytes writes a byte string, opened where its shape says that it holds CBOR.
func (d *dumper) bytes(c *cursor, h item, content []byte, indent int, lead string, s shape, base int) error {
	if s.inner == nil || s.optional && len(content) == 0 {
		note := ""
		if s.content != nil {
			if t := s.content(content); t != "" {
				note = " / " + t + " /"
			}
		}
		return d.line(h.offset, indent, "%s%s%s%s", lead, suit.Brief(content), note, h.notes)
	}
	if err := d.line(h.offset, indent, "%s<<%s", lead, h.notes); err != nil {
		return err
	}
	in := &cursor{b: c.b, pos: c.pos - len(content), end: c.pos}
	shape := s.inner()
	if !s.nested {
		base = in.pos
	}
	err := d.value(in, indent+1, "", shape, base)
	if err == nil && in.pos < in.end {
		err = fmt.Errorf("%d bytes too many", in.end-in.pos)
	}
	if err != nil && !errors.Is(err, errCut) {
		err = d.line(in.pos, indent+1, "/ ! %v / %s", err, suit.Brief(c.b[in.pos:in.end]))
	}
	if err != nil {
		return err
	}
	return d.line(c.pos, indent, ">>")
}

// container writes an array or a map.
func (d *dumper) container(c *cursor, h item, indent int, lead string, s shape, base int) error {
	opening, closing := h.brackets()
	if h.arg == 0 && !h.indefinite() {
		return d.line(h.offset, indent, "%s%s%s%s", lead, opening, closing, h.notes)
	}
	if err := d.line(h.offset, indent, "%s%s%s", lead, opening, h.notes); err != nil {
		return err
	}
	var (
		last    []byte // the key before
		code    int64
		command string // waits for its argument
		at      int
	)
	for i := uint64(0); h.indefinite() || i < h.arg; i++ {
		if h.indefinite() && c.pos < c.end && c.b[c.pos] == 0xff {
			c.pos++
			break
		}
		label := ""
		var sub shape
		switch {
		case h.major == suit.MajorMap:
			key, err := d.key(c, indent, last)
			if err != nil {
				return err
			}
			last = key
			label, sub = s.pair(key)
		case s.sequence && i%2 == 0:
			start := c.pos
			n, err := c.integer()
			if err != nil {
				c.pos = start
				if err := d.value(c, indent+1, "/ ! not a command / ", shape{}, base); err != nil {
					return err
				}
				code, command = 0, ""
				continue
			}
			code, at = n, start
			command = commandLabel(n, start-base)
			continue
		case s.sequence:
			label, sub, d.at = command, shapeArgument(code), at
			command, at = "", 0
		default:
			label, sub = s.element(int(min(i, 1<<20)))
		}
		if err := d.value(c, indent+1, label, sub, base); err != nil {
			return err
		}
	}
	if command != "" {
		if err := d.line(at, indent+1, "%s/ ! argument is missing /", command); err != nil {
			return err
		}
	}
	return d.line(c.pos, indent, "%s", closing)
}

func (h item) brackets() (opening, closing string) {
	if h.major == suit.MajorMap {
		return "{", "}"
	}
	return "[", "]"
}

// key reads a key of a map and says so where it must not come behind last.
func (d *dumper) key(c *cursor, indent int, last []byte) ([]byte, error) {
	start := c.pos
	if err := c.skip(maxDepth); err != nil {
		c.pos = start
		return nil, err
	}
	key := c.b[start:c.pos]
	if last != nil && string(last) >= string(key) {
		return key, d.line(start, indent+1, "/ ! key out of deterministic order, or twice /")
	}
	return key, nil
}

// commandLabel names a command of a sequence, before its argument.
func commandLabel(n int64, offset int) string {
	name := manifest.CommandName(int(n))
	if name == "" {
		name = "unknown command"
	}
	return fmt.Sprintf("/ @%d %s / %d, ", offset, name, n)
}

// integer reads an integer that fits 63 bits.
func (c *cursor) integer() (int64, error) {
	h, err := c.head()
	switch {
	case err != nil:
		return 0, err
	case h.major > suit.MajorNint || h.arg >= 1<<62:
		return 0, errors.New("not an integer")
	case h.major == suit.MajorNint:
		return -1 - int64(h.arg), nil
	}
	return int64(h.arg), nil
}

// skip reads over one item.
func (c *cursor) skip(depth int) error {
	if depth == 0 {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	h, err := c.head()
	if err != nil {
		return err
	}
	n := uint64(0)
	switch h.major {
	case suit.MajorBytes, suit.MajorText:
		if h.indefinite() || h.arg > uint64(c.end-c.pos) {
			return errors.New("string is longer than the data")
		}
		c.pos += int(h.arg)
		return nil
	case suit.MajorArray:
		n = h.arg
	case suit.MajorMap:
		if n = 2 * h.arg; h.arg > 1<<32 {
			return errors.New("map is longer than the data")
		}
	case suit.MajorTag:
		n = 1
	}
	if h.indefinite() || h.stop() {
		return errors.New("indefinite length in a key")
	}
	for ; n > 0; n-- {
		if err := c.skip(depth - 1); err != nil {
			return err
		}
	}
	return nil
}

// simple writes a simple value or float.
func simple(h item) string {
	switch h.arg {
	case 20:
		return "false"
	case 21:
		return "true"
	case 22:
		return "null"
	case 23:
		return "undefined"
	}
	if h.length > 2 {
		return fmt.Sprintf("float(0x%0*x)", 2*(h.length-1), h.arg)
	}
	return fmt.Sprintf("simple(%d)", h.arg)
}
