package trust

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"

	"filippo.io/mldsa"
	pkix "filippo.io/mldsa/x509"
	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"
)

// Key is a public key bound to the one algorithm it is used with. The zero value is no key.
type Key struct {
	alg  int64
	pub  crypto.PublicKey
	id   string
	cose string // deterministic COSE_Key with its algorithm
}

// ID is the RFC 9679 thumbprint of the COSE_Key, SHA-256, in lower-case hex (64 digits).
func (k Key) ID() string { return k.id }

// Alg is the key's algorithm: ESP256, Ed25519, ESP384 or MLDSA65.
func (k Key) Alg() int64 { return k.alg }

// Public is the key itself: *ecdsa.PublicKey, ed25519.PublicKey or *mldsa.PublicKey.
func (k Key) Public() crypto.PublicKey { return k.pub }

// Labels and values of a COSE_Key (RFC 9052 section 7.1, RFC 9053 section 7, RFC 9964 section 3).
const (
	labelKty, labelAlg         = 1, 3
	labelCrv, labelX, labelY   = -1, -2, -3
	labelPub                   = -1 // of an AKP key
	ktyOKP, ktyEC2, ktyAKP     = 1, 2, 7
	crvP256, crvP384, crvEd255 = 1, 2, 6
)

// newKey binds a public key to its algorithm. The curve decides: one curve, one algorithm, so that
// no key can be used under two.
func newKey(pub crypto.PublicKey) (Key, error) {
	var (
		alg    int64
		fields map[int]any // those that RFC 9679 section 4 (RFC 9964 section 6 for AKP) takes
	)
	switch p := pub.(type) {
	case *ecdsa.PublicKey:
		crv := 0
		switch p.Curve {
		case elliptic.P256():
			alg, crv = ESP256, crvP256
		case elliptic.P384():
			alg, crv = ESP384, crvP384
		default:
			return Key{}, errorf("cannot use a key on curve %s: use P-256, P-384 or Ed25519", p.Params().Name)
		}
		point, err := p.Bytes() // SEC 1, uncompressed: 4 || x || y
		if err != nil {
			return Key{}, errorf("cannot use EC key: %w", err)
		}
		n := len(point) / 2
		fields = map[int]any{labelKty: ktyEC2, labelCrv: crv, labelX: point[1 : 1+n], labelY: point[1+n:]}
	case ed25519.PublicKey:
		if len(p) != ed25519.PublicKeySize {
			return Key{}, errorf("cannot use Ed25519 key of %d bytes: %d expected", len(p), ed25519.PublicKeySize)
		}
		alg = Ed25519
		fields = map[int]any{labelKty: ktyOKP, labelCrv: crvEd255, labelX: []byte(p)}
	case *mldsa.PublicKey:
		if p.Parameters() != mldsa.MLDSA65() {
			return Key{}, errorf("cannot use a key of %s: use ML-DSA-65", p.Parameters())
		}
		alg = MLDSA65
		fields = map[int]any{labelKty: ktyAKP, labelAlg: MLDSA65, labelPub: p.Bytes()}
	default:
		return Key{}, errorf("cannot use a key of type %T: use P-256, P-384, Ed25519 or ML-DSA-65", pub)
	}
	short, err := Encode(fields)
	if err != nil {
		return Key{}, err
	}
	fields[labelAlg] = alg
	whole, err := Encode(fields)
	if err != nil {
		return Key{}, err
	}
	// RFC 9679 section 3: the hash of the deterministic encoding of the required fields.
	sum := sha256.Sum256(short)
	return Key{alg: alg, pub: pub, id: hex.EncodeToString(sum[:]), cose: string(whole)}, nil
}

