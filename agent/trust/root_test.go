package trust_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/trust"
)

// A root says what was put into it, and says it in the same bytes however often it is built and in
// whatever order people sign.
func TestRootSaysWhatItIs(t *testing.T) {
	s := spec(t)
	revoked := "sha256:" + strings.Repeat("0a", 32)
	s.Components = map[string]trust.SequenceRange{"rootfs": {Min: 7, Max: 900}, "app/x": {Max: 5}}
	s.Revoked = []string{revoked}
	alice, bob, carol := who(t, "alice", trust.ESP384), who(t, "bob"), who(t, "carol", trust.Ed25519, trust.MLDSA65)
	msg := root(t, s, alice, bob, carol)
	if again := root(t, s, carol, bob, alice); !bytes.Equal(again, msg) {
		t.Error("another order of signing gives another file")
	}
	if again := cosign(t, "root", msg, bob); !bytes.Equal(again, msg) {
		t.Error("signing twice changes the file")
	}
	r := anchor(t, msg)
	if r.Version() != 1 || r.Name() != "example.com" || r.Development() || !r.Issued().Equal(issued) ||
		!r.Expires().Equal(expires) {
		t.Errorf("%+v", r.Spec())
	}
	if g := r.Role(trust.RoleRoot); len(g) != 1 || g[0].Threshold != 2 || len(g[0].Members) != 3 ||
		r.Generation(trust.RoleRoot) != 1 {
		t.Errorf("root role %+v", g)
	}
	for c, want := range map[string][2]uint64{"rootfs": {7, 900}, "app/x": {0, 5}, "app": {0, math.MaxUint64}} {
		if lo, hi := r.SequenceRange(c); lo != want[0] || hi != want[1] {
			t.Errorf("%s: %d to %d, want %v", c, lo, hi, want)
		}
	}
	if !r.Revoked(revoked) || r.Revoked("sha256:"+strings.Repeat("0b", 32)) || r.Revoked("") {
		t.Error("revoked digests are wrong")
	}
	if b, err := trust.BuildRoot(r.Spec()); err != nil {
		t.Error(err)
	} else if p, _, _ := trust.Payload("root", b); !bytes.Contains(msg, p) {
		t.Error("a root built from its own spec differs")
	}
}

