package trust_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/trust"
)

// module is a hardware module: it signs with a key that nobody sees, or gives what answer says.
type module struct {
	crypto.Signer
	random bool // it was asked with a source of randomness
	answer func(good []byte) ([]byte, error)
}

func (m *module) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	m.random = r != nil
	if r == nil {
		r = rand.Reader
	}
	sig, err := m.Signer.Sign(r, digest, o)
	if err == nil && m.answer != nil {
		return m.answer(sig)
	}
	return sig, err
}

func inModule(t testing.TB, answer func([]byte) ([]byte, error)) (*trust.Signer, *module) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m := &module{Signer: priv, answer: answer}
	s, err := trust.NewSigner(m)
	if err != nil {
		t.Fatal(err)
	}
	return s, m
}

// TestHardwareModule: what a module gives is taken when it is a signature of the key that it shows, and
// nothing else leaves the desk.
func TestHardwareModule(t *testing.T) {
	s, m := inModule(t, nil)
	k, err := trust.NewKeys([]trust.Key{s.Key()}, false)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Sign(payload, nil)
	if err != nil || !m.random {
		t.Fatalf("signed with randomness %v, %v", m.random, err)
	}
	if _, err := k.Authenticate(payload, [][]byte{b}); err != nil {
		t.Error(err)
	}
	if _, err := s.MarshalPEM(); err == nil {
		t.Error("the module's key was written to a file")
	}
	type pair struct{ R, S *big.Int }
	der := func(p pair) []byte {
		b, err := asn1.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	one, long := big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 256)
	for name, answer := range map[string]func([]byte) ([]byte, error){
		"an error":         func([]byte) ([]byte, error) { return nil, errors.New("the PIN is wrong") },
		"nothing":          func([]byte) ([]byte, error) { return nil, nil },
		"no ASN.1":         func([]byte) ([]byte, error) { return []byte("signed"), nil },
		"a byte behind it": func(b []byte) ([]byte, error) { return append(b, 0), nil },
		"r is 0":           func([]byte) ([]byte, error) { return der(pair{big.NewInt(0), one}), nil },
		"s is 0":           func([]byte) ([]byte, error) { return der(pair{one, big.NewInt(0)}), nil },
		"r is negative":    func([]byte) ([]byte, error) { return der(pair{big.NewInt(-1), one}), nil },
		"r is too long":    func([]byte) ([]byte, error) { return der(pair{long, one}), nil },
		"s is too long":    func([]byte) ([]byte, error) { return der(pair{one, long}), nil },
	} {
		s, _ := inModule(t, answer)
		if _, err := s.Sign(payload, nil); err == nil {
			t.Errorf("%s: it was taken for a signature", name)
		}
		if _, err := s.Sign1(payload, nil, "x"); err == nil {
			t.Errorf("%s: it was taken for a signature of a message", name)
		}
		if _, err := trust.SignDocument("plan", document(t, "plan", payload), s); err == nil {
			t.Errorf("%s: it was taken for a signature of a document", name)
		}
	}
	// A signature in form, by another key.
	s, _ = inModule(t, func([]byte) ([]byte, error) { return der(pair{one, one}), nil })
	if _, err := trust.SignDocument("plan", document(t, "plan", payload), s); err == nil ||
		!strings.Contains(err.Error(), "something else than a signature") {
		t.Errorf("a signature that does not hold: %v", err)
	}
}

// TestSignerThatFails: the desk tells a module that did not answer from a document that is not good.
func TestSignerThatFails(t *testing.T) {
	gone := errors.New("the token was pulled out")
	s, _ := inModule(t, func([]byte) ([]byte, error) { return nil, gone })
	if _, err := trust.SignDocument("plan", document(t, "plan", payload), s); !errors.Is(err, gone) {
		t.Errorf("a document: %v, want the module's own error", err)
	}
	if _, err := s.Sign([]byte("manifest"), nil); !errors.Is(err, gone) {
		t.Errorf("an envelope: %v, want the module's own error", err)
	}
}

// TestModulesOfOtherKinds: Ed25519 and ML-DSA-65 sign the message itself, in a module too.
func TestModulesOfOtherKinds(t *testing.T) {
	for _, alg := range []int64{trust.Ed25519, trust.MLDSA65, trust.ESP384} {
		soft := made(t, "in a module", alg)
		raw, err := soft.MarshalPEM()
		if err != nil {
			t.Fatal(err)
		}
		priv := parsePKCS8(t, raw)
		s, err := trust.NewSigner(&module{Signer: priv})
		if err != nil {
			t.Fatal(err)
		}
		msg, err := trust.SignDocument("plan", document(t, "plan", payload), s)
		if err != nil {
			t.Errorf("algorithm %d: %v", alg, err)
		}
		if _, kids, err := trust.Payload("plan", msg); err != nil || len(kids) != 1 || kids[0] != soft.Key().ID() {
			t.Errorf("algorithm %d: signed by %v, %v", alg, kids, err)
		}
	}
}

