package secure_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ratchet-ota/ratchet/transport/secure"
)

// A renewed certificate is used from the next connection on, and the one before it while the new one is written: first
// the certificate and then its key. Authorities and certificate do not wait for each other.
func TestLive(t *testing.T) {
	dir, renewed := pemFiles(t), pemFiles(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	copied := func(name string) {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(renewed, name))
		if err == nil {
			err = os.WriteFile(in(name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	live := secure.Files{CA: in("ca.pem"), Certificate: in("cert.pem"), Key: in("key.pem")}.Live()
	get := func() *tls.Config {
		t.Helper()
		c, err := live.Config()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	problems := func(when string, wantCA, wantPair bool) {
		t.Helper()
		if ca, pair := live.Problems(); (ca != nil) != wantCA || (pair != nil) != wantPair {
			t.Errorf("%s: %v and %v", when, ca, pair)
		}
	}
	same := func(a, b *tls.Config) bool {
		return string(a.Certificates[0].Certificate[0]) == string(b.Certificates[0].Certificate[0])
	}
	first := get()
	problems("at first", false, false)
	copied("cert.pem")
	copied("ca.pem")
	problems("without the new key", false, true)
	if half := get(); !same(half, first) || half.RootCAs.Equal(first.RootCAs) {
		t.Error("without the new key: the old certificate and the new authorities are not what is used")
	}
	copied("key.pem")
	problems("with the new key", false, false)
	if whole := get(); same(whole, first) {
		t.Error("the old certificate is used on")
	}
	if err := os.Remove(in("ca.pem")); err != nil {
		t.Fatal(err)
	}
	problems("without authorities", true, false)
	if c := get(); c.RootCAs == nil {
		t.Error("without its file of authorities, the system's are trusted")
	}
	if _, err := (secure.Files{CA: in("none")}).Live().Config(); err == nil {
		t.Error("authorities that never were there make a configuration")
	}
}

// A file may begin with a byte order mark, as some editors write it.
func TestByteOrderMark(t *testing.T) {
	dir := pemFiles(t)
	f := secure.Files{CA: filepath.Join(dir, "ca.pem"), Certificate: filepath.Join(dir, "cert.pem"),
		Key: filepath.Join(dir, "key.pem")}
	for _, path := range []string{f.CA, f.Certificate, f.Key} {
		b, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, append([]byte("\ufeff"), b...), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Config(); err != nil {
		t.Error(err)
	}
}

// The system's authorities are looked for again: a bundle that is mounted late, or changed, counts without a restart,
// and one that is being written does not take the old one away.
func TestSystemAuthorities(t *testing.T) {
	dir, other := pemFiles(t), pemFiles(t)
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	t.Setenv("SSL_CERT_FILE", bundle)
	t.Setenv("SSL_CERT_DIR", filepath.Join(dir, "none"))
	read := func(path string) []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	one, two := read(filepath.Join(dir, "ca.pem")), read(filepath.Join(other, "ca.pem"))
	pool := func(pems ...[]byte) *x509.CertPool {
		p := x509.NewCertPool()
		for _, b := range pems {
			p.AppendCertsFromPEM(b)
		}
		return p
	}
	live := secure.Files{}.Live()
	trusts := func(when string, want *x509.CertPool) {
		t.Helper()
		if c, err := live.Config(); err != nil || !c.RootCAs.Equal(want) {
			t.Errorf("%s: others are trusted, %v", when, err)
		}
	}
	write := func(b []byte) {
		if err := os.WriteFile(bundle, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// What another test has read stays in use until there is one.
	write(one)
	trusts("with a bundle that came late", pool(one))
	write(append(slices.Clone(one), two...))
	trusts("with one more", pool(one, two))
	write(one[:40])
	trusts("while it is written", pool(one, two))
	write(two)
	trusts("with another one", pool(two))
	if err := os.Mkdir(filepath.Join(dir, "none"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "none", "a.pem"), one, 0o600); err != nil {
		t.Fatal(err)
	}
	trusts("with a folder of more", pool(one, two))
}
