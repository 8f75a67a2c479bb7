package cipher

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// MaxKeyFile is the largest key file in bytes.
const MaxKeyFile = 8 << 10

// Key opens payloads, or is the public half that payloads are encrypted for.
type Key struct {
	id      []byte           // key id, nil = none
	kek     []byte           // a key that sender and recipient share, or
	private *ecdh.PrivateKey // the recipient's pair, or
	public  *ecdh.PublicKey  // its public half
}

// ID is the key id that a sender puts into the message: the one in the key's COSE_Key, else the
// RFC 9679 thumbprint of the public key; nil for a shared key without one.
func (k Key) ID() []byte { return bytes.Clone(k.id) }

// Opens reports whether the key can decrypt.
func (k Key) Opens() bool { return k.kek != nil || k.private != nil }

// Public is the half of a pair that may be given out; of a shared key there is none.
func (k Key) Public() (Key, error) {
	if k.public == nil {
		return Key{}, errors.New("cannot give out a shared key")
	}
	return Key{id: k.id, public: k.public}, nil
}

// Keys are a device's decryption keys. The zero value opens nothing.
type Keys struct{ keys []Key }

// IsZero tells whether there is no key.
func (k Keys) IsZero() bool { return len(k.keys) == 0 }

// NewKeys takes at most MaxKeys keys that open payloads.
func NewKeys(keys ...Key) (Keys, error) {
	if len(keys) > MaxKeys {
		return Keys{}, fmt.Errorf("cannot use %d decryption keys, at most %d", len(keys), MaxKeys)
	}
	for i, k := range keys {
		if !k.Opens() {
			return Keys{}, fmt.Errorf("cannot use decryption key %d: it is a public key, which cannot decrypt", i+1)
		}
	}
	return Keys{keys: append([]Key(nil), keys...)}, nil
}

// ParseKey reads one key file: a PEM "PRIVATE KEY" or "EC PRIVATE KEY" of P-256, its "PUBLIC KEY",
// or a COSE_Key (RFC 9052 section 7): EC2 on P-256 with or without its private part, or symmetric of
// 16 or 32 bytes.
func ParseKey(b []byte) (Key, error) {
	k, err := parseKey(b)
	if err != nil {
		return Key{}, fmt.Errorf("cannot read decryption key: %w", err)
	}
	return k, nil
}

func parseKey(b []byte) (Key, error) {
	if len(b) > MaxKeyFile {
		return Key{}, fmt.Errorf("file is %d bytes, a key has at most %d", len(b), MaxKeyFile)
	}
	block, rest := pem.Decode(b)
	if block == nil {
		return parseCOSE(b)
	}
	if len(bytes.TrimSpace(rest)) > 0 || len(block.Headers) > 0 {
		return Key{}, errors.New("more than one key in the file, or an encrypted one")
	}
	var (
		parsed any
		err    error
	)
	switch block.Type {
	case "PRIVATE KEY":
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		parsed, err = x509.ParseECPrivateKey(block.Bytes)
	case "PUBLIC KEY":
		parsed, err = x509.ParsePKIXPublicKey(block.Bytes)
	default:
		err = fmt.Errorf("PEM block is %.40q", block.Type)
	}
	if err != nil {
		return Key{}, err
	}
	switch p := parsed.(type) {
	case *ecdsa.PrivateKey:
		if p.Curve == elliptic.P256() {
			private, err := p.ECDH()
			if err != nil {
				return Key{}, err
			}
			return pair(nil, private)
		}
	case *ecdsa.PublicKey:
		if p.Curve == elliptic.P256() {
			public, err := p.ECDH()
			if err != nil {
				return Key{}, err
			}
			return half(nil, public)
		}
	}
	return Key{}, fmt.Errorf("a key of type %T is not of P-256", parsed)
}

func pair(id []byte, private *ecdh.PrivateKey) (Key, error) {
	k, err := half(id, private.PublicKey())
	k.private = private
	return k, err
}

func half(id []byte, public *ecdh.PublicKey) (Key, error) {
	if len(id) == 0 {
		point := public.Bytes()
		b, err := encode(map[int]any{1: 2, -1: 1, -2: point[1:33], -3: point[33:]})
		if err != nil {
			return Key{}, err
		}
		sum := sha256.Sum256(b)
		id = sum[:]
	}
	return Key{id: id, public: public}, nil
}

// parseCOSE reads a COSE_Key.
func parseCOSE(b []byte) (Key, error) {
	mode, err := cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF,
		IndefLength: cbor.IndefLengthForbidden, MaxNestedLevels: 4}.DecMode()
	if err != nil {
		return Key{}, err
	}
	var m struct {
		Kty int    `cbor:"1,keyasint"`
		ID  []byte `cbor:"2,keyasint"`
		Alg int64  `cbor:"3,keyasint"`
		K   any    `cbor:"-1,keyasint"` // symmetric: the key; EC2: the curve
		X   []byte `cbor:"-2,keyasint"`
		Y   []byte `cbor:"-3,keyasint"`
		D   []byte `cbor:"-4,keyasint"`
	}
	if err := mode.Unmarshal(b, &m); err != nil {
		return Key{}, fmt.Errorf("neither PEM nor a COSE_Key: %w", err)
	}
	if len(m.ID) > manifest.MaxKeyID {
		return Key{}, fmt.Errorf("key id of %d bytes, at most %d", len(m.ID), manifest.MaxKeyID)
	}
	switch m.Kty {
	case 4:
		kek, _ := m.K.([]byte)
		alg := map[int]int64{16: manifest.A128KW, 32: manifest.A256KW}[len(kek)]
		if alg == 0 || m.Alg != 0 && m.Alg != alg {
			return Key{}, errors.New("a symmetric key has 16 bytes (A128KW) or 32 (A256KW)")
		}
		return Key{id: m.ID, kek: kek}, nil
	case 2:
		// That both coordinates are there and whole is seen by the length of the point.
		if crv, _ := m.K.(uint64); crv != 1 || len(m.X) != 32 || m.Alg != 0 && m.Alg != manifest.ECDHA128KW {
			return Key{}, errors.New("an EC2 key is on P-256, with both coordinates, for ECDH-ES + A128KW")
		}
		public, err := ecdh.P256().NewPublicKey(bytes.Join([][]byte{{4}, m.X, m.Y}, nil))
		if err != nil {
			return Key{}, err
		}
		if m.D == nil {
			return half(m.ID, public)
		}
		private, err := ecdh.P256().NewPrivateKey(m.D)
		if err != nil {
			return Key{}, err
		}
		if !private.PublicKey().Equal(public) {
			return Key{}, errors.New("private and public part do not belong together")
		}
		return pair(m.ID, private)
	}
	return Key{}, fmt.Errorf("COSE key type %d is not supported", m.Kty)
}

// encode encodes deterministically.
func encode(v any) ([]byte, error) {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		return nil, fmt.Errorf("internal error: cannot make a deterministic CBOR encoder: %w", err)
	}
	return mode.Marshal(v)
}
