package cipher

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// Unwrap gets the content key of an encrypted payload with a key of this device. The keys that a
// recipient's key id names are tried first, then the others: a key id is a hint. An error wraps
// ErrKey.
func Unwrap(info manifest.Encryption, keys Keys) (Stream, error) {
	if info.IsZero() {
		return Stream{}, fmt.Errorf("cannot decrypt payload: it is not encrypted: %w", ErrKey)
	}
	recipients := info.Recipients()
	for _, hinted := range []bool{true, false} {
		for _, r := range recipients {
			for _, k := range keys.keys {
				if (len(r.KeyID) > 0 && bytes.Equal(r.KeyID, k.id)) != hinted {
					continue
				}
				if cek, ok := k.open(r); ok {
					return Stream{info: info, key: cek}, nil
				}
			}
		}
	}
	return Stream{}, fmt.Errorf("cannot decrypt payload: %d recipients, %d keys here: %w",
		len(recipients), len(keys.keys), ErrKey)
}

// open unwraps the content key if the recipient is the holder of this key.
func (k Key) open(r manifest.Recipient) ([]byte, bool) {
	kek := k.kek
	switch r.Alg {
	case manifest.A128KW, manifest.A256KW:
		if len(kek) != wrapSize(r.Alg) {
			return nil, false
		}
	case manifest.ECDHA128KW:
		if k.private == nil {
			return nil, false
		}
		peer, err := ecdh.P256().NewPublicKey(r.Ephemeral)
		if err != nil {
			return nil, false // not on the curve
		}
		secret, err := k.private.ECDH(peer)
		if err != nil {
			return nil, false
		}
		if kek, err = derive(secret, r.Salt, r.Protected); err != nil {
			return nil, false
		}
	default:
		return nil, false
	}
	return unwrap(kek, r.Wrapped)
}

// wrapSize is the size of the wrapping key in bytes.
func wrapSize(alg int64) int {
	if alg == manifest.A256KW {
		return 32
	}
	return 16
}

// derive makes the wrapping key of an agreed secret (RFC 9053 section 6.4; the context is that of
// draft-ietf-suit-firmware-encryption, "Context Information Structure"):
//
//	[-3, [nil, nil, nil], [nil, nil, nil], [128, protected, 'SUIT Payload Encryption']]
func derive(secret, salt, protected []byte) ([]byte, error) {
	context := []byte{0x84, 0x22, 0x83, 0xf6, 0xf6, 0xf6, 0x83, 0xf6, 0xf6, 0xf6, 0x83, 0x18, 128}
	context = appendBytes(context, protected)
	context = appendBytes(context, []byte("SUIT Payload Encryption"))
	return hkdf.Key(sha256.New, secret, salt, string(context), 16)
}
