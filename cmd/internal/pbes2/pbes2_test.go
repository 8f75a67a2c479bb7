package pbes2_test

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/internal/pbes2"
)

const passphrase = "correct horse"

// block is the DER of a file in testdata, which OpenSSL 3.0 made of plain.pem (a published test key).
func block(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".pem"))
	if err != nil {
		t.Fatal(err)
	}
	p, _ := pem.Decode(b)
	return p.Bytes
}

// TestOpenSSLFiles: what OpenSSL writes, by default and with the options that people know, opens with the right
// passphrase and with no other; what is easy to break is said to be.
func TestOpenSSLFiles(t *testing.T) {
	plain := block(t, "plain")
	for name, weak := range map[string]string{"default": "2048 iterations", "sha256": "2048", "sha1": "2048",
		"scrypt": "", "aes128-sha512": ""} {
		s, err := pbes2.Parse(block(t, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := s.Open([]byte(passphrase)); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: %x, %v", name, got, err)
		}
		for _, wrong := range []string{"", "correct hors", "correct horse ", "Correct horse"} {
			if _, err := s.Open([]byte(wrong)); !errors.Is(err, pbes2.ErrPassphrase) {
				t.Errorf("%s with %q: %v", name, wrong, err)
			}
		}
		if w := s.Weak(); (w == "") != (weak == "") || !strings.Contains(w, weak) {
			t.Errorf("%s: weak is %q", name, w)
		}
	}
	for name, says := range map[string]string{"des3": "not AES", "pbes1": "not PBES2"} {
		if _, err := pbes2.Parse(block(t, name)); !errors.Is(err, pbes2.ErrScheme) ||
			!strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEncrypt: what is encrypted here opens here, is different each time, and is not weak.
func TestEncrypt(t *testing.T) {
	plain := block(t, "plain")
	one, err := pbes2.Encrypt(plain, []byte(passphrase))
	two, err2 := pbes2.Encrypt(plain, []byte(passphrase))
	if err != nil || err2 != nil || bytes.Equal(one, two) || bytes.Contains(one, plain[36:52]) {
		t.Fatalf("%v, %v", err, err2)
	}
	s, err := pbes2.Parse(one)
	if err != nil || s.Weak() != "" {
		t.Fatalf("%q, %v", s.Weak(), err)
	}
	if got, err := s.Open([]byte(passphrase)); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("%x, %v", got, err)
	}
	if _, err := s.Open([]byte("wrong")); !errors.Is(err, pbes2.ErrPassphrase) {
		t.Errorf("with a wrong passphrase: %v", err)
	}
	if _, err := pbes2.Encrypt([]byte("no key"), []byte(passphrase)); err == nil {
		t.Error("what is no key was encrypted")
	}
	if _, err := (pbes2.Sealed{}).Open(nil); err == nil {
		t.Error("nothing opens")
	}
}

type (
	identifier = pkix.AlgorithmIdentifier
	scryptOf   struct {
		Salt    []byte
		N, R, P int64
	}
	pbkdf2Of struct {
		Salt  []byte
		Count int64
	}
)

// made is an EncryptedPrivateKeyInfo with parameters of somebody who wishes us ill.
func made(t testing.TB, kdf string, params any, iv, data []byte) []byte {
	t.Helper()
	must := func(v any) asn1.RawValue {
		b, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return asn1.RawValue{FullBytes: b}
	}
	oid := map[string]asn1.ObjectIdentifier{"scrypt": {1, 3, 6, 1, 4, 1, 11591, 4, 11},
		"pbkdf2": {1, 2, 840, 113549, 1, 5, 12}, "other": {1, 2, 3}}[kdf]
	under := must(struct{ K, E identifier }{
		identifier{Algorithm: oid, Parameters: must(params)},
		identifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, Parameters: must(iv)},
	})
	return must(struct {
		A identifier
		D []byte
	}{identifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}, Parameters: under}, data}).FullBytes
}

