package journal

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// A value is stored as one byte of where, four bytes of CRC-32C (big-endian), and the bytes.
const (
	here      = 0 // the bytes follow
	elsewhere = 1 // the bytes are the value of the same key in the bucket apart(bucket)
	header    = 5
)

// Names of buckets of our own start with a zero byte, so that they come first in the file.
const (
	sums   = "\x00sums"   // bucket name -> 8 bytes count of keys, 8 bytes sum of their CRCs
	apartP = "\x00apart:" // + bucket name: key -> large value, bare
)

// large is the size in bytes from which a value stands apart. bbolt writes a leaf as a whole and
// puts at least two keys on a page: an envelope of 64 KiB beside the record would cost 17 pages of
// flash for every phase.
const large = 1024

func apart(bucket string) string { return apartP + bucket }

func crc(bucket, key string, value []byte) uint32 {
	t := crc32.MakeTable(crc32.Castagnoli)
	c := crc32.Update(0, t, []byte{byte(len(bucket))})
	c = crc32.Update(c, t, []byte(bucket))
	c = crc32.Update(c, t, []byte{byte(len(key))})
	c = crc32.Update(c, t, []byte(key))
	return crc32.Update(c, t, value)
}

func encode(c uint32, value []byte) (stored []byte, aside bool) {
	stored = make([]byte, header, header+len(value))
	binary.BigEndian.PutUint32(stored[1:], c)
	if len(value) >= large {
		stored[0] = elsewhere
		return stored, true
	}
	return append(stored, value...), false
}

// decode takes a stored value apart. aside tells that the bytes stand in the apart bucket.
func decode(stored []byte) (value []byte, c uint32, aside bool, err error) {
	if len(stored) < header || stored[0] > elsewhere || stored[0] == elsewhere && len(stored) != header {
		return nil, 0, false, errorf("%w: malformed value of %d bytes", ErrCorrupt, len(stored))
	}
	return stored[header:], binary.BigEndian.Uint32(stored[1:]), stored[0] == elsewhere, nil
}

// tally is the count and the sum of CRCs of one bucket. A leaf page that lost keys, which bbolt
// cannot see, does not add up.
type tally struct{ count, sum uint64 }

func (t tally) encode() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, t.count), t.sum)
}

func decodeTally(b []byte) (tally, error) {
	if len(b) != 16 {
		return tally{}, errorf("%w: malformed tally of %d bytes", ErrCorrupt, len(b))
	}
	return tally{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}, nil
}

// audit checks the content of a whole file, fed in the order of buckets and keys.
type audit struct {
	apart map[string]uint32 // bucket, zero, key -> CRC of the large value, until its key is met
	want  map[string]tally
	got   map[string]tally
}

func newAudit() *audit {
	return &audit{apart: map[string]uint32{}, want: map[string]tally{}, got: map[string]tally{}}
}

func (a *audit) add(bucket, key string, stored []byte) error {
	if bucket == sums {
		t, err := decodeTally(stored)
		a.want[key] = t
		return err
	}
	if of, ok := strings.CutPrefix(bucket, apartP); ok {
		a.apart[of+"\x00"+key] = crc(of, key, stored)
		return nil
	}
	value, c, aside, err := decode(stored)
	if err != nil {
		return errorf("%w, key %q in %s", err, key, bucket)
	}
	got := crc(bucket, key, value)
	if aside {
		id := bucket + "\x00" + key
		sum, ok := a.apart[id]
		if !ok {
			return errorf("%w: the large value of key %q in %s is missing", ErrCorrupt, key, bucket)
		}
		delete(a.apart, id)
		got = sum
	}
	if got != c {
		return errorf("%w: key %q in %s does not have the value that was put", ErrCorrupt, key, bucket)
	}
	t := a.got[bucket]
	a.got[bucket] = tally{t.count + 1, t.sum + uint64(c)}
	return nil
}

func (a *audit) end() error {
	for b, t := range a.got {
		if a.want[b] != t {
			return errorf("%w: bucket %s does not add up: %d keys, %d were put",
				ErrCorrupt, b, t.count, a.want[b].count)
		}
		delete(a.want, b)
	}
	for b, t := range a.want {
		if t != (tally{}) {
			return errorf("%w: bucket %s lost its %d keys", ErrCorrupt, b, t.count)
		}
	}
	if len(a.apart) != 0 {
		return errorf("%w: %d large values belong to no key", ErrCorrupt, len(a.apart))
	}
	return nil
}
