package secure

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
)

// signed is a client's certificate whose key is in no file. TLS 1.2 and 1.3 may ask for a signature by it with SHA-256
// alone (RFC 8446 section 4.2.3, ecdsa_secp256r1_sha256).
func (f Files) signed(cert []byte) (*tls.Certificate, error) {
	pair := &tls.Certificate{SupportedSignatureAlgorithms: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}}
	for block, rest := pem.Decode(cert); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			pair.Certificate = append(pair.Certificate, block.Bytes)
		}
	}
	if len(pair.Certificate) == 0 {
		return nil, errors.New("it holds no PEM certificate")
	}
	var err error
	if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
		return nil, err
	}
	pub, ok := pair.Leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return nil, fmt.Errorf("its key is not on P-256, which a key that is in no file must be")
	}
	pair.PrivateKey = signer{pub, f}
	return pair, nil
}

// signer is the key of a certificate, wherever it is. It implements crypto.Signer.
type signer struct {
	pub   *ecdsa.PublicKey
	files Files
}

func (s signer) Public() crypto.PublicKey { return s.pub }

// Sign verifies what comes back: the server would say no more than that it is bad.
func (s signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	sig, err := s.files.Sign(s.files.Key, digest, opts.HashFunc())
	if err == nil && !ecdsa.VerifyASN1(s.pub, digest, sig) {
		err = fmt.Errorf("%s is not the key of the client certificate %s", s.files.Key, s.files.Certificate)
	}
	return sig, err
}
