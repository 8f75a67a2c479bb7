package policy_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/campaign/campaigntest"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// The attacks of the TUF specification (section 1.5.2) and of Uptane (Standard 2.1, section 5.2) on
// plans, pulses and installs, each in their words. Those on signatures and roots are in agent/trust.

// Rollback: what was superseded is void for good, be it a plan or a pulse.
func TestAttackPlanReplay(t *testing.T) {
	d := campaigntest.New(t)
	s := standing(t, d)
	old := s.Plan
	next := d.PlanSpec()
	next.Sequence, next.Manifest, next.ManifestSequence = 5, image("next"), 8
	s.Plan = d.Plan(t, next)
	s.Memory = takePlan(t, s, s.Plan)
	m, err := s.Memory.AcceptPlan(s.Root, "stable", old)
	refusedFor(t, "the plan before", s.Memory, m, err, reason.PlanVoid)
	between := d.PlanSpec()
	between.Sequence = 4
	m, err = s.Memory.AcceptPlan(s.Root, "stable", d.Plan(t, between))
	refusedFor(t, "a plan that comes late", s.Memory, m, err, reason.PlanVoid)
	if m := takePlan(t, s, s.Plan); !campaigntest.Same(m, s.Memory) {
		t.Error("the same plan again changes the memory")
	}
	// The old pair of plan and pulse, put before the device as if nothing had happened.
	stale := s
	stale.Plan = old
	wants(t, "the old plan at a stop point", stale.Ask(theOffer(d)), reason.PlanVoid)
}

// Rollback of a pulse: "open" after "paused" does not open anything.
func TestAttackPulseReplay(t *testing.T) {
	d := campaigntest.New(t)
	s := standing(t, d)
	open := s.Pulse
	pause := d.PulseSpec(s.Plan)
	pause.Sequence, pause.State = 2, campaign.StatePaused
	s.Pulse = d.Pulse(t, pause)
	s.Memory = takePulse(t, s, s.Pulse)
	m, err := s.Memory.AcceptPulse(s.Root, s.Plan, open)
	refusedFor(t, "the pulse before", s.Memory, m, err, reason.PulseVoid)
	s.Pulse = open
	wants(t, "the old pulse at a stop point", s.Ask(theOffer(d)), reason.PulseVoid)
	if m := takePulse(t, s, d.Pulse(t, pause)); !campaigntest.Same(m, s.Memory) {
		t.Error("the same pulse again changes the memory")
	}
}

// Rollback below what the root admits, and of what the root revoked: also for a technician.
func TestAttackRollbackBelowRootMinimum(t *testing.T) {
	d := campaigntest.New(t)
	d.Amend(t, func(s *trust.RootSpec) {
		s.Components = map[string]trust.SequenceRange{"rootfs": {Min: 8, Max: math.MaxUint64}}
		s.Revoked = []string{image("manifest").String()}
	})
	s := standing(t, d)
	o := theOffer(d)
	for _, o.Local = range []bool{false, true} {
		wants(t, "old and revoked", s.Ask(o), reason.Revoked, reason.SequenceOutOfRange)
	}
}

// Fast-forward: a stolen campaign key burns all sequences; a rotation of the role gives them back.
func TestAttackFastForwardPlan(t *testing.T) {
	d := campaigntest.New(t)
	s := standing(t, d)
	burnt := d.PlanSpec()
	burnt.Sequence = math.MaxUint64
	s.Memory = takePlan(t, s, d.Plan(t, burnt))
	next := d.PlanSpec()
	next.Sequence = 2
	m, err := s.Memory.AcceptPlan(s.Root, "stable", d.Plan(t, next))
	refusedFor(t, "an honest plan after it", s.Memory, m, err, reason.PlanVoid)
	thief := *d
	d.Rotate(t, trust.RoleCampaign)
	s.Root = d.Root
	next.Generation = d.Root.Generation(trust.RoleCampaign)
	s.Plan = d.Plan(t, next)
	s.Memory = takePlan(t, s, s.Plan)
	if got := s.Memory.Channels["stable"].Sequence; got != 2 {
		t.Errorf("after the rotation the sequence is %d", got)
	}
	if _, err := campaign.VerifyPlan(d.Root, thief.PlanMessage(t, burnt)); !errors.Is(err, trust.ErrNoSigner) {
		t.Errorf("the thief after the rotation: %v", err)
	}
}

