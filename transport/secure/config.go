// Package secure is TLS as every client here uses it: what a configuration is made of, what is never
// allowed, and the handshake on a machine whose clock was never set. The device, the desk and the lab
// build their configurations here and nowhere else, so that a rule holds for all.
//
// Keys and certificates are read when they are needed; kept are only the system's authorities, until a file of
// theirs changes.
package secure

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/ratchet-ota/ratchet/hal/textfile"
)

// maxPEM is the most that a file of certificates or keys may have, in bytes.
const maxPEM = 1 << 20

// Files names what a client's TLS is made of, as paths of PEM files. All may be empty: the system's
// authorities are trusted then, and no certificate is shown.
type Files struct {
	CA          string // the authorities that the server's certificate may come from
	Certificate string // of the client, its chain behind it
	Key         string // of the certificate; a name for Sign where it is in no file

	// Sign signs a digest of SHA-256 with Key, which is for ECDSA on P-256 then; nil: Key is a file.
	Sign func(name string, digest []byte, hash crypto.Hash) ([]byte, error)

	// Read reads one of them, of at most limit bytes; nil: as textfile.Read does. The system's authorities are read
	// without it.
	Read func(path string, limit int) ([]byte, error)
}

// Config reads the files. TLS 1.2 is the least that is spoken; who needs more says so with Client.
func (f Files) Config() (*tls.Config, error) {
	ca, err := f.Authorities()
	if err != nil {
		return nil, err
	}
	pair, err := f.Pair()
	if err != nil {
		return nil, err
	}
	return config(ca, pair), nil
}

func config(ca *x509.CertPool, pair *tls.Certificate) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: ca}
	if pair != nil {
		c.Certificates = []tls.Certificate{*pair}
	}
	return c
}

// Authorities reads the authorities; the system's where none are named.
func (f Files) Authorities() (*x509.CertPool, error) {
	if f.CA == "" {
		return systemAuthorities(), nil
	}
	b, err := f.readPEM(f.CA)
	if err != nil {
		return nil, fmt.Errorf("cannot use CA file: %w", err)
	}
	ca := x509.NewCertPool()
	if !ca.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("cannot use CA file %s: it holds no PEM certificate", f.CA)
	}
	return ca, nil
}

// Pair reads the client's certificate and its key; nil where none are named.
func (f Files) Pair() (*tls.Certificate, error) {
	switch {
	case f.Certificate == "" && f.Key == "":
		return nil, nil
	case f.Certificate == "" || f.Key == "":
		return nil, errors.New("set both the client certificate and its key, or neither; one is missing")
	}
	cert, err := f.readPEM(f.Certificate)
	if err != nil {
		return nil, fmt.Errorf("cannot use client certificate: %w", err)
	}
	if f.Sign != nil {
		pair, err := f.signed(cert)
		if err != nil {
			return nil, fmt.Errorf("cannot use client certificate %s: %w", f.Certificate, err)
		}
		return pair, nil
	}
	key, err := f.readPEM(f.Key)
	if err != nil {
		return nil, fmt.Errorf("cannot use client certificate: %w", err)
	}
	if bytes.Contains(key, []byte("BEGIN ENCRYPTED ")) || bytes.Contains(key, []byte("4,ENCRYPTED")) {
		return nil, fmt.Errorf("cannot use client certificate %s: its key %s is encrypted, and TLS needs it plain, "+
			"with mode 0600: openssl pkey -in KEY -out PLAIN", f.Certificate, f.Key)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("cannot use client certificate %s: %w", f.Certificate, err)
	}
	return &pair, nil
}

func (f Files) readPEM(path string) ([]byte, error) {
	read := f.Read
	if read == nil {
		read = textfile.Read
	}
	b, err := read(path, maxPEM)
	if err != nil {
		return nil, err
	}
	return bytes.TrimPrefix(b, []byte("\ufeff")), nil // as some editors begin a file: PEM would not be found behind it
}

// Client is a copy of c, which may be nil, that speaks TLS least (tls.VersionTLS13, say) or newer,
// whatever c says.
func Client(c *tls.Config, least uint16) *tls.Config {
	if c == nil {
		c = &tls.Config{}
	}
	c = c.Clone()
	c.MinVersion = max(c.MinVersion, least)
	return c
}

// Check refuses a configuration, which may be nil, that would take any certificate for the peer's,
// which the error names: "the broker's".
func Check(c *tls.Config, whose string) error {
	if c != nil && c.InsecureSkipVerify && c.VerifyConnection == nil && c.VerifyPeerCertificate == nil {
		return fmt.Errorf("cannot use TLS without verifying %s certificate: name its CA instead", whose)
	}
	return nil
}
