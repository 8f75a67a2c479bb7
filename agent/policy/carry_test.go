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

// half is a device with two parts to which a release of one of them is offered: the app is carried.
func half() *situation {
	s := good()
	s.facts.Device.Components["app"], s.facts.SlotSize["app"] = manifest.Target{Slot: 1}, 900
	s.facts.Running["app"] = part("app")
	s.facts.Floors["app"] = policy.Floor{Sequence: 6}
	return s
}

// TestCarried: a part that the manifest leaves out is carried over from the running slot, if what that holds is on
// record, fits, and would be admitted itself; at each bound yes, one beyond it the offer waits.
func TestCarried(t *testing.T) {
	running := func(s *situation, edit func(*policy.Part)) {
		p := s.facts.Running["app"]
		edit(&p)
		s.facts.Running["app"] = p
	}
	quarantined := func(d manifest.Digest) func(manifest.Digest) (reason.Reason, bool) {
		return func(asked manifest.Digest) (reason.Reason, bool) { return reason.HealthFailed, asked == d }
	}
	for _, c := range []struct {
		name string
		set  func(*situation)
		want string // "": it is carried
	}{
		{"as it is", func(*situation) {}, ""},
		{"not on record", func(s *situation) { delete(s.facts.Running, "app") },
			"app: it is not on record what the running slot holds"},
		{"nothing on record", func(s *situation) { s.facts.Running = nil },
			"app: it is not on record what the running slot holds"},
		{"a record without a size", func(s *situation) { running(s, func(p *policy.Part) { p.Size = 0 }) },
			"app: it is not on record what the running slot holds"},
		{"a record without a digest",
			func(s *situation) { running(s, func(p *policy.Part) { p.Image = manifest.Digest{} }) },
			"app: it is not on record what the running slot holds"},
		{"made for the other slot", func(s *situation) { running(s, func(p *policy.Part) { p.Anywhere = false }) },
			"app: it is not on record that what the running slot holds fits the other slot too"},
		{"below the floor", func(s *situation) { running(s, func(p *policy.Part) { p.Sequence = 5 }) },
			"app: the running slot holds sequence 5, and 6 was confirmed"},
		{"one byte too large", func(s *situation) { s.facts.SlotSize["app"] = 899 },
			"app: it has 900 bytes, its slot has 899"},
		{"quarantined", func(s *situation) { s.facts.Quarantined = quarantined(image("app")) },
			"app: what the running slot holds is quarantined, because of health-failed"},
		{"its manifest is quarantined", func(s *situation) { s.facts.Quarantined = quarantined(other) },
			"app: what the running slot holds is quarantined, because of health-failed"},
	} {
		for _, local := range []bool{false, true} {
			s := half()
			s.local = local
			c.set(s)
			d := s.decide(t)
			if c.want == "" {
				want := policy.Carry{Component: "app", Part: part("app")}
				if got := d.Plan.Carries(); len(got) != 1 || got[0] != want || len(d.Carries) != 1 {
					t.Errorf("%s: %s %v, carries %+v", c.name, d.Outcome, d.Findings, got)
				}
				continue
			}
			if d.Outcome != policy.Defer || len(d.Findings) != 1 || d.Findings[0].Reason != reason.SlotIncomplete ||
				d.Findings[0].Detail != c.want || !d.Plan.IsZero() {
				t.Errorf("%s: %s %+v, want %s", c.name, d.Outcome, d.Findings, c.want)
			}
		}
	}
	s := half()
	delete(s.facts.SlotSize, "app")
	wants(t, "the target's part cannot be measured", s.decide(t).Findings, reason.SlotBusy)
	s = half()
	s.two()
	if d := s.decide(t); d.Outcome != policy.Install || len(d.Plan.Carries()) != 0 {
		t.Errorf("a release of both parts: %s %+v", d.Outcome, d)
	}
}

// TestUnmeasuredSaysWhy: whoever reads that a slot is busy also reads what the system said when it was opened.
func TestUnmeasuredSaysWhy(t *testing.T) {
	for _, component := range []string{"rootfs", "app"} { // released, carried over
		s := half()
		delete(s.facts.SlotSize, component)
		s.facts.SlotUnread = map[string]string{component: "cannot open /dev/vdb: operation not permitted"}
		found := s.decide(t).Findings
		want := "the slot of " + component + " could not be measured: " + s.facts.SlotUnread[component]
		if len(found) != 1 || found[0].Detail != want {
			t.Errorf("%s: %+v", component, found)
		}
	}
}

// TestCarriedAndTheRoot: a part that the root does not admit any more is not carried over.
func TestCarriedAndTheRoot(t *testing.T) {
	for _, c := range []struct {
		name string
		root func(*trust.RootSpec)
		want []reason.Reason
	}{
		{"admitted", func(s *trust.RootSpec) {
			s.Components = map[string]trust.SequenceRange{"app": {Min: 6, Max: 6}}
		}, nil},
		{"below its minimum", func(s *trust.RootSpec) {
			s.Components = map[string]trust.SequenceRange{"app": {Min: 7, Max: 9}}
		}, []reason.Reason{reason.SlotIncomplete}},
		{"above its maximum", func(s *trust.RootSpec) {
			s.Components = map[string]trust.SequenceRange{"app": {Min: 1, Max: 5}}
		}, []reason.Reason{reason.SlotIncomplete}},
		{"revoked", func(s *trust.RootSpec) { s.Revoked = []string{other.String()} },
			[]reason.Reason{reason.SlotIncomplete}},
	} {
		d := campaigntest.New(t)
		d.Amend(t, c.root)
		s := half()
		s.local = true
		m := s.manifest(t)
		offer, standing := policy.Offer{Manifest: m, Local: true}, policy.Standing{Root: d.Root}
		got := policy.Decide(offer, standing, campaign.Permit{}, s.facts)
		wants(t, c.name, without(got.Findings, reason.SignersInsufficient, reason.ClockUnknown), c.want...)
	}
}

// without leaves out what the test is not about.
func without(findings []policy.Finding, these ...reason.Reason) (left []policy.Finding) {
next:
	for _, f := range findings {
		for _, r := range these {
			if f.Reason == r {
				continue next
			}
		}
		left = append(left, f)
	}
	return left
}
