package trust_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/trust"
)

// The published test keys of this project.
const keyDir = "../../testdata/suit/keys"

func signer(t testing.TB, name string) *trust.Signer {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(keyDir, name+".pem"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := trust.ParsePrivate(b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func keys(t testing.TB, legacy bool, names ...string) trust.Keys {
	t.Helper()
	var list []trust.Key
	for _, n := range names {
		list = append(list, signer(t, n).Key())
	}
	k, err := trust.NewKeys(list, legacy)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RFC 9679 section 5.6, the example key and its thumbprint.
func TestThumbprint(t *testing.T) {
	point := unhex(t, "04"+
		"65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d"+
		"1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c")
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	k, err := trust.ParsePublic(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	if want := "496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec"; k.ID() != want {
		t.Errorf("thumbprint %s, want %s", k.ID(), want)
	}
}

func TestKeyFiles(t *testing.T) {
	for _, alg := range []int64{trust.ESP256, trust.Ed25519, trust.ESP384} {
		s, err := trust.Generate(alg)
		if err != nil {
			t.Fatal(err)
		}
		if s.Key().Alg() != alg {
			t.Errorf("generated for %d, bound to %d", alg, s.Key().Alg())
		}
		private, err := s.MarshalPEM()
		if err != nil {
			t.Fatal(err)
		}
		again, err := trust.ParsePrivate(private)
		if err != nil {
			t.Fatal(err)
		}
		public, err := again.Key().MarshalPEM()
		if err != nil {
			t.Fatal(err)
		}
		k, err := trust.ParsePublic(append([]byte("a comment, as openssl writes it\n"), public...))
		if err != nil {
			t.Fatal(err)
		}
		if k.ID() != s.Key().ID() || k.Alg() != alg {
			t.Errorf("alg %d: key changed on its way through files", alg)
		}
		if _, err := trust.ParsePublic(private); err == nil || !strings.Contains(err.Error(), "private key") {
			t.Errorf("a private key as an anchor: %v", err)
		}
		if _, err := trust.ParsePrivate(public); err == nil {
			t.Error("a public key was taken for a private one")
		}
		if _, err := trust.ParsePublic(append(public, public...)); err == nil {
			t.Error("two keys in one file were taken")
		}
	}
	if _, err := trust.Generate(-7); err == nil {
		t.Error("generated a key for ES256, which is not fully specified")
	}
}

func TestKeyFilesRefused(t *testing.T) {
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(p521.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"empty":       nil,
		"garbage":     []byte("no key at all"),
		"huge":        bytes.Repeat([]byte("x"), trust.MaxPEM+1),
		"P-521":       pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"certificate": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		"encrypted": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY",
			Headers: map[string]string{"Proc-Type": "4,ENCRYPTED"}, Bytes: der}),
		"truncated": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der[:40]}),
	} {
		if _, err := trust.ParsePublic(b); err == nil {
			t.Errorf("%s: accepted", name)
		} else if !strings.HasPrefix(err.Error(), "cannot ") {
			t.Errorf("%s: error %q does not say what could not be done", name, err)
		}
	}
}

func TestNewKeys(t *testing.T) {
	a := signer(t, "release-p256").Key()
	if _, err := trust.NewKeys(nil, false); err == nil {
		t.Error("no keys: accepted")
	}
	if _, err := trust.NewKeys([]trust.Key{a, signer(t, "release-p384").Key(), a}, false); err == nil {
		t.Error("the same key twice: accepted")
	}
	if _, err := trust.NewKeys([]trust.Key{{}}, false); err == nil {
		t.Error("an empty key: accepted")
	}
	if _, err := trust.NewKeys(make([]trust.Key, trust.MaxKeys+1), false); err == nil {
		t.Error("too many keys: accepted")
	}
	var none trust.Keys
	if _, err := none.Authenticate(nil, nil); err == nil {
		t.Error("the zero Keys trusts somebody")
	}
}

func FuzzParsePublic(f *testing.F) {
	for _, n := range []string{"release-p256", "release-ed25519", "release-p384"} {
		b, err := signer(f, n).Key().MarshalPEM()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := trust.ParsePublic(b)
		if err != nil {
			return
		}
		out, err := k.MarshalPEM()
		if err != nil {
			t.Fatal(err)
		}
		again, err := trust.ParsePublic(out)
		if err != nil || again.ID() != k.ID() {
			t.Fatalf("a key that was read cannot be written: %v", err)
		}
	})
}
