package agent_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
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

// TestOfferFloodCostsLittleFlash: whoever may publish hands in genuine offers by turns: two that wait, two of one
// number, more old ones than verdicts are remembered. In a burst while the clock stands still, and over a day, what
// becomes durable and what is sent is bounded; and a release that can be installed is, in the middle of it.
func TestOfferFloodCostsLittleFlash(t *testing.T) {
	bubble(t, 722, func(r *rig) {
		metered := func(m *author.Release) { m.MinBatteryMWh = 1 << 40 } // it waits
		floods := map[string][][]byte{
			"two that wait":     {r.release(20, 4, metered), r.release(20, 5, metered)},
			"two of one number": {r.release(3, 4), r.release(3, 5)},
		}
		for n := range 100 {
			floods["old ones"] = append(floods["old ones"], r.release(1, byte(10+n)))
		}
		r.play(r.release(3, 3))
		for name, flood := range floods {
			commits, box := 0, &outbox{}
			r.options = func(o *agent.Options) { o.Outbox, o.Journal = box, tallied{o.Journal, &commits} }
			r.awake(func(ctx context.Context, a *agent.Agent) {
				defer reports(ctx, a)()
				synctest.Wait()
				hand := func(n int) {
					for i := range n {
						r.inbox <- transport.Message{Kind: transport.Offer, Origin: "x", Body: flood[i%len(flood)]}
						synctest.Wait()
					}
				}
				commits, box.seq = 0, nil
				hand(300)
				if commits > 60 || len(box.seq) > 60 {
					t.Errorf("%s: 300 offers at once: %d commits, %d records sent", name, commits, len(box.seq))
				}
				for range 24 {
					r.w.Advance(time.Hour)
					synctest.Wait()
					hand(30)
				}
				if most := 25 * 45; commits > most || len(box.seq) > most {
					t.Errorf("%s: a day of offers: %d commits, %d records sent", name, commits, len(box.seq))
				}
			})
			r.options = nil
		}
		r.spend(2*time.Hour, r.release(30, 9))
		if r.runs() == "" || !r.holds(device(r.runs()), 9) {
			t.Errorf("the next release is not installed\n%s", r.told())
		}
	})
}

// heard counts what is logged for people, by its message.
type heard struct{ n map[string]int }

func (heard) Enabled(_ context.Context, l slog.Level) bool      { return l >= slog.LevelInfo }
func (h heard) Handle(_ context.Context, rec slog.Record) error { h.n[rec.Message]++; return nil }
func (h heard) WithAttrs([]slog.Attr) slog.Handler              { return h }
func (h heard) WithGroup(string) slog.Handler                   { return h }

// TestFloodLogsLittle: what somebody sends without end is not logged without end: forged offers and documents, genuine
// old releases, requests for evidence.
func TestFloodLogsLittle(t *testing.T) {
	bubble(t, 723, func(r *rig) {
		f := rooted(r)
		logs := heard{map[string]int{}}
		also(r, func(o *agent.Options) { o.Log = slog.New(logs) })
		env := r.release(5, 2)
		plan, digest := f.plan(env, 5)
		r.hear(doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)), offered(env))
		var old [][]byte
		for n := range 40 {
			old = append(old, r.release(4, byte(40+n)))
		}
		r.awake(func(context.Context, *agent.Agent) {
			clear(logs.n)
			for n := range 500 {
				forged := fmt.Appendf(nil, "forged %d", n)
				r.send(offered(forged), offered(old[n%len(old)]), doc(transport.Plan, forged),
					doc(transport.Pulse, forged), doc(transport.Root, forged), doc(transport.Resend, forged),
					doc(transport.Resend, []byte{1}))
			}
			lines := 0
			for _, n := range logs.n {
				lines += n
			}
			if lines > 100 {
				t.Errorf("3500 messages cost %d lines: %v", lines, logs.n)
			}
		})
	})
}