// Fast-forward of a pulse ends with its plan, or with a rotation of the role.
func TestAttackFastForwardPulse(t *testing.T) {
	d := campaigntest.New(t)
	s := standing(t, d)
	burnt := d.PulseSpec(s.Plan)
	burnt.Sequence, burnt.State = math.MaxUint64, campaign.StatePaused
	s.Memory = takePulse(t, s, d.Pulse(t, burnt))
	again := d.PulseSpec(s.Plan)
	again.Sequence = 2
	m, err := s.Memory.AcceptPulse(s.Root, s.Plan, d.Pulse(t, again))
	refusedFor(t, "an honest pulse after it", s.Memory, m, err, reason.PulseVoid)

	rotated := *d
	rotated.Rotate(t, trust.RolePulse)
	r := s
	r.Root = rotated.Root
	again.Generation = rotated.Root.Generation(trust.RolePulse)
	r.Pulse = rotated.Pulse(t, again)
	r.Memory = takePulse(t, r, r.Pulse)
	wants(t, "after a rotation", r.Ask(theOffer(d)))

	next := d.PlanSpec()
	next.Sequence = 2
	s.Plan = d.Plan(t, next)
	s.Memory = takePlan(t, s, s.Plan)
	s.Pulse = d.Pulse(t, d.PulseSpec(s.Plan))
	s.Memory = takePulse(t, s, s.Pulse)
	wants(t, "after a new plan", s.Ask(theOffer(d)))
}

// Indefinite freeze: whoever keeps fresh documents from a device stops it, and cannot keep it going
// on old ones: they end, at the latest when anything genuine tells the time.
func TestAttackIndefiniteFreezeOfPlan(t *testing.T) {
	d := campaigntest.New(t)
	s := standing(t, d)
	o := theOffer(d)
	o.Now.Wall = noon.Add(2 * time.Hour)
	wants(t, "old pulse", s.Ask(o), reason.PulseExpired)
	o.Now.Wall = noon.AddDate(0, 1, 0)
	wants(t, "old plan", s.Ask(o), reason.PlanExpired, reason.PulseExpired)
	// No clock, and one that was set back: a later genuine document is a floor.
	d.Amend(t, func(r *trust.RootSpec) { r.Issued = noon.AddDate(0, 0, 8) })
	s.Root = d.Root
	for name, now := range map[string]policy.Now{"no clock": {}, "set back": {Wall: noon, Known: true}} {
		o.Now = now
		wants(t, name, s.Ask(o), reason.PlanExpired, reason.PulseExpired)
	}
}

// Mix and match: a plan, a pulse and a manifest that each are genuine do not fit together unless they
// name each other.
func TestAttackMixAndMatch(t *testing.T) {
	d := campaigntest.New(t)
	s := standing(t, d)
	other := d.PlanSpec()
	other.Salt[0] = 1
	twin := d.Plan(t, other) // the same sequence, other bytes
	m, err := s.Memory.AcceptPlan(s.Root, "stable", twin)
	refusedFor(t, "another plan of the same sequence", s.Memory, m, err, reason.PlanVoid)
	beta := d.PlanSpec()
	beta.Channel, beta.Sequence = "beta", 9
	m, err = s.Memory.AcceptPlan(s.Root, "stable", d.Plan(t, beta))
	refusedFor(t, "a plan of another channel", s.Memory, m, err, reason.NotInScope)

	ofTwin := d.PulseSpec(twin)
	ofTwin.Sequence = 2
	foreign := d.Pulse(t, ofTwin)
	m, err = s.Memory.AcceptPulse(s.Root, s.Plan, foreign)
	refusedFor(t, "a pulse of another plan", s.Memory, m, err, reason.PulseVoid)
	m, err = s.Memory.AcceptPulse(s.Root, twin, foreign)
	refusedFor(t, "a pulse with its own plan, which was not taken", s.Memory, m, err, reason.PlanVoid)
	mixed := s
	mixed.Pulse = foreign
	wants(t, "a pulse of another plan at a stop point", mixed.Ask(theOffer(d)), reason.PulseVoid)

	same := d.PulseSpec(s.Plan)
	same.Expires = same.Expires.Add(time.Minute)
	m, err = s.Memory.AcceptPulse(s.Root, s.Plan, d.Pulse(t, same))
	refusedFor(t, "another pulse of the same sequence", s.Memory, m, err, reason.PulseVoid)
	beyond := d.PulseSpec(s.Plan)
	beyond.Sequence, beyond.Phase = 2, 1
	m, err = s.Memory.AcceptPulse(s.Root, s.Plan, d.Pulse(t, beyond))
	refusedFor(t, "a phase that the plan does not have", s.Memory, m, err, reason.PulseVoid)

	o := theOffer(d)
	o.Manifest = image("older, and genuine")
	wants(t, "a manifest that the plan does not name", s.Ask(o), reason.PlanMissing)
}