// Every rule of validate, in the building and (through the same code) in the reading of a root.
func TestRootRefusesToBe(t *testing.T) {
	alice, bob, eve := who(t, "alice", trust.ESP384), who(t, "bob"), who(t, "eve")
	id := func(b byte) [16]byte { return [16]byte{b} }
	scoped := func(g trust.Grant, s trust.Scope) trust.Grant { g.Scope = s; return g }
	for name, tt := range map[string]struct {
		change func(s *trust.RootSpec)
		says   string
	}{
		"version 0":             {func(s *trust.RootSpec) { s.Version = 0 }, "count from 1"},
		"no name":               {func(s *trust.RootSpec) { s.Name = "" }, "name"},
		"a name with escapes":   {func(s *trust.RootSpec) { s.Name = "a\x1b[2J" }, "name"},
		"ends before it begins": {func(s *trust.RootSpec) { s.Expires = s.Issued }, "expires before"},
		"parts of seconds":      {func(s *trust.RootSpec) { s.Expires = s.Expires.Add(1) }, "whole seconds"},
		"before 1970":           {func(s *trust.RootSpec) { s.Issued = time.Unix(-1, 0) }, "whole seconds"},
		"unknown algorithm": {func(s *trust.RootSpec) { s.Algorithms = append([]int64{-257}, s.Algorithms...) },
			"not known"},
		"algorithms unsorted": {func(s *trust.RootSpec) {
			s.Algorithms = []int64{trust.ESP256, trust.Ed25519, trust.MLDSA65, trust.ESP384}
		}, "out of order"},
		"a key of an algorithm that is not allowed": {func(s *trust.RootSpec) {
			s.Algorithms = []int64{trust.ESP384, trust.MLDSA65, trust.Ed25519}
		}, "not among the allowed"},
		"too many signers": {func(s *trust.RootSpec) {
			s.Members = make([]trust.Member, trust.MaxMembers+1)
		}, "at most"},
		"duplicate keys under two ids": {func(s *trust.RootSpec) {
			twin := trust.Member{Name: "twin",
				Keys: []trust.Key{made(t, "dora", trust.Ed25519).Key(), made(t, "twin", trust.MLDSA65).Key()}}
			s.Roles[trust.RoleRoot] = trust.RoleSpec{Generation: 1, Grants: []trust.Grant{
				{Threshold: 2, Members: []trust.Member{alice.Member, twin, {Name: "dora", Keys: twin.Keys[:1]}}}}}
			*s = complete(*s)
			s.Members = append(s.Members, trust.Member{Name: "dora", Keys: twin.Keys[:1]})
		}, "listed twice"},
		"one lattice key in two pairs": {func(s *trust.RootSpec) {
			half := made(t, "half", trust.MLDSA65).Key()
			*s = with(*s, trust.RoleRoot, trust.Grant{Threshold: 2, Members: []trust.Member{
				{Name: "a", Keys: []trust.Key{made(t, "a", trust.ESP256).Key(), half}},
				{Name: "b", Keys: []trust.Key{made(t, "b", trust.ESP256).Key(), half}}}})
		}, "listed twice"},
		"a lattice key alone": {func(s *trust.RootSpec) {
			*s = with(*s, trust.RolePulse, grant(1, who(t, "pulse", trust.MLDSA65)))
		}, "a pair is"},
		"two ordinary keys as a pair": {func(s *trust.RootSpec) {
			*s = with(*s, trust.RolePulse, grant(1, who(t, "pulse", trust.Ed25519, trust.ESP256)))
		}, "a pair is"},
		"three keys": {func(s *trust.RootSpec) {
			*s = with(*s, trust.RolePulse, grant(1, who(t, "pulse", trust.Ed25519, trust.MLDSA65, trust.ESP256)))
		}, "want one, or a pair"},
		"a key in two roles": {func(s *trust.RootSpec) {
			*s = with(*s, trust.RolePulse, grant(1, who(t, "campaign", trust.Ed25519)))
		}, "one key, one role"},
		"a role nobody knows": {func(s *trust.RootSpec) {
			s.Roles["admin"] = trust.RoleSpec{Generation: 1, Grants: []trust.Grant{grant(1, bob)}}
		}, "not known"},
		"no root role": {func(s *trust.RootSpec) { delete(s.Roles, trust.RoleRoot); *s = complete(*s) }, "role root"},
		"root role with a scope": {func(s *trust.RootSpec) {
			*s = with(*s, trust.RoleRoot, scoped(grant(1, alice), trust.Scope{Vendors: [][16]byte{id(1)}}))
		}, "role root"},
		"threshold 0": {func(s *trust.RootSpec) {
			*s = with(*s, trust.RolePulse, grant(0, eve))
		}, "threshold"},
		"threshold above n": {func(s *trust.RootSpec) {
			*s = with(*s, trust.RolePulse, grant(2, eve))
		}, "threshold"},
		"a signer twice": {func(s *trust.RootSpec) { *s = with(*s, trust.RolePulse, grant(2, eve, eve)) },
			"listed twice"},
		"a role without grants": {func(s *trust.RootSpec) { *s = with(*s, trust.RolePulse) }, "0 grants"},
		"too many grants": {func(s *trust.RootSpec) {
			*s = with(*s, trust.RolePulse, make([]trust.Grant, trust.MaxGrants+1)...)
		}, "grants"},
		"generation 0": {func(s *trust.RootSpec) {
			s.Roles[trust.RolePulse] = trust.RoleSpec{Grants: s.Roles[trust.RolePulse].Grants}
		}, "generation 0"},
		"generation to come": {func(s *trust.RootSpec) {
			s.Roles[trust.RolePulse] = trust.RoleSpec{Generation: 2, Grants: s.Roles[trust.RolePulse].Grants}
		}, "generation 2"},
		"a signer who is not listed": {func(s *trust.RootSpec) { s.Members = s.Members[1:] }, "not in the list"},
		"a listed signer without a role": {func(s *trust.RootSpec) {
			s.Members = append(s.Members, eve.Member)
		}, "no role"},
		"a grant behind a general one": {func(s *trust.RootSpec) {
			*s = with(*s, trust.RoleRelease, grant(1, eve), scoped(grant(1, eve), trust.Scope{Component: "boot"}))
		}, "never reached"},
		"a grant behind its own class": {func(s *trust.RootSpec) {
			*s = with(*s, trust.RoleRelease,
				scoped(grant(1, eve), trust.Scope{Classes: [][16]byte{id(1), id(2)}, Component: "app"}),
				scoped(grant(1, eve), trust.Scope{Classes: [][16]byte{id(2)}, Component: "app/x"}))
		}, "never reached"},
		"a component for another role": {func(s *trust.RootSpec) {
			*s = with(*s, trust.RolePulse, scoped(grant(1, eve), trust.Scope{Component: "boot"}))
		}, "component"},
		"scope out of order": {func(s *trust.RootSpec) {
			*s = with(*s, trust.RoleRelease, scoped(grant(1, eve), trust.Scope{Vendors: [][16]byte{id(2), id(1)}}))
		}, "out of order"},
		"too many classes": {func(s *trust.RootSpec) {
			*s = with(*s, trust.RoleRelease,
				scoped(grant(1, eve), trust.Scope{Classes: make([][16]byte, trust.MaxScope+1)}))
		}, "at most"},
		"a range upside down": {func(s *trust.RootSpec) {
			s.Components = map[string]trust.SequenceRange{"rootfs": {Min: 2, Max: 1}}
		}, "lower number first"},
		"a component without name": {func(s *trust.RootSpec) { s.Components = map[string]trust.SequenceRange{"": {}} },
			"component"},
		"revoked twice": {func(s *trust.RootSpec) {
			d := "sha256:" + strings.Repeat("00", 32)
			s.Revoked = []string{d, d}
		}, "listed twice"},
		"revoked something else":   {func(s *trust.RootSpec) { s.Revoked = []string{"md5:00"} }, "revoked"},
		"revoked with a short sum": {func(s *trust.RootSpec) { s.Revoked = []string{"sha256:00"} }, "hex digits"},
		"roles without signers":    {func(s *trust.RootSpec) { s.Members = nil }, "not in the list"},
		"too many revoked digests": {func(s *trust.RootSpec) {
			s.Revoked = make([]string, trust.MaxRevoked+1)
		}, "at most"},
		"too many components": {func(s *trust.RootSpec) {
			s.Components = map[string]trust.SequenceRange{}
			for i := range trust.MaxComponents + 1 {
				s.Components[strings.Repeat("c", i+1)] = trust.SequenceRange{}
			}
		}, "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec(t)
			tt.change(&s)
			if _, err := trust.BuildRoot(s); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v, want something about %q", err, tt.says)
			}
		})
	}
}

