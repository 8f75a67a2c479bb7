package agent_test

import (
	"context"
	"errors"
	"testing"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/console"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/intake"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// TestPermitIsUsedByAFailedInstall: a permit allows one attempt. An install that began by it and failed has
// used it, also as long as the daemon goes on.
func TestPermitIsUsedByAFailedInstall(t *testing.T) {
	bubble(t, 671, func(r *rig) {
		f := rooted(r)
		env := r.release(5, 2)
		plan, digest := f.plan(env, 5)
		r.hear(doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)), offered(env))
		old := r.release(3, 3)
		var answers []reason.Reason
		r.awake(func(ctx context.Context, a *agent.Agent) {
			c, err := a.Console().Challenge(ctx, "uid 0")
			if err == nil {
				_, err = a.Console().Permit(ctx,
					f.permit(c.Challenge, f.digest(old), reason.SequenceBelowFloor), "uid 0")
			}
			if err != nil {
				t.Error(err)
			}
			for range 2 { // the file is not there: it begins, and ends
				_, err := a.Console().Install(ctx, console.LocalInstall{Envelope: old, Name: "old.suit", Actor: "uid 0",
					Payloads: map[string]slots.Source{}}, func(control.Progress) {})
				var no *intake.Refused
				if !errors.As(err, &no) {
					t.Errorf("the answer is %v", err)
					return
				}
				answers = append(answers, no.Reason)
			}
		})
		if len(answers) != 2 || answers[0] != reason.Interrupted || answers[1] != reason.SequenceBelowFloor {
			t.Errorf("the answers are %v, want %s and %s", answers, reason.Interrupted, reason.SequenceBelowFloor)
		}
		r.is("B", 2)
	})
}
