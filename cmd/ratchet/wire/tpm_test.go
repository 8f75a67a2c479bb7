package wire_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/wire"
	"github.com/ratchet-ota/ratchet/hal/linux/tpm/tpmtest"
)

// inTPM is a configuration with keys in a TPM.
func inTPM(m *tpmtest.Model) string {
	return "[tpm]\ndevice = \"" + m.Path + "\"\n[evidence]\nkey = \"tpm2:0x81525401\"\n" +
		"[mqtt]\nurl = \"mqtts://b\"\ncertificate = \"DIR/cert.pem\"\nkey = \"tpm2:0x81525402\"\n"
}

// id is the id of a key.
func id(t *testing.T, k crypto.Signer) string {
	t.Helper()
	s, err := trust.NewSigner(k)
	if err != nil {
		t.Fatal(err)
	}
	return s.Key().ID()
}

// starts is a start of the daemon: the id of the key that it signs with, "" for none, and what it says of it.
func (d device) starts(c *config.Config) (id, log string) {
	d.t.Helper()
	var b bytes.Buffer
	o, _, err := wire.Options(c, nil, slog.New(slog.NewTextHandler(&b, nil)))
	if err != nil {
		d.t.Fatal(err)
	}
	if o.Signer != nil {
		id = o.Signer.Key().ID()
	}
	if err := o.Journal.Close(); err != nil {
		d.t.Fatal(err)
	}
	return id, b.String()
}

