package campaign_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/campaign/campaigntest"
	"github.com/ratchet-ota/ratchet/agent/manifest"
)

var (
	class = campaigntest.Class
	noon  = campaigntest.Noon
)

func image(name string) manifest.Digest { return manifest.Sum([]byte(name)) }

// A cohort is the same on every machine, and grows with the phase: whoever was in stays in.
func TestCohort(t *testing.T) {
	salt := bytes.Repeat([]byte{7}, campaign.SaltSize)
	for device, want := range map[string]int{"gw-1": 8874, "gw-2": 538, "": 1045} {
		if got := campaign.Position(salt, device); got != want {
			t.Errorf("%q stands at %d, want %d", device, got, want)
		}
	}
	var in [3]int
	const devices = 20000
	for i := range devices {
		p := campaign.Position(salt,
			"device-"+strings.Repeat("x", i%7)+string(rune('a'+i%26))+time.Unix(int64(i), 0).UTC().String())
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
	d := campaigntest.New(t)
	for name, change := range map[string]func(p *campaign.PlanSpec){
		"generation 0":            func(p *campaign.PlanSpec) { p.Generation = 0 },
		"sequence 0":              func(p *campaign.PlanSpec) { p.Sequence = 0 },
		"no channel":              func(p *campaign.PlanSpec) { p.Channel = "" },
		"a channel with wildcard": func(p *campaign.PlanSpec) { p.Channel = "a/#" },
		"no manifest":             func(p *campaign.PlanSpec) { p.Manifest = manifest.Digest{} },
		"a short salt":            func(p *campaign.PlanSpec) { p.Salt = p.Salt[1:] },
		"for nobody":              func(p *campaign.PlanSpec) { p.Classes = nil },
		"a class twice":           func(p *campaign.PlanSpec) { p.Classes = []manifest.UUID{class, class} },
		"too many classes": func(p *campaign.PlanSpec) {
			p.Classes = make([]manifest.UUID, campaign.MaxPlanIDs+1)
		},
		"devices out of order":  func(p *campaign.PlanSpec) { p.Devices = []string{"b", "a"} },
		"a device with a space": func(p *campaign.PlanSpec) { p.Devices = []string{"a b"} },
		"too many devices":      func(p *campaign.PlanSpec) { p.Devices = make([]string, campaign.MaxDevices+1) },
		"no phases":             func(p *campaign.PlanSpec) { p.Phases = nil },
		"too many phases": func(p *campaign.PlanSpec) {
			p.Phases = make([]campaign.Phase, campaign.MaxPhases+1)
		},
		"an empty phase":      func(p *campaign.PlanSpec) { p.Phases[0].BasisPoints = 0 },
		"more than everybody": func(p *campaign.PlanSpec) { p.Phases[0].BasisPoints = 10001 },
		"a phase that shrinks": func(p *campaign.PlanSpec) {
			p.Phases = []campaign.Phase{{BasisPoints: 2}, {BasisPoints: 1}}
		},
		"a phase that goes back": func(p *campaign.PlanSpec) {
			p.Phases = []campaign.Phase{{1, noon}, {1, noon.Add(-time.Second)}}
		},
		"valid until before": func(p *campaign.PlanSpec) { p.ValidUntil = p.Issued },
		"never issued":       func(p *campaign.PlanSpec) { p.Issued = time.Time{} },
		"parts of seconds":   func(p *campaign.PlanSpec) { p.Issued = p.Issued.Add(1) },
	} {
		s := d.PlanSpec()
		change(&s)
		if _, err := campaign.BuildPlan(s); err == nil {
			t.Errorf("plan: %s: built", name)
		}
	}
	c := d.Plan(t, d.PlanSpec())
	for name, change := range map[string]func(p *campaign.PulseSpec){
		"generation 0":     func(p *campaign.PulseSpec) { p.Generation = 0 },
		"sequence 0":       func(p *campaign.PulseSpec) { p.Sequence = 0 },
		"no plan":          func(p *campaign.PulseSpec) { p.Plan = manifest.Digest{} },
		"unknown state":    func(p *campaign.PulseSpec) { p.State = "go" },
		"phase -1":         func(p *campaign.PulseSpec) { p.Phase = -1 },
		"phase 16":         func(p *campaign.PulseSpec) { p.Phase = campaign.MaxPhases },
		"expired at birth": func(p *campaign.PulseSpec) { p.Expires = p.Issued },
		"a long life": func(p *campaign.PulseSpec) {
			p.Expires = p.Issued.Add(campaign.MaxPulseLife + time.Second)
		},
	} {
		s := d.PulseSpec(c)
		change(&s)
		if _, err := campaign.BuildPulse(s); err == nil {
			t.Errorf("pulse: %s: built", name)
		}
	}
}

// Memory survives the journal, also in the hands of a version that knows more of it.
func TestMemoryIsKept(t *testing.T) {
	d := campaigntest.New(t)
	c := d.Plan(t, d.PlanSpec())
	kept := d.TakePulse(t, d.Take(t, campaign.Memory{}, c), c, d.Pulse(t, d.PulseSpec(c)))
	w := d.PulseSpec(c)
	w.Sequence, w.State = 2, campaign.StateWithdrawn
	kept = d.TakePulse(t, kept, c, d.Pulse(t, w))
	b, err := kept.Encode()
	if err != nil {
		t.Fatal(err)
	}
	m, err := campaign.DecodeMemory(b)
	if err != nil || !campaigntest.Same(m, kept) {
		t.Errorf("%+v became %+v: %v", kept, m, err)
	}
	var fields map[int]any
	if err := cbor.Unmarshal(b, &fields); err != nil {
		t.Fatal(err)
	}
	fields[99] = "of a later version"
	if b, err = cbor.Marshal(fields); err != nil {
		t.Fatal(err)
	}
	if m, err = campaign.DecodeMemory(b); err != nil || !campaigntest.Same(m, kept) {
		t.Errorf("with more in it: %+v: %v", m, err)
	}
	if m, err := campaign.DecodeMemory(nil); err != nil || !campaigntest.Same(m, campaign.Memory{}) {
		t.Errorf("nothing: %v", err)
	}
	if _, err := campaign.DecodeMemory([]byte{0xff}); err == nil {
		t.Error("garbage was taken as a memory")
	}
	if _, err := campaign.DecodeMemory(make([]byte, campaign.MaxMemory+1)); err == nil {
		t.Error("an oversized memory was taken")
	}
}

// The largest memory that documents can lead to fits into what DecodeMemory takes.
func TestMemoryIsBounded(t *testing.T) {
	d := campaigntest.New(t)
	var m campaign.Memory
	for i := range 3 * campaign.MaxWithdrawals {
		channel := strings.Repeat("c", 1+i%(2*campaign.MaxChannels))
		p := d.PlanSpec()
		p.Channel, p.Sequence, p.Manifest = channel, uint64(i+1), image(channel+time.Unix(int64(i), 0).UTC().String())
		c := d.Plan(t, p)
		var err error
		if m, err = m.AcceptPlan(d.Root, channel, c); err != nil {
			t.Fatal(err)
		}
		w := d.PulseSpec(c)
		w.State = campaign.StateWithdrawn
		m = d.TakePulse(t, m, c, d.Pulse(t, w))
		if _, ok := m.Channels[channel]; !ok {
			t.Fatal("the channel that the device follows was dropped")
		}
	}
	if len(m.Channels) != campaign.MaxChannels || len(m.Withdrawn) != campaign.MaxWithdrawals {
		t.Errorf("%d channels, %d withdrawals", len(m.Channels), len(m.Withdrawn))
	}
	b, err := m.Encode()
	if err != nil || len(b) > campaign.MaxMemory*3/4 {
		t.Errorf("%d bytes: %v", len(b), err)
	}
}
