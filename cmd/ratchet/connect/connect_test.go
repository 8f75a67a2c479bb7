package connect_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/connect"
	"github.com/ratchet-ota/ratchet/hal/textfile"
)

// TestFilesAreLookedForAgain: a certificate, a CA or a token that is missing or spoiled when the daemon starts, or
// later, is a problem that is said with its key, and none any more when it is mended. Nothing has to be
// restarted.
func TestFilesAreLookedForAgain(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Parse("ratchet.toml", []byte(strings.ReplaceAll(`[device]
id = "box"
vendor = ["example.com"]
class = ["gateway"]
[slots.A]
[slots.B]
[boot]
backend = "grub"
[trust]
keys = ["DIR/release.pem"]
[http]
ca = "DIR/ca.pem"
[[http.credentials]]
origin = "https://images.example.com"
bearer-file = "DIR/token"
[mqtt]
url = "mqtts://broker.example.com"
username = "u"
password-file = "DIR/password"
certificate = "DIR/cert.pem"
key = "DIR/key.pem"
`, "DIR", dir)))
	if err != nil {
		t.Fatal(err)
	}
	made := connect.New(connect.Of(&c, time.Time{}), textfile.Read, nil, slog.New(slog.DiscardHandler))
	if len(made.Bad) > 0 || made.Fleet == nil || made.Images == nil {
		t.Fatalf("%q: what comes late keeps the device from the network", made.Bad)
	}
	says := func(when string, want ...string) {
		t.Helper()
		var got []string
		for _, err := range made.Problems() {
			got = append(got, err.Error())
		}
		if len(got) != len(want) {
			t.Errorf("%s: %q", when, got)
			return
		}
		for _, key := range want {
			if !strings.Contains(strings.Join(got, "\n"), key+": ") {
				t.Errorf("%s: nothing of %s in %q", when, key, got)
			}
		}
	}
	says("at the start", "http.ca", "http.credentials.0.bearer-file", "mqtt.password-file", "mqtt.certificate")
	cert, key := pair(t)
	other, _ := pair(t)
	put("ca.pem", "\ufeff"+cert) // as some editors write it
	put("token", "\n")
	put("password", "\ufeffsecret\r\n")
	put("cert.pem", cert)
	put("key.pem", key)
	says("with a token that is being written", "http.credentials.0.bearer-file")
	put("token", "abc")
	says("when all is there")
	put("cert.pem", other)
	says("with a new certificate and the old key", "mqtt.certificate")
	put("ca.pem", "<html>")
	says("with a spoiled CA too", "mqtt.certificate", "http.ca")
	put("cert.pem", cert)
	put("ca.pem", cert)
	says("at the end")
}

// TestClientKeysInTPM: a client key in the TPM is not asked for as a file, and is for TLS what the daemon signs with.
func TestClientKeysInTPM(t *testing.T) {
	cert, _ := pair(t)
	s := connect.Settings{Device: "box",
		MQTT: &config.MQTT{URL: "mqtts://b", Certificate: "/cert", Key: "tpm2:0x81525402"},
		HTTP: config.HTTP{Credentials: []config.Credential{
			{Origin: "https://a", Certificate: "/cert", Key: "tpm2:0x81525403"}}}}
	if files := s.Files(); len(files) != 1 || !files["/cert"] {
		t.Errorf("the daemon opens %v", files)
	}
	made := connect.New(s, func(path string, _ int) ([]byte, error) {
		if path != "/cert" {
			t.Errorf("%s is read", path)
		}
		return []byte(cert), nil
	}, func(string, []byte, crypto.Hash) ([]byte, error) {
		t.Error("it signs, and nobody has connected")
		return nil, nil
	}, slog.New(slog.DiscardHandler))
	if bad := append(made.Bad, made.Problems()...); len(bad) > 0 {
		t.Errorf("it cannot connect: %v", bad)
	}
}

// pair is a certificate that signs itself, and its key.
func pair(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// TestSystemAuthorities: where nobody names a file of authorities, those of the system are read by the process itself,
// as its user; that it cannot is a problem that says which file, and what to do.
func TestSystemAuthorities(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ file, dirs, ca, want string }{
		{file, dir, "", ""},
		{filepath.Join(dir, "nothing"), filepath.Join(dir, "nowhere"), "", ""},
		{dir, "", "", "http.ca: the network process cannot read whom the system trusts: read " + dir},
		{file, dir + ":" + file, "", file},
		{dir, "", "ca.pem", ""},
	} {
		t.Setenv("SSL_CERT_FILE", c.file)
		t.Setenv("SSL_CERT_DIR", c.dirs)
		s := connect.Settings{HTTP: config.HTTP{CA: c.ca}, Proxy: config.Proxy{URL: "direct"}}
		read := func(string, int) ([]byte, error) { return nil, os.ErrDeadlineExceeded }
		all := connect.New(s, read, nil, slog.New(slog.DiscardHandler)).Problems()
		got := ""
		if len(all) > 0 && c.ca == "" {
			got = all[0].Error()
		}
		if !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%+v: %q", c, all)
		}
		if c.ca != "" && strings.Contains(errors.Join(all...).Error(), "the system trusts") {
			t.Errorf("%+v: %q", c, all)
		}
	}
}
