package trust_test

import (
	"errors"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/trust"
)

// chain is three honest versions and what is needed to attack them.
type chain struct {
	alice, bob, carol, dave person
	v1, v2, v3              []byte
	r1, r2, r3              trust.Root
}

func newChain(t testing.TB) (c chain) {
	c.alice, c.bob, c.carol = who(t, "alice", trust.ESP384), who(t, "bob"),
		who(t, "carol", trust.Ed25519, trust.MLDSA65)
	c.dave = who(t, "dave", trust.Ed25519)
	c.v1 = root(t, spec(t), c.alice, c.bob)
	c.r1 = anchor(t, c.v1)
	c.v2 = root(t, c.r1.Next(with(c.r1.Spec(), trust.RoleRoot, grant(2, c.alice, c.bob, c.dave))), c.alice, c.bob)
	var err error
	if c.r2, err = trust.Walk(c.r1, bundleOf(t, c.v1, c.v2)); err != nil {
		t.Fatal(err)
	}
	c.v3 = root(t, c.r2.Next(c.r2.Spec()), c.bob, c.dave)
	if c.r3, err = trust.Walk(c.r2, bundleOf(t, c.v1, c.v2, c.v3)); err != nil {
		t.Fatal(err)
	}
	return c
}

// Rollback of the root: an older bundle, whole or cut, moves nothing.
func TestAttackRootRollback(t *testing.T) {
	c := newChain(t)
	for name, b := range map[string]trust.Bundle{
		"replay of version 1": bundleOf(t, c.v1),
		"truncation":          bundleOf(t, c.v1, c.v2),
	} {
		r, err := trust.Walk(c.r3, b)
		if refused(t, c.r3, r, err, trust.ErrReplay); t.Failed() {
			t.Error(name)
		}
	}
	// The same version again, as the third: signed, and not the trusted one.
	other := root(t, c.r2.Next(with(c.r2.Spec(), trust.RolePulse, grant(1, who(t, "other", trust.Ed25519)))),
		c.bob, c.dave)
	r, err := trust.Walk(c.r3, bundleOf(t, c.v1, c.v2, other))
	refused(t, c.r3, r, err, trust.ErrFork)
}

// Fast-forward of the root: versions go one step at a time, so no number can be burnt.
func TestAttackRootFastForward(t *testing.T) {
	c := newChain(t)
	jump := c.r1.Next(c.r1.Spec())
	jump.Version = 1 << 62
	for name, tt := range map[string]struct {
		roots [][]byte
		want  error
	}{
		"a skipped version":       {[][]byte{c.v1, c.v3}, trust.ErrThreshold}, // dave is not known to 1
		"a number far ahead":      {[][]byte{c.v1, root(t, jump, c.alice, c.bob)}, trust.ErrVersion},
		"an order of their own":   {[][]byte{c.v1, c.v3, c.v2}, trust.ErrThreshold},
		"a version twice":         {[][]byte{c.v1, c.v2, c.v2}, trust.ErrVersion},
		"a bundle from version 2": {[][]byte{c.v2, c.v3}, trust.ErrFork},
	} {
		r, err := trust.Walk(c.r1, bundleOf(t, tt.roots...))
		if refused(t, c.r1, r, err, tt.want); t.Failed() {
			t.Fatal(name)
		}
		if _, err := trust.Anchor(enc(t, tt.roots)); err == nil {
			t.Errorf("%s: taken as an anchor", name)
		}
	}
}

