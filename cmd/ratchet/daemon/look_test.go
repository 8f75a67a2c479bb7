package daemon_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/control"
)

// certificate is one of an authority.
const certificate = `-----BEGIN CERTIFICATE-----
MIIBcjCCARegAwIBAgIUZdO2UJ6VXRJzrliHnXkBCd+QiKkwCgYIKoZIzj0EAwIw
DTELMAkGA1UEAwwCQ0EwIBcNMjYxMTI4MDY1MzE3WhgPMjEyNjExMDQwNjUzMTda
MA0xCzAJBgNVBAMMAkNBMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEJL+Pz+xh
FTZ/PwgmV/9ImvPx36c24dkEx6ZgeakUwIirYEEJ+N8dbk5h6uhIbFhOKJnW1C24
ya1rc9+7Q1xLF6NTMFEwHQYDVR0OBBYEFLooVv9h0kd/GPyFBhkGRf3V4FRMMB8G
A1UdIwQYMBaAFLooVv9h0kd/GPyFBhkGRf3V4FRMMA8GA1UdEwEB/wQFMAMBAf8w
CgYIKoZIzj0EAwIDSQAwRgIhAIqTbH80JwVr6hOAh3xj7N1+WKlkypaeardHhash
tV8dAiEAxyFaRj1ylHqeZ9W5o71xaS9r4atzDBUHeS+DKgS5GPk=
-----END CERTIFICATE-----
`

// What is missing when the daemon starts is a problem in its status, and taken up when it is there, by the same daemon:
// a link that udev makes late, what the initramfs writes late, a release key, a key for images, the file system of the
// device's own key, the description of the environment, the configuration itself.
func TestWhatComesLate(t *testing.T) {
	for what, name := range map[string]string{
		"the running slot's link": "a.img", "the other slot's link": "b.img", "the file of the initramfs": "root",
		"the marker": "cmdline", "the release key": "release.pem", "fw_env.config": "fw_env.config",
		"the CA of the images": "ca.pem", "the configuration": "ratchet.toml", "a key for images": "image.key",
		"the folder of the device's key": "keys",
	} {
		t.Run(what, func(t *testing.T) {
			b := newBox(t)
			copies := `copies = [{path = "DIR/env0", size = 8192}, {path = "DIR/env1", size = 8192}]`
			b.write("fw_env.config", b.Path("env0")+" 0 8192\n"+b.Path("env1")+" 0 8192\n")
			config := strings.Replace(b.Config(), strings.ReplaceAll(copies, "DIR", b.Dir),
				`fw-env-config = "`+b.Path("fw_env.config")+`"`, 1) + "[http]\nca = \"" + b.Path("ca.pem") + "\"\n" +
				"[mqtt]\nurl = \"mqtts://127.0.0.1:9\"\n[evidence]\nkey = \"" + b.Path("keys/device.key") + "\"\n"
			config = strings.Replace(config, "[trust]\n",
				"[trust]\ndecryption-keys = [\""+b.Path("image.key")+"\"]\n", 1)
			b.write("ca.pem", certificate)
			b.write("image.key", imageKey(t))
			if err := os.Mkdir(b.Path("keys"), 0o700); err != nil {
				t.Fatal(err)
			}
			if what == "the configuration" { // the last good one says where the socket is
				b.during(config, nil)
			}
			b.write("ratchet.toml", config)
			if err := os.Rename(b.Path(name), b.Path("away")); err != nil {
				t.Fatal(err)
			}
			stop := b.looking("")
			b.until(t.Context(), "a problem", func(st control.Status) bool {
				return len(st.Problems) > 0 && len(st.Advice) > 0
			})
			if err := os.Rename(b.Path("away"), b.Path(name)); err != nil {
				t.Fatal(err)
			}
			b.until(t.Context(), "no problem any more", func(st control.Status) bool {
				return len(st.Problems) == 0 && st.Mode == control.ModeNormal && st.Running.Name == "A"
			})
			stop()
		})
	}
}

// imageKey is a key that encrypted images are opened with.
func imageKey(t *testing.T) string {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// until waits for a status; a socket that is not there now may be there again.
func (b box) until(ctx context.Context, what string, is func(control.Status) bool) {
	b.t.Helper()
	var raw json.RawMessage
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var err error
		var st control.Status
		if raw, err = b.ask(ctx, control.VerbStatus); err == nil && json.Unmarshal(raw, &st) == nil && is(st) {
			return
		}
	}
	b.t.Errorf("not %s: %s", what, raw)
}
