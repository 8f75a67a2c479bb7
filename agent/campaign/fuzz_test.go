package campaign_test

import (
	"bytes"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/campaign/campaigntest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// Documents of any bytes: what can be read can be built again to the same payload, and nothing that
// nobody signed verifies.
func FuzzCampaign(f *testing.F) {
	d := campaigntest.New(f)
	c := d.Plan(f, d.PlanSpec())
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
	msg, err := campaign.BuildPlan(d.PlanSpec())
	seed("plan", msg, err)
	msg, err = campaign.BuildPulse(d.PulseSpec(c))
	seed("pulse", msg, err)
	msg, err = campaign.BuildPermit(d.PermitSpec(campaigntest.Challenge(), image("m"), reason.LowBattery,
		reason.OutsideWindow))
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
				s, _, err := campaign.ReadPlan(msg)
				if err != nil {
					continue
				}
				again, err = campaign.BuildPlan(s)
				if err != nil {
					t.Fatalf("what was read cannot be built: %v", err)
				}
				if _, err := campaign.VerifyPlan(d.Root, msg); err == nil {
					t.Fatal("an unsigned plan verifies")
				}
			case "pulse":
				s, err := campaign.ReadPulse(msg)
				if err != nil {
					continue
				}
				if again, err = campaign.BuildPulse(s); err != nil {
					t.Fatalf("what was read cannot be built: %v", err)
				}
				if _, err := campaign.VerifyPulse(d.Root, msg); err == nil {
					t.Fatal("an unsigned pulse verifies")
				}
			case "permit":
				s, err := campaign.ReadPermit(msg)
				if err != nil {
					continue
				}
				if again, err = campaign.BuildPermit(s); err != nil {
					t.Fatalf("what was read cannot be built: %v", err)
				}
				if _, err := campaign.VerifyPermit(d.Root, msg, s.Challenge); err == nil {
					t.Fatal("an unsigned permit verifies")
				}
			}
			if !bytes.Equal(again, msg) {
				t.Fatalf("a %s that was read is built otherwise", kind)
			}
		}
	})
}

func FuzzChallenge(f *testing.F) {
	text, err := campaigntest.Challenge().Text()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("RC1-AAAA")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := campaign.ParseChallenge(s)
		if err != nil {
			return
		}
		text, err := c.Text()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := campaign.ParseChallenge(text); err != nil || again != c {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
