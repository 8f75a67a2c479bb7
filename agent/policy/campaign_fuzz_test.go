package policy_test

import (
	"bytes"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// Documents of any bytes: what can be read can be built again to the same payload, and nothing that
// nobody signed verifies.
func FuzzCampaign(f *testing.F) {
	d := newDesk(f)
	c := d.plan(f, d.planSpec())
	seed := func(kind string, msg []byte, err error) {
		if err != nil {
			f.Fatal(err)
		}
		p, _, err := trust.Payload(kind, msg)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	msg, err := policy.BuildPlan(d.planSpec())
	seed("plan", msg, err)
	msg, err = policy.BuildPulse(d.pulseSpec(c))
	seed("pulse", msg, err)
	msg, err = policy.BuildPermit(d.permitSpec(challenge(), image("m"), reason.LowBattery, reason.OutsideWindow))
	seed("permit", msg, err)
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, kind := range []string{"plan", "pulse", "permit"} {
			msg, err := trust.BuildDocument(kind, payload)
			if err != nil {
				return
			}
			var again []byte
			switch kind {
			case "plan":
				s, _, err := policy.ReadPlan(msg)
				if err != nil {
					continue
				}
				again, err = policy.BuildPlan(s)
				if err != nil {
					t.Fatalf("what was read cannot be built: %v", err)
				}
				if _, err := policy.VerifyPlan(d.root, msg); err == nil {
					t.Fatal("an unsigned plan verifies")
				}
			case "pulse":
				s, err := policy.ReadPulse(msg)
				if err != nil {
					continue
				}
				if again, err = policy.BuildPulse(s); err != nil {
					t.Fatalf("what was read cannot be built: %v", err)
				}
				if _, err := policy.VerifyPulse(d.root, msg); err == nil {
					t.Fatal("an unsigned pulse verifies")
				}
			case "permit":
				s, err := policy.ReadPermit(msg)
				if err != nil {
					continue
				}
				if again, err = policy.BuildPermit(s); err != nil {
					t.Fatalf("what was read cannot be built: %v", err)
				}
				if _, err := policy.VerifyPermit(d.root, msg, s.Challenge); err == nil {
					t.Fatal("an unsigned permit verifies")
				}
			}
			if !bytes.Equal(again, msg) {
				t.Fatalf("a %s that was read is built otherwise", kind)
			}
		}
	})
}

func FuzzMemory(f *testing.F) {
	d := newDesk(f)
	b, err := d.standing(f).Memory.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := policy.DecodeMemory(b)
		if err != nil {
			return
		}
		s := policy.Standing{Root: d.root, Memory: m}
		s.Ask(d.theOffer())
		c := d.plan(t, d.planSpec())
		if n, err := m.AcceptPlan(d.root, "stable", c); err == nil && n.Channels["stable"].Plan != c.Digest().String() {
			t.Fatal("a plan was taken and is not in the memory")
		}
	})
}

func FuzzChallenge(f *testing.F) {
	text, err := challenge().Text()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("RC1-AAAA")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := policy.ParseChallenge(s)
		if err != nil {
			return
		}
		text, err := c.Text()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := policy.ParseChallenge(text); err != nil || again != c {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