// Wrong device: a plan for a class, a device or a cohort is for no other, and whoever signs for one
// class only has no say at another.
func TestAttackWrongDevice(t *testing.T) {
	d := campaigntest.New(t)
	s := standing(t, d)
	o := theOffer(d)
	o.Classes = []manifest.UUID{manifest.ClassUUID(vendor, "sensor")}
	wants(t, "another class", s.Ask(o), reason.NotInScope)

	d.Amend(t, func(r *trust.RootSpec) {
		role := r.Roles[trust.RoleCampaign]
		role.Generation = r.Version
		role.Grants = slices.Clone(role.Grants)
		role.Grants[0].Scope = trust.Scope{Classes: [][16]byte{manifest.ClassUUID(vendor, "sensor")}}
		r.Roles[trust.RoleCampaign] = role
	})
	if _, err := campaign.VerifyPlan(d.Root, d.PlanMessage(t, d.PlanSpec())); !errors.Is(err, trust.ErrNoSigner) {
		t.Errorf("a plan by those who plan for sensors: %v", err)
	}
}

// Key compromise of the role pulse: the thief can stop or hasten an approved plan. He changes neither
// image nor scope nor limits, and revives nothing.
func TestAttackStolenPulseKey(t *testing.T) {
	d := campaigntest.New(t)
	p := d.PlanSpec()
	p.Phases = []campaign.Phase{{BasisPoints: 1}, {BasisPoints: 10000, NotBefore: noon.Add(time.Hour)}}
	s := policy.Standing{Root: d.Root, Plan: d.Plan(t, p)}
	s.Memory = takePlan(t, s, s.Plan)
	hasten := d.PulseSpec(s.Plan)
	hasten.Sequence, hasten.Phase = 2, 1
	s.Pulse = d.Pulse(t, hasten)
	s.Memory = takePulse(t, s, s.Pulse)
	wants(t, "the last phase, before its time", s.Ask(theOffer(d)), reason.NotBefore)
	o := theOffer(d)
	o.Manifest, o.Classes = image("evil"), nil
	wants(t, "another image", s.Ask(o), reason.PlanMissing)
	msg, err := campaign.BuildPlan(d.PlanSpec())
	if err != nil {
		t.Fatal(err)
	}
	if msg, err = trust.SignDocument("plan", msg, d.Keys[trust.RolePulse]); err != nil {
		t.Fatal(err)
	}
	if _, err := campaign.VerifyPlan(d.Root, msg); !errors.Is(err, trust.ErrNoSigner) {
		t.Errorf("a plan by the pulse key: %v", err)
	}
}

