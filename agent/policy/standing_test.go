package policy_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/campaign/campaigntest"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// What each rule of root, plan and pulse says, one by one: each case breaks one thing of a standing
// in which nothing is wrong.
func TestStanding(t *testing.T) {
	late, unknown := noon.AddDate(2, 0, 0), policy.Now{Wall: noon}
	for _, tt := range []struct {
		name  string
		plan  func(p *campaign.PlanSpec)
		pulse func(p *campaign.PulseSpec)
		root  func(s *trust.RootSpec)
		offer func(o *policy.Asked)
		stand func(s *policy.Standing)
		want  []reason.Reason
		local []reason.Reason // at the console
	}{
		{name: "nothing is wrong"},
		{name: "revoked", root: func(s *trust.RootSpec) { s.Revoked = []string{image("manifest").String()} },
			want: []reason.Reason{reason.Revoked}, local: []reason.Reason{reason.Revoked}},
		{name: "below the root's minimum",
			root: func(s *trust.RootSpec) { s.Components = map[string]trust.SequenceRange{"rootfs": {Min: 8, Max: 9}} },
			want: []reason.Reason{reason.SequenceOutOfRange}, local: []reason.Reason{reason.SequenceOutOfRange}},
		{name: "above the root's maximum",
			root: func(s *trust.RootSpec) { s.Components = map[string]trust.SequenceRange{"rootfs": {Max: 6}} },
			want: []reason.Reason{reason.SequenceOutOfRange}, local: []reason.Reason{reason.SequenceOutOfRange}},
		{name: "at the edges of the range",
			root: func(s *trust.RootSpec) {
				s.Components = map[string]trust.SequenceRange{"rootfs": {Min: 7, Max: 7}}
			}},
		{name: "a range of another component",
			root: func(s *trust.RootSpec) { s.Components = map[string]trust.SequenceRange{"boot": {Min: 8, Max: 9}} }},
		{name: "nobody who may release", offer: func(o *policy.Asked) { o.Signers = nil },
			want: []reason.Reason{reason.SignersInsufficient}, local: []reason.Reason{reason.SignersInsufficient}},
		{name: "a root older than the counter", stand: func(s *policy.Standing) { s.Counter = s.Root.Version() + 1 },
			want: []reason.Reason{reason.RootBehind}, local: []reason.Reason{reason.RootBehind}},
		{name: "a root as old as the counter", stand: func(s *policy.Standing) { s.Counter = s.Root.Version() }},
		{name: "root, plan and pulse have expired", offer: func(o *policy.Asked) { o.Now.Wall = late },
			want:  []reason.Reason{reason.RootExpired, reason.PlanExpired, reason.PulseExpired},
			local: []reason.Reason{reason.RootExpired}},
		{name: "the root at its end", root: func(s *trust.RootSpec) { s.Expires = noon },
			want: []reason.Reason{reason.RootExpired}, local: []reason.Reason{reason.RootExpired}},
		{name: "the root's last second", root: func(s *trust.RootSpec) { s.Expires = noon.Add(time.Second) }},
		{name: "no plan",
			stand: func(s *policy.Standing) { s.Plan = campaign.Campaign{} },
			want:  []reason.Reason{reason.PlanMissing}},
		{name: "a plan that was not taken",
			stand: func(s *policy.Standing) { s.Memory = campaign.Memory{} }, want: []reason.Reason{reason.PlanVoid}},
		{name: "a plan for another manifest",
			offer: func(o *policy.Asked) { o.Manifest = image("other") }, want: []reason.Reason{reason.PlanMissing}},
		{name: "a plan for another sequence",
			offer: func(o *policy.Asked) { o.Sequence = 8 }, want: []reason.Reason{reason.PlanMissing}},
		{name: "another class",
			offer: func(o *policy.Asked) { o.Classes = []manifest.UUID{vendor} },
			want:  []reason.Reason{reason.NotInScope}},
		{name: "another device", plan: func(p *campaign.PlanSpec) { p.Devices = []string{"gw-0", "gw-2"} },
			want: []reason.Reason{reason.NotInScope}},
		{name: "this device",
			plan: func(p *campaign.PlanSpec) { p.Classes, p.Devices = nil, []string{"gw-0", "gw-1"} }},
		{name: "this device of another class",
			plan: func(p *campaign.PlanSpec) { p.Classes, p.Devices = []manifest.UUID{vendor}, []string{"gw-1"} },
			want: []reason.Reason{reason.NotInScope}},
		{name: "the plan at its end",
			plan: func(p *campaign.PlanSpec) { p.ValidUntil = noon }, want: []reason.Reason{reason.PlanExpired}},
		{name: "no pulse",
			stand: func(s *policy.Standing) { s.Pulse = campaign.Pulse{} }, want: []reason.Reason{reason.PulseMissing}},
		{name: "the pulse at its end",
			pulse: func(p *campaign.PulseSpec) { p.Expires = noon }, want: []reason.Reason{reason.PulseExpired}},
		{name: "paused",
			pulse: func(p *campaign.PulseSpec) { p.State = campaign.StatePaused },
			want:  []reason.Reason{reason.Paused}},
		{name: "halted",
			pulse: func(p *campaign.PulseSpec) { p.State = campaign.StateHalted },
			want:  []reason.Reason{reason.Halted}},
		{name: "withdrawn", pulse: func(p *campaign.PulseSpec) { p.State = campaign.StateWithdrawn },
			want: []reason.Reason{reason.PlanWithdrawn}, local: []reason.Reason{reason.PlanWithdrawn}},
		{name: "a phase to come", plan: func(p *campaign.PlanSpec) { p.Phases[0].NotBefore = noon.Add(time.Second) },
			want: []reason.Reason{reason.NotBefore}},
		{name: "a phase to come, and unknown time need not wait",
			plan:  func(p *campaign.PlanSpec) { p.Phases[0].NotBefore = noon.Add(time.Second) },
			offer: func(o *policy.Asked) { o.UnknownTimeWaits = false }, want: []reason.Reason{reason.NotBefore}},
		{name: "a phase that begins now", plan: func(p *campaign.PlanSpec) { p.Phases[0].NotBefore = noon }},
		{name: "outside of the cohort",
			plan: func(p *campaign.PlanSpec) { p.Phases[0].BasisPoints = campaign.Position(p.Salt, "gw-1") },
			want: []reason.Reason{reason.NotInCohort}},
		{name: "the last of the cohort",
			plan: func(p *campaign.PlanSpec) { p.Phases[0].BasisPoints = campaign.Position(p.Salt, "gw-1") + 1 }},
		{name: "the second phase reaches it",
			plan:  func(p *campaign.PlanSpec) { p.Phases = []campaign.Phase{{BasisPoints: 1}, {BasisPoints: 10000}} },
			pulse: func(p *campaign.PulseSpec) { p.Phase = 1 }},
		{name: "time is not known",
			offer: func(o *policy.Asked) { o.Now = unknown },
			want:  []reason.Reason{reason.ClockUnknown, reason.ClockUnknown}},
		{name: "time is not known: it ends nothing, whatever the clock shows",
			offer: func(o *policy.Asked) { o.Now = policy.Now{Wall: late} },
			want:  []reason.Reason{reason.ClockUnknown, reason.ClockUnknown}},
		{name: "time is not known, nor whether a phase has begun",
			plan:  func(p *campaign.PlanSpec) { p.Phases[0].NotBefore = noon },
			offer: func(o *policy.Asked) { o.Now = unknown },
			want:  []reason.Reason{reason.ClockUnknown, reason.ClockUnknown, reason.ClockUnknown}},
		{name: "time is not known, but it is later than the phase's beginning",
			plan:  func(p *campaign.PlanSpec) { p.Phases[0].NotBefore = noon.Add(-2 * time.Hour) },
			offer: func(o *policy.Asked) { o.Now = unknown },
			want:  []reason.Reason{reason.ClockUnknown, reason.ClockUnknown}},
		{name: "time is not known, and need not be", plan: func(p *campaign.PlanSpec) { p.Phases[0].NotBefore = noon },
			offer: func(o *policy.Asked) { o.Now, o.UnknownTimeWaits = unknown, false }},
		{name: "everything at once", root: func(s *trust.RootSpec) { s.Revoked = []string{image("manifest").String()} },
			plan:  func(p *campaign.PlanSpec) { p.Phases[0].BasisPoints, p.ValidUntil = 1, noon },
			pulse: func(p *campaign.PulseSpec) { p.State, p.Expires = campaign.StatePaused, noon },
			offer: func(o *policy.Asked) { o.Classes = nil },
			want: []reason.Reason{reason.Revoked, reason.NotInScope, reason.PlanExpired, reason.PulseExpired,
				reason.Paused, reason.NotInCohort},
			local: []reason.Reason{reason.Revoked}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := campaigntest.New(t)
			if tt.root != nil {
				d.Amend(t, tt.root)
			}
			s, plan := policy.Standing{Root: d.Root}, d.PlanSpec()
			if tt.plan != nil {
				tt.plan(&plan)
			}
			s.Plan = d.Plan(t, plan)
			s.Memory = takePlan(t, s, s.Plan)
			pulse := d.PulseSpec(s.Plan)
			if tt.pulse != nil {
				tt.pulse(&pulse)
			}
			s.Pulse = d.Pulse(t, pulse)
			s.Memory = takePulse(t, s, s.Pulse)
			if tt.stand != nil {
				tt.stand(&s)
			}
			o := theOffer(d)
			if tt.offer != nil {
				tt.offer(&o)
			}
			wants(t, "network", s.Ask(o), tt.want...)
			o.Local = true
			wants(t, "console", s.Ask(o), tt.local...)
		})
	}
}

