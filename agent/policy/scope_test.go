package policy_test

import (
	"testing"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/campaign/campaigntest"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// TestReleaseGrantedToAScope: a root lets its signers release for devices of one vendor and one class. A
// device of both takes it, and one that lacks either does not; those who sign plans are told the same.
func TestReleaseGrantedToAScope(t *testing.T) {
	stranger := manifest.UUIDv5(vendor, "stranger")
	for name, tt := range map[string]struct {
		scope trust.Scope
		want  []reason.Reason
	}{
		"everybody":             {trust.Scope{}, nil},
		"this vendor":           {trust.Scope{Vendors: [][16]byte{vendor}}, nil},
		"this class":            {trust.Scope{Classes: [][16]byte{class}}, nil},
		"this vendor and class": {trust.Scope{Vendors: [][16]byte{vendor}, Classes: [][16]byte{class}}, nil},
		"another vendor": {trust.Scope{Vendors: [][16]byte{stranger}},
			[]reason.Reason{reason.SignersInsufficient}},
		"another class": {trust.Scope{Classes: [][16]byte{stranger}},
			[]reason.Reason{reason.SignersInsufficient}},
		"this vendor, not class": {trust.Scope{Vendors: [][16]byte{vendor}, Classes: [][16]byte{stranger}},
			[]reason.Reason{reason.SignersInsufficient}},
	} {
		d := campaigntest.New(t)
		d.Amend(t, func(s *trust.RootSpec) {
			role := s.Roles[trust.RoleRelease]
			role.Grants[0].Scope = tt.scope
			role.Generation = s.Version
			s.Roles[trust.RoleRelease] = role
		})
		s := good()
		m := s.signed(t, d.Keys[trust.RoleRelease])
		if d.Root.Version() != 2 {
			t.Fatalf("root %d", d.Root.Version())
		}
		wants(t, name+", at the desk", policy.Releasable(d.Root, m, s.facts.Device), tt.want...)
		s.m, s.local = &m, true
		wants(t, name+", on the device", s.under(t, policy.Standing{Root: d.Root}, campaign.Permit{}).Findings,
			tt.want...)
	}
}

// signed is the situation's manifest, released by somebody.
func (s *situation) signed(t testing.TB, by *trust.Signer) manifest.Manifest {
	t.Helper()
	return verifiedBy(t, s.build(t), by)
}

// TestUnknownTimeNeedNotWait: the configuration says whether what cannot be shown to be in time waits, for plan
// and pulse as for the manifest.
func TestUnknownTimeNeedNotWait(t *testing.T) {
	d := campaigntest.New(t)
	s := good()
	m := s.signed(t, d.Keys[trust.RoleRelease])
	s.m = &m
	plan := d.PlanSpec()
	plan.Manifest, plan.ManifestSequence = m.Digest(), m.Sequence()
	st := policy.Standing{Root: d.Root, Plan: d.Plan(t, plan)}
	st.Memory = takePlan(t, st, st.Plan)
	st.Pulse = d.Pulse(t, d.PulseSpec(st.Plan))
	st.Memory = takePulse(t, st, st.Pulse)
	wants(t, "known", s.under(t, st, campaign.Permit{}).Findings)
	s.now.Known = false
	wants(t, "unknown", s.under(t, st, campaign.Permit{}).Findings, reason.ClockUnknown, reason.ClockUnknown)
	s.rules.UnknownTimeWaits = false
	wants(t, "unknown, and need not be known", s.under(t, st, campaign.Permit{}).Findings)
}

// lastPulse makes the memory say that the pulse of the standing was taken last.
func lastPulse(s *policy.Standing, sequence uint64) {
	seen := s.Memory.Channels["stable"]
	seen.Pulse = campaign.SeenPulse{Generation: 1, Sequence: sequence, Pulse: s.Pulse.Digest().String()}
	s.Memory.Channels = map[string]campaign.Seen{"stable": seen}
}

// TestForeignPulse: a memory that is not the agent's own (a journal that somebody has written) names a pulse
// as the last one taken. It must still be one of this plan, of the present signers, and of a phase that the plan has.
func TestForeignPulse(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(p *campaign.PulseSpec)
		want   []reason.Reason
	}{
		"honest": {func(*campaign.PulseSpec) {}, nil},
		"of another plan": {func(p *campaign.PulseSpec) { p.Plan = image("another plan") },
			[]reason.Reason{reason.PulseVoid}},
		"one phase too far": {func(p *campaign.PulseSpec) { p.Phase = 1 }, []reason.Reason{reason.PulseVoid}},
	} {
		d := campaigntest.New(t)
		s := standing(t, d)
		spec := d.PulseSpec(s.Plan)
		spec.Sequence = 2
		tt.change(&spec)
		s.Pulse = d.Pulse(t, spec)
		lastPulse(&s, 2)
		wants(t, name, s.Ask(theOffer(d)), tt.want...)
	}
	d := campaigntest.New(t)
	s := standing(t, d)
	d.Rotate(t, trust.RolePulse) // and the plan stands
	s.Root = d.Root
	lastPulse(&s, 1)
	wants(t, "of the signers before", s.Ask(theOffer(d)), reason.PulseVoid)
}