// TestCostIsBounded: a file may ask for so much and no more, and is refused before anything is computed.
func TestCostIsBounded(t *testing.T) {
	block := make([]byte, 16)
	for _, c := range []struct {
		what   string
		kdf    string
		params any
		says   string // "": it is read
	}{
		{"most iterations", "pbkdf2", pbkdf2Of{block, pbes2.MaxIterations}, ""},
		{"one more", "pbkdf2", pbkdf2Of{block, pbes2.MaxIterations + 1}, "asks for 10000001 iterations"},
		{"none", "pbkdf2", pbkdf2Of{block, 0}, "asks for 0 iterations"},
		{"less than none", "pbkdf2", pbkdf2Of{block, -1}, "asks for -1 iterations"},
		{"iterations of 63 bits", "pbkdf2", pbkdf2Of{block, 1<<63 - 1}, "iterations"},
		{"a long salt", "pbkdf2", pbkdf2Of{make([]byte, 1025), 2048}, "do not fit"},
		{"most memory", "scrypt", scryptOf{block, 1 << 18, 8, 1}, ""},
		{"twice as much", "scrypt", scryptOf{block, 1 << 19, 8, 1}, "more than 256 MiB"},
		{"a little more, by r", "scrypt", scryptOf{block, 1 << 18, 9, 1}, "more than 256 MiB"},
		{"a product that overflows", "scrypt", scryptOf{block, 1 << 62, 1 << 62, 1}, "more than 256 MiB"},
		{"most work", "scrypt", scryptOf{block, 1 << 14, 8, 1 << 7}, ""},
		{"more work", "scrypt", scryptOf{block, 1 << 14, 8, 1<<7 + 1}, "more work"},
		{"work that overflows", "scrypt", scryptOf{block, 1 << 14, 8, 1<<63 - 1}, "more work"},
		{"N is no power of two", "scrypt", scryptOf{block, 1000, 8, 1}, "void"},
		{"N is 1", "scrypt", scryptOf{block, 1, 8, 1}, "void"},
		{"N is negative", "scrypt", scryptOf{block, -2, 8, 1}, "void"},
		{"r is 0", "scrypt", scryptOf{block, 16, 0, 1}, "void"},
		{"p is 0", "scrypt", scryptOf{block, 16, 8, 0}, "void"},
		{"another function", "other", pbkdf2Of{block, 2048}, "neither PBKDF2 nor scrypt"},
	} {
		_, err := pbes2.Parse(made(t, c.kdf, c.params, block, block))
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", c.what, err, c.says)
		}
	}
	for what, b := range map[string][]byte{
		"a short vector":     made(t, "pbkdf2", pbkdf2Of{block, 1}, block[:15], block),
		"no cipher text":     made(t, "pbkdf2", pbkdf2Of{block, 1}, block, nil),
		"half a block":       made(t, "pbkdf2", pbkdf2Of{block, 1}, block, block[:8]),
		"a byte behind it":   append(made(t, "pbkdf2", pbkdf2Of{block, 1}, block, block), 0),
		"nothing":            nil,
		"a plain key":        {0x30, 0x03, 0x02, 0x01, 0x00},
		"a cut off sequence": made(t, "pbkdf2", pbkdf2Of{block, 1}, block, block)[:40],
	} {
		if _, err := pbes2.Parse(b); err == nil {
			t.Errorf("%s: it was read", what)
		}
	}
}

// TestWrongPassphraseByChance: one wrong passphrase in 256 leaves what looks like padding; none of them opens a key.
func TestWrongPassphraseByChance(t *testing.T) {
	s, err := pbes2.Parse(made(t, "pbkdf2", pbkdf2Of{make([]byte, 8), 1}, make([]byte, 16), block(t, "plain")[:128]))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4096 {
		if got, err := s.Open(fmt.Appendf(nil, "%d", i)); !errors.Is(err, pbes2.ErrPassphrase) {
			t.Fatalf("%d opens it: %x, %v", i, got, err)
		}
	}
}

// FuzzParse: no file makes this panic or compute for long, and what opens is a key in form.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"default", "sha1", "scrypt", "aes128-sha512", "des3", "pbes1", "plain"} {
		f.Add(block(f, name))
	}
	f.Add(made(f, "pbkdf2", pbkdf2Of{make([]byte, 8), 1}, make([]byte, 16), make([]byte, 64)))
	f.Add(made(f, "scrypt", scryptOf{make([]byte, 8), 2, 1, 1}, make([]byte, 16), make([]byte, 64)))
	f.Fuzz(func(t *testing.T, der []byte) {
		s, err := pbes2.Parse(der)
		if err != nil || !s.Cheap() {
			return // TestCostIsBounded says how much the others may cost
		}
		plain, err := s.Open([]byte(passphrase))
		if err != nil && !errors.Is(err, pbes2.ErrPassphrase) {
			t.Errorf("opening: %v", err)
		}
		if err == nil {
			if _, err := pbes2.Encrypt(plain, []byte(passphrase)); err != nil {
				t.Errorf("what was opened is no key: %v", err)
			}
		}
	})
}