// parseKey reads a COSE_Key that is written as Key writes it: deterministic, bound to its algorithm,
// and without anything else in it.
func parseKey(b []byte) (Key, error) {
	var f map[int]cbor.RawMessage
	if err := decode(b, &f); err != nil {
		return Key{}, err
	}
	var (
		kty, crv int
		x, y     []byte
		bad      error
	)
	get := func(label int, v any) { bad = cmp.Or(bad, decode(f[label], v)) }
	get(labelKty, &kty)
	var pub crypto.PublicKey
	switch kty {
	case ktyEC2:
		get(labelCrv, &crv)
		get(labelX, &x)
		get(labelY, &y)
		curve := elliptic.P256()
		if crv == crvP384 {
			curve = elliptic.P384()
		}
		p, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, x...), y...))
		if err != nil {
			return Key{}, errorf("%w: not a point of the curve", ErrMalformed)
		}
		pub = p
	case ktyOKP:
		get(labelX, &x)
		pub = ed25519.PublicKey(x)
	case ktyAKP:
		get(labelPub, &x)
		p, err := mldsa.NewPublicKey(mldsa.MLDSA65(), x)
		if err != nil {
			return Key{}, errorf("%w: not an ML-DSA-65 key", ErrMalformed)
		}
		pub = p
	default:
		return Key{}, errorf("%w: key type %d", ErrMalformed, kty)
	}
	if bad != nil {
		return Key{}, errorf("%w: incomplete key", ErrMalformed)
	}
	k, err := newKey(pub)
	if err != nil {
		return Key{}, errorf("%w: %w", ErrMalformed, err)
	}
	if k.cose != string(b) {
		return Key{},
			errorf("%w: key is not written in the one allowed way, or bound to another algorithm", ErrMalformed)
	}
	return k, nil
}

// ParsePublic reads one PEM "PUBLIC KEY" (RFC 5280 SubjectPublicKeyInfo) of P-256, P-384, Ed25519
// or ML-DSA-65 (RFC 9881). A file with anything else in it is refused, a private key above all.
func ParsePublic(b []byte) (Key, error) {
	der, kind, err := onePEM(b)
	if err != nil {
		return Key{}, errorf("cannot read public key: %w", err)
	}
	if kind != "PUBLIC KEY" {
		if strings.HasSuffix(kind, "PRIVATE KEY") { // also one that is encrypted
			return Key{}, errors.New("cannot read public key: the file holds a private key; keep it where it is " +
				"signed with and give out its public half")
		}
		return Key{}, errorf("cannot read public key: PEM block is %.40q, want \"PUBLIC KEY\"", kind)
	}
	pub, err := pkix.ParsePKIXPublicKey(der)
	if err != nil {
		return Key{}, errorf("cannot read public key: %w", err)
	}
	return newKey(pub)
}

// MarshalPEM writes the key as one PEM "PUBLIC KEY".
func (k Key) MarshalPEM() ([]byte, error) {
	if k.pub == nil {
		return nil, errors.New("cannot write public key: no key")
	}
	der, err := pkix.MarshalPKIXPublicKey(k.pub)
	if err != nil {
		return nil, errorf("cannot write public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// onePEM returns the only PEM block of a file. Text before it is allowed, as OpenSSL writes it.
func onePEM(b []byte) (der []byte, kind string, err error) {
	if len(b) > MaxPEM {
		return nil, "", errorf("file is %d bytes, a key has at most %d", len(b), MaxPEM)
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
func (k Key) verifier(alg int64) (cose.Verifier, error) {
	if p, ok := k.pub.(*mldsa.PublicKey); ok {
		return lattice{p}, nil
	}
	base := map[int64]cose.Algorithm{
		ESP256: cose.AlgorithmES256, ESP384: cose.AlgorithmES384, Ed25519: cose.AlgorithmEdDSA,
	}[k.alg]
	v, err := cose.NewVerifier(base, k.pub)
	if err != nil {
		return nil, errorf("cannot use key %.16s: %w", k.id, err)
	}
	return verifier{Verifier: v, alg: alg}, nil
}

// lattice verifies ML-DSA-65 as RFC 9964 section 4 has it: the message itself, empty context.
type lattice struct{ pub *mldsa.PublicKey }

func (l lattice) Algorithm() cose.Algorithm { return cose.Algorithm(MLDSA65) }

// Verify implements cose.Verifier.
func (l lattice) Verify(content, signature []byte) error {
	return mldsa.Verify(l.pub, content, signature, nil)
}