// Resurrection: withdrawn is final for a plan, whatever is signed afterwards, also by a new key, and
// a technician is told.
func TestAttackResurrection(t *testing.T) {
	d := campaigntest.New(t)
	s := standing(t, d)
	w := d.PulseSpec(s.Plan)
	// It may have come late: a stop never comes too late.
	w.Sequence, w.State, w.Issued, w.Expires = 2, campaign.StateWithdrawn, noon.Add(-9*time.Hour),
		noon.Add(-8*time.Hour)
	s.Pulse = d.Pulse(t, w)
	s.Memory = takePulse(t, s, s.Pulse)
	for _, gen := range []string{"the same key", "a new key"} {
		if gen == "a new key" {
			d.Rotate(t, trust.RolePulse)
			s.Root = d.Root
		}
		open := d.PulseSpec(s.Plan)
		open.Sequence = 3
		p := d.Pulse(t, open)
		m, err := s.Memory.AcceptPulse(s.Root, s.Plan, p)
		refusedFor(t, "open by "+gen, s.Memory, m, err, reason.PlanWithdrawn)
		forced := s
		forced.Pulse = p
		wants(t, "open at a stop point by "+gen, forced.Ask(theOffer(d)), reason.PlanWithdrawn, reason.PulseVoid)
	}
	m, err := s.Memory.AcceptPlan(s.Root, "stable", s.Plan)
	refusedFor(t, "the plan again", s.Memory, m, err, reason.PlanWithdrawn)
	o := theOffer(d)
	o.Local = true
	wants(t, "at the console", s.Ask(o), reason.PlanWithdrawn)

	// A new plan for the same manifest is a new decision of those who plan.
	next := d.PlanSpec()
	next.Sequence = 2
	s.Plan = d.Plan(t, next)
	s.Memory = takePlan(t, s, s.Plan)
	s.Pulse = d.Pulse(t, d.PulseSpec(s.Plan))
	s.Memory = takePulse(t, s, s.Pulse)
	wants(t, "a new plan", s.Ask(theOffer(d)))
	wants(t, "a new plan, at the console", s.Ask(o))
}

// Time poisoning: a document's time counts no further than its role may say, makes nothing of a higher
// role look old, and is forgotten with the key.
func TestAttackTimePoisoning(t *testing.T) {
	d := campaigntest.New(t)
	s := standing(t, d)
	far := noon.AddDate(50, 0, 0)
	poison := d.PulseSpec(s.Plan)
	poison.Sequence, poison.Issued, poison.Expires = 2, far, far.Add(time.Hour)
	s.Pulse = d.Pulse(t, poison)
	s.Memory = takePulse(t, s, s.Pulse)
	if got := s.Memory.Floor(s.Root, trust.RolePulse); !got.Equal(s.Plan.Spec().ValidUntil) {
		t.Errorf("a pulse says that it is %s", got)
	}
	if got := s.Memory.Floor(s.Root, trust.RoleCampaign); !got.Equal(s.Plan.Spec().Issued) {
		t.Errorf("for plans a pulse says that it is %s", got)
	}
	wants(t, "the plan and the root are not old for it", s.Ask(theOffer(d)))

	// Honest pulses look old now; a rotation heals that.
	honest := d.PulseSpec(s.Plan)
	honest.Sequence = 3
	s.Pulse = d.Pulse(t, honest)
	s.Memory = takePulse(t, s, s.Pulse)
	wants(t, "an honest pulse", s.Ask(theOffer(d)), reason.PulseExpired)
	d.Rotate(t, trust.RolePulse)
	s.Root = d.Root
	if got := s.Memory.Floor(s.Root, trust.RolePulse); !got.Equal(s.Plan.Spec().Issued) {
		t.Errorf("after the rotation of the pulse's role it is still %s", got)
	}
	honest.Generation, honest.Sequence = d.Root.Generation(trust.RolePulse), 1
	s.Pulse = d.Pulse(t, honest)
	s.Memory = takePulse(t, s, s.Pulse)
	wants(t, "after the rotation", s.Ask(theOffer(d)))

	// The same by a stolen campaign key: no further than the root, and not against it.
	plan := d.PlanSpec()
	plan.Sequence, plan.Issued, plan.ValidUntil = 2, far, far.Add(time.Hour)
	s.Memory = takePlan(t, s, d.Plan(t, plan))
	if got := s.Memory.Floor(s.Root, trust.RoleCampaign); !got.Equal(s.Root.Expires()) {
		t.Errorf("a plan says that it is %s", got)
	}
	o := theOffer(d)
	o.Local = true
	wants(t, "a technician with a poisoned device", s.Ask(o))
}