// TestDeviceKeyInTPM: the daemon signs with the key in the TPM, puts its public half where it is enrolled from, and
// never makes one. A TPM that was cleared is said to be one: another key would be another device to the desk, and is
// made when somebody says that the old one is lost.
func TestDeviceKeyInTPM(t *testing.T) {
	m, d := tpmtest.New(t), newDevice(t)
	d.put("x", "")
	d.put("y", "")
	c := d.config(inTPM(m))
	lacks := func(want string) {
		t.Helper()
		var text string
		for _, err := range wire.Lacks(c) {
			text += err.Error() + "\n"
		}
		if (text == "") != (want == "") || !strings.Contains(text, want) {
			t.Errorf("missing is %q, want %q", text, want)
		}
	}
	none := "ratchet.toml:21: evidence.key: "
	if got, log := d.starts(c); got != "" || !strings.Contains(log, "make it with: ratchet key init evidence.key") {
		t.Errorf("without a key it signs with %q: %s", got, log)
	}
	lacks(none)
	if err := wire.TryDeviceKey(c, discard); err == nil || len(m.Keys) > 0 {
		t.Errorf("the daemon has made a key: %v", err)
	}

	k, made, err := wire.MakeKey(t.Context(), c, "evidence.key", "")
	if !made || err != nil {
		t.Fatal(made, err)
	}
	if err := wire.TryDeviceKey(c, discard); err != nil {
		t.Errorf("the key is not seen when it is there: %v", err)
	}
	for range 2 {
		if got, log := d.starts(c); got != id(t, k) || strings.Contains(log, "evidence.key") {
			t.Fatalf("it signs with %q: %s", got, log)
		}
	}
	lacks("")
	pub, err := os.ReadFile(d.path("state/device.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if public, err := trust.ParsePublic(pub); err != nil || public.ID() != id(t, k) {
		t.Errorf("device.pem is not the public half: %v", err)
	}

	m.Set(func() { m.Keys = map[uint32]*tpmtest.Key{} }) // TPM2_Clear
	if got, log := d.starts(c); got != "" || !strings.Contains(log, "has had a key") {
		t.Errorf("after a clear it signs with %q: %s", got, log)
	}
	lacks("cleared")
	if _, made, err := wire.MakeKey(t.Context(), c, "evidence.key", ""); made || err == nil ||
		!strings.Contains(err.Error(), "device.pem") || len(m.Keys) > 0 {
		t.Errorf("another key was made: %v, %v", made, err)
	}
	mark := d.path("state/device.pem")
	saved, err := os.ReadFile(mark)
	if err == nil {
		err = os.Remove(mark)
	}
	if err != nil {
		t.Fatal(err)
	}
	other, made, err := wire.MakeKey(t.Context(), c, "evidence.key", "")
	if !made || err != nil || id(t, other) == id(t, k) {
		t.Fatalf("made %v, %v", made, err)
	}

	// Somebody made the other key, and the mark still says which one there was.
	d.put("state/device.pem", string(saved))
	if got, log := d.starts(c); got != id(t, other) || !strings.Contains(log, "another key") {
		t.Errorf("with another key it signs with %q: %s", got, log)
	}
	lacks("another key")
	if b, err := os.ReadFile(mark); err != nil || !bytes.Equal(b, saved) {
		t.Errorf("the mark was replaced: %v", err)
	}
	if err := os.Remove(mark); err != nil {
		t.Fatal(err)
	}
	lacks("")
	if got, log := d.starts(c); got != id(t, other) || strings.Contains(log, "evidence.key") {
		t.Errorf("when it is meant so, it signs with %q: %s", got, log)
	}
}

// TestDeviceKeyOfAnotherFile: a key in a file elsewhere that is not the one from before is told, as one in the TPM is.
func TestDeviceKeyOfAnotherFile(t *testing.T) {
	d := newDevice(t)
	d.put("x", "")
	d.put("y", "")
	c := d.config("[evidence]\nkey = \"DIR/dev.key\"\n")
	first, log := d.starts(c)
	if first == "" || strings.Contains(log, "evidence.key") {
		t.Fatal(log)
	}
	s, err := trust.Generate(trust.ESP256)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	d.put("dev.key", string(b))
	if got, log := d.starts(c); got != s.Key().ID() || !strings.Contains(log, "another key") {
		t.Errorf("it signs with %q: %s", got, log)
	}
	if errs := wire.Lacks(c); len(errs) != 1 || !strings.Contains(errs[0].Error(), first[:16]) {
		t.Errorf("missing is %v", errs)
	}
}

// TestDeviceKeyMoves: on a device whose key was in a file a key in the TPM is told for another one, until somebody says
// that it is meant so; a key in a file elsewhere is not made either.
func TestDeviceKeyMoves(t *testing.T) {
	m, d := tpmtest.New(t), newDevice(t)
	if first, log := d.starts(d.config("")); first == "" {
		t.Fatal(log)
	}
	elsewhere := d.config("[evidence]\nkey = \"DIR/dev.key\"\n")
	if got, log := d.starts(elsewhere); got != "" || !strings.Contains(log, "has had a key") {
		t.Errorf("a second key is made: %s", log)
	}
	c := d.config(inTPM(m))
	if _, made, err := wire.MakeKey(t.Context(), c, "evidence.key", ""); made || err == nil {
		t.Errorf("made %v, %v", made, err)
	}
	if err := os.Rename(d.path("state/device.pem"), d.path("old.pem")); err != nil {
		t.Fatal(err)
	}
	k, _, err := wire.MakeKey(t.Context(), c, "evidence.key", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(d.path("old.pem"), d.path("state/device-elsewhere.pem")); err != nil {
		t.Fatal(err)
	}
	if got, log := d.starts(c); got != id(t, k) || !strings.Contains(log, "another key") {
		t.Errorf("it signs with %q: %s", got, log)
	}
}

// certify has a certificate authority vouch for a client key.
func (d device) certify(k crypto.Signer) {
	d.t.Helper()
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, t, t, k.Public(), k)
	if err != nil {
		d.t.Fatal(err)
	}
	d.put("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

// TestClientKeyInTPM: the process that connects has a digest signed by the client key, and by no other: not the device
// key, under whatever name, and at whatever handle it is too.
func TestClientKeyInTPM(t *testing.T) {
	m, d := tpmtest.New(t), newDevice(t)
	c := d.config(inTPM(m))
	problems := func(want string) {
		t.Helper()
		var text string
		for _, err := range wire.LacksClientKeys(c) {
			text += err.Error() + "\n"
		}
		if (text == "") != (want == "") || !strings.Contains(text, want) {
			t.Errorf("problems are %q, want %q", text, want)
		}
	}
	problems("ratchet.toml:25: mqtt.key: ")
	device, _, err := wire.MakeKey(t.Context(), c, "evidence.key", "")
	if err != nil {
		t.Fatal(err)
	}
	client, _, err := wire.MakeKey(t.Context(), c, "mqtt.key", "")
	if err != nil {
		t.Fatal(err)
	}
	problems("") // a certificate that is missing is told by who reads it
	d.certify(client)
	problems("")
	d.certify(device)
	problems("is not the key of the certificate")

	sum := sha256.Sum256([]byte("handshake"))
	sign := func(name string, hash crypto.Hash, digest []byte) ([]byte, error) {
		return wire.SignClient(t.Context(), c, name, uint(hash), digest)
	}
	if sig, err := sign("tpm2:0x81525402", crypto.SHA256, sum[:]); err != nil ||
		!ecdsa.VerifyASN1(client.Public().(*ecdsa.PublicKey), sum[:], sig) {
		t.Errorf("signature %x, %v", sig, err)
	}
	for _, name := range []string{"tpm2:0x81525401", "tpm2:2171753473", "mqtt.key", "", "/etc/passwd", "evidence.key"} {
		if sig, err := sign(name, crypto.SHA256, sum[:]); err == nil {
			t.Errorf("%q signs: %x", name, sig)
		}
	}
	for hash, n := range map[crypto.Hash]int{crypto.SHA512: 64, 0: 32, crypto.SHA256: 31, 999: 32} {
		if sig, err := sign("tpm2:0x81525402", hash, make([]byte, n)); err == nil {
			t.Errorf("%d bytes of hash %d: %x", n, hash, sig)
		}
	}
	m.Set(func() { m.Keys[0x81525402] = m.Keys[0x81525401] })
	sig, err := sign("tpm2:0x81525402", crypto.SHA256, sum[:])
	if err == nil || !strings.Contains(err.Error(), "device key") {
		t.Errorf("the device key at two handles: %x, %v", sig, err)
	}
	problems("this is the device key")
	m.Set(func() { delete(m.Keys, 0x81525401) })
	if _, err := sign("tpm2:0x81525402", crypto.SHA256, sum[:]); err != nil {
		t.Errorf("without a device key: %v", err)
	}
}

// TestKeyNames: a key is named as the configuration has it, or as its errors have it, and one in a file is told from
// one that is not set.
func TestKeyNames(t *testing.T) {
	m, d := tpmtest.New(t), newDevice(t)
	c := d.config(inTPM(m) + "[[http.credentials]]\norigin = \"https://a\"\nkey = \"/k\"\n" +
		"[[http.credentials]]\norigin = \"https://b\"\n" +
		"[[http.credentials]]\norigin = \"https://c\"\nkey = \"tpm2:0x81525403\"\n")
	for name, want := range map[string]string{"http.credentials[3].key": "", "http.credentials.2.key": "",
		"mqtt.key": "", "http.credentials[1].key": "/k is a file", "http.credentials[2].key": "is not set",
		"proxy.key": "no private key", "http.credentials[4].key": "no private key"} {
		k, made, err := wire.MakeKey(t.Context(), c, name, "")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: made %v, %v", name, made, err)
		}
		if err == nil {
			if got, err := wire.Key(t.Context(), c, name); err != nil || id(t, got) != id(t, k) {
				t.Errorf("%s: another key is shown: %v", name, err)
			}
		}
	}
	_, err := wire.Key(t.Context(), d.config(""), "evidence.key")
	if err == nil || !strings.Contains(err.Error(), "is a file") {
		t.Error(err)
	}
	d.put("password", strings.Repeat("x", 65))
	if _, _, err := wire.MakeKey(t.Context(), c, "mqtt.key", d.path("password")); err == nil {
		t.Error("a password of 65 bytes is taken")
	}
}