// A root is walked one version at a time, by a device that was away through any number of them, with
// or without a clock.
func TestWalk(t *testing.T) {
	alice, bob, carol := who(t, "alice", trust.ESP384), who(t, "bob"), who(t, "carol", trust.Ed25519, trust.MLDSA65)
	dave, erin := who(t, "dave", trust.Ed25519), who(t, "erin", trust.ESP384, trust.MLDSA65)
	v1 := root(t, spec(t), alice, bob)
	r1 := anchor(t, v1)

	// 2: carol leaves, dave comes; signed by two of the old and two of the new.
	s2 := r1.Next(with(r1.Spec(), trust.RoleRoot, grant(2, alice, bob, dave)))
	s2.Expires = issued.Add(24 * time.Hour) // long ago when the device comes back
	v2 := root(t, s2, carol, bob, dave)
	r2 := anchor(t, v2)
	// 3: a whole new team; nobody of it was in 1.
	s3 := r2.Next(with(r2.Spec(), trust.RoleRoot, grant(1, erin)))
	s3.Expires = expires.AddDate(5, 0, 0)
	v3 := root(t, s3, alice, dave, erin)

	b := bundleOf(t, v1, v2, v3)
	got, err := trust.Walk(r1, b)
	if err != nil || got.Version() != 3 {
		t.Fatalf("version %d, %v", got.Version(), err)
	}
	if g := got.Generation(trust.RoleRoot); g != 3 {
		t.Errorf("generation of root is %d", g)
	}
	if g := got.Generation(trust.RolePulse); g != 1 {
		t.Errorf("generation of pulse is %d: its signers never changed", g)
	}
	if again, err := trust.Walk(got, b); err != nil || again.Digest() != got.Digest() {
		t.Errorf("the same bundle again: %v", err)
	}
	if r := anchor(t, enc(t, [][]byte{v1, v2, v3})); r.Version() != 3 {
		t.Errorf("a bundle as anchor gives version %d", r.Version())
	}
	// The bundle may end between: the next one is taken under what it ended with.
	r, err := trust.Walk(r1, bundleOf(t, v1, v2))
	if err != nil || r.Version() != 2 {
		t.Errorf("a bundle that ends before: version %d, %v", r.Version(), err)
	}
	if r, err = trust.Walk(r, b); err != nil || r.Version() != 3 {
		t.Errorf("from there: version %d, %v", r.Version(), err)
	}
	if _, err := trust.ParseBundle(nil); !errors.Is(err, trust.ErrEmpty) {
		t.Errorf("an empty retained message: %v", err)
	}
	if _, err := trust.Walk(trust.Root{}, b); err == nil {
		t.Error("walked from nothing")
	}
	if _, err := trust.BuildBundle(v1, v3); err == nil {
		t.Error("built a bundle that no device can walk")
	}
	if _, err := trust.BuildBundle(v1, v2, v3); err != nil {
		t.Error(err)
	}
}

