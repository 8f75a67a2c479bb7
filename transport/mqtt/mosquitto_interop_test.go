//go:build interop

package mqtt_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// plainConfig is a broker that lets everybody in, for what has nothing to do with access.
const plainConfig = "listener PORT 127.0.0.1\nallow_anonymous true\nuser root\npersistence true\n" +
	"persistence_location DIR/\n"

// mosquitto is a real broker on 127.0.0.1.
type mosquitto struct {
	url, port, dir string
	cmd            *exec.Cmd
}

func startMosquitto(t *testing.T, config string) *mosquitto {
	t.Helper()
	return startMosquittoWith(t, config, func(string) {})
}

// startMosquittoWith runs the broker with a configuration in which PORT and DIR are replaced, and
// the files that prepare puts there. The interop suite is for machines that have a broker: a
// missing one is a failure.
func startMosquittoWith(t *testing.T, config string, prepare func(dir string)) *mosquitto {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	b := &mosquitto{port: port, url: "mqtt://127.0.0.1:" + port, dir: t.TempDir()}
	prepare(b.dir)
	config = strings.NewReplacer("PORT", b.port, "DIR", b.dir).Replace(config)
	if err := os.WriteFile(filepath.Join(b.dir, "mosquitto.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.stop(t) })
	return b.start(t)
}

func (b *mosquitto) start(t *testing.T) *mosquitto {
	t.Helper()
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto" // not in every PATH
	}
	log, err := os.OpenFile(filepath.Join(b.dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	b.cmd = exec.Command(path, "-v", "-c", filepath.Join(b.dir, "mosquitto.conf"))
	b.cmd.Stdout, b.cmd.Stderr = log, log
	if err := b.cmd.Start(); err != nil {
		t.Fatalf("cannot start mosquitto: %v; install it to run the interop tests", err)
	}
	for range 200 {
		if c, err := net.Dial("tcp", "127.0.0.1:"+b.port); err == nil {
			c.Close()
			return b
		}
		time.Sleep(25 * time.Millisecond)
	}
	text, _ := os.ReadFile(filepath.Join(b.dir, "log"))
	t.Fatalf("mosquitto does not answer on port %s:\n%s", b.port, text)
	return nil
}

func (b *mosquitto) stop(t *testing.T) {
	t.Helper()
	if b.cmd == nil {
		return
	}
	_ = b.cmd.Process.Signal(os.Interrupt)
	_ = b.cmd.Wait()
	b.cmd = nil
	if t.Failed() {
		text, _ := os.ReadFile(filepath.Join(b.dir, "log"))
		t.Logf("mosquitto's log:\n%s", text)
	}
}

// write stores the CA and a certificate as PEM files in dir.
func (a *authority) write(t *testing.T, dir string, c tls.Certificate) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"ca.crt":     {Type: "CERTIFICATE", Bytes: a.cert.Raw},
		"server.crt": {Type: "CERTIFICATE", Bytes: c.Certificate[0]},
		"server.key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
