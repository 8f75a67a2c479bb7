package evidence_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// gone is a device key whose module does not answer.
type gone struct{ crypto.Signer }

var errGone = errors.New("the module does not answer")

func (gone) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errGone }

// TestStatusWithoutASigner: what cannot be signed is an error, and never an empty status.
func TestStatusWithoutASigner(t *testing.T) {
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := trust.NewSigner(gone{priv})
	if err != nil {
		t.Fatal(err)
	}
	b, err := evidence.SignStatus(evidence.Status{Device: "box"}, s)
	if !errors.Is(err, errGone) || b != nil {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}