// Key compromise of the role root: what a thief of one key, of the old team, or of the new team alone
// can do about the next root: nothing.
func TestAttackRootKeyCompromise(t *testing.T) {
	c := newChain(t)
	mallory := who(t, "mallory")
	own := c.r1.Next(with(c.r1.Spec(), trust.RoleRoot, grant(1, mallory)))
	half := person{Member: c.carol.Member, keys: c.carol.keys[:1]}
	lattice := person{Member: c.carol.Member, keys: c.carol.keys[1:]}
	wide := c.r1.Next(with(c.r1.Spec(), trust.RoleRoot, grant(3, c.alice, c.bob, c.dave)))
	other := c.r1.Next(c.r1.Spec())
	other.Name = "example.org"
	dev := c.r1.Next(c.r1.Spec())
	dev.Development = true
	for name, tt := range map[string]struct {
		next []byte
		want error
	}{
		"nobody signs":                      {root(t, own), trust.ErrThreshold},
		"the new signer alone":              {root(t, own, mallory), trust.ErrNoSigner},
		"one old signer":                    {root(t, own, mallory, c.alice), trust.ErrThreshold},
		"the old team, not the new one":     {root(t, own, c.alice, c.bob), trust.ErrNoSigner},
		"the new threshold is not met":      {root(t, wide, c.alice, c.bob), trust.ErrThreshold},
		"a pair stripped of a lattice half": {root(t, c.r1.Next(c.r1.Spec()), c.alice, half), trust.ErrThreshold},
		"a pair with a lattice half only":   {root(t, c.r1.Next(c.r1.Spec()), c.alice, lattice), trust.ErrThreshold},
		"signers of other roles": {root(t, own, mallory, who(t, "release"),
			who(t, "campaign", trust.Ed25519)), trust.ErrNoSigner},
		"another chain":       {root(t, other, c.alice, c.bob), trust.ErrFork},
		"a development root":  {root(t, dev, c.alice, c.bob), trust.ErrFork},
		"a plan in its place": {cosign(t, "root", document(t, "root", payload), c.alice, c.bob), trust.ErrMalformed},
	} {
		r, err := trust.Walk(c.r1, bundleOf(t, c.v1, tt.next))
		if refused(t, c.r1, r, err, tt.want); t.Failed() {
			t.Fatal(name)
		}
	}
	// A root signed under the name of another kind.
	p, _, err := trust.Payload("root", c.v2)
	if err != nil {
		t.Fatal(err)
	}
	plan := cosign(t, "plan", document(t, "plan", p), c.alice, c.bob)
	if _, err := trust.ParseBundle(enc(t, [][]byte{c.v1, plan})); !errors.Is(err, trust.ErrMalformed) {
		t.Errorf("a root as a plan: %v", err)
	}
	// The two teams that it takes.
	if r, err := trust.Walk(c.r1, bundleOf(t, c.v1, root(t, own, c.alice, c.bob, mallory))); err != nil ||
		r.Version() != 2 {
		t.Errorf("the honest rotation: %v", err)
	}
}

// Key compromise of the other roles: after a rotation nothing of the stolen key counts, and keys that
// stayed cannot lend their old documents: the generation is another one.
func TestAttackStolenKeyAfterRotation(t *testing.T) {
	c := newChain(t)
	for _, role := range []trust.Role{trust.RoleRelease, trust.RoleCampaign, trust.RolePulse, trust.RoleRecovery} {
		old := c.r1.Role(role)[0].Members[0]
		next := root(t, c.r1.Next(with(c.r1.Spec(), role, grant(1, who(t, "new "+string(role))))), c.alice, c.bob)
		r, err := trust.Walk(c.r1, bundleOf(t, c.v1, next))
		if err != nil {
			t.Fatal(err)
		}
		thief := who(t, string(role), old.Keys[0].Alg())
		if thief.ID() != old.ID() {
			t.Fatalf("the thief of %s has the wrong key", role)
		}
		doc := cosign(t, "plan", document(t, "plan", payload), thief)
		if _, _, err := c.r1.Verify(role, "plan", doc); err != nil {
			t.Fatalf("%s: before the rotation: %v", role, err)
		}
		if _, _, err := r.Verify(role, "plan", doc); !errors.Is(err, trust.ErrNoSigner) {
			t.Errorf("%s: after the rotation: %v", role, err)
		}
		if role == trust.RoleRelease {
			_, err := r.Release(trust.Scope{}).Authenticate(payload, envelope(t, thief))
			if !errors.Is(err, trust.ErrNoSigner) {
				t.Errorf("%s: an envelope after the rotation: %v", role, err)
			}
		}
		if r.Generation(role) != 2 {
			t.Errorf("%s: generation %d after the rotation", role, r.Generation(role))
		}
		// None of the stolen keys does the work of another role.
		for _, other := range trust.Roles() {
			if _, _, err := c.r1.Verify(other, "plan", doc); other != role && err == nil {
				t.Errorf("the key of %s speaks for %s", role, other)
			}
		}
	}
}

// Indefinite freeze: a device that is kept from newer roots keeps the one it has, so that it can go on later; that it
// has expired is for the caller to notice.
func TestAttackIndefiniteFreeze(t *testing.T) {
	c := newChain(t)
	if r, err := trust.Walk(c.r1, bundleOf(t, c.v1)); err != nil || r.Digest() != c.r1.Digest() {
		t.Errorf("the bundle it has: version %d, %v", r.Version(), err)
	}
	if _, err := trust.ParseBundle([]byte{}); !errors.Is(err, trust.ErrEmpty) {
		t.Errorf("a cleared message is none: %v", err)
	}
}
