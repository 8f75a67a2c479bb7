//go:build interop

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/evidence/export"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/broker"
	"github.com/ratchet-ota/ratchet/hal/linux/tpm/tpmtest"
)

// authority signs the certificates of a broker and of a device.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	self := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour)}
	a.cert = a.sign(self, self, &a.key.PublicKey)
	return a
}

func (a *authority) sign(c, by *x509.Certificate, key any) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, by, key, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return out
}

// issue is a certificate for a name at 127.0.0.1, PEM.
func (a *authority) issue(name string, key any) []byte {
	a.t.Helper()
	return inPEM("CERTIFICATE", a.sign(&x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}, a.cert, key).Raw)
}

func inPEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// mosquitto is a broker that speaks TLS 1.3 with devices that have a certificate of a, and plainly with the desk.
func (b *box) mosquitto(a *authority) (device, desk string) {
	b.t.Helper()
	var ports [2]string
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.t.Fatal(err)
		}
		_, ports[i], _ = net.SplitHostPort(l.Addr().String())
		defer l.Close()
		l.Close()
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		b.t.Fatal(err)
	}
	b.Write("server.key", inPEM("PRIVATE KEY", der))
	b.Write("server.pem", a.issue("broker", key.Public()))
	b.Write("ca.pem", inPEM("CERTIFICATE", a.cert.Raw))
	b.Write("mosquitto.conf", fmt.Appendf(nil, "per_listener_settings true\nuser root\nlistener %s 127.0.0.1\n"+
		"tls_version tlsv1.3\ncafile %s\ncertfile %s\nkeyfile %s\nrequire_certificate true\n"+
		"use_identity_as_username true\nallow_anonymous false\nlistener %s 127.0.0.1\nallow_anonymous true\n",
		ports[0], b.Path("ca.pem"), b.Path("server.pem"), b.Path("server.key"), ports[1]))
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path = "/usr/sbin/mosquitto" // not in every PATH
	}
	cmd := exec.Command(path, "-v", "-c", b.Path("mosquitto.conf"))
	var log bytes.Buffer // to be read when it has ended
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		b.t.Fatalf("cannot start mosquitto: %v; run scripts/deps.sh interop", err)
	}
	b.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if b.t.Failed() {
			b.t.Log(log.String())
		}
	})
	for _, port := range ports {
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
				c.Close()
				break
			} else if time.Now().After(end) {
				b.t.Fatal("mosquitto does not answer")
			}
		}
	}
	return "mqtts://127.0.0.1:" + ports[0], "mqtt://127.0.0.1:" + ports[1]
}

// keyVerb is ratchet key, in this process.
func (b *box) keyVerb(args ...string) []byte {
	b.t.Helper()
	var out, errs bytes.Buffer
	args = append(append([]string{"key"}, args...), "--config", b.Path("ratchet.toml"))
	if code := run(context.Background(), args, strings.NewReader(""), &out, &errs); code != 0 {
		b.t.Fatalf("%q: exit %d, %s", args, code, errs.String())
	}
	return out.Bytes()
}

// TestInteropKeysInTPM: a device with both of its keys in a real TPM. The broker takes its certificate in a handshake
// of TLS 1.3, for which the network process has the daemon ask the TPM; what the device sends, and what it exports, is
// verified by the key that was enrolled. After a clear of the TPM it goes on, and says what is the matter.
func TestInteropKeysInTPM(t *testing.T) {
	b, s, a := newBox(t), tpmtest.StartSWTPM(t), newAuthority(t)
	device, desk := b.mosquitto(a)
	b.Write("ratchet.toml", []byte(b.Config()+"[tpm]\ndevice = \""+s.Path+"\"\n[evidence]\nkey = \"tpm2:0x81525401\"\n"+
		"[mqtt]\nurl = \""+device+"\"\nca = \""+b.Path("ca.pem")+"\"\ncertificate = \""+b.Path("client.pem")+"\"\n"+
		"key = \"tpm2:0x81525402\"\n[proxy]\nurl = \"direct\"\n"))
	enrolled, err := trust.ParsePublic(b.keyVerb("init"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := trust.NewKeys([]trust.Key{enrolled}, false)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b.keyVerb("init", "mqtt.key", "--request"))
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || request.CheckSignature() != nil {
		t.Fatal(err)
	}
	b.Write("client.pem", a.issue(request.Subject.CommonName, request.PublicKey))

	conn, err := broker.Connect(t.Context(), broker.Options{URL: desk, AllowPlain: true, ClientID: "desk"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	records, statuses := 0, 0
	got := func(p broker.Post) {
		var err error
		switch {
		case strings.HasSuffix(p.Topic, "/evidence"):
			_, _, _, err = evidence.Verify(p.Body, keys)
			records++
		case strings.HasSuffix(p.Topic, "/status"):
			_, _, err = evidence.VerifyStatus(p.Body, keys)
			statuses++
		}
		if err != nil {
			t.Errorf("%s: %v", p.Topic, err)
		}
	}
	topic := "ratchet/v1/device/box/"
	if err := conn.Subscribe(t.Context(), got, topic+"evidence", topic+"status"); err != nil {
		t.Fatal(err)
	}
	b.start()
	for end := time.Now().Add(30 * time.Second); records == 0 || statuses == 0; {
		err := conn.Settled(t.Context(), time.Second, got, func() bool { return records > 0 && statuses > 0 })
		if err != nil || time.Now().After(end) {
			t.Fatalf("%d records and %d statuses came: %v\n%s", records, statuses, err, b.log.String())
		}
	}
	if st := b.status(); !st.Broker.Online || len(st.Problems) > 0 {
		t.Errorf("the status says %+v, %q", st.Broker, st.Problems)
	}
	if _, errs, code := verb(t, b.Path("s"), "evidence", "export", "-o", b.Path("exported")); code != 0 {
		t.Fatal(errs)
	}
	f, err := os.Open(b.Path("exported"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if sum, err := export.Verify(f, keys, func(evidence.Record) error { return nil }); err != nil ||
		sum.Signer != enrolled.ID() {
		t.Errorf("the export: %+v, %v", sum, err)
	}

	s.Tool("tpm2_clear", "-c", "l")
	b.kill()
	b.start()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		said := strings.Join(b.status().Problems, "\n")
		if strings.Contains(said, "this device has had a key") && strings.Contains(said, "ratchet key init mqtt.key") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("after a clear of the TPM the status says %q", said)
		}
	}
}
