package stage

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// GuestsHost is this machine as QEMU's user network shows it to a guest.
const GuestsHost = "10.0.2.2"

// PKI is a throw-away certificate authority for TLS: broker, image server, device, desk.
type PKI struct {
	Dir  string // with all certificates and keys
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	n    int64
}

// NewPKI makes an authority, whose files are in dir.
func NewPKI(dir string) (*PKI, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "demo CA"},
		NotBefore: time.Now().Add(-time.Hour),
		NotAfter:  time.Now().Add(31 * 24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	p := &PKI{Dir: dir, key: key, n: 1}
	if p.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	priv, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return p, errors.Join(writePEM(p.CA(), "CERTIFICATE", der, 0o644),
		writePEM(filepath.Join(dir, "ca.key"), "PRIVATE KEY", priv, 0o600))
}

// OpenPKI is the authority that was made in dir, to replay a run.
func OpenPKI(dir string) (*PKI, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key"))
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the authority's key is of another kind")
	}
	return &PKI{Dir: dir, cert: pair.Leaf, key: key, n: time.Now().UnixNano()}, nil
}

// CA is the file of the authority's certificate.
func (p *PKI) CA() string { return filepath.Join(p.Dir, "ca.pem") }

// Issue writes NAME.pem and NAME.key, for a server on loopback and for a client of that name, valid for 30 days.
func (p *PKI) Issue(name string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	p.n++
	t := &x509.Certificate{SerialNumber: big.NewInt(p.n), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour),
		NotAfter:  time.Now().Add(30 * 24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(GuestsHost)}, DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, t, p.cert, &key.PublicKey, p.key)
	if err != nil {
		return tls.Certificate{}, err
	}
	priv, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	cert, secret := filepath.Join(p.Dir, name+".pem"), filepath.Join(p.Dir, name+".key")
	if err := writePEM(cert, "CERTIFICATE", der, 0o644); err != nil {
		return tls.Certificate{}, err
	}
	if err := writePEM(secret, "PRIVATE KEY", priv, 0o600); err != nil {
		return tls.Certificate{}, err
	}
	return tls.LoadX509KeyPair(cert, secret)
}

// server is the TLS of a server that asks for client certificates.
func (p *PKI) server(c tls.Certificate, clients bool) *tls.Config {
	t := &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS13}
	if clients {
		t.ClientCAs = x509.NewCertPool()
		t.ClientCAs.AddCert(p.cert)
		t.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return t
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}
