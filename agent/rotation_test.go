package agent_test

import (
	"testing"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/transport"
)

// TestRotationVoidsWhatWasSaid: a new root replaces the key of a role. What its former signer said counts no
// more, at once and after a restart, and what the new one says is taken.
func TestRotationVoidsWhatWasSaid(t *testing.T) {
	for role, want := range map[trust.Role]string{trust.RoleCampaign: "plan-missing", trust.RolePulse: "pulse-missing",
		trust.RoleRecovery: ""} {
		for _, restart := range []bool{false, true} {
			t.Run(string(role), func(t *testing.T) {
				bubble(t, 661, func(r *rig) {
					f := rooted(r)
					env := r.release(2, 2)
					plan, digest := f.plan(env, 2)
					r.hear(doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)))
					f.rekey(role)
					f.root()
					msgs := []transport.Message{doc(transport.Root, f.bundle()), offered(env)}
					if restart {
						r.hear(msgs[0])
						msgs = msgs[1:]
					}
					n := r.hear(msgs...)
					if want == "" { // whose key has nothing to do with it
						r.is("B", 2)
						return
					}
					if n != 0 {
						t.Errorf("restart=%v: what a rotated %s key said made the device boot %d times",
							restart, role, n)
					}
					r.is("A", 1, want)
					plan, digest = f.plan(env, 2)
					r.hear(doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)))
					r.is("B", 2)
				})
			})
		}
	}
}
