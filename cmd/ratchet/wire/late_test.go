package wire_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/wire"
)

// TestFileThatComesLate: the CA of the image servers is not there when the daemon starts, and is put there later.
// Images can be loaded then, without a restart.
func TestFileThatComesLate(t *testing.T) {
	d := newDevice(t)
	o, _, err := wire.Options(d.config("[http]\nca = \"DIR/ca.pem\"\n"), nil, discard)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Journal.Close()
	if _, err := o.Fetch([]string{"https://images.example.com/x"}, 1); err == nil {
		t.Error("without the CA an image can be loaded")
	}
	d.put("ca.pem", certificate(t))
	if _, err := o.Fetch([]string{"https://images.example.com/x"}, 1); err != nil {
		t.Errorf("with the CA: %v", err)
	}
}

// certificate is one that signs itself.
func certificate(t *testing.T) string {
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
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