// The generation of a role is fresh exactly when its signers change, or when somebody wants it.
func TestGeneration(t *testing.T) {
	alice, bob := who(t, "alice", trust.ESP384), who(t, "bob")
	v1 := root(t, spec(t), alice, bob)
	r1 := anchor(t, v1)
	walkTo := func(s trust.RootSpec) (trust.Root, error) {
		return trust.Walk(r1, bundleOf(t, v1, root(t, s, alice, bob)))
	}
	if r, err := walkTo(r1.Next(r1.Spec(), trust.RolePulse)); err != nil || r.Generation(trust.RolePulse) != 2 ||
		r.Generation(trust.RoleCampaign) != 1 {
		t.Errorf("renewed: %v", err)
	}
	renamed := r1.Next(r1.Spec())
	renamed.Roles[trust.RolePulse].Grants[0].Members[0].Name = "another name"
	renamed = complete(renamed)
	if r, err := walkTo(renamed); err != nil || r.Generation(trust.RolePulse) != 1 {
		t.Errorf("a name is no identity: %v", err)
	}
	changed := r1.Next(with(r1.Spec(), trust.RolePulse, grant(1, who(t, "other", trust.Ed25519))))
	stale := changed
	stale.Roles = with(changed, trust.RolePulse, changed.Roles[trust.RolePulse].Grants...).Roles
	stale.Roles[trust.RolePulse] = trust.RoleSpec{Generation: 1, Grants: changed.Roles[trust.RolePulse].Grants}
	r, err := walkTo(stale)
	refused(t, r1, r, err, trust.ErrMalformed)
	if r, err := walkTo(changed); err != nil || r.Generation(trust.RolePulse) != 2 {
		t.Errorf("changed: %v", err)
	}
	old := r1.Next(r1.Spec())
	old.Version = 3
	old.Roles[trust.RolePulse] = trust.RoleSpec{Generation: 2, Grants: old.Roles[trust.RolePulse].Grants}
	old.Version = 2
	if r, err := walkTo(old); err != nil || r.Generation(trust.RolePulse) != 2 {
		t.Errorf("renewed by hand: %v", err)
	}
}

// A review says who is missing, and what a device would say.
func TestReview(t *testing.T) {
	alice, bob, carol := who(t, "alice", trust.ESP384), who(t, "bob"), who(t, "carol", trust.Ed25519, trust.MLDSA65)
	r1 := anchor(t, root(t, spec(t), alice, bob))
	s2 := r1.Next(with(r1.Spec(), trust.RoleRoot, grant(2, alice, bob, who(t, "dave"))))
	msg := root(t, s2, alice)
	v, err := trust.ReviewRoot(msg, r1)
	if err != nil || v.Old.Met() || v.Own.Met() || len(v.Old.Missing) != 2 || v.Old.Signed[0].Name != "alice" ||
		!errors.Is(v.Err, trust.ErrThreshold) {
		t.Fatalf("%+v, %v", v, err)
	}
	half := person{Member: carol.Member, keys: carol.keys[:1]}
	if v, _ = trust.ReviewRoot(cosign(t, "root", msg, half), r1); v.Old.Met() {
		t.Error("half of a pair counts")
	}
	if v, _ = trust.ReviewRoot(cosign(t, "root", msg, bob), r1); !v.Old.Met() || !v.Own.Met() || v.Err != nil {
		t.Errorf("%+v", v)
	}
	if v, err = trust.ReviewRoot(root(t, spec(t)), trust.Root{}); err != nil || !errors.Is(v.Err, trust.ErrThreshold) {
		t.Errorf("an unsigned first root: %v, %v", v.Err, err)
	}
	if _, err := trust.SignRoot([]byte("x"), alice.keys[0]); err == nil {
		t.Error("signed something else")
	}
	if _, err := trust.SignRoot(cosign(t, "root", document(t, "root", []byte{0xa0})), alice.keys[0]); err == nil {
		t.Error("signed a root that no device could take")
	}
}

func document(t testing.TB, kind string, payload []byte) []byte {
	t.Helper()
	b, err := trust.BuildDocument(kind, payload)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
