package trust_test

import (
	"bytes"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/trust"
)

// A bundle of any bytes moves the root only along honest signatures: the fuzzer has none but those in
// the seeds, so a device ends at version 1, 2 or 3 of the chain that it knows.
func FuzzBundle(f *testing.F) {
	// Quick keys: the fuzzer's instrumentation makes P-384 slow.
	a, b := who(f, "quick a", trust.Ed25519), who(f, "quick b", trust.Ed25519)
	c := chain{v1: root(f, with(spec(f), trust.RoleRoot, grant(2, a, b)), a, b)}
	c.r1 = anchor(f, c.v1)
	c.v2 = root(f, c.r1.Next(c.r1.Spec(), trust.RolePulse), a, b)
	c.r2 = anchor(f, enc(f, [][]byte{c.v1, c.v2}))
	c.v3 = root(f, c.r2.Next(with(c.r2.Spec(), trust.RoleRoot, grant(1, a))), a, b)
	c.r3 = anchor(f, enc(f, [][]byte{c.v1, c.v2, c.v3}))
	whole := enc(f, [][]byte{c.v1, c.v2, c.v3})
	f.Add(whole)
	f.Add(enc(f, [][]byte{c.v1}))
	f.Add(enc(f, [][]byte{c.v2, c.v1}))
	f.Add(whole[:200])
	f.Add(c.v2)
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := trust.Anchor(b); err == nil && r.IsZero() {
			t.Fatal("an anchor that is none")
		}
		if n, err := began(t, c.v1).Take(b); err == nil && n.Newest().Digest() != c.r2.Digest() &&
			n.Newest().Digest() != c.r3.Digest() || err != nil && n.Newest().Digest() != c.r1.Digest() {
			t.Fatalf("taken to %d: %v", n.Newest().Version(), err)
		}
		bundle, err := trust.ParseBundle(b)
		if err != nil {
			return
		}
		known := map[[32]byte]bool{c.r1.Digest(): true, c.r2.Digest(): true, c.r3.Digest(): true}
		r, err := trust.Walk(c.r1, bundle)
		if !known[r.Digest()] || err != nil && r.Digest() != c.r1.Digest() {
			t.Fatalf("walked to %d, %x: %v", r.Version(), r.Digest(), err)
		}
		if err == nil && r.Version() != uint64(bundle.Len()) {
			t.Fatalf("a bundle of %d walked to %d", bundle.Len(), r.Version())
		}
	})
}

// The payload of a root: what is read can be built again, to the same bytes.
func FuzzRoot(f *testing.F) {
	c := newChain(f)
	for _, msg := range [][]byte{c.v1, c.v2, c.v3} {
		p, _, err := trust.Payload("root", msg)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		msg, err := trust.BuildDocument("root", p)
		if err != nil {
			return
		}
		v, err := trust.ReviewRoot(msg, c.r1)
		if err != nil {
			return
		}
		if v.Err == nil || v.Old.Met() {
			t.Fatal("a root that nobody signed is taken")
		}
		again, err := trust.BuildRoot(v.Spec)
		if err != nil {
			t.Fatalf("what was read cannot be built: %v", err)
		}
		if !bytes.Equal(again, msg) {
			t.Fatal("what was read is built otherwise")
		}
	})
}

// Documents of any bytes verify only when they are the honest ones.
func FuzzDocument(f *testing.F) {
	r := newChain(f).r1
	honest := cosign(f, "pulse", document(f, "pulse", payload), who(f, "pulse", trust.Ed25519))
	f.Add(honest)
	f.Add(cosign(f, "plan", document(f, "plan", payload), who(f, "campaign", trust.Ed25519)))
	f.Add(document(f, "pulse", payload))
	f.Add(honest[:len(honest)-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, _, err := r.Verify(trust.RolePulse, "pulse", b); err == nil &&
			(!bytes.Equal(b, honest) || !bytes.Equal(p, payload)) {
			t.Fatal("another document verifies")
		}
		if _, _, err := r.Verify(trust.RoleRecovery, "never", b); err == nil {
			t.Fatal("a document of a kind that nobody made verifies")
		}
		_, _, _ = trust.Payload("plan", b)
	})
}

// Envelopes are authenticated only by honest blocks, and never a payload that nobody signed.
func FuzzAuthority(f *testing.F) {
	s := with(spec(f), trust.RoleRelease,
		grant(2, who(f, "a"), who(f, "b", trust.Ed25519), who(f, "c", trust.ESP384, trust.MLDSA65)))
	auth := anchor(f, root(f, s, who(f, "alice", trust.ESP384), who(f, "bob"))).Release(trust.Scope{})
	blocks := envelope(f, who(f, "a"), who(f, "c", trust.ESP384, trust.MLDSA65))
	f.Add(blocks[0], blocks[1], blocks[2])
	f.Add(blocks[0], blocks[0], envelope(f, who(f, "b", trust.Ed25519))[0])
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		signers, err := auth.Authenticate(payload, [][]byte{a, b, c})
		if err == nil && len(signers) < 2 {
			t.Fatalf("%d signers suffice", len(signers))
		}
		if _, err := auth.Authenticate([]byte("never signed"), [][]byte{a, b, c}); err == nil {
			t.Fatal("what nobody signed is authentic")
		}
	})
}
