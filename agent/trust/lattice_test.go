package trust_test

import (
	"bytes"
	"errors"
	"testing"

	"filippo.io/mldsa"

	"github.com/ratchet-ota/ratchet/agent/trust"
)

// RFC 9964 appendix A, the ML-DSA-65 key of the all-zero seed and its COSE key thumbprint.
func TestLatticeThumbprint(t *testing.T) {
	priv, err := mldsa.NewPrivateKey(mldsa.MLDSA65(), make([]byte, mldsa.PrivateKeySize))
	if err != nil {
		t.Fatal(err)
	}
	s, err := trust.NewSigner(priv)
	if err != nil {
		t.Fatal(err)
	}
	if want := "b788acf242f1f1d6532926d816e76e1636874267f2a48c84c4e65789ab80cc02"; s.Key().ID() != want {
		t.Errorf("thumbprint %s, want %s", s.Key().ID(), want)
	}
}

// An ML-DSA-65 key goes through files like the others, signs, and never counts on its own.
func TestLatticeKey(t *testing.T) {
	s, err := trust.Generate(trust.MLDSA65)
	if err != nil {
		t.Fatal(err)
	}
	private, err := s.MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	again, err := trust.ParsePrivate(private)
	if err != nil {
		t.Fatal(err)
	}
	public, err := again.Key().MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	k, err := trust.ParsePublic(public)
	if err != nil || k.ID() != s.Key().ID() || k.Alg() != trust.MLDSA65 {
		t.Fatalf("key changed on its way through files: %v", err)
	}
	b := block(t, s)
	if !bytes.Equal(b, block(t, s)) {
		t.Error("two signatures over the same bytes differ")
	}
	if len(b) > trust.MaxBlock {
		t.Errorf("a block has %d bytes, more than an envelope may carry", len(b))
	}
	if _, err := trust.NewKeys([]trust.Key{k}, true); err == nil {
		t.Error("an ML-DSA-65 key was taken as a flat anchor")
	}
	if _, err := keys(t, true, "release-p256").Authenticate(payload, [][]byte{b}); !errors.Is(err, trust.ErrAlgorithm) {
		t.Errorf("flat anchors and an ML-DSA-65 block: %v", err)
	}
	if small, err := mldsa.GenerateKey(mldsa.MLDSA44()); err != nil {
		t.Fatal(err)
	} else if _, err := trust.NewSigner(small); err == nil {
		t.Error("an ML-DSA-44 key was taken")
	}
}
