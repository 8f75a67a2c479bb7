package policy_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

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
		plan  func(p *policy.PlanSpec)
		pulse func(p *policy.PulseSpec)
		root  func(s *trust.RootSpec)
		offer func(o *policy.Asked)
		stand func(s *policy.Standing)
		want  []reason.Reason
		local []reason.Reason // at the console
	}{
		{name: "nothing is wrong"},
		{name: "revoked", root: func(s *trust.RootSpec) { s.Revoked = []string{image("manifest").String()} },
			want: []reason.Reason{reason.Revoked}, local: []reason.Reason{reason.Revoked}},
		{name: "below the root's minimum", root: func(s *trust.RootSpec) { s.Components = map[string]trust.SequenceRange{"rootfs": {Min: 8, Max: 9}} },
			want: []reason.Reason{reason.SequenceOutOfRange}, local: []reason.Reason{reason.SequenceOutOfRange}},
		{name: "above the root's maximum", root: func(s *trust.RootSpec) { s.Components = map[string]trust.SequenceRange{"rootfs": {Max: 6}} },
			want: []reason.Reason{reason.SequenceOutOfRange}, local: []reason.Reason{reason.SequenceOutOfRange}},
		{name: "at the edges of the range", root: func(s *trust.RootSpec) { s.Components = map[string]trust.SequenceRange{"rootfs": {Min: 7, Max: 7}} }},
		{name: "a range of another component", root: func(s *trust.RootSpec) { s.Components = map[string]trust.SequenceRange{"boot": {Min: 8, Max: 9}} }},
		{name: "nobody who may release", offer: func(o *policy.Asked) { o.Signers = nil },
			want: []reason.Reason{reason.SignersInsufficient}, local: []reason.Reason{reason.SignersInsufficient}},
		{name: "a root older than the counter", stand: func(s *policy.Standing) { s.Counter = s.Root.Version() + 1 },
			want: []reason.Reason{reason.RootBehind}, local: []reason.Reason{reason.RootBehind}},
		{name: "a root as old as the counter", stand: func(s *policy.Standing) { s.Counter = s.Root.Version() }},
		{name: "root, plan and pulse have expired", offer: func(o *policy.Asked) { o.Now.Wall = late },
			want: []reason.Reason{reason.RootExpired, reason.PlanExpired, reason.PulseExpired}, local: []reason.Reason{reason.RootExpired}},
		{name: "no plan", stand: func(s *policy.Standing) { s.Plan = policy.Campaign{} }, want: []reason.Reason{reason.PlanMissing}},
		{name: "a plan that was not taken", stand: func(s *policy.Standing) { s.Memory = policy.Memory{} }, want: []reason.Reason{reason.PlanVoid}},
		{name: "a plan for another manifest", offer: func(o *policy.Asked) { o.Manifest = image("other") }, want: []reason.Reason{reason.PlanMissing}},
		{name: "a plan for another sequence", offer: func(o *policy.Asked) { o.Sequence = 8 }, want: []reason.Reason{reason.PlanMissing}},
		{name: "another class", offer: func(o *policy.Asked) { o.Classes = []manifest.UUID{vendor} }, want: []reason.Reason{reason.NotInScope}},
		{name: "another device", plan: func(p *policy.PlanSpec) { p.Devices = []string{"gw-0", "gw-2"} }, want: []reason.Reason{reason.NotInScope}},
		{name: "this device", plan: func(p *policy.PlanSpec) { p.Classes, p.Devices = nil, []string{"gw-0", "gw-1"} }},
		{name: "this device of another class", plan: func(p *policy.PlanSpec) { p.Classes, p.Devices = []manifest.UUID{vendor}, []string{"gw-1"} },
			want: []reason.Reason{reason.NotInScope}},
		{name: "the plan at its end", plan: func(p *policy.PlanSpec) { p.ValidUntil = noon }, want: []reason.Reason{reason.PlanExpired}},
		{name: "no pulse", stand: func(s *policy.Standing) { s.Pulse = policy.Pulse{} }, want: []reason.Reason{reason.PulseMissing}},
		{name: "the pulse at its end", pulse: func(p *policy.PulseSpec) { p.Expires = noon }, want: []reason.Reason{reason.PulseExpired}},
		{name: "paused", pulse: func(p *policy.PulseSpec) { p.State = policy.StatePaused }, want: []reason.Reason{reason.Paused}},
		{name: "halted", pulse: func(p *policy.PulseSpec) { p.State = policy.StateHalted }, want: []reason.Reason{reason.Halted}},
		{name: "withdrawn", pulse: func(p *policy.PulseSpec) { p.State = policy.StateWithdrawn },
			want: []reason.Reason{reason.PlanWithdrawn}, local: []reason.Reason{reason.PlanWithdrawn}},
		{name: "a phase to come", plan: func(p *policy.PlanSpec) { p.Phases[0].NotBefore = noon.Add(time.Second) }, want: []reason.Reason{reason.NotBefore}},
		{name: "a phase that begins now", plan: func(p *policy.PlanSpec) { p.Phases[0].NotBefore = noon }},
		{name: "outside of the cohort", plan: func(p *policy.PlanSpec) { p.Phases[0].BasisPoints = policy.Position(p.Salt, "gw-1") },
			want: []reason.Reason{reason.NotInCohort}},
		{name: "the last of the cohort", plan: func(p *policy.PlanSpec) { p.Phases[0].BasisPoints = policy.Position(p.Salt, "gw-1") + 1 }},
		{name: "the second phase reaches it", plan: func(p *policy.PlanSpec) { p.Phases = []policy.Phase{{BasisPoints: 1}, {BasisPoints: 10000}} },
			pulse: func(p *policy.PulseSpec) { p.Phase = 1 }},
		{name: "time is not known", offer: func(o *policy.Asked) { o.Now = unknown }, want: []reason.Reason{reason.ClockUnknown, reason.ClockUnknown}},
		{name: "time is not known, nor whether a phase has begun", plan: func(p *policy.PlanSpec) { p.Phases[0].NotBefore = noon },
			offer: func(o *policy.Asked) { o.Now = unknown }, want: []reason.Reason{reason.ClockUnknown, reason.ClockUnknown, reason.ClockUnknown}},
		{name: "time is not known, but it is later than the phase's beginning", plan: func(p *policy.PlanSpec) { p.Phases[0].NotBefore = noon.Add(-2 * time.Hour) },
			offer: func(o *policy.Asked) { o.Now = unknown }, want: []reason.Reason{reason.ClockUnknown, reason.ClockUnknown}},
		{name: "time is not known, and need not be", plan: func(p *policy.PlanSpec) { p.Phases[0].NotBefore = noon },
			offer: func(o *policy.Asked) { o.Now, o.UnknownTimeWaits = unknown, false }},
		{name: "everything at once", root: func(s *trust.RootSpec) { s.Revoked = []string{image("manifest").String()} },
			plan:  func(p *policy.PlanSpec) { p.Phases[0].BasisPoints, p.ValidUntil = 1, noon },
			pulse: func(p *policy.PulseSpec) { p.State, p.Expires = policy.StatePaused, noon },
			offer: func(o *policy.Asked) { o.Classes = nil },
			want:  []reason.Reason{reason.Revoked, reason.NotInScope, reason.PlanExpired, reason.PulseExpired, reason.Paused, reason.NotInCohort},
			local: []reason.Reason{reason.Revoked}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t)
			if tt.root != nil {
				d.amend(t, tt.root)
			}
			s, plan := policy.Standing{Root: d.root}, d.planSpec()
			if tt.plan != nil {
				tt.plan(&plan)
			}
			s.Plan = d.plan(t, plan)
			s.Memory = takePlan(t, s, s.Plan)
			pulse := d.pulseSpec(s.Plan)
			if tt.pulse != nil {
				tt.pulse(&pulse)
			}
			s.Pulse = d.pulse(t, pulse)
			s.Memory = takePulse(t, s, s.Pulse)
			if tt.stand != nil {
				tt.stand(&s)
			}
			o := d.theOffer()
			if tt.offer != nil {
				tt.offer(&o)
			}
			wants(t, "network", s.Ask(o), tt.want...)
			o.Local = true
			wants(t, "console", s.Ask(o), tt.local...)
		})
	}
}

