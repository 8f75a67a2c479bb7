package cipher

import (
	"bytes"
	"crypto/aes"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
)

// wrapIV is the default initial value of RFC 3394 section 2.2.3.1.
var wrapIV = []byte{0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6}

// wrap wraps a key of whole 64-bit blocks, two or more (RFC 3394 section 2.2.1). The result is 8
// bytes longer.
func wrap(kek, key []byte) ([]byte, error) {
	c, err := aes.NewCipher(kek)
	if err != nil {
		return nil, err
	}
	if len(key)%8 != 0 || len(key) < 16 {
		return nil, fmt.Errorf("cannot wrap a key of %d bytes", len(key))
	}
	out := append(bytes.Clone(wrapIV), key...)
	var b [16]byte
	for t := range uint64(6 * len(key) / 8) {
		r := out[8*(t%uint64(len(key)/8)+1):][:8]
		copy(b[:8], out)
		copy(b[8:], r)
		c.Encrypt(b[:], b[:])
		binary.BigEndian.PutUint64(out, binary.BigEndian.Uint64(b[:])^(t+1))
		copy(r, b[8:])
	}
	return out, nil
}

// unwrap is the inverse (RFC 3394 section 2.2.2). ok is false when the key was wrapped with another
// one, or was changed since.
func unwrap(kek, wrapped []byte) (key []byte, ok bool) {
	c, err := aes.NewCipher(kek)
	if err != nil || len(wrapped)%8 != 0 || len(wrapped) < 24 {
		return nil, false
	}
	out := bytes.Clone(wrapped)
	n := uint64(len(out)/8 - 1)
	var b [16]byte
	for t := 6*n - 1; ; t-- {
		r := out[8*(t%n+1):][:8]
		binary.BigEndian.PutUint64(b[:], binary.BigEndian.Uint64(out)^(t+1))
		copy(b[8:], r)
		c.Decrypt(b[:], b[:])
		copy(out, b[:8])
		copy(r, b[8:])
		if t == 0 {
			break
		}
	}
	return out[8:], subtle.ConstantTimeCompare(out[:8], wrapIV) == 1
}
