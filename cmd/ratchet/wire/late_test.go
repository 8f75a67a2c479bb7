package wire_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/wire"
	"github.com/ratchet-ota/ratchet/hal"
)

// TestFilesAreLookedForAgain: a certificate, a CA or a token that is missing or spoiled when the daemon starts, or
// later, is a problem that is said with the line of its key, and none any more when it is mended. Nothing has to be
// restarted.
func TestFilesAreLookedForAgain(t *testing.T) {
	d := newDevice(t)
	c := d.config(`[http]
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
`)
	o, fleet, err := wire.Options(c, nil, discard)
	if err != nil || fleet == nil || o.Fetch == nil {
		t.Fatalf("%v, a connection %v: what comes late keeps the device from the network", err, fleet != nil)
	}
	defer o.Journal.Close()
	says := func(when string, want ...string) {
		t.Helper()
		var got []string
		for _, p := range o.Problems() {
			got = append(got, p.Text)
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
	says("at the start", "http.ca", "http.credentials[1].bearer-file", "mqtt.password-file", "mqtt.certificate")
	cert, key := pair(t)
	other, _ := pair(t)
	d.put("ca.pem", "\ufeff"+cert) // as some editors write it
	d.put("token", "\n")
	d.put("password", "\ufeffsecret\r\n")
	d.put("cert.pem", cert)
	d.put("key.pem", key)
	says("with a token that is being written", "http.credentials[1].bearer-file")
	d.put("token", "abc")
	says("when all is there")
	d.put("cert.pem", other)
	says("with a new certificate and the old key", "mqtt.certificate")
	d.put("ca.pem", "<html>")
	says("with a spoiled CA too", "mqtt.certificate", "http.ca")
	d.put("cert.pem", cert)
	d.put("ca.pem", cert)
	says("at the end")
}

// TestLacks: what the daemon reads at its start only is said with its key while it is missing, and nothing is said of a
// device that has all.
func TestLacks(t *testing.T) {
	for key, file := range map[string]string{"": "", "slots.X.parts.rootfs": "x", "trust.keys": "release.pem"} {
		d := newDevice(t)
		d.put("x", "")
		d.put("y", "")
		if file != "" {
			if err := os.Remove(d.path(file)); err != nil {
				t.Fatal(err)
			}
		}
		errs := wire.Lacks(d.config(""))
		if key == "" && len(errs) > 0 || key != "" && (len(errs) != 1 || !strings.Contains(errs[0].Error(), key+": ")) {
			t.Errorf("without %q: %v", file, errs)
		}
	}
	d := newDevice(t)
	d.put("x", "")
	d.put("y", "")
	d.put("state", "") // no folder can be made there
	if errs := wire.Lacks(d.config("")); len(errs) == 0 {
		t.Error("a state directory that takes nothing is in order")
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

// TestNothingIsWrittenIntoAnotherDirectory: what the agent keeps beside its journal is not written into a directory
// that has come in the place of the journal's.
func TestNothingIsWrittenIntoAnotherDirectory(t *testing.T) {
	d := newDevice(t)
	o, _, err := wire.Options(d.config(""), nil, discard)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Journal.Close()
	file := filepath.Join(o.StateDir, "quarantine.0")
	if err := hal.ReplaceFile(o.FS, file, []byte("mine")); err != nil || o.StateMoved() {
		t.Errorf("in its own directory: %v", err)
	}
	if err := os.Rename(o.StateDir, o.StateDir+".hidden"); err != nil {
		t.Fatal(err)
	}
	if !o.StateMoved() {
		t.Error("without a directory nothing is noticed")
	}
	if err := os.Mkdir(o.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("another's"), 0o600); err != nil {
		t.Fatal(err)
	}
	err = errors.Join(hal.ReplaceFile(o.FS, file, []byte("mine")), o.FS.Remove(file))
	if b, _ := os.ReadFile(file); err == nil || string(b) != "another's" || !o.StateMoved() {
		t.Errorf("%v; the other directory's file is %q", err, b)
	}
}

// TestMissingSlotsAreToldInOneWay: what is missing is told in the same words each time. Other words would look like
// something that is there now, and start the daemon once more.
func TestMissingSlotsAreToldInOneWay(t *testing.T) {
	d := newDevice(t) // the devices of both slots are missing
	c := d.config("")
	first := fmt.Sprint(wire.Lacks(c))
	if strings.Count(first, "slots.") != 2 {
		t.Fatal(first)
	}
	for range 50 {
		if again := fmt.Sprint(wire.Lacks(c)); again != first {
			t.Fatalf("%s, and then %s", first, again)
		}
	}
}