// A cohort is the same on every machine, and grows with the phase: whoever was in stays in.
func TestCohort(t *testing.T) {
	salt := bytes.Repeat([]byte{7}, policy.SaltSize)
	for device, want := range map[string]int{"gw-1": 8874, "gw-2": 538, "": 1045} {
		if got := policy.Position(salt, device); got != want {
			t.Errorf("%q stands at %d, want %d", device, got, want)
		}
	}
	var in [3]int
	const devices = 20000
	for i := range devices {
		p := policy.Position(salt, "device-"+strings.Repeat("x", i%7)+string(rune('a'+i%26))+time.Unix(int64(i), 0).UTC().String())
		if p < 0 || p > 9999 {
			t.Fatalf("position %d", p)
		}
		for n, bp := range []int{100, 1000, 5000} {
			if p < bp {
				in[n]++
			}
		}
	}
	for n, want := range []int{devices / 100, devices / 10, devices / 2} {
		if in[n] < want*8/10 || in[n] > want*12/10 {
			t.Errorf("%d of %d devices are in a cohort of %d", in[n], devices, want)
		}
	}
}

// What no plan and no pulse may be.
func TestDocumentsRefuseToBe(t *testing.T) {
	d := newDesk(t)
	for name, change := range map[string]func(p *policy.PlanSpec){
		"generation 0":            func(p *policy.PlanSpec) { p.Generation = 0 },
		"sequence 0":              func(p *policy.PlanSpec) { p.Sequence = 0 },
		"no channel":              func(p *policy.PlanSpec) { p.Channel = "" },
		"a channel with wildcard": func(p *policy.PlanSpec) { p.Channel = "a/#" },
		"no manifest":             func(p *policy.PlanSpec) { p.Manifest = manifest.Digest{} },
		"a short salt":            func(p *policy.PlanSpec) { p.Salt = p.Salt[1:] },
		"for nobody":              func(p *policy.PlanSpec) { p.Classes = nil },
		"a class twice":           func(p *policy.PlanSpec) { p.Classes = []manifest.UUID{class, class} },
		"too many classes":        func(p *policy.PlanSpec) { p.Classes = make([]manifest.UUID, policy.MaxPlanIDs+1) },
		"devices out of order":    func(p *policy.PlanSpec) { p.Devices = []string{"b", "a"} },
		"a device with a space":   func(p *policy.PlanSpec) { p.Devices = []string{"a b"} },
		"too many devices":        func(p *policy.PlanSpec) { p.Devices = make([]string, policy.MaxDevices+1) },
		"no phases":               func(p *policy.PlanSpec) { p.Phases = nil },
		"too many phases":         func(p *policy.PlanSpec) { p.Phases = make([]policy.Phase, policy.MaxPhases+1) },
		"an empty phase":          func(p *policy.PlanSpec) { p.Phases[0].BasisPoints = 0 },
		"more than everybody":     func(p *policy.PlanSpec) { p.Phases[0].BasisPoints = 10001 },
		"a phase that shrinks":    func(p *policy.PlanSpec) { p.Phases = []policy.Phase{{BasisPoints: 2}, {BasisPoints: 1}} },
		"a phase that goes back":  func(p *policy.PlanSpec) { p.Phases = []policy.Phase{{1, noon}, {1, noon.Add(-time.Second)}} },
		"valid until before":      func(p *policy.PlanSpec) { p.ValidUntil = p.Issued },
		"never issued":            func(p *policy.PlanSpec) { p.Issued = time.Time{} },
		"parts of seconds":        func(p *policy.PlanSpec) { p.Issued = p.Issued.Add(1) },
	} {
		s := d.planSpec()
		change(&s)
		if _, err := policy.BuildPlan(s); err == nil {
			t.Errorf("plan: %s: built", name)
		}
	}
	c := d.plan(t, d.planSpec())
	for name, change := range map[string]func(p *policy.PulseSpec){
		"generation 0":     func(p *policy.PulseSpec) { p.Generation = 0 },
		"sequence 0":       func(p *policy.PulseSpec) { p.Sequence = 0 },
		"no plan":          func(p *policy.PulseSpec) { p.Plan = manifest.Digest{} },
		"unknown state":    func(p *policy.PulseSpec) { p.State = "go" },
		"phase -1":         func(p *policy.PulseSpec) { p.Phase = -1 },
		"phase 16":         func(p *policy.PulseSpec) { p.Phase = policy.MaxPhases },
		"expired at birth": func(p *policy.PulseSpec) { p.Expires = p.Issued },
		"a long life":      func(p *policy.PulseSpec) { p.Expires = p.Issued.Add(policy.MaxPulseLife + time.Second) },
	} {
		s := d.pulseSpec(c)
		change(&s)
		if _, err := policy.BuildPulse(s); err == nil {
			t.Errorf("pulse: %s: built", name)
		}
	}
}

