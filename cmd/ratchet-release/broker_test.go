package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
)

// server is an embedded broker on 127.0.0.1.
type server struct {
	*mochi.Server
	address string
	access  *access
}

// access is the broker's access list.
type access struct {
	mochi.HookBase
	forbid atomic.Value // func(topic string, write bool) bool
	forget atomic.Bool  // acknowledge, and retain nothing
	user   string
}

func (a *access) ID() string { return "access" }
func (a *access) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck || b == mochi.OnPublish
}
func (a *access) OnPublish(_ *mochi.Client, p packets.Packet) (packets.Packet, error) {
	if a.forget.Load() {
		p.FixedHeader.Retain = false
	}
	return p, nil
}
func (a *access) OnConnectAuthenticate(_ *mochi.Client, p packets.Packet) bool {
	return a.user == "" || string(p.Connect.Username)+":"+string(p.Connect.Password) == a.user
}
func (a *access) OnACLCheck(_ *mochi.Client, topic string, write bool) bool {
	f, _ := a.forbid.Load().(func(string, bool) bool)
	return f == nil || !f(topic, write)
}

func newServer(t *testing.T, user string, config *tls.Config) *server {
	t.Helper()
	s := &server{Server: mochi.New(&mochi.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)}),
		access: &access{user: user}}
	if err := s.AddHook(s.access, nil); err != nil {
		t.Fatal(err)
	}
	l := listeners.NewTCP(listeners.Config{ID: "tcp", Address: "127.0.0.1:0", TLSConfig: config})
	if err := s.AddListener(l); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		t.Fatal(err)
	}
	// Not Server.Close: it waits for a counter that connections raise without any order to it, which the
	// race detector tells. What is left runs until the tests end.
	t.Cleanup(func() {
		s.Listeners.Close("tcp", func(id string) {
			for _, c := range s.Clients.GetByListener(id) {
				c.Stop(packets.ErrServerShuttingDown)
			}
		})
	})
	s.address = l.Address()
	return s
}

func (s *server) url() string { return "mqtt://" + s.address }

// put publishes like a device or a stranger.
func (s *server) put(t *testing.T, topic string, body []byte, retain bool) {
	t.Helper()
	if err := s.Publish(topic, body, retain, 1); err != nil {
		t.Fatal(err)
	}
}

// kept is the retained message of a topic.
func (s *server) kept(topic string) []byte {
	p, _ := s.Topics.Retained.Get(topic)
	return p.Payload
}

func TestPublish(t *testing.T) {
	t.Parallel()
	s := newServer(t, "", nil)
	dir := newDesk(t, s.url())
	const topic = "ratchet/v1/offer/stable"
	five := released(t, dir, "five", "5")

	out, _ := do(t, 0, "publish", "--dir", dir, five)
	contains(t, out, "copied, ", topic+": offered, acknowledged and read back: sequence 5")
	if !bytes.Equal(s.kept(topic), read(t, five)) {
		t.Error("the broker keeps something else")
	}
	images := payloads(t, filepath.Join(dir, "images"))
	if len(images) != 1 ||
		!bytes.Equal(read(t, filepath.Join(dir, images[0])), read(t, filepath.Join(dir, "images", images[0]))) {
		t.Errorf("published images: %v", images)
	}

	out, _ = do(t, 0, "publish", "--dir", dir, five)
	contains(t, out, "is there already", "sequence 5 is offered there already")

	four := released(t, dir, "four", "4")
	_, err := do(t, 1, "publish", "--dir", dir, four)
	contains(t, err, "sequence 5 is offered there, which is newer than 4", "--force")
	other := released(t, dir, "other", "5 # and another text\npriority = 1")
	_, err = do(t, 1, "publish", "--dir", dir, other)
	contains(t, err, "another manifest with the same sequence 5")
	if !bytes.Equal(s.kept(topic), read(t, five)) {
		t.Error("a refused offer was made")
	}
	do(t, 0, "publish", "--dir", dir, "--force", four)
	out, _ = do(t, 0, "publish", "--dir", dir, "--sever-text", five)
	if contains(t, out, "read back"); len(s.kept(topic)) >= len(read(t, five)) {
		t.Error("the text was sent")
	}

	do(t, 0, "publish", "--dir", dir, "--device", "gw-1", "--device", "gw-2", "--offer-only", five)
	for _, id := range []string{"gw-1", "gw-2"} {
		if !bytes.Equal(s.kept("ratchet/v1/device/"+id+"/offer"), read(t, five)) {
			t.Errorf("no offer for %s", id)
		}
	}

	out, _ = do(t, 0, "publish", "--dir", dir, "--withdraw")
	if contains(t, out, topic+": cleared"); s.kept(topic) != nil {
		t.Error("the offer is still there")
	}
	out, _ = do(t, 0, "publish", "--dir", dir, "--withdraw")
	contains(t, out, "nothing is offered there")
}

