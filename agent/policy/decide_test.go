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

// TestDecideAsksAll: the rules first, then root, plan and pulse, then the agent's own state; at the
// console no plan and no pulse. A device without a root is asked for none of them.
func TestDecideAsksAll(t *testing.T) {
	d := campaigntest.New(t)
	d.Amend(t, func(s *trust.RootSpec) { s.Components = map[string]trust.SequenceRange{"rootfs": {Max: 6}} })
	rooted := policy.Standing{Root: d.Root, Counter: d.Root.Version() + 1, Unread: "it is gone"}
	s := good()
	s.rules.MinBattery, s.facts.Battery, s.facts.Own.Hold = 50, 1, true
	root := []reason.Reason{reason.LowBattery, reason.SignersInsufficient, reason.SequenceOutOfRange,
		reason.CounterUnreadable, reason.RootBehind}
	wants(t, "network", s.under(t, rooted, campaign.Permit{}).Findings,
		append(root[:5:5], reason.PlanMissing, reason.RunningUnproven)...)
	s.local = true
	wants(t, "console", s.under(t, rooted, campaign.Permit{}).Findings, append(root[:5:5], reason.RunningUnproven)...)
	s.local = false
	wants(t, "no root", s.under(t, policy.Standing{Counter: 9, Unread: "gone"}, campaign.Permit{}).Findings,
		reason.LowBattery, reason.RunningUnproven)
}

// TestReleasable: what a root has against a manifest whatever the time is, and whatever the device.
func TestReleasable(t *testing.T) {
	d := campaigntest.New(t)
	s := good()
	m := s.manifest(t)
	d.Amend(t, func(r *trust.RootSpec) {
		r.Revoked, r.Components = []string{m.Digest().String()},
			map[string]trust.SequenceRange{"rootfs": {Min: 8, Max: 9}}
		r.Issued, r.Expires = noon.AddDate(-3, 0, 0), noon.AddDate(-2, 0, 0)
	})
	wants(t, "another's", policy.Releasable(d.Root, m, s.facts.Device), reason.Revoked, reason.SignersInsufficient,
		reason.SequenceOutOfRange)
}

// A permit lifts the rules that it names, for the manifest that it names, and nothing else.
func TestPermitLifts(t *testing.T) {
	d := campaigntest.New(t)
	c := good()
	c.floor(9)
	c.facts.Battery, c.rules.MinBattery = 10, 50
	m := c.manifest(t)
	c.m = &m
	verified := func(lifts ...reason.Reason) campaign.Permit {
		p, err := campaign.VerifyPermit(d.Root,
			d.Permit(t, d.PermitSpec(campaigntest.Challenge(), m.Digest(), lifts...)), campaigntest.Challenge())
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	both := verified(reason.LowBattery, reason.SequenceBelowFloor)
	c.local = true
	got := c.under(t, policy.Standing{}, both)
	if got.Outcome != policy.Install || got.Plan.IsZero() || len(got.Plan.Installs()) != 1 || len(both.Signers()) != 1 {
		t.Errorf("%+v", got)
	}
	wants(t, "left", got.Findings)
	wants(t, "lifted", got.Lifted, reason.SequenceBelowFloor, reason.LowBattery)
	if got.Lifted[0].Detail != "rootfs: sequence 7 is lower than 9, which was confirmed" {
		t.Errorf("the figures of what was lifted: %q", got.Lifted[0].Detail)
	}
	got = c.under(t, policy.Standing{}, verified(reason.LowBattery))
	if got.Outcome != policy.Refuse || !got.Plan.IsZero() {
		t.Errorf("one of two rules lifted: %+v", got)
	}
	wants(t, "left", got.Findings, reason.SequenceBelowFloor)
	wants(t, "lifted", got.Lifted, reason.LowBattery)

	// What the root says is lifted like a rule where it can be, and else stays.
	d.Amend(t, func(s *trust.RootSpec) { s.Revoked = []string{m.Digest().String()} })
	got = c.under(t, policy.Standing{Root: d.Root}, both)
	if got.Outcome != policy.Refuse || !got.Plan.IsZero() {
		t.Errorf("revoked: %+v", got)
	}
	wants(t, "revoked", got.Findings, reason.Revoked, reason.SignersInsufficient)
	wants(t, "revoked, lifted", got.Lifted, reason.SequenceBelowFloor, reason.LowBattery)

	// What the agent has against any install is no rule, and not lifted.
	c.facts.Own.Safe = "the configuration is bad"
	got = c.under(t, policy.Standing{}, both)
	if got.Outcome != policy.Defer || !got.Plan.IsZero() {
		t.Errorf("in boot-safe mode: %+v", got)
	}
	wants(t, "in boot-safe mode", got.Findings, reason.BootSafeMode)
	c.facts.Own = policy.Own{}

	lifts := func(what string, p campaign.Permit) {
		t.Helper()
		if got := c.under(t, policy.Standing{}, p); got.Outcome != policy.Refuse || len(got.Lifted) > 0 ||
			!got.Plan.IsZero() {
			t.Errorf("%s: %+v", what, got)
		}
	}
	lifts("no permit", campaign.Permit{})
	c.local = false
	lifts("an offer of the network", both)
	c.local = true
	c.facts.Device.Classes = nil
	lifts("a manifest whose own conditions fail", both)
	c.facts.Device.Classes, c.release.Sequence = []manifest.UUID{class}, 8
	c.m = nil
	lifts("another manifest", both)
}
