package policy_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// desk is those who sign, and the chain of roots that they have published.
type desk struct {
	keys  map[trust.Role]*trust.Signer
	roots [][]byte
	root  trust.Root // the newest, at the test's device
}

// newDesk publishes root 1: one signer a role.
func newDesk(t testing.TB) *desk {
	t.Helper()
	d := &desk{keys: map[trust.Role]*trust.Signer{}}
	s := trust.RootSpec{Version: 1, Name: "example.com", Issued: noon.AddDate(0, -1, 0), Expires: noon.AddDate(1, 0, 0),
		Algorithms: []int64{trust.Ed25519}, Roles: map[trust.Role]trust.RoleSpec{}}
	for _, role := range trust.Roles() {
		d.keys[role] = generate(t)
		m := trust.Member{Name: string(role), Keys: []trust.Key{d.keys[role].Key()}}
		s.Members = append(s.Members, m)
		s.Roles[role] = trust.RoleSpec{Generation: 1, Grants: []trust.Grant{{Threshold: 1, Members: []trust.Member{m}}}}
	}
	d.publish(t, s)
	return d
}

func generate(t testing.TB) *trust.Signer {
	t.Helper()
	s, err := trust.Generate(trust.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// publish signs a root, and walks to it.
func (d *desk) publish(t testing.TB, s trust.RootSpec) {
	t.Helper()
	msg, err := trust.BuildRoot(s)
	if err != nil {
		t.Fatal(err)
	}
	if msg, err = trust.SignRoot(msg, d.keys[trust.RoleRoot]); err != nil {
		t.Fatal(err)
	}
	d.roots = append(d.roots, msg)
	b, err := trust.BuildBundle(d.roots...)
	if err != nil {
		t.Fatal(err)
	}
	if d.root, err = trust.Anchor(b); err != nil {
		t.Fatal(err)
	}
	d.root = d.root.At(policy.Scope(manifest.Device{Vendors: []manifest.UUID{vendor}, Classes: []manifest.UUID{class}}))
}

// rotate gives a role to a new key.
func (d *desk) rotate(t testing.TB, role trust.Role) {
	t.Helper()
	s := d.root.Spec()
	fresh := generate(t)
	m := trust.Member{Name: fmt.Sprint(role, d.root.Version()+1), Keys: []trust.Key{fresh.Key()}}
	old := d.keys[role].Key().ID()
	s.Members = append(slices.DeleteFunc(s.Members, func(m trust.Member) bool { return m.ID() == old }), m)
	s.Roles[role] = trust.RoleSpec{Grants: []trust.Grant{{Threshold: 1, Members: []trust.Member{m}}}}
	d.keys = maps.Clone(d.keys) // whoever copied the desk before has the old key
	d.keys[role] = fresh
	d.publish(t, d.root.Next(s))
}

// amend publishes a root with a change.
func (d *desk) amend(t testing.TB, change func(s *trust.RootSpec)) {
	t.Helper()
	s := d.root.Next(d.root.Spec())
	change(&s)
	d.publish(t, s)
}

func (d *desk) sign(t testing.TB, role trust.Role, kind string, msg []byte, err error) []byte {
	t.Helper()
	if err == nil {
		msg, err = trust.SignDocument(kind, msg, d.keys[role])
	}
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

func (d *desk) planMessage(t testing.TB, s policy.PlanSpec) []byte {
	t.Helper()
	msg, err := policy.BuildPlan(s)
	return d.sign(t, trust.RoleCampaign, "plan", msg, err)
}

func (d *desk) plan(t testing.TB, s policy.PlanSpec) policy.Campaign {
	t.Helper()
	c, err := policy.VerifyPlan(d.root, d.planMessage(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (d *desk) pulse(t testing.TB, s policy.PulseSpec) policy.Pulse {
	t.Helper()
	msg, err := policy.BuildPulse(s)
	p, err := policy.VerifyPulse(d.root, d.sign(t, trust.RolePulse, "pulse", msg, err))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The honest plan and pulse: everybody of the class, from this morning until next week.
func (d *desk) planSpec() policy.PlanSpec {
	return policy.PlanSpec{
		Generation: d.root.Generation(trust.RoleCampaign), Channel: "stable", Sequence: 1, Manifest: image("manifest"), ManifestSequence: 7,
		Classes: []manifest.UUID{class}, Salt: make([]byte, policy.SaltSize), Phases: []policy.Phase{{BasisPoints: 10000}},
		Issued: noon.Add(-6 * time.Hour), ValidUntil: noon.AddDate(0, 0, 7),
	}
}

func (d *desk) pulseSpec(c policy.Campaign) policy.PulseSpec {
	return policy.PulseSpec{Generation: d.root.Generation(trust.RolePulse), Plan: c.Digest(), Sequence: 1, State: policy.StateOpen,
		Issued: noon.Add(-time.Hour), Expires: noon.Add(time.Hour)}
}

// standing is a device that has taken the honest plan and pulse.
func (d *desk) standing(t testing.TB) policy.Standing {
	t.Helper()
	s := policy.Standing{Root: d.root}
	s.Plan = d.plan(t, d.planSpec())
	s.Memory = takePlan(t, s, s.Plan)
	s.Pulse = d.pulse(t, d.pulseSpec(s.Plan))
	s.Memory = takePulse(t, s, s.Pulse)
	return s
}

func takePlan(t testing.TB, s policy.Standing, c policy.Campaign) policy.Memory {
	t.Helper()
	m, err := s.Memory.AcceptPlan(s.Root, "stable", c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func takePulse(t testing.TB, s policy.Standing, p policy.Pulse) policy.Memory {
	t.Helper()
	m, err := s.Memory.AcceptPulse(s.Root, s.Plan, p)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// theOffer is the manifest that the honest plan names, signed by the release key.
func (d *desk) theOffer() policy.Asked {
	return policy.Asked{Manifest: image("manifest"), Sequence: 7, Components: []string{"rootfs"}, Signers: []string{d.keys[trust.RoleRelease].Key().ID()},
		Device: "gw-1", Vendors: []manifest.UUID{vendor}, Classes: []manifest.UUID{class},
		Now: policy.Now{Wall: noon, Known: true}, UnknownTimeWaits: true}
}

// wants compares the reasons of findings, in order.
func wants(t testing.TB, what string, got []policy.Finding, want ...reason.Reason) {
	t.Helper()
	var words []reason.Reason
	for _, f := range got {
		words = append(words, f.Reason)
		if f.Final != f.Reason.Info().Final {
			t.Errorf("%s: %s is final %t", what, f.Reason, f.Final)
		}
	}
	if !slices.Equal(words, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// refusedFor wants a *policy.Refusal, and the memory as it was.
func refusedFor(t testing.TB, what string, before, after policy.Memory, err error, want reason.Reason) {
	t.Helper()
	var r *policy.Refusal
	if !errors.As(err, &r) || r.Reason != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
	if !same(before, after) {
		t.Errorf("%s: a refused document changed the memory", what)
	}
}

func same(a, b policy.Memory) bool {
	return maps.Equal(a.Channels, b.Channels) && maps.Equal(a.Times, b.Times) && slices.Equal(a.Withdrawn, b.Withdrawn)
}
