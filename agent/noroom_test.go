package agent_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/slots"
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

// TestWithdrawalWithoutRoomWhileWritten: the journal has no room for a withdrawal that comes while a server drips. It
// is taken when there is room again, and not only when the write has come to its end.
func TestWithdrawalWithoutRoomWhileWritten(t *testing.T) {
	bubble(t, 1504, func(r *rig) {
		b := r.beginning()
		full := false
		r.fault = func() error {
			if full {
				return journal.ErrFull
			}
			return nil
		}
		r.from(func(uri string) slots.Source { return &drip{r: r, uri: uri, first: imageSize / 2} })
		r.awake(func(ctx context.Context, a *agent.Agent) {
			r.send(b.msgs...)
			full = true
			r.send(doc(transport.Pulse, b.pulse(b.digest, campaign.StateWithdrawn)))
			wait := func(d time.Duration) string {
				for range d / time.Second {
					r.w.Advance(time.Second)
					synctest.Wait()
				}
				return a.Console().Status(ctx).Phase
			}
			if phase := wait(10 * time.Minute); phase != "writing" {
				t.Errorf("without room: phase %s", phase)
			}
			full = false
			if phase := wait(time.Minute); phase != "idle" {
				t.Errorf("a minute after there is room: phase %s", phase)
			}
		})
		r.is("A", 1, "plan-withdrawn")
	})
}
