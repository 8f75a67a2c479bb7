package trust_test

import (
	"errors"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/trust"
)

// Endless data: what is counted is taken at its bound, and one more is not.

func TestBundleVersions(t *testing.T) {
	var roots [][]byte
	for range trust.MaxVersions {
		roots = append(roots, document(t, "root", payload))
	}
	if b, err := trust.ParseBundle(enc(t, roots)); err != nil || b.Len() != trust.MaxVersions {
		t.Errorf("%d versions: %d are read, %v", len(roots), b.Len(), err)
	}
	roots = append(roots, roots[0])
	if _, err := trust.ParseBundle(enc(t, roots)); !errors.Is(err, trust.ErrMalformed) {
		t.Errorf("%d versions: %v", len(roots), err)
	}
	if _, err := trust.ParseBundle(enc(t, [][]byte{})); !errors.Is(err, trust.ErrMalformed) {
		t.Errorf("no version: %v", err)
	}
}

func TestSignaturesOfADocument(t *testing.T) {
	r := anchor(t, root(t, spec(t), who(t, "alice", trust.ESP384), who(t, "bob")))
	h := hostile{body: typOf("pulse"), payload: payload, aad: "ratchet/pulse/v1"}
	add := func() {
		kid := make([]byte, 32)
		kid[31] = byte(len(h.sigs)) // in their order, each once
		h.sigs = append(h.sigs, []any{enc(t, map[int]int{1: -19}), map[int][]byte{4: kid}, make([]byte, 64)})
	}
	for range trust.MaxCosigned {
		add()
	}
	if _, kids, err := trust.Payload("pulse", h.encode(t)); err != nil || len(kids) != trust.MaxCosigned {
		t.Errorf("%d signatures: %d are read, %v", len(h.sigs), len(kids), err)
	}
	if _, _, err := r.Verify(trust.RolePulse, "pulse", h.encode(t)); errors.Is(err, trust.ErrMalformed) || err == nil {
		t.Errorf("%d signatures of strangers: %v", len(h.sigs), err)
	}
	add()
	if _, _, err := trust.Payload("pulse", h.encode(t)); !errors.Is(err, trust.ErrMalformed) {
		t.Errorf("%d signatures: %v", len(h.sigs), err)
	}
	if _, _, err := r.Verify(trust.RolePulse, "pulse", h.encode(t)); !errors.Is(err, trust.ErrMalformed) {
		t.Errorf("%d signatures of strangers: %v", len(h.sigs), err)
	}
}

// TestSigningStopsAtTheBound: nobody makes what no device reads; who has signed may sign again.
func TestSigningStopsAtTheBound(t *testing.T) {
	msg := document(t, "pulse", payload)
	var first *trust.Signer
	for range trust.MaxCosigned {
		s, err := trust.Generate(trust.Ed25519)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = s
		}
		if msg, err = trust.SignDocument("pulse", msg, s); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := trust.SignDocument("pulse", msg, first); err != nil {
		t.Errorf("the same signer once more: %v", err)
	}
	one, err := trust.Generate(trust.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trust.SignDocument("pulse", msg, one); err == nil {
		t.Error("one signature too many was made")
	}
}
