package policy_test

import (
	"testing"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/campaign/campaigntest"
	"github.com/ratchet-ota/ratchet/agent/policy"
)

// A memory of any bytes: it is refused or used, and a plan that is taken is in it.
func FuzzMemory(f *testing.F) {
	d := campaigntest.New(f)
	b, err := standing(f, d).Memory.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := campaign.DecodeMemory(b)
		if err != nil {
			return
		}
		s := policy.Standing{Root: d.Root, Memory: m}
		s.Ask(theOffer(d))
		c := d.Plan(t, d.PlanSpec())
		if n, err := m.AcceptPlan(d.Root, "stable", c); err == nil && n.Channels["stable"].Plan != c.Digest().String() {
			t.Fatal("a plan was taken and is not in the memory")
		}
	})
}
