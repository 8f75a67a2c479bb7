package trust

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"
)

// Key is a public key bound to the one algorithm it is used with. The zero value is no key.
type Key struct {
	alg int64
	pub crypto.PublicKey
	id  string
}

// ID is the RFC 9679 thumbprint of the COSE_Key, SHA-256, in lower-case hex (64 digits).
func (k Key) ID() string { return k.id }

// Alg is the key's algorithm: ESP256, Ed25519 or ESP384.
func (k Key) Alg() int64 { return k.alg }

// Public is the key for the standard library: *ecdsa.PublicKey or ed25519.PublicKey.
func (k Key) Public() crypto.PublicKey { return k.pub }

// newKey binds a public key to its algorithm. The curve decides: one curve, one algorithm, so that
// no key can be used under two.
func newKey(pub crypto.PublicKey) (Key, error) {
	var (
		alg  int64
		cose map[int]any
	)
	switch p := pub.(type) {
	case *ecdsa.PublicKey:
		crv := 0
		switch p.Curve {
		case elliptic.P256():
			alg, crv = ESP256, 1
		case elliptic.P384():
			alg, crv = ESP384, 2
		default:
			return Key{}, fmt.Errorf("cannot use a key on curve %s: use P-256, P-384 or Ed25519", p.Params().Name)
		}
		point, err := p.Bytes() // SEC 1, uncompressed: 4 || x || y
		if err != nil {
			return Key{}, fmt.Errorf("cannot use EC key: %w", err)
		}
		n := len(point) / 2
		cose = map[int]any{1: 2, -1: crv, -2: point[1 : 1+n], -3: point[1+n:]}
	case ed25519.PublicKey:
		if len(p) != ed25519.PublicKeySize {
			return Key{}, fmt.Errorf("cannot use Ed25519 key of %d bytes: %d expected", len(p), ed25519.PublicKeySize)
		}
		alg = Ed25519
		cose = map[int]any{1: 1, -1: 6, -2: []byte(p)}
	default:
		return Key{}, fmt.Errorf("cannot use a key of type %T: use P-256, P-384 or Ed25519", pub)
	}
	id, err := thumbprint(cose)
	if err != nil {
		return Key{}, err
	}
	return Key{alg: alg, pub: pub, id: id}, nil
}

// thumbprint hashes the deterministic encoding of a COSE_Key that has its required fields only (RFC
// 9679 section 3).
func thumbprint(key map[int]any) (string, error) {
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		return "", fmt.Errorf("internal error: cannot make a deterministic CBOR encoder: %w", err)
	}
	b, err := mode.Marshal(key)
	if err != nil {
		return "", fmt.Errorf("internal error: cannot encode COSE key: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// ParsePublic reads one PEM "PUBLIC KEY" (RFC 5280 SubjectPublicKeyInfo) of P-256, P-384 or Ed25519.
// A file with anything else in it is refused, a private key above all.
func ParsePublic(b []byte) (Key, error) {
	der, kind, err := onePEM(b)
	if err != nil {
		return Key{}, fmt.Errorf("cannot read public key: %w", err)
	}
	if kind != "PUBLIC KEY" {
		if kind == "PRIVATE KEY" || kind == "EC PRIVATE KEY" {
			return Key{}, errors.New("cannot read public key: the file holds a private key; keep it where it is signed with and give out its public half")
		}
		return Key{}, fmt.Errorf("cannot read public key: PEM block is %.40q, want \"PUBLIC KEY\"", kind)
	}
	pub, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return Key{}, fmt.Errorf("cannot read public key: %w", err)
	}
	return newKey(pub)
}

// MarshalPEM writes the key as one PEM "PUBLIC KEY".
func (k Key) MarshalPEM() ([]byte, error) {
	if k.pub == nil {
		return nil, errors.New("cannot write public key: no key")
	}
	der, err := x509.MarshalPKIXPublicKey(k.pub)
	if err != nil {
		return nil, fmt.Errorf("cannot write public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// onePEM returns the only PEM block of a file. Text before it is allowed, as OpenSSL writes it.
func onePEM(b []byte) (der []byte, kind string, err error) {
	if len(b) > MaxPEM {
		return nil, "", fmt.Errorf("file is %d bytes, a key has at most %d", len(b), MaxPEM)
	}
	block, rest := pem.Decode(b)
	if block == nil {
		return nil, "", errors.New("no PEM block found")
	}
	if len(block.Headers) > 0 {
		return nil, "", errors.New("PEM block has headers (an encrypted key?)")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, "", errors.New("more than one key in the file")
	}
	return block.Bytes, block.Type, nil
}

// verifier checks signatures of one key under one algorithm identifier. go-cose does the mathematics
// under the older identifier and does not know the fully specified one, which is the same
// mathematics; only what the header must say differs.
type verifier struct {
	cose.Verifier
	alg int64
}

// Algorithm is what the protected header must say.
func (v verifier) Algorithm() cose.Algorithm { return cose.Algorithm(v.alg) }

// verifier returns the key's verifier for messages whose header says alg.
func (k Key) verifier(alg int64) (verifier, error) {
	base := map[int64]cose.Algorithm{
		ESP256: cose.AlgorithmES256, ESP384: cose.AlgorithmES384, Ed25519: cose.AlgorithmEdDSA,
	}[k.alg]
	v, err := cose.NewVerifier(base, k.pub)
	if err != nil {
		return verifier{}, fmt.Errorf("cannot use key %.16s: %w", k.id, err)
	}
	return verifier{Verifier: v, alg: alg}, nil
}
