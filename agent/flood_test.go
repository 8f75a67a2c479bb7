package agent_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/transport"
)

// tallied counts the commits that change a journal.
type tallied struct {
	journal.Store
	n *int
}

func (c tallied) Update(fn func(journal.Tx) error) error { *c.n++; return c.Store.Update(fn) }

// TestResendFloodCostsNoFlash: a broker asks for evidence again and again, in a burst while the clock stands still and
// over a day. No request costs a commit, and what is sent again is bounded.
func TestResendFloodCostsNoFlash(t *testing.T) {
	bubble(t, 721, func(r *rig) {
		commits, box := 0, &outbox{}
		r.options = func(o *agent.Options) { o.Outbox, o.Journal = box, tallied{o.Journal, &commits} }
		r.play(r.release(2, 2), r.release(3, 3))
		r.awake(func(ctx context.Context, a *agent.Agent) {
			defer reports(ctx, a)()
			synctest.Wait()
			commits, box.seq = 0, nil
			held := int(r.records()[len(r.records())-1].Seq)
			ask := func(n int) {
				for i := range n {
					r.inbox <- transport.Message{Kind: transport.Resend, Origin: "x", Body: []byte{byte(1 + i%3)}}
					synctest.Wait()
				}
			}
			ask(500)
			if n := len(box.seq); commits != 0 || n == 0 || n > 8*held {
				t.Errorf("500 requests: %d commits, %d of %d records sent", commits, n, held)
			}
			box.seq = nil
			for range 24 {
				r.w.Advance(time.Hour)
				synctest.Wait()
				ask(50)
			}
			if n := len(box.seq); n > 24*8*(held+30) || commits > 60 {
				t.Errorf("a day of requests: %d commits, %d records sent", commits, n)
			}
		})
	})
}