// Key compromise of the role campaign or release: neither can do the other's work.
func TestAttackStolenCampaignOrReleaseKey(t *testing.T) {
	d := campaigntest.New(t)
	s := standing(t, d)
	o := theOffer(d)
	o.Signers = []string{d.Keys[trust.RoleCampaign].Key().ID()}
	wants(t, "a manifest signed by the campaign key", s.Ask(o), reason.SignersInsufficient)
	release := theOffer(d)
	release.Manifest = image("signed by the thief of the release key")
	wants(t, "a manifest that no plan names", s.Ask(release), reason.PlanMissing)
	msg, err := campaign.BuildPlan(d.PlanSpec())
	if err != nil {
		t.Fatal(err)
	}
	if msg, err = trust.SignDocument("plan", msg, d.Keys[trust.RoleRelease]); err != nil {
		t.Fatal(err)
	}
	if _, err := campaign.VerifyPlan(d.Root, msg); !errors.Is(err, trust.ErrNoSigner) {
		t.Errorf("a plan by the release key: %v", err)
	}
}

// Stolen documents of a key that stayed: after a rotation the same bytes, signed by people who remain,
// are of another generation.
func TestAttackOldGeneration(t *testing.T) {
	d := campaigntest.New(t)
	s := standing(t, d)
	plan, spec := d.PlanMessage(t, d.PlanSpec()), d.PulseSpec(s.Plan)
	msg, err := campaign.BuildPulse(spec)
	pulse := d.Sign(t, trust.RolePulse, "pulse", msg, err)
	before := s
	d.Publish(t, d.Root.Next(d.Root.Spec(), trust.RoleCampaign, trust.RolePulse))
	var r *campaign.Refusal
	if _, err := campaign.VerifyPlan(d.Root, plan); !errors.As(err, &r) || r.Reason != reason.PlanVoid {
		t.Errorf("plan: %v", err)
	}
	if _, err := campaign.VerifyPulse(d.Root, pulse); !errors.As(err, &r) || r.Reason != reason.PulseVoid {
		t.Errorf("pulse: %v", err)
	}
	// Verified before the rotation, used after it.
	m, err := s.Memory.AcceptPlan(d.Root, "stable", before.Plan)
	refusedFor(t, "plan", s.Memory, m, err, reason.PlanVoid)
	m, err = s.Memory.AcceptPulse(d.Root, before.Plan, before.Pulse)
	refusedFor(t, "pulse", s.Memory, m, err, reason.PulseVoid)
	s.Root = d.Root
	wants(t, "at a stop point", s.Ask(theOffer(d)), reason.PlanVoid)
}

// Downgrade by local install: the console needs no plan, and nothing else is forgiven there.
func TestAttackDowngradeByLocalInstall(t *testing.T) {
	d := campaigntest.New(t)
	c := good()
	c.release.Sequence = 3
	c.local = true
	decision := c.under(t, policy.Standing{}, campaign.Permit{})
	wants(t, "below the floor", decision.Findings, reason.SequenceBelowFloor)

	d.Amend(t, func(s *trust.RootSpec) { s.Components = map[string]trust.SequenceRange{"rootfs": {Min: 7, Max: 9}} })
	decision = c.under(t, policy.Standing{Root: d.Root}, campaign.Permit{})
	wants(t, "below both floors", decision.Findings, reason.SequenceBelowFloor, reason.SignersInsufficient,
		reason.SequenceOutOfRange)
	if decision.Outcome != policy.Refuse {
		t.Errorf("outcome %s", decision.Outcome)
	}
}

// Endless data: plans and pulses at their bounds.
func TestAttackEndlessPlan(t *testing.T) {
	d := campaigntest.New(t)
	p := d.PlanSpec()
	p.Devices = nil
	for i := range campaign.MaxDevices {
		p.Devices = append(p.Devices, strings.Repeat("d",
			campaign.MaxChannel-4)+string([]rune{'a' + rune(i/64), 'a' + rune(i%64/8), 'a' + rune(i%8), 'a'}))
	}
	for i := range campaign.MaxPhases {
		p.Phases = append(p.Phases[:i:i], campaign.Phase{BasisPoints: 10000})
	}
	if msg := d.PlanMessage(t, p); len(msg) > trust.MaxMessage {
		t.Errorf("the largest plan has %d bytes", len(msg))
	}
	if _, err := campaign.VerifyPlan(d.Root, make([]byte, trust.MaxMessage+1)); !errors.Is(err, trust.ErrMalformed) {
		t.Error(err)
	}
}