// Memory survives the journal, also in the hands of a version that knows more of it.
func TestMemoryIsKept(t *testing.T) {
	d := newDesk(t)
	s := d.standing(t)
	w := d.pulseSpec(s.Plan)
	w.Sequence, w.State = 2, policy.StateWithdrawn
	s.Memory = takePulse(t, s, d.pulse(t, w))
	b, err := s.Memory.Encode()
	if err != nil {
		t.Fatal(err)
	}
	m, err := policy.DecodeMemory(b)
	if err != nil || !same(m, s.Memory) {
		t.Errorf("%+v became %+v: %v", s.Memory, m, err)
	}
	var fields map[int]any
	if err := cbor.Unmarshal(b, &fields); err != nil {
		t.Fatal(err)
	}
	fields[99] = "of a later version"
	if b, err = cbor.Marshal(fields); err != nil {
		t.Fatal(err)
	}
	if m, err = policy.DecodeMemory(b); err != nil || !same(m, s.Memory) {
		t.Errorf("with more in it: %+v: %v", m, err)
	}
	if m, err := policy.DecodeMemory(nil); err != nil || !same(m, policy.Memory{}) {
		t.Errorf("nothing: %v", err)
	}
	if _, err := policy.DecodeMemory([]byte{0xff}); err == nil {
		t.Error("garbage was taken as a memory")
	}
	if _, err := policy.DecodeMemory(make([]byte, policy.MaxMemory+1)); err == nil {
		t.Error("an oversized memory was taken")
	}
}

