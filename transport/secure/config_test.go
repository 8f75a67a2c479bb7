package secure_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/transport/secure"
)

// pemFiles writes an authority, and a certificate of it with its key.
func pemFiles(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	now := time.Now()
	a := newAuthority(t, now.Add(-time.Hour), now.Add(time.Hour))
	c := a.issue(now.Add(-time.Hour), now.Add(time.Hour))
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	other, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"ca.pem":    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}),
		"cert.pem":  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}),
		"key.pem":   pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		"other.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: other}),
		"locked":    pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: key}),
		"text":      []byte("no PEM"),
		"large":     bytes.Repeat([]byte{'\n'}, 1<<20+1),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestConfig(t *testing.T) {
	dir := pemFiles(t)
	in := func(name string) string {
		if name == "" {
			return ""
		}
		return filepath.Join(dir, name)
	}
	for name, c := range map[string]struct {
		ca, cert, key string
		says          string // "" = it is taken
	}{
		"nothing":           {"", "", "", ""},
		"all":               {"ca.pem", "cert.pem", "key.pem", ""},
		"no authority":      {"none", "", "", "cannot use CA file"},
		"text":              {"text", "", "", "holds no PEM certificate"},
		"large":             {"large", "", "", "more than 1048576 bytes"},
		"key is missing":    {"", "cert.pem", "", "certificate and its key"},
		"certificate is":    {"", "", "key.pem", "certificate and its key"},
		"not its key":       {"", "cert.pem", "other.pem", "cannot use client certificate"},
		"no certificate":    {"", "none", "key.pem", "cannot use client certificate"},
		"no such key":       {"", "cert.pem", "none", "cannot use client certificate"},
		"an encrypted key":  {"", "cert.pem", "locked", "is encrypted, and TLS needs it plain"},
		"large certificate": {"", "large", "key.pem", "more than 1048576 bytes"},
	} {
		got, err := secure.Files{CA: in(c.ca), Certificate: in(c.cert), Key: in(c.key)}.Config()
		switch {
		case c.says != "":
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v, want %q", name, err, c.says)
			}
		case err != nil || got.MinVersion != tls.VersionTLS12 ||
			(len(got.Certificates) == 1) != (c.cert != ""):
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// The least version is raised and never lowered, and the caller's configuration stays as it is.
func TestClient(t *testing.T) {
	for _, c := range []struct {
		given       *tls.Config
		least, want uint16
	}{
		{nil, tls.VersionTLS13, tls.VersionTLS13},
		{&tls.Config{}, tls.VersionTLS12, tls.VersionTLS12},
		{&tls.Config{MinVersion: tls.VersionTLS10}, tls.VersionTLS12, tls.VersionTLS12},
		{&tls.Config{MinVersion: tls.VersionTLS13}, tls.VersionTLS12, tls.VersionTLS13},
	} {
		var before uint16
		if c.given != nil {
			before = c.given.MinVersion
		}
		got := secure.Client(c.given, c.least)
		if got.MinVersion != c.want || got == c.given || c.given != nil && c.given.MinVersion != before {
			t.Errorf("from %#x by %#x: %#x", before, c.least, got.MinVersion)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		config *tls.Config
		good   bool
	}{
		{nil, true},
		{&tls.Config{}, true},
		{&tls.Config{InsecureSkipVerify: true}, false},
		{&tls.Config{InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { return nil }}, true},
		{&tls.Config{InsecureSkipVerify: true,
			VerifyPeerCertificate: func([][]byte, [][]*x509.Certificate) error { return nil }}, true},
	} {
		if err := secure.Check(c.config, "the server's"); (err == nil) != c.good {
			t.Errorf("%+v: %v", c.config, err)
		}
	}
}
