// Package campaigntest has a desk for tests: those who sign, with a key for each role of a trust root,
// and the plans, pulses and permits that they make. Nothing but tests imports it.
package campaigntest

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// The device that a Desk signs for, and its time.
var (
	Vendor = manifest.VendorUUID("example.com")
	Class  = manifest.ClassUUID(Vendor, "gateway")
	Noon   = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) // a Monday
)

// Manifest is the digest of the manifest that the honest plan names. It is no manifest that verifies.
var Manifest = manifest.Sum([]byte("manifest"))

// Desk is those who sign, and the chain of roots that they have published.
type Desk struct {
	Keys  map[trust.Role]*trust.Signer
	Roots [][]byte
	Root  trust.Root // the newest, at the test's device
}

// New publishes root 1: one signer a role.
func New(t testing.TB) *Desk {
	t.Helper()
	d := &Desk{Keys: map[trust.Role]*trust.Signer{}}
	s := trust.RootSpec{Version: 1, Name: "example.com", Issued: Noon.AddDate(0, -1, 0), Expires: Noon.AddDate(1, 0, 0),
		Algorithms: []int64{trust.Ed25519}, Roles: map[trust.Role]trust.RoleSpec{}}
	for _, role := range trust.Roles() {
		d.Keys[role] = generate(t)
		m := trust.Member{Name: string(role), Keys: []trust.Key{d.Keys[role].Key()}}
		s.Members = append(s.Members, m)
		s.Roles[role] = trust.RoleSpec{Generation: 1, Grants: []trust.Grant{{Threshold: 1, Members: []trust.Member{m}}}}
	}
	d.Publish(t, s)
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

// Publish signs a root, and walks to it.
func (d *Desk) Publish(t testing.TB, s trust.RootSpec) {
	t.Helper()
	msg, err := trust.BuildRoot(s)
	if err != nil {
		t.Fatal(err)
	}
	if msg, err = trust.SignRoot(msg, d.Keys[trust.RoleRoot]); err != nil {
		t.Fatal(err)
	}
	d.Roots = append(d.Roots, msg)
	b, err := trust.BuildBundle(d.Roots...)
	if err != nil {
		t.Fatal(err)
	}
	if d.Root, err = trust.Anchor(b); err != nil {
		t.Fatal(err)
	}
	d.Root = d.Root.At(trust.Scope{Vendors: [][16]byte{Vendor}, Classes: [][16]byte{Class}})
}

// Rotate gives a role to a new key.
func (d *Desk) Rotate(t testing.TB, role trust.Role) {
	t.Helper()
	s := d.Root.Spec()
	fresh := generate(t)
	m := trust.Member{Name: fmt.Sprint(role, d.Root.Version()+1), Keys: []trust.Key{fresh.Key()}}
	old := d.Keys[role].Key().ID()
	s.Members = append(slices.DeleteFunc(s.Members, func(m trust.Member) bool { return m.ID() == old }), m)
	s.Roles[role] = trust.RoleSpec{Grants: []trust.Grant{{Threshold: 1, Members: []trust.Member{m}}}}
	d.Keys = maps.Clone(d.Keys) // whoever copied the desk before has the old key
	d.Keys[role] = fresh
	d.Publish(t, d.Root.Next(s))
}

// Amend publishes a root with a change.
func (d *Desk) Amend(t testing.TB, change func(s *trust.RootSpec)) {
	t.Helper()
	s := d.Root.Next(d.Root.Spec())
	change(&s)
	d.Publish(t, s)
}

// Sign signs a document of a kind by the key of a role; err is what building it came to.
func (d *Desk) Sign(t testing.TB, role trust.Role, kind string, msg []byte, err error) []byte {
	t.Helper()
	if err == nil {
		msg, err = trust.SignDocument(kind, msg, d.Keys[role])
	}
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// PlanMessage is a signed plan.
func (d *Desk) PlanMessage(t testing.TB, s campaign.PlanSpec) []byte {
	t.Helper()
	msg, err := campaign.BuildPlan(s)
	return d.Sign(t, trust.RoleCampaign, "plan", msg, err)
}

// Plan is a plan that was signed and verified.
func (d *Desk) Plan(t testing.TB, s campaign.PlanSpec) campaign.Campaign {
	t.Helper()
	c, err := campaign.VerifyPlan(d.Root, d.PlanMessage(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Pulse is a pulse that was signed and verified.
func (d *Desk) Pulse(t testing.TB, s campaign.PulseSpec) campaign.Pulse {
	t.Helper()
	msg, err := campaign.BuildPulse(s)
	p, err := campaign.VerifyPulse(d.Root, d.Sign(t, trust.RolePulse, "pulse", msg, err))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// PlanSpec is the honest plan: everybody of the class, from this morning until next week.
func (d *Desk) PlanSpec() campaign.PlanSpec {
	return campaign.PlanSpec{
		Generation: d.Root.Generation(trust.RoleCampaign), Channel: "stable", Sequence: 1,
		Manifest: Manifest, ManifestSequence: 7, Classes: []manifest.UUID{Class},
		Salt: make([]byte, campaign.SaltSize), Phases: []campaign.Phase{{BasisPoints: 10000}},
		Issued: Noon.Add(-6 * time.Hour), ValidUntil: Noon.AddDate(0, 0, 7),
	}
}

// PulseSpec is the honest pulse of a plan: it is open, for two hours around noon.
func (d *Desk) PulseSpec(c campaign.Campaign) campaign.PulseSpec {
	return campaign.PulseSpec{Generation: d.Root.Generation(trust.RolePulse), Plan: c.Digest(), Sequence: 1,
		State: campaign.StateOpen, Issued: Noon.Add(-time.Hour), Expires: Noon.Add(time.Hour)}
}

// Challenge is one that a device shows.
func Challenge() campaign.Challenge {
	return campaign.Challenge{Device: "gw-1", Nonce: [16]byte{1, 2, 3}, RootVersion: 1, Journal: [16]byte{9}}
}

// PermitSpec answers a challenge for a manifest.
func (d *Desk) PermitSpec(c campaign.Challenge, m manifest.Digest, lifts ...reason.Reason) campaign.PermitSpec {
	return campaign.PermitSpec{Generation: d.Root.Generation(trust.RoleRecovery), Challenge: c, Manifest: m,
		Lifts: lifts, Issued: Noon}
}

// Permit is a signed permit.
func (d *Desk) Permit(t testing.TB, s campaign.PermitSpec) []byte {
	t.Helper()
	msg, err := campaign.BuildPermit(s)
	return d.Sign(t, trust.RoleRecovery, "permit", msg, err)
}

// Take is the memory of a device of channel stable that has taken a plan.
func (d *Desk) Take(t testing.TB, m campaign.Memory, c campaign.Campaign) campaign.Memory {
	t.Helper()
	m, err := m.AcceptPlan(d.Root, "stable", c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TakePulse is the memory of a device that has taken a pulse of the plan c.
func (d *Desk) TakePulse(t testing.TB, m campaign.Memory, c campaign.Campaign, p campaign.Pulse) campaign.Memory {
	t.Helper()
	m, err := m.AcceptPulse(d.Root, c, p)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Same tells whether two memories hold the same.
func Same(a, b campaign.Memory) bool {
	return maps.Equal(a.Channels, b.Channels) && maps.Equal(a.Times, b.Times) && slices.Equal(a.Withdrawn, b.Withdrawn)
}