// The largest memory that documents can lead to fits into what DecodeMemory takes.
func TestMemoryIsBounded(t *testing.T) {
	d := newDesk(t)
	s := policy.Standing{Root: d.root}
	for i := range 3 * policy.MaxWithdrawals {
		channel := strings.Repeat("c", 1+i%(2*policy.MaxChannels))
		p := d.planSpec()
		p.Channel, p.Sequence, p.Manifest = channel, uint64(i+1), image(channel+time.Unix(int64(i), 0).UTC().String())
		s.Plan = d.plan(t, p)
		var err error
		if s.Memory, err = s.Memory.AcceptPlan(s.Root, channel, s.Plan); err != nil {
			t.Fatal(err)
		}
		w := d.pulseSpec(s.Plan)
		w.State = policy.StateWithdrawn
		s.Memory = takePulse(t, s, d.pulse(t, w))
		if _, ok := s.Memory.Channels[channel]; !ok {
			t.Fatal("the channel that the device follows was dropped")
		}
	}
	if len(s.Memory.Channels) != policy.MaxChannels || len(s.Memory.Withdrawn) != policy.MaxWithdrawals {
		t.Errorf("%d channels, %d withdrawals", len(s.Memory.Channels), len(s.Memory.Withdrawn))
	}
	b, err := s.Memory.Encode()
	if err != nil || len(b) > policy.MaxMemory*3/4 {
		t.Errorf("%d bytes: %v", len(b), err)
	}
}
