package trust

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"strings"

	"filippo.io/mldsa"
	pkix "filippo.io/mldsa/x509"
	"github.com/veraison/go-cose"
)

// Signer signs with one private key under its one algorithm.
type Signer struct {
	key  Key
	priv crypto.Signer
}

// NewSigner wraps a private key of the standard library or of a hardware module.
func NewSigner(priv crypto.Signer) (*Signer, error) {
	key, err := newKey(priv.Public())
	if err != nil {
		return nil, err
	}
	return &Signer{key: key, priv: priv}, nil
}

// Generate makes a key for ESP256, Ed25519, ESP384 or MLDSA65.
func Generate(alg int64) (*Signer, error) {
	var (
		priv crypto.Signer
		err  error
	)
	switch alg {
	case ESP256:
		priv, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ESP384:
		priv, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case Ed25519:
		_, priv, err = ed25519.GenerateKey(rand.Reader)
	case MLDSA65:
		priv, err = mldsa.GenerateKey(mldsa.MLDSA65())
	default:
		return nil, errorf("cannot generate a key for algorithm %d: use %d (ESP256), %d (Ed25519), %d "+
			"(ESP384) or %d (ML-DSA-65): %w",
			alg, ESP256, Ed25519, ESP384, MLDSA65, ErrAlgorithm)
	}
	if err != nil {
		return nil, errorf("cannot generate key: %w", err)
	}
	return NewSigner(priv)
}

// ParsePrivate reads one PEM "PRIVATE KEY" (PKCS #8) or "EC PRIVATE KEY" (SEC 1), not encrypted.
func ParsePrivate(b []byte) (*Signer, error) {
	der, kind, err := onePEM(b)
	if err != nil {
		return nil, errorf("cannot read private key: %w", err)
	}
	var priv any
	switch kind {
	case "PRIVATE KEY":
		priv, err = pkix.ParsePKCS8PrivateKey(der)
	case "EC PRIVATE KEY":
		priv, err = x509.ParseECPrivateKey(der)
	default:
		return nil, errorf("cannot read private key: PEM block is %.40q, want \"PRIVATE KEY\"", kind)
	}
	if err != nil {
		return nil, errorf("cannot read private key: %w", err)
	}
	s, ok := priv.(crypto.Signer)
	if !ok {
		return nil, errorf("cannot read private key: a key of type %T does not sign", priv)
	}
	return NewSigner(s)
}

// MarshalPEM writes the private key as one PEM "PRIVATE KEY" (PKCS #8). Keep it at mode 0600.
func (s *Signer) MarshalPEM() ([]byte, error) {
	der, err := pkix.MarshalPKCS8PrivateKey(s.priv)
	if err != nil {
		return nil, errorf("cannot write private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Key is the public half.
func (s *Signer) Key() Key { return s.key }

// Sign makes a tagged COSE_Sign1 over payload with the payload detached (nil), the block of a SUIT
// envelope (draft-ietf-suit-manifest section 8.3). SUIT's external data is empty.
func (s *Signer) Sign(payload, aad []byte) ([]byte, error) {
	m, err := s.message(payload, aad, "")
	if err != nil {
		return nil, err
	}
	m.Payload = nil
	return m.MarshalCBOR()
}

// Sign1 makes a tagged COSE_Sign1 that carries payload: protected alg and typ (left out when empty),
// unprotected kid. A typ without a slash stands for the media type application/<typ>, which is what
// RFC 9596 wants to see in the header.
func (s *Signer) Sign1(payload, aad []byte, typ string) ([]byte, error) {
	m, err := s.message(payload, aad, typ)
	if err != nil {
		return nil, err
	}
	return m.MarshalCBOR()
}

func (s *Signer) message(payload, aad []byte, typ string) (*cose.Sign1Message, error) {
	kid, err := hex.DecodeString(s.key.id)
	if err != nil {
		return nil, errorf("internal error: key id %q is not hex", s.key.id)
	}
	if payload == nil {
		payload = []byte{}
	}
	m := cose.NewSign1Message()
	m.Payload = payload
	m.Headers.Protected.SetAlgorithm(cose.Algorithm(s.key.alg))
	if typ != "" {
		m.Headers.Protected[cose.HeaderLabelType] = mediaType(typ)
	}
	m.Headers.Unprotected[cose.HeaderLabelKeyID] = kid
	if err := m.Sign(nil, aad, raw{s}); err != nil {
		return nil, errorf("cannot sign with key %.16s: %w", s.key.id, err)
	}
	return m, nil
}

// mediaType completes the short form of a typ.
func mediaType(typ string) string {
	if typ == "" || strings.Contains(typ, "/") {
		return typ
	}
	return "application/" + typ
}

// raw is the cose.Signer of a Signer. The library's own one neither knows the fully specified
// algorithm numbers nor signs deterministically.
type raw struct{ s *Signer }

func (r raw) Algorithm() cose.Algorithm { return cose.Algorithm(r.s.key.alg) }

// Sign makes the raw signature of RFC 9053: r || s at the curve's width, the EdDSA string, or the
// ML-DSA one (RFC 9964).
func (r raw) Sign(_ io.Reader, content []byte) ([]byte, error) {
	switch soft, ok := r.s.priv.(*mldsa.PrivateKey); {
	case ok:
		return soft.SignDeterministic(content, nil)
	case r.s.key.alg == Ed25519 || r.s.key.alg == MLDSA65:
		return r.s.priv.Sign(rand.Reader, content, crypto.Hash(0))
	}
	hash, width := crypto.SHA256, 32
	if r.s.key.alg == ESP384 {
		hash, width = crypto.SHA384, 48
	}
	h := hash.New()
	h.Write(content)
	// RFC 6979 needs the private scalar; a hardware module brings its own randomness.
	var random io.Reader
	if _, soft := r.s.priv.(*ecdsa.PrivateKey); !soft {
		random = rand.Reader
	}
	der, err := r.s.priv.Sign(random, h.Sum(nil), hash)
	if err != nil {
		return nil, err
	}
	var sig struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &sig)
	if err != nil || len(rest) > 0 || sig.R.Sign() <= 0 || sig.S.Sign() <= 0 ||
		sig.R.BitLen() > 8*width || sig.S.BitLen() > 8*width {
		return nil, errors.New("signer returned something that is not an ECDSA signature")
	}
	out := make([]byte, 2*width)
	sig.R.FillBytes(out[:width])
	sig.S.FillBytes(out[width:])
	return out, nil
}