// TestPhaseFigures: a device that waits for its phase is told when it begins, and looks again then.
func TestPhaseFigures(t *testing.T) {
	d := campaigntest.New(t)
	s, plan := policy.Standing{Root: d.Root}, d.PlanSpec()
	plan.Phases = []campaign.Phase{{BasisPoints: 1, NotBefore: noon.Add(90 * time.Minute)}}
	s.Plan = d.Plan(t, plan)
	s.Memory = takePlan(t, s, s.Plan)
	s.Pulse = d.Pulse(t, d.PulseSpec(s.Plan))
	s.Memory = takePulse(t, s, s.Pulse)
	o := theOffer(d)
	at := campaign.Position(plan.Salt, o.Device)
	want := []policy.Finding{
		{Reason: reason.NotBefore, Detail: "phase 1 begins at 2026-11-23 13:30Z", Retry: 90 * time.Minute},
		{Reason: reason.NotInCohort, Detail: fmt.Sprintf("this device is at %d of 10000, phase 1 reaches 1", at),
			Retry: reason.NotInCohort.Info().Retry},
	}
	if got := s.Ask(o); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	o.Now.Known = false
	if got := s.Ask(o); len(got) != 4 || got[2].Reason != reason.ClockUnknown || got[2].Detail != want[0].Detail {
		t.Errorf("the time is not known: %+v", got)
	}
}

