package trust_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/trust"
)

// TestAnchorIsSigned: the root that a device is built with must be what its own signers signed, alone or at
// the head of a bundle, and the reason is told.
func TestAnchorIsSigned(t *testing.T) {
	alice, bob := who(t, "alice", trust.ESP384), who(t, "bob")
	for name, tt := range map[string]struct {
		msg  []byte
		want error
	}{
		"nobody has signed": {root(t, spec(t)), trust.ErrThreshold},
		"one of two":        {root(t, spec(t), alice), trust.ErrThreshold},
		"a stranger":        {root(t, spec(t), who(t, "mallory")), trust.ErrNoSigner},
		"not a root":        {document(t, "root", []byte{0xa0}), trust.ErrMalformed},
	} {
		for form, b := range map[string][]byte{"alone": tt.msg, "in a bundle": enc(t, [][]byte{tt.msg})} {
			if r, err := trust.Anchor(b); !errors.Is(err, tt.want) || !r.IsZero() {
				t.Errorf("%s, %s: root %d, %v, want %v", name, form, r.Version(), err, tt.want)
			}
		}
	}
	good := root(t, spec(t), alice, bob)
	for _, b := range [][]byte{good, enc(t, [][]byte{good})} {
		if r, err := trust.Anchor(b); err != nil || r.Version() != 1 {
			t.Errorf("both: %v", err)
		}
	}
}

// TestRootKnowsItsDevice: the device that a root stands for stays when a newer root is taken.
func TestRootKnowsItsDevice(t *testing.T) {
	alice, bob, campaign := who(t, "alice", trust.ESP384), who(t, "bob"), who(t, "campaign", trust.Ed25519)
	for name, scope := range map[string]trust.Scope{"a vendor": {Vendors: [][16]byte{{1}}},
		"a class": {Classes: [][16]byte{{1}}}} {
		g := grant(1, campaign)
		g.Scope = scope
		v1 := root(t, with(spec(t), trust.RoleCampaign, g), alice, bob)
		r := anchor(t, v1).At(scope)
		plan := cosign(t, "plan", document(t, "plan", payload), campaign)
		if _, _, err := r.Verify(trust.RoleCampaign, "plan", plan); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := anchor(t, v1).Verify(trust.RoleCampaign, "plan", plan); !errors.Is(err, trust.ErrNoSigner) {
			t.Errorf("%s, on a device of none: %v", name, err)
		}
		next, err := trust.Walk(r, bundleOf(t, v1, root(t, r.Next(r.Spec()), alice, bob)))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := next.Verify(trust.RoleCampaign, "plan", plan); err != nil || next.Version() != 2 {
			t.Errorf("%s, under the next root: %v", name, err)
		}
	}
}

// TestGenerationOfUnchangedSigners: a role whose signers stay keeps its generation, or begins one that is new;
// one in between was never there.
func TestGenerationOfUnchangedSigners(t *testing.T) {
	alice, bob := who(t, "alice", trust.ESP384), who(t, "bob")
	v1 := root(t, spec(t), alice, bob)
	r1 := anchor(t, v1)
	v2 := root(t, r1.Next(r1.Spec()), alice, bob)
	r2, err := trust.Walk(r1, bundleOf(t, v1, v2))
	if err != nil {
		t.Fatal(err)
	}
	for generation, ok := range map[uint64]bool{1: true, 2: false, 3: true} {
		s := r2.Next(r2.Spec())
		s.Roles[trust.RolePulse] = trust.RoleSpec{Generation: generation, Grants: s.Roles[trust.RolePulse].Grants}
		_, err := trust.Walk(r2, bundleOf(t, v1, v2, root(t, s, alice, bob)))
		if (err == nil) != ok || err != nil && !errors.Is(err, trust.ErrMalformed) {
			t.Errorf("generation %d: %v", generation, err)
		}
	}
}

// TestRoleTakenFromEverybody: a root may leave a role out, and who had it signs nothing any more, also not when the
// role comes back.
func TestRoleTakenFromEverybody(t *testing.T) {
	alice, bob := who(t, "alice", trust.ESP384), who(t, "bob")
	v1 := root(t, spec(t), alice, bob)
	r := anchor(t, v1)
	gone := r.Next(r.Spec())
	pulse := gone.Roles[trust.RolePulse]
	delete(gone.Roles, trust.RolePulse)
	gone.Members = slices.DeleteFunc(gone.Members,
		func(m trust.Member) bool { return m.ID() == pulse.Grants[0].Members[0].ID() })
	v2 := root(t, gone, alice, bob)
	r, err := trust.Walk(r, bundleOf(t, v1, v2))
	if err != nil || r.Version() != 2 || r.Generation(trust.RolePulse) != 0 || r.Generation(trust.RoleRelease) != 1 {
		t.Fatalf("version %d, generation %d of pulse: %v", r.Version(), r.Generation(trust.RolePulse), err)
	}
	before, back := r, r.Next(spec(t))
	if r, err = trust.Walk(r, bundleOf(t, v1, v2, root(t, back, alice, bob))); err != nil ||
		r.Generation(trust.RolePulse) != 3 {
		t.Errorf("back again: generation %d: %v", r.Generation(trust.RolePulse), err)
	}
	old := back
	old.Roles = maps.Clone(back.Roles)
	old.Roles[trust.RolePulse] = pulse
	if _, err := trust.Walk(before, bundleOf(t, v1, v2, root(t, old, alice, bob))); !errors.Is(err,
		trust.ErrMalformed) {
		t.Errorf("back in its old generation: %v", err)
	}
}

