package cipher

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/bits"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// Source is where a payload comes from, encrypted or decrypted: the same shape as slots.Source and
// transport.Source.
type Source interface {
	Open(ctx context.Context, off int64, validator string) (body io.ReadCloser, newValidator string, err error)
}

// Stream decrypts one payload. Only Unwrap makes one; the zero value decrypts nothing.
type Stream struct {
	info manifest.Encryption
	key  []byte
}

// Resumes reports whether Open can begin in the middle without reading what is before. Where it
// cannot, begin the slot again too: a checkpoint saves nothing.
func (s Stream) Resumes() bool { return !s.info.Authenticated() }

// PlainSize is the size in bytes of what comes out of a payload of n bytes, 0 when n is 0 (unknown).
func (s Stream) PlainSize(n int64) int64 { return max(n-s.info.Overhead(), 0) }

// Reader decrypts a payload that is read from its beginning.
func (s Stream) Reader(r io.Reader) (io.Reader, error) {
	if s.key == nil {
		return nil, ErrKey
	}
	if !s.Resumes() {
		return newGCMReader(r, s.key, s.info.IV(), s.aad())
	}
	return s.counter(r, 0)
}

// Source decrypts what comes from another source. Offsets are those of the decrypted payload, the
// validator is the other source's. Bytes of an authenticated payload that come before an offset are
// read again and not handed out.
func (s Stream) Source(from Source) Source { return decrypted{s, from} }

type decrypted struct {
	s    Stream
	from Source
}

// Open implements Source.
func (d decrypted) Open(ctx context.Context, off int64, validator string) (io.ReadCloser, string, error) {
	if d.s.key == nil || off < 0 {
		return nil, "", fmt.Errorf("cannot decrypt payload from byte %d: %w", off, ErrKey)
	}
	start := int64(0)
	if d.s.Resumes() {
		start = off - off%aes.BlockSize
	}
	body, validator, err := d.from.Open(ctx, start, validator)
	if err != nil {
		return nil, "", err
	}
	var r io.Reader
	if d.s.Resumes() {
		r, err = d.s.counter(body, uint64(start/aes.BlockSize))
	} else {
		r, err = d.s.Reader(body)
	}
	if err != nil {
		_ = body.Close()
		return nil, "", fmt.Errorf("cannot decrypt payload: %w", err)
	}
	return &opened{r: r, skip: off - start, Closer: body}, validator, nil
}

// opened drops the bytes before the offset that was asked for.
type opened struct {
	r    io.Reader
	skip int64
	io.Closer
}

// Read implements io.Reader.
func (o *opened) Read(p []byte) (int, error) {
	for o.skip > 0 {
		n, err := o.r.Read(make([]byte, min(o.skip, chunk)))
		if o.skip -= int64(n); err != nil {
			return 0, err
		}
	}
	return o.r.Read(p)
}

// counter decrypts AES-CTR from block on (RFC 9459: the IV is the first counter block).
func (s Stream) counter(r io.Reader, block uint64) (io.Reader, error) {
	c, err := aes.NewCipher(s.key)
	if err != nil {
		return nil, err
	}
	iv := s.info.IV()
	lo, carry := bits.Add64(binary.BigEndian.Uint64(iv[8:]), block, 0)
	binary.BigEndian.PutUint64(iv[8:], lo)
	binary.BigEndian.PutUint64(iv, binary.BigEndian.Uint64(iv)+carry)
	return cipher.StreamReader{S: cipher.NewCTR(c, iv), R: r}, nil
}

// aad is the Enc_structure of RFC 9052 section 5.3, with empty external data.
func (s Stream) aad() []byte {
	return encStructure(s.info.Protected())
}

// encStructure encodes ["Encrypt", protected, h”].
func encStructure(protected []byte) []byte {
	b := append([]byte{0x83, 0x67}, "Encrypt"...)
	return append(appendBytes(b, protected), 0x40)
}

// appendBytes appends a CBOR byte string of at most 64 KiB.
//
//go:noinline
func appendBytes(b, s []byte) []byte {
	switch n := len(s); {
	case n < 24:
		b = append(b, 0x40|byte(n))
	case n <= math.MaxUint8:
		b = append(b, 0x58, byte(n))
	default:
		b = append(b, 0x59, byte(n>>8), byte(n))
	}
	return append(b, s...)
}