// standing is a device that has taken the honest plan and pulse.
func standing(t testing.TB, d *campaigntest.Desk) policy.Standing {
	t.Helper()
	s := policy.Standing{Root: d.Root}
	s.Plan = d.Plan(t, d.PlanSpec())
	s.Memory = takePlan(t, s, s.Plan)
	s.Pulse = d.Pulse(t, d.PulseSpec(s.Plan))
	s.Memory = takePulse(t, s, s.Pulse)
	return s
}

func takePlan(t testing.TB, s policy.Standing, c campaign.Campaign) campaign.Memory {
	t.Helper()
	m, err := s.Memory.AcceptPlan(s.Root, "stable", c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func takePulse(t testing.TB, s policy.Standing, p campaign.Pulse) campaign.Memory {
	t.Helper()
	m, err := s.Memory.AcceptPulse(s.Root, s.Plan, p)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// theOffer is the manifest that the honest plan names, signed by the release key.
func theOffer(d *campaigntest.Desk) policy.Asked {
	return policy.Asked{Manifest: image("manifest"), Sequence: 7, Components: []string{"rootfs"},
		Signers: []string{d.Keys[trust.RoleRelease].Key().ID()}, Device: "gw-1", Vendors: []manifest.UUID{vendor},
		Classes: []manifest.UUID{class}, Now: policy.Now{Wall: noon, Known: true}, UnknownTimeWaits: true}
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

// refusedFor wants a *campaign.Refusal, and the memory as it was.
func refusedFor(t testing.TB, what string, before, after campaign.Memory, err error, want reason.Reason) {
	t.Helper()
	var r *campaign.Refusal
	if !errors.As(err, &r) || r.Reason != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
	if !campaigntest.Same(before, after) {
		t.Errorf("%s: a refused document changed the memory", what)
	}
}