// TestGrantsThatAreReached: a grant behind another one is of use where it covers something that the other does not.
func TestGrantsThatAreReached(t *testing.T) {
	one, two := [][16]byte{{1}}, [][16]byte{{2}}
	eve, eva := who(t, "eve"), who(t, "eva")
	for name, tt := range map[string]struct {
		first, second trust.Scope
		ok            bool
	}{
		"a class, then all":                 {trust.Scope{Classes: one}, trust.Scope{}, true},
		"a vendor, then all":                {trust.Scope{Vendors: one}, trust.Scope{}, true},
		"all, then a class":                 {trust.Scope{}, trust.Scope{Classes: one}, false},
		"a class, then another":             {trust.Scope{Classes: one}, trust.Scope{Classes: two}, true},
		"a vendor, then another":            {trust.Scope{Vendors: one}, trust.Scope{Vendors: two}, true},
		"a vendor, then a class":            {trust.Scope{Vendors: one}, trust.Scope{Classes: one}, true},
		"a class, then the same":            {trust.Scope{Classes: one}, trust.Scope{Classes: one}, false},
		"a part, then all":                  {trust.Scope{Component: "app"}, trust.Scope{}, true},
		"a part, then another":              {trust.Scope{Component: "app"}, trust.Scope{Component: "boot"}, true},
		"a part, then one below it":         {trust.Scope{Component: "app"}, trust.Scope{Component: "app/x"}, false},
		"a part, then one with its letters": {trust.Scope{Component: "app"}, trust.Scope{Component: "apple"}, true},
		"a class's part, then the part": {trust.Scope{Classes: one, Component: "app"},
			trust.Scope{Component: "app"}, true},
	} {
		a, b := grant(1, eve), grant(1, eva)
		a.Scope, b.Scope = tt.first, tt.second
		if _, err := trust.BuildRoot(with(spec(t), trust.RoleRelease, a, b)); (err == nil) != tt.ok ||
			err != nil && !strings.Contains(err.Error(), "never reached") {
			t.Errorf("%s: %v", name, err)
		}
	}
	nobody := spec(t)
	nobody.Roles[trust.RoleRelease] = trust.RoleSpec{Generation: 1,
		Grants: []trust.Grant{{Threshold: 1, Members: []trust.Member{{Name: "nobody"}}}}}
	if _, err := trust.BuildRoot(nobody); err == nil {
		t.Error("a signer without a key was taken")
	}
}

// TestSigningOfWhatIsNone: nothing but a document of its kind is signed, and only while it stays one.
func TestSigningOfWhatIsNone(t *testing.T) {
	s := signer(t, "release-ed25519")
	plan := document(t, "plan", payload)
	for name, msg := range map[string][]byte{"nothing": nil, "garbage": []byte("x"),
		"another kind": document(t, "pulse", payload)} {
		if _, err := trust.SignDocument("plan", msg, s); err == nil {
			t.Errorf("%s was signed", name)
		}
	}
	if _, err := trust.SignDocument("plan", plan, s); err != nil {
		t.Error(err)
	}
	over := len(document(t, "plan", make([]byte, 1<<15))) - 1<<15
	if _, err := trust.SignDocument("plan", document(t, "plan", make([]byte, trust.MaxMessage-over)), s); err == nil {
		t.Error("a signature made a document longer than anybody reads")
	}
}

// TestOlderEdDSA: a root may admit the older name of Ed25519 too.
func TestOlderEdDSA(t *testing.T) {
	release := who(t, "release-ed", trust.Ed25519)
	s := with(spec(t), trust.RoleRelease, grant(1, release))
	older := [][]byte{sign1(t, release.keys[0], map[any]any{1: -8}, nil, false)}
	team := []person{who(t, "alice", trust.ESP384), who(t, "bob")}
	strict := anchor(t, root(t, s, team...)).Release(trust.Scope{})
	if _, err := strict.Authenticate(payload, older); !errors.Is(err, trust.ErrAlgorithm) {
		t.Errorf("not admitted: %v", err)
	}
	s.Algorithms = append(s.Algorithms, -8)
	if ids, err := anchor(t, root(t, s, team...)).Release(trust.Scope{}).Authenticate(payload, older); err != nil ||
		len(ids) != 1 {
		t.Errorf("admitted: %v, %v", ids, err)
	}
}

// TestOtherFiles: what is in a file that holds no public key is told.
func TestOtherFiles(t *testing.T) {
	const certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	if _, err := trust.ParsePublic([]byte(certificate)); err == nil || !strings.Contains(err.Error(), "CERTIFICATE") {
		t.Errorf("%v", err)
	}
}
