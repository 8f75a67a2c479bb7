package trust_test

import (
	"errors"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/trust"
)

// TestMostTellingReason: of several signatures that do not count, the one that says most gives the reason,
// in whatever order they stand: a broken one, then a stranger's, then one of an algorithm that is not allowed.
func TestMostTellingReason(t *testing.T) {
	k := keys(t, false, "release-ed25519", "release-p256")
	ours := signer(t, "release-ed25519")
	stranger, err := trust.Generate(trust.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	broken := sign1(t, stranger, map[any]any{1: trust.Ed25519}, kidOf(t, ours), false)
	foreign := block(t, stranger)
	older := sign1(t, ours, map[any]any{1: -8}, nil, false)
	for _, tt := range []struct {
		name string
		list [][]byte
		want error
	}{
		{"broken", [][]byte{broken}, trust.ErrSignature},
		{"a stranger", [][]byte{foreign}, trust.ErrNoSigner},
		{"an older algorithm", [][]byte{older}, trust.ErrAlgorithm},
		{"broken first", [][]byte{broken, foreign, older}, trust.ErrSignature},
		{"broken last", [][]byte{older, foreign, broken}, trust.ErrSignature},
		{"a stranger first", [][]byte{foreign, older}, trust.ErrNoSigner},
		{"a stranger last", [][]byte{older, foreign}, trust.ErrNoSigner},
	} {
		_, err := k.Authenticate(payload, tt.list)
		for _, e := range []error{trust.ErrSignature, trust.ErrNoSigner, trust.ErrAlgorithm} {
			if errors.Is(err, e) != (e == tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
		}
	}
}

// TestWithoutAKeyID: a signature that names no key is tried with each anchor of its algorithm.
func TestWithoutAKeyID(t *testing.T) {
	ours := signer(t, "release-ed25519")
	stranger, err := trust.Generate(trust.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	none := func(s *trust.Signer) [][]byte {
		return [][]byte{sign1(t, s, map[any]any{1: s.Key().Alg()}, nil, false)}
	}
	k := keys(t, false, "release-p256", "release-ed25519")
	if ids, err := k.Authenticate(payload, none(ours)); err != nil || len(ids) != 1 || ids[0] != ours.Key().ID() {
		t.Errorf("ours: %v, %v", ids, err)
	}
	if _, err := k.Authenticate(payload, none(stranger)); !errors.Is(err, trust.ErrSignature) {
		t.Errorf("a stranger's fits none: %v", err)
	}
	if _, err := keys(t, false, "release-p256").Authenticate(payload, none(ours)); !errors.Is(err, trust.ErrNoSigner) {
		t.Errorf("no anchor has the algorithm: %v", err)
	}
	// A protected one counts as much as the other.
	protected := sign1(t, ours,
		map[any]any{1: trust.Ed25519, 4: unhex(t, signer(t, "release-p256").Key().ID())}, nil, false)
	if _, err := k.Authenticate(payload, [][]byte{protected}); !errors.Is(err, trust.ErrAlgorithm) {
		t.Errorf("it names a key of another algorithm: %v", err)
	}
}

// TestCriticalHeaders: what must be understood is understood, or the whole is refused.
func TestCriticalHeaders(t *testing.T) {
	s := signer(t, "release-ed25519")
	k := keys(t, false, "release-ed25519")
	with := func(crit ...any) map[any]any {
		return map[any]any{1: s.Key().Alg(), 2: crit, 4: unhex(t, s.Key().ID()), 16: "application/x"}
	}
	for _, tt := range []struct {
		name           string
		headers        map[any]any
		block, message bool
	}{
		{"algorithm", with(1), true, true},
		{"key id", with(4), true, true},
		{"both", with(1, 4), true, true},
		{"typ", with(16), false, true},
		{"something else", with(1, 33), false, false},
	} {
		tt.headers[33] = []byte{1}
		_, err := k.Authenticate(payload, [][]byte{sign1(t, s, tt.headers, nil, false)})
		if (err == nil) != tt.block || err != nil && !errors.Is(err, trust.ErrMalformed) {
			t.Errorf("%s, in a block: %v", tt.name, err)
		}
		_, _, err = k.Verify1(sign1(t, s, tt.headers, nil, true), nil, "x")
		if (err == nil) != tt.message || err != nil && !errors.Is(err, trust.ErrMalformed) {
			t.Errorf("%s, in a message: %v", tt.name, err)
		}
	}
}

// TestGrantsOfOneComponent: where a component is asked for, the first grant that covers it decides alone.
func TestGrantsOfOneComponent(t *testing.T) {
	app, all := who(t, "app-team"), who(t, "release")
	scoped := grant(1, app)
	scoped.Scope.Component = "app"
	r := anchor(t,
		root(t, with(spec(t), trust.RoleRelease, scoped, grant(1, all)), who(t, "alice", trust.ESP384), who(t, "bob")))
	one := r.Release(trust.Scope{Component: "app"})
	if ids, err := one.Authenticate(payload, envelope(t, app)); err != nil || len(ids) != 1 {
		t.Errorf("who may release it: %v, %v", ids, err)
	}
	if ids, err := one.Authenticate(payload, envelope(t, all)); err == nil {
		t.Errorf("the signer of a later grant: %v", ids)
	}
	if err := one.Covers([]string{app.ID()}, "rootfs"); !errors.Is(err, trust.ErrNoSigner) {
		t.Errorf("another component: %v", err)
	}
	any := r.Release(trust.Scope{})
	if ids, err := any.Authenticate(payload, envelope(t, app, all)); err != nil || len(ids) != 2 {
		t.Errorf("both: %v, %v", ids, err)
	}
	if any.Covers([]string{all.ID()}, "app") == nil || any.Covers([]string{app.ID()}, "rootfs") == nil {
		t.Error("one signs for the other")
	}
	// One who stands in two grants has signed once.
	both := grant(1, all)
	both.Scope.Component = "app"
	r = anchor(t,
		root(t, with(spec(t), trust.RoleRelease, both, grant(1, all)), who(t, "alice", trust.ESP384), who(t, "bob")))
	if ids, err := r.Release(trust.Scope{}).Authenticate(payload, envelope(t, all)); err != nil || len(ids) != 1 {
		t.Errorf("one of two grants: %v, %v", ids, err)
	}
}

// TestWhatRenewsARole: a change of threshold or scope gives a role a new generation, as other signers do.
func TestWhatRenewsARole(t *testing.T) {
	v1 := root(t, with(spec(t), trust.RoleRelease, grant(1, who(t, "one"), who(t, "two"))),
		who(t, "alice", trust.ESP384), who(t, "bob"))
	r := anchor(t, v1)
	for name, change := range map[string]func(g *trust.Grant){
		"threshold": func(g *trust.Grant) { g.Threshold = 2 },
		"vendor":    func(g *trust.Grant) { g.Scope.Vendors = [][16]byte{{1}} },
		"class":     func(g *trust.Grant) { g.Scope.Classes = [][16]byte{{1}} },
		"component": func(g *trust.Grant) { g.Scope.Component = "app" },
		"nothing":   func(*trust.Grant) {},
	} {
		s := r.Spec()
		g := s.Roles[trust.RoleRelease].Grants[0]
		change(&g)
		s.Roles[trust.RoleRelease] = trust.RoleSpec{Generation: 1, Grants: []trust.Grant{g}}
		next := r.Next(s)
		if got := next.Roles[trust.RoleRelease].Generation; (got == 2) != (name != "nothing") {
			t.Errorf("%s: generation %d", name, got)
		}
		if s.Version != 1 || s.Roles[trust.RoleRelease].Generation != 1 {
			t.Errorf("%s: what the next root was made from has changed", name)
		}
		old := next
		old.Roles = map[trust.Role]trust.RoleSpec{}
		for role, rs := range next.Roles {
			rs.Generation = 1
			old.Roles[role] = rs
		}
		_, err := trust.Walk(r, bundleOf(t, v1, root(t, old, who(t, "alice", trust.ESP384), who(t, "bob"))))
		if (err == nil) != (name == "nothing") {
			t.Errorf("%s, under the old generation: %v", name, err)
		}
	}
	fresh := r.Spec()
	fresh.Roles = map[trust.Role]trust.RoleSpec{trust.RoleRecovery: {}}
	if got := anchorless().Next(fresh).Roles[trust.RoleRecovery].Generation; got != 1 {
		t.Errorf("a role that was not there before has generation %d", got)
	}
}

func anchorless() trust.Root { return trust.Root{} }

// TestASpecIsACopy: what a caller does with it changes no root.
func TestASpecIsACopy(t *testing.T) {
	s := spec(t)
	s.Components = map[string]trust.SequenceRange{"rootfs": {Min: 1, Max: 9}}
	s.Revoked = []string{"sha256:" + "00000000000000000000000000000000" + "00000000000000000000000000000000"}
	r := anchor(t, root(t, s, who(t, "alice", trust.ESP384), who(t, "bob")))
	got := r.Spec()
	got.Algorithms[0], got.Members[0].Name, got.Revoked[0] = 0, "mallory", "sha256:ff"
	got.Components["rootfs"] = trust.SequenceRange{}
	got.Roles[trust.RoleRoot].Grants[0].Threshold = 0
	delete(got.Roles, trust.RolePulse)
	again := r.Spec()
	if again.Algorithms[0] == 0 || again.Members[0].Name == "mallory" || again.Revoked[0] == "sha256:ff" ||
		again.Components["rootfs"].Max != 9 ||
		again.Roles[trust.RoleRoot].Grants[0].Threshold != 2 || len(again.Roles[trust.RolePulse].Grants) != 1 {
		t.Errorf("%+v", again)
	}
}

// TestReviewOfDocuments: how far a plan is signed, by those who may sign it for such a device.
func TestReviewOfDocuments(t *testing.T) {
	campaign := who(t, "campaign", trust.Ed25519)
	scoped := grant(1, campaign)
	scoped.Scope.Classes = [][16]byte{{1}}
	r := anchor(t, root(t, with(spec(t), trust.RoleCampaign, scoped), who(t, "alice", trust.ESP384), who(t, "bob")))
	msg := document(t, "plan", payload)
	if _, err := r.ReviewDocument(trust.RoleCampaign, "plan", msg); !errors.Is(err, trust.ErrNoSigner) {
		t.Errorf("a device of no class: %v", err)
	}
	at := r.At(trust.Scope{Classes: [][16]byte{{1}}})
	q, err := at.ReviewDocument(trust.RoleCampaign, "plan", msg)
	if err != nil || q.Met() || len(q.Missing) != 1 || q.Threshold != 1 {
		t.Errorf("unsigned: %+v, %v", q, err)
	}
	if q, err = at.ReviewDocument(trust.RoleCampaign, "plan", cosign(t, "plan", msg, campaign)); err != nil ||
		!q.Met() || len(q.Signed) != 1 {
		t.Errorf("signed: %+v, %v", q, err)
	}
	if _, err := at.ReviewDocument(trust.RoleCampaign, "plan", []byte("x")); !errors.Is(err, trust.ErrMalformed) {
		t.Errorf("no document: %v", err)
	}
	if (trust.Quorum{}).Met() {
		t.Error("nobody is enough")
	}
}

// TestMembersInTheirOrder: a grant may name its signers in any order; the root is the same.
func TestMembersInTheirOrder(t *testing.T) {
	one, two := who(t, "one"), who(t, "two")
	a := with(spec(t), trust.RoleRelease, grant(2, one, two))
	b := a
	b.Roles = with(a, trust.RoleRelease, grant(2, two, one)).Roles
	if string(payloadOf(t, a)) != string(payloadOf(t, b)) {
		t.Error("another order of the signers of a grant is another root")
	}
}