func TestPublishRefusesBeforeItOffers(t *testing.T) {
	t.Parallel()
	s := newServer(t, "", nil)
	dir := newDesk(t, s.url())
	path := released(t, dir, "r", "5")
	name := payloads(t, dir)[0]
	good := read(t, filepath.Join(dir, name))

	// Somebody else's signature.
	foreign := filepath.Join(dir, "foreign.suit")
	do(t, 0, "build", "--dir", dir, "-o", foreign, filepath.Join(dir, "r.toml"))
	out, _ := do(t, cli.ExitRefused, "publish", "--dir", dir, foreign)
	contains(t, out, "reason: signer-unknown")
	do(t, 0, "sign", "--key", bob, foreign)
	out, _ = do(t, cli.ExitRefused, "publish", "--dir", dir, foreign)
	contains(t, out, "reason: signer-unknown")

	// A payload that is not the image.
	bad := bytes.Clone(good)
	bad[len(bad)-100] ^= 1
	write(t, filepath.Join(dir, name), string(bad))
	out, _ = do(t, cli.ExitRefused, "publish", "--dir", dir, path)
	contains(t, out, "reason: image-corrupt")
	if n := payloads(t, filepath.Join(dir, "images")); len(n) > 0 {
		t.Errorf("published: %v", n)
	}

	// A public payload that was tampered with is neither believed nor replaced.
	write(t, filepath.Join(dir, name), string(good))
	public := write(t, filepath.Join(dir, "images", name), string(bad))
	_, err := do(t, cli.ExitFailed, "publish", "--dir", dir, path)
	if contains(t, err, "holds other bytes than its name says"); !bytes.Equal(read(t, public), bad) {
		t.Error("a published payload was replaced")
	}

	// No payload anywhere.
	_, err = do(t, cli.ExitFailed, "publish", "--dir", dir, "--payloads", t.TempDir(), "--images", t.TempDir(), path)
	contains(t, err, "is neither in")
	if s.kept("ratchet/v1/offer/stable") != nil {
		t.Error("something was offered")
	}
}

// TestPublishIsReadBack: an access list that drops what it acknowledges is found out.
func TestPublishIsReadBack(t *testing.T) {
	t.Parallel()
	s := newServer(t, "", nil)
	dir := newDesk(t, s.url())
	path := released(t, dir, "r", "5")
	s.access.forget.Store(true)
	_, err := do(t, cli.ExitFailed, "publish", "--dir", dir, path)
	contains(t, err, "does not keep it on ratchet/v1/offer/stable", "access list")
	s.access.forget.Store(false)
	s.access.forbid.Store(func(_ string, write bool) bool { return write })
	_, err = do(t, cli.ExitFailed, "publish", "--dir", dir, path)
	contains(t, err, "cannot publish", "access list")
	s.access.forbid.Store(func(_ string, write bool) bool { return !write })
	_, err = do(t, cli.ExitFailed, "publish", "--dir", dir, path)
	contains(t, err, "access list does not let this desk read there")
}

func TestBrokerPassword(t *testing.T) {
	t.Parallel()
	s := newServer(t, "desk:secret", nil)
	dir := newDesk(t, s.url())
	password := write(t, filepath.Join(dir, "password"), "secret\n")
	do(t, 0, "watch", "--dir", dir, "--once", "--username", "desk", "--password-file", password)
	_, err := do(t, cli.ExitFailed, "watch", "--dir", dir, "--once")
	contains(t, err, "refuses this desk")
}

func TestBrokerTLS(t *testing.T) {
	t.Parallel()
	dir := newDesk(t, "")
	ca, caKey := certificate(t, "test ca", nil, nil)
	srv, srvKey := certificate(t, "broker", ca, caKey)
	mine, mineKey := certificate(t, "desk", ca, caKey)
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	s := newServer(t, "", &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
		Certificates: []tls.Certificate{{Certificate: [][]byte{srv.Raw}, PrivateKey: srvKey}},
	})
	pemFile := func(name, kind string, b []byte) string {
		return write(t, filepath.Join(dir, name), string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b})))
	}
	der, err := x509.MarshalPKCS8PrivateKey(mineKey)
	if err != nil {
		t.Fatal(err)
	}
	caFile, certFile, keyFile := pemFile("ca.pem", "CERTIFICATE", ca.Raw), pemFile("desk.pem", "CERTIFICATE", mine.Raw),
		pemFile("desk.key", "PRIVATE KEY", der)
	path := released(t, dir, "r", "5")
	at := []string{"--dir", dir, "--broker", "mqtts://" + s.address}
	out, _ := do(t, 0,
		append([]string{"publish", path, "--ca", caFile, "--cert", certFile, "--cert-key", keyFile}, at...)...)
	contains(t, out, "read back")
	_, stderr := do(t, 1, append([]string{"watch", "--once", "--ca", caFile}, at...)...)
	contains(t, stderr, "ratchet-release: cannot connect")
	contains(t, stderr, "name it as broker.certificate and broker.key")
	_, stderr = do(t, 1, append([]string{"watch", "--once", "--cert", certFile, "--cert-key", keyFile}, at...)...)
	contains(t, stderr, "cannot establish TLS 1.3")
	contains(t, stderr, "name the authority that signed its certificate as broker.ca")
	_, stderr = do(t, 1, append([]string{"watch", "--once", "--ca", keyFile}, at...)...)
	contains(t, stderr, "holds no PEM certificate")
	_, stderr = do(t, 1, append([]string{"watch", "--once", "--cert", keyFile, "--cert-key", keyFile}, at...)...)
	contains(t, stderr, "cannot use client certificate")
}

// certificate issues a certificate; without a parent, of itself as a CA.
func certificate(t *testing.T, name string, parent *x509.Certificate,
	by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: parent == nil, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if parent == nil {
		parent, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

// TestInterrupted: an end of the context ends a verb, and nothing is half done.
func TestInterrupted(t *testing.T) {
	dir := newDesk(t, "")
	path := released(t, dir, "r", "5")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, args := range [][]string{
		{"build", "--dir", dir, "-o", filepath.Join(dir, "new.suit"), filepath.Join(dir, "r.toml")},
		{"publish", "--dir", dir, path},
	} {
		var out, err bytes.Buffer
		if code := run(ctx, args, nil, &out, &err); code != cli.ExitFailed {
			t.Errorf("%v: exit %d\n%s%s", args, code, &out, &err)
		}
		contains(t, err.String(), "interrupted")
	}
	if n := payloads(t, filepath.Join(dir, "images")); len(n) > 0 {
		t.Errorf("published: %v", n)
	}
}
