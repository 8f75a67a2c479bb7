package secure_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/transport/secure"
)

// issued is a certificate of a key on curve, which vouches for itself as a server and as a client.
func issued(t *testing.T, curve elliptic.Curve) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, DNSNames: []string{"host"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	return k, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// handshake is one of a client with files against a server that wants its certificate, at TLS of one version.
func handshake(t *testing.T, f secure.Files, version uint16) error {
	t.Helper()
	k, cert := issued(t, elliptic.P256())
	block, _ := pem.Decode(cert)
	clients := x509.NewCertPool()
	b, err := os.ReadFile(f.Certificate)
	if err != nil || !clients.AppendCertsFromPEM(b) {
		t.Fatal(err)
	}
	server := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{block.Bytes}, PrivateKey: k}},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, MinVersion: version, MaxVersion: version}
	client, err := f.Config()
	if err != nil {
		return err
	}
	client.RootCAs, client.ServerName = x509.NewCertPool(), "host"
	client.RootCAs.AppendCertsFromPEM(cert)
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	for _, c := range []net.Conn{ours, theirs} { // one side may say what the other does not read
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	}
	met := make(chan error, 1)
	go func() {
		err := tls.Server(theirs, server).Handshake()
		theirs.Close()
		met <- err
	}()
	err = tls.Client(ours, client).Handshake()
	if err != nil {
		ours.Close()
	}
	return errors.Join(err, <-met)
}

// TestKeyInNoFile: a client's certificate is shown with a key that something else signs with, at both versions of TLS
// that are spoken; its signature must be that of the certificate's key, and an error is that of the signer.
func TestKeyInNoFile(t *testing.T) {
	k, cert := issued(t, elliptic.P256())
	path := filepath.Join(t.TempDir(), "cert.pem")
	write := func(b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(bytes.Join([][]byte{[]byte("leaf\n"), cert, cert}, nil)) // a chain, with text
	gone := errors.New("the TPM is testing itself")
	var fail error
	signer := k
	f := secure.Files{Certificate: path, Key: "tpm2:1", Sign: func(name string, digest []byte,
		hash crypto.Hash) ([]byte, error) {
		if fail != nil || name != "tpm2:1" || hash != crypto.SHA256 || len(digest) != 32 {
			return nil, fmt.Errorf("%w: %s, %v", fail, name, hash)
		}
		return signer.Sign(rand.Reader, digest, hash)
	}}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		if err := handshake(t, f, version); err != nil {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		fail = gone
		if err := handshake(t, f, version); err == nil || !strings.Contains(err.Error(), gone.Error()) {
			t.Errorf("%s: without the signer: %v", tls.VersionName(version), err)
		}
		fail = nil
		signer, _ = issued(t, elliptic.P256())
		err := handshake(t, f, version)
		if err == nil || !strings.Contains(err.Error(), "not the key of the client certificate") {
			t.Errorf("%s: with another key: %v", tls.VersionName(version), err)
		}
		signer = k
	}
	// TLS 1.2 has a server ask for other hashes too, which a TPM's key does not sign.
	pair, err := f.Pair()
	if err != nil || len(pair.SupportedSignatureAlgorithms) != 1 ||
		pair.SupportedSignatureAlgorithms[0] != tls.ECDSAWithP256AndSHA256 {
		t.Errorf("it may be asked for %v, %v", pair.SupportedSignatureAlgorithms, err)
	}
	_, other := issued(t, elliptic.P384())
	for want, b := range map[string][]byte{"P-256": other, "no PEM certificate": []byte("<html>"),
		"malformed": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})} {
		write(b)
		_, err := f.Pair()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%.20q: %v, want %q", b, err, want)
		}
	}
	f.Certificate = ""
	if _, err := f.Pair(); err == nil || !strings.Contains(err.Error(), "one is missing") {
		t.Errorf("without a certificate: %v", err)
	}
}