// TestPrivateKeyFiles: PKCS #8 and SEC 1, and a key that signs.
func TestPrivateKeyFiles(t *testing.T) {
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	sec1 := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	s, err := trust.ParsePrivate(sec1)
	if err != nil || s.Key().Alg() != trust.ESP256 {
		t.Fatalf("SEC 1: %v", err)
	}
	if _, err := trust.ParsePublic(sec1); err == nil || !strings.Contains(err.Error(), "private key") {
		t.Errorf("SEC 1 as an anchor: %v", err)
	}
	agree, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x, err := x509.MarshalPKCS8PrivateKey(agree)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"damaged PKCS #8":          {Type: "PRIVATE KEY", Bytes: der[:20]},
		"damaged SEC 1":            {Type: "EC PRIVATE KEY", Bytes: der[:20]},
		"a key that signs nothing": {Type: "PRIVATE KEY", Bytes: x},
		"another block":            {Type: "OPENSSH PRIVATE KEY", Bytes: der},
	} {
		if _, err := trust.ParsePrivate(pem.EncodeToMemory(block)); err == nil ||
			!strings.HasPrefix(err.Error(), "cannot read private key") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := trust.ParsePrivate(nil); err == nil || !strings.HasPrefix(err.Error(), "cannot read private key") {
		t.Errorf("an empty file: %v", err)
	}
}

// TestNoPayload: nothing is signed as the empty string is.
func TestNoPayload(t *testing.T) {
	s := signer(t, "release-ed25519")
	k := keys(t, false, "release-ed25519")
	b, err := s.Sign(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range [][]byte{nil, {}} {
		if _, err := k.Authenticate(p, [][]byte{b}); err != nil {
			t.Errorf("payload %#v: %v", p, err)
		}
	}
	msg, err := s.Sign1(nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if p, _, err := k.Verify1(msg, nil, ""); err != nil || p == nil || len(p) != 0 {
		t.Errorf("payload %#v, %v", p, err)
	}
	if _, _, err := k.Verify1(b, nil, ""); !errors.Is(err, trust.ErrMalformed) {
		t.Errorf("a message without its payload: %v", err)
	}
}

// TestTypOfAMessage: the header must be there where a type is asked for, and must not where none is.
func TestTypOfAMessage(t *testing.T) {
	s := signer(t, "release-ed25519")
	k := keys(t, false, "release-ed25519")
	made := func(typ string) []byte {
		b, err := s.Sign1(payload, nil, typ)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	number := sign1(t, s, map[any]any{1: s.Key().Alg(), 16: 7}, nil, true)
	for _, tt := range []struct {
		name, typ string
		msg       []byte
		ok        bool
	}{
		{"as it was made", "status", made("status"), true},
		{"in full", "application/status", made("status"), true},
		{"made in full", "status", made("application/status"), true},
		{"another kind of media", "text/plain", made("text/plain"), true},
		{"none", "", made(""), true},
		{"another", "report", made("status"), false},
		{"none is asked for", "", made("status"), false},
		{"one is asked for", "status", made(""), false},
		{"a number", "status", number, false},
		{"a number, and none is asked for", "", number, false},
	} {
		if _, _, err := k.Verify1(tt.msg, nil, tt.typ); (err == nil) != tt.ok ||
			err != nil && !errors.Is(err, trust.ErrMalformed) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestSignAgain: a signature that does not hold is replaced when its signer signs once more.
func TestSignAgain(t *testing.T) {
	alice, bob := who(t, "alice", trust.ESP384), who(t, "bob")
	r := anchor(t, root(t, spec(t), alice, bob))
	good := cosign(t, "root", document(t, "root", payloadOf(t, r.Spec())), alice)
	bad := bytes.Clone(good)
	bad[len(bad)-1] ^= 1
	if again := cosign(t, "root", bad, alice); !bytes.Equal(again, good) {
		t.Error("the signature that does not hold was kept")
	}
	msg, err := trust.SignRoot(document(t, "root", payloadOf(t, r.Spec())), alice.keys[0])
	if err != nil || !bytes.Equal(msg, good) {
		t.Errorf("a root that is signed as a root: %v", err)
	}
}
