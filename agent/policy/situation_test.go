package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/campaign/campaigntest"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

var (
	vendor = campaigntest.Vendor
	class  = campaigntest.Class
	device = manifest.UUIDv5(class, "gw-1")
	noon   = campaigntest.Noon // a Monday
	other  = manifest.Sum([]byte("another manifest"))
)

func image(name string) manifest.Digest { return manifest.Sum([]byte(name)) }

// part is what is on record of a part that holds an image.
func part(name string) policy.Part {
	return policy.Part{Image: image(name), Size: 900, Sequence: 6, Manifest: other, Anywhere: true}
}

// situation is everything a decision depends on. good returns one in which nothing is wrong.
type situation struct {
	release author.Release
	stage   policy.Stage
	local   bool
	rules   policy.Rules
	facts   policy.Facts
	now     policy.Now
	m       *manifest.Manifest // made from release when nil
}

func good() *situation {
	return &situation{
		release: author.Release{
			Vendor: vendor, Classes: []manifest.UUID{class}, Sequence: 7,
			Components: []author.Component{{Name: "rootfs", Images: []author.Image{{
				Slot: author.AnySlot, Digest: image("new"), Size: 1000, URI: "https://example.com/rootfs.img",
			}}}},
		},
		rules: policy.Rules{UnknownTimeWaits: true},
		facts: policy.Facts{
			Device: manifest.Device{
				Vendors: []manifest.UUID{vendor}, Classes: []manifest.UUID{class}, Devices: []manifest.UUID{device},
				Version: []int64{1, 4}, BatteryMWh: 5000,
				Components: map[string]manifest.Target{"rootfs": {Slot: 1}},
			},
			SlotSize: map[string]int64{"rootfs": 1000},
			Floors:   map[string]policy.Floor{"rootfs": {Sequence: 6, Manifest: other}},
			Running:  map[string]policy.Part{"rootfs": part("old")},
			Battery:  80, SupplyKnown: true,
		},
		now: policy.Now{Wall: noon, Known: true},
	}
}

// floor sets the floor of rootfs, and leaves what was confirmed under it.
func (s *situation) floor(n uint64) {
	f := s.facts.Floors["rootfs"]
	f.Sequence = n
	s.facts.Floors["rootfs"] = f
}

func (s *situation) manifest(t testing.TB) manifest.Manifest {
	t.Helper()
	if s.m != nil {
		return *s.m
	}
	return verified(t, s.build(t))
}

// build makes the envelope of the release.
func (s *situation) build(t testing.TB) []byte {
	t.Helper()
	env, err := author.Build(s.release)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// crafted is a manifest of sequence 7 whose shared sequence ends with the given commands; Build
// makes no such ones.
func crafted(t testing.TB, commands ...any) manifest.Manifest {
	t.Helper()
	wrap := func(v any) []byte {
		m, err := cbor.CoreDetEncOptions().EncMode()
		if err != nil {
			t.Fatal(err)
		}
		b, err := m.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	identity := map[int]any{1: vendor[:], 2: class[:]}
	common := map[int]any{2: []any{[]any{[]byte("rootfs")}}, 4: wrap(append([]any{20, identity, 1, 15}, commands...))}
	m := wrap(map[int]any{1: 1, 2: 7, 3: wrap(common)})
	d := manifest.Sum(wrap(m))
	wrapper := wrap([]any{wrap([]any{d.Alg, []byte(d.Sum)})})
	return verified(t, wrap(cbor.Tag{Number: 107, Content: map[int]any{2: wrapper, 3: m}}))
}

// verified signs and verifies.
func verified(t testing.TB, env []byte) manifest.Manifest {
	t.Helper()
	signer, err := trust.Generate(trust.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	return verifiedBy(t, env, signer)
}

// verifiedBy lets somebody sign, who is trusted.
func verifiedBy(t testing.TB, env []byte, signer *trust.Signer) manifest.Manifest {
	t.Helper()
	env, err := author.Sign(env, signer)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := trust.NewKeys([]trust.Key{signer.Key()}, false)
	if err != nil {
		t.Fatal(err)
	}
	e, err := manifest.Parse(env)
	if err != nil {
		t.Fatal(err)
	}
	m, err := manifest.Verify(e, keys)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// under decides with a standing and a permit.
func (s *situation) under(t testing.TB, st policy.Standing, p campaign.Permit) policy.Decision {
	t.Helper()
	f := s.facts
	f.ID, f.Rules, f.Now = "gw-1", s.rules, s.now
	return policy.Decide(policy.Offer{Manifest: s.manifest(t), Stage: s.stage, Local: s.local}, st, p, f)
}

// decide asks the rules only, and checks that outcome and plan follow from the findings.
func (s *situation) decide(t testing.TB) policy.Decision {
	t.Helper()
	d := s.under(t, policy.Standing{}, campaign.Permit{})
	final := false
	for _, f := range d.Findings {
		if f.Final != f.Reason.Info().Final {
			t.Errorf("%s is final: %t, its table says otherwise", f.Reason, f.Final)
		}
		final = final || f.Final
	}
	want := policy.Install
	if final {
		want = policy.Refuse
	} else if len(d.Findings) > 0 {
		want = policy.Defer
	}
	if d.Outcome != want || d.Plan.IsZero() != (want != policy.Install) {
		t.Errorf("outcome %s of %s, plan is zero: %t", d.Outcome, told(d), d.Plan.IsZero())
	}
	return d
}

// told is the reasons of a decision.
func told(d policy.Decision) string {
	var out []string
	for _, f := range d.Findings {
		out = append(out, string(f.Reason))
	}
	return strings.Join(out, " ")
}

func days(d ...time.Weekday) (out [7]bool) {
	for _, x := range d {
		out[x] = true
	}
	return out
}

// two adds a second component.
func (s *situation) two() {
	s.release.Components = append(s.release.Components, author.Component{Name: "app", Images: []author.Image{{
		Slot: author.AnySlot, Digest: image("app"), Size: 50, URI: "https://example.com/app.img",
	}}})
	s.facts.Device.Components["app"], s.facts.SlotSize["app"] = manifest.Target{Slot: 1}, 50
}
