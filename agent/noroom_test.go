package agent_test

import (
	"testing"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/transport"
)

// TestDocumentWithoutRoom: a plan, a pulse or an offer that the journal has no room for when it comes is taken when
// there is room again, without being said a second time: here the n-th transaction and the three after it have none.
func TestDocumentWithoutRoom(t *testing.T) {
	for n := 1; n <= 8; n++ {
		bubble(t, 684, func(r *rig) {
			f := rooted(r)
			env := r.release(2, 2)
			plan, digest := f.plan(env, 2)
			count := 0
			r.fault = func() error {
				if count++; count >= n && count < n+4 {
					return journal.ErrFull
				}
				return nil
			}
			r.hear(doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)), offered(env))
			r.is("B", 2)
		})
	}
}
