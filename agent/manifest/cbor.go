package manifest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/ratchet-ota/ratchet/agent/manifest/internal/suit"
)

// reader is a cursor over deterministic CBOR (RFC 8949 section 4.2.1): shortest heads, definite
// lengths, map keys in bytewise order, no floats. SUIT needs a cursor where a decoder into Go values
// would do elsewhere: digests cover encoded items with their heads, reports name byte offsets, and
// what is accepted must have one encoding only. It reads no item twice but map keys, and allocates
// only what it returns.
type reader struct {
	b   []byte
	pos int
	// unordered: map keys may come in any order, each once. COSE demands no order of its headers, and
	// its users have none.
	unordered bool
}

// errorf makes an error that names the position.
func (r *reader) errorf(format string, args ...any) error {
	return fmt.Errorf("byte %d: %s", r.pos, fmt.Sprintf(format, args...))
}

// end fails when bytes are left.
func (r *reader) end() error {
	if r.pos != len(r.b) {
		return r.errorf("%d bytes too many", len(r.b)-r.pos)
	}
	return nil
}

// peek returns the major type of the next item, or -1 at the end.
func (r *reader) peek() int {
	if r.pos >= len(r.b) {
		return -1
	}
	return int(r.b[r.pos] >> 5)
}

// head reads an item's head. For strings, arrays and maps arg is the length, not yet checked
// against what is left.
func (r *reader) head() (major int, arg uint64, err error) {
	if r.pos >= len(r.b) {
		return 0, 0, r.errorf("data ends early")
	}
	first := r.b[r.pos]
	major, low := int(first>>5), first&0x1f
	if low < 24 {
		r.pos++
		if major == suit.MajorOther && (low < 20 || low > 22) {
			return 0, 0, r.errorf("simple value %d is not used here", low)
		}
		return major, uint64(low), nil
	}
	if low > 27 {
		return 0, 0, r.errorf("indefinite length or reserved head 0x%02x", first)
	}
	if major == suit.MajorOther {
		return 0, 0, r.errorf("float or simple value is not used here")
	}
	width := 1 << (low - 24)
	if len(r.b)-r.pos-1 < width {
		return 0, 0, r.errorf("data ends inside a head")
	}
	var wide [8]byte
	copy(wide[8-width:], r.b[r.pos+1:r.pos+1+width])
	arg = binary.BigEndian.Uint64(wide[:])
	// The shortest head is the only one: what fits a narrower one is refused.
	least := uint64(24)
	if width > 1 {
		least = 1 << (4 * width)
	}
	if arg < least {
		return 0, 0, r.errorf("head is not the shortest")
	}
	r.pos += 1 + width
	return major, arg, nil
}

func (r *reader) expect(want int, name string) (uint64, error) {
	if got := r.peek(); got != want && got >= 0 {
		return 0, r.errorf("%s expected, found %s", name, majorName(got))
	}
	_, arg, err := r.head()
	return arg, err
}

func majorName(major int) string {
	return [...]string{"unsigned integer", "negative integer", "byte string", "text string", "array",
		"map", "tag", "simple value or float"}[major]
}

// uint reads an unsigned integer.
func (r *reader) uint() (uint64, error) { return r.expect(suit.MajorUint, "unsigned integer") }

// int reads an integer that fits 64 bits.
func (r *reader) int() (int64, error) {
	if major := r.peek(); major >= 0 && major != suit.MajorUint && major != suit.MajorNint {
		return 0, r.errorf("integer expected, found %s", majorName(major))
	}
	at := *r
	major, arg, err := r.head()
	if err != nil {
		return 0, err
	}
	if arg > math.MaxInt64 {
		return 0, at.errorf("integer is too large")
	}
	if major == suit.MajorNint {
		return -1 - int64(arg), nil
	}
	return int64(arg), nil
}

// bool reads true or false.
func (r *reader) bool() (bool, error) {
	if r.pos < len(r.b) && (r.b[r.pos] == 0xf4 || r.b[r.pos] == 0xf5) {
		r.pos++
		return r.b[r.pos-1] == 0xf5, nil
	}
	return false, r.errorf("true or false expected")
}

// null reads nil if it is next.
func (r *reader) null() bool {
	if r.pos < len(r.b) && r.b[r.pos] == 0xf6 {
		r.pos++
		return true
	}
	return false
}

// bytes reads a byte string of at most limit bytes; the result shares memory.
func (r *reader) bytes(limit int) ([]byte, error) {
	return r.str(suit.MajorBytes, "byte string", limit)
}

// text reads a UTF-8 text of at most limit bytes.
func (r *reader) text(limit int) (string, error) {
	at := *r
	b, err := r.str(suit.MajorText, "text string", limit)
	if err == nil && !utf8.Valid(b) {
		return "", at.errorf("text is not UTF-8")
	}
	return string(b), err
}

func (r *reader) str(major int, name string, limit int) ([]byte, error) {
	at := *r
	n, err := r.expect(major, name)
	if err != nil {
		return nil, err
	}
	if n > uint64(len(r.b)-r.pos) {
		return nil, at.errorf("%s of %d bytes is longer than the data", name, n)
	}
	if n > uint64(limit) {
		return nil, at.errorf("%s of %d bytes, at most %d", name, n, limit)
	}
	r.pos += int(n)
	return r.b[r.pos-int(n) : r.pos : r.pos], nil
}

