package trust_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"testing"
	"time"

	"filippo.io/mldsa"

	"github.com/ratchet-ota/ratchet/agent/trust"
)

// made makes the private key that a name stands for: the same in every run, so that vectors are
// stable and a test reads as a story. Published, therefore worthless.
func made(t testing.TB, name string, alg int64) *trust.Signer {
	t.Helper()
	seed := sha256.Sum256([]byte("ratchet test key " + name))
	var (
		priv crypto.Signer
		err  error
	)
	switch alg {
	case trust.ESP256:
		priv, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	case trust.ESP384:
		long := sha512.Sum384([]byte("ratchet test key " + name))
		priv, err = ecdsa.ParseRawPrivateKey(elliptic.P384(), long[:])
	case trust.Ed25519:
		priv = ed25519.NewKeyFromSeed(seed[:])
	case trust.MLDSA65:
		priv, err = mldsa.NewPrivateKey(mldsa.MLDSA65(), seed[:])
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := trust.NewSigner(priv)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// person is a signer with its private keys.
type person struct {
	trust.Member
	keys []*trust.Signer
}

// who makes a signer: an ESP256 key unless algorithms say otherwise.
func who(t testing.TB, name string, algs ...int64) person {
	t.Helper()
	if len(algs) == 0 {
		algs = []int64{trust.ESP256}
	}
	p := person{Member: trust.Member{Name: name}}
	for _, a := range algs {
		s := made(t, name, a)
		p.keys = append(p.keys, s)
		p.Keys = append(p.Keys, s.Key())
	}
	return p
}

func grant(threshold int, people ...person) trust.Grant {
	g := trust.Grant{Threshold: threshold}
	for _, p := range people {
		g.Members = append(g.Members, p.Member)
	}
	return g
}

var (
	issued  = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	expires = time.Date(2027, 11, 1, 0, 0, 0, 0, time.UTC)
)

// spec is a first root: 2 of 3 for root, 1 of 1 for the others.
func spec(t testing.TB) trust.RootSpec {
	one := func(name string, alg int64) trust.RoleSpec {
		return trust.RoleSpec{Generation: 1, Grants: []trust.Grant{grant(1, who(t, name, alg))}}
	}
	return complete(trust.RootSpec{
		Version: 1, Name: "example.com", Issued: issued, Expires: expires,
		Algorithms: []int64{trust.ESP384, trust.MLDSA65, trust.Ed25519, trust.ESP256},
		Roles: map[trust.Role]trust.RoleSpec{
			trust.RoleRoot: {Generation: 1, Grants: []trust.Grant{grant(2,
				who(t, "alice", trust.ESP384), who(t, "bob"), who(t, "carol", trust.Ed25519, trust.MLDSA65))}},
			trust.RoleRelease:  one("release", trust.ESP256),
			trust.RoleCampaign: one("campaign", trust.Ed25519),
			trust.RolePulse:    one("pulse", trust.Ed25519),
			trust.RoleRecovery: one("recovery", trust.ESP256),
		},
	})
}

// complete lists the signers of all grants.
func complete(s trust.RootSpec) trust.RootSpec {
	s.Members = nil
	seen := map[string]bool{}
	for _, role := range trust.Roles() {
		for _, g := range s.Roles[role].Grants {
			for _, m := range g.Members {
				if !seen[m.ID()] {
					s.Members = append(s.Members, m)
				}
				seen[m.ID()] = true
			}
		}
	}
	return s
}

// with returns the spec with one role given to somebody else.
func with(s trust.RootSpec, role trust.Role, grants ...trust.Grant) trust.RootSpec {
	roles := map[trust.Role]trust.RoleSpec{}
	for r, v := range s.Roles {
		roles[r] = v
	}
	roles[role] = trust.RoleSpec{Generation: s.Roles[role].Generation, Grants: grants}
	s.Roles = roles
	return complete(s)
}

// root builds and signs.
func root(t testing.TB, s trust.RootSpec, people ...person) []byte {
	t.Helper()
	msg, err := trust.BuildRoot(s)
	if err != nil {
		t.Fatal(err)
	}
	return cosign(t, "root", msg, people...)
}

func cosign(t testing.TB, kind string, msg []byte, people ...person) []byte {
	t.Helper()
	for _, p := range people {
		for _, k := range p.keys {
			var err error
			if msg, err = trust.SignDocument(kind, msg, k); err != nil {
				t.Fatal(err)
			}
		}
	}
	return msg
}

func anchor(t testing.TB, b []byte) trust.Root {
	t.Helper()
	r, err := trust.Anchor(b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// bundleOf puts roots into a bundle whatever they are.
func bundleOf(t testing.TB, roots ...[]byte) trust.Bundle {
	t.Helper()
	b, err := trust.ParseBundle(enc(t, roots))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// refused wants an error of a kind, and the trusted root unchanged.
func refused(t *testing.T, trusted, got trust.Root, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
	if got.Version() != trusted.Version() || got.Digest() != trusted.Digest() {
		t.Errorf("a refused bundle moved the root from %d to %d", trusted.Version(), got.Version())
	}
}