// array reads the head of an array of least to most elements.
func (r *reader) array(least, most int) (int, error) {
	return r.count(suit.MajorArray, "array", least, most)
}

func (r *reader) count(major int, name string, least, most int) (int, error) {
	at := *r
	n, err := r.expect(major, name)
	if err != nil {
		return 0, err
	}
	if n < uint64(least) || n > uint64(most) {
		return 0, at.errorf("%s of %d elements, want %d to %d", name, n, least, most)
	}
	return int(n), nil
}

// pairs reads a map of at most most pairs. For each, key is the encoded key and fn reads the value.
// Keys must ascend in the order of their encodings, so none appears twice.
func (r *reader) pairs(least, most int, fn func(key []byte) error) error {
	n, err := r.count(suit.MajorMap, "map", least, most)
	if err != nil {
		return err
	}
	var last []byte
	var all [][]byte // keys so far, where they are unordered
	for range n {
		start := r.pos
		if err := r.key(); err != nil {
			return err
		}
		key := r.b[start:r.pos:r.pos]
		switch {
		case !r.unordered && bytes.Compare(last, key) >= 0:
			r.pos = start
			return r.errorf("map keys are not in deterministic order, or one appears twice")
		case slices.ContainsFunc(all, func(k []byte) bool { return bytes.Equal(k, key) }):
			r.pos = start
			return r.errorf("map key appears twice")
		case r.unordered:
			all = append(all, key)
		}
		last = key
		if err := fn(key); err != nil {
			return err
		}
	}
	return nil
}

// key reads over a map key: an integer, a text, or an array of byte strings (a component identifier).
func (r *reader) key() error {
	switch r.peek() {
	case suit.MajorUint, suit.MajorNint:
		_, err := r.int()
		return err
	case suit.MajorText:
		_, err := r.text(MaxName)
		return err
	case suit.MajorArray:
		_, err := r.component()
		return err
	}
	return r.errorf("integer, text or component identifier expected as a map key")
}

// intKey returns an integer key; text and other keys give 0 and ok = false.
func intKey(key []byte) (k int64, ok bool) {
	r := reader{b: key}
	k, err := r.int()
	return k, err == nil
}

// textKey returns a text as a key; others give "" and ok = false.
func textKey(key []byte) (s string, ok bool) {
	r := reader{b: key}
	s, err := r.text(len(key))
	return s, err == nil
}

// component reads a component identifier: an array of byte strings.
func (r *reader) component() (ComponentID, error) {
	n, err := r.array(1, MaxParts)
	if err != nil {
		return nil, err
	}
	id := make(ComponentID, n)
	for i := range id {
		if id[i], err = r.bytes(MaxPart); err != nil {
			return nil, err
		}
		if len(id[i]) == 0 {
			return nil, r.errorf("part of a component identifier is empty")
		}
	}
	return id, nil
}

// digest reads a SUIT_Digest array.
func (r *reader) digest() (Digest, error) {
	at := *r
	if _, err := r.array(2, 2); err != nil {
		return Digest{}, err
	}
	alg, err := r.int()
	if err != nil {
		return Digest{}, err
	}
	sum, err := r.bytes(MaxDigest)
	if err != nil {
		return Digest{}, err
	}
	h, ok := hashes(alg)
	if !ok {
		return Digest{},
			&Error{Code: CodeAlgorithm, Offset: -1, What: fmt.Sprintf("digest algorithm %d is not supported", alg)}
	}
	if len(sum) != h.Size() {
		return Digest{}, at.errorf("digest of %d bytes, algorithm %d has %d", len(sum), alg, h.Size())
	}
	return Digest{Alg: int(alg), Sum: string(sum)}, nil
}

// wrapped reads the items of a byte string's content with fn, to its end.
func wrapped(b []byte, fn func(r *reader) error) error {
	r := &reader{b: b}
	if err := fn(r); err != nil {
		return err
	}
	return r.end()
}

// item returns the encoding of the next item, whatever it is.
func (r *reader) item() ([]byte, error) {
	start := r.pos
	err := r.skip(maxSkip)
	return r.b[start:r.pos:r.pos], err
}

// maxSkip is how deep an item may be nested that is read over.
const maxSkip = 16

// skip reads over any deterministic item that is nested at most depth deep.
func (r *reader) skip(depth int) error {
	if depth == 0 {
		return r.errorf("item is nested too deep")
	}
	switch r.peek() {
	case suit.MajorBytes:
		_, err := r.bytes(MaxEnvelope)
		return err
	case suit.MajorText:
		_, err := r.text(MaxEnvelope)
		return err
	case suit.MajorArray:
		n, err := r.array(0, len(r.b))
		for i := 0; i < n && err == nil; i++ {
			err = r.skip(depth - 1)
		}
		return err
	case suit.MajorMap:
		n, err := r.count(suit.MajorMap, "map", 0, len(r.b)/2)
		for i := 0; i < 2*n && err == nil; i++ {
			err = r.skip(depth - 1)
		}
		return err
	case suit.MajorTag:
		if _, _, err := r.head(); err != nil {
			return err
		}
		return r.skip(depth - 1)
	}
	_, _, err := r.head()
	return err
}
