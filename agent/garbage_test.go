package agent_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/journal"
)

// hand hands offers in while the daemon runs, one after the other, and lets it finish each.
func (r *rig) hand(offers ...[]byte) {
	r.t.Helper()
	for _, o := range offers {
		r.inbox <- offered(o)
		synctest.Wait()
	}
}

// refusals counts the refused offers that are on record.
func (r *rig) refusals() int { return strings.Count(r.told(), ">refuse") }

func junk(from, to int) (out [][]byte) {
	for i := from; i < to; i++ {
		out = append(out, fmt.Appendf(nil, "garbage %d", i))
	}
	return out
}

// TestGarbageRate: twenty refusals of what nobody vouches for are on record in an hour; what was left out
// is counted by the next one.
func TestGarbageRate(t *testing.T) {
	bubble(t, 641, func(r *rig) {
		r.awake(func(context.Context, *agent.Agent) {
			r.hand(junk(0, 20)...)
			if n := r.refusals(); n != 20 {
				t.Errorf("20 refusals: %d are on record", n)
			}
			r.hand(junk(20, 22)...)
			if n := r.refusals(); n != 20 {
				t.Errorf("22 refusals within the hour: %d are on record", n)
			}
			r.w.Advance(time.Hour - time.Second)
			r.hand(junk(22, 23)...)
			if n := r.refusals(); n != 20 {
				t.Errorf("a second before the hour is over: %d are on record", n)
			}
			r.w.Advance(time.Second)
			r.hand(junk(23, 24)...)
			if n := r.refusals(); n != 21 {
				t.Errorf("after the hour: %d are on record", n)
			}
			if last := r.story()[len(r.story())-1]; !strings.Contains(last, "not-recorded-before=3") {
				t.Errorf("the last record does not say that three were left out: %s", last)
			}
		})
	})
}

// TestGarbageOnce: each of the 64 newest bodies is on record once, over restarts too; the 65th makes the
// device forget the first.
func TestGarbageOnce(t *testing.T) {
	bubble(t, 642, func(r *rig) {
		r.play()
		in := func(offers ...[]byte) (recorded int) {
			before := r.refusals()
			for len(offers) > 0 { // a new start, an hour later: the rate does not count
				n := min(len(offers), 20)
				r.awake(func(context.Context, *agent.Agent) { r.hand(offers[:n]...) })
				offers = offers[n:]
			}
			return r.refusals() - before
		}
		if n := in(junk(0, 64)...); n != 64 {
			t.Fatalf("64 bodies: %d are on record", n)
		}
		if n := in(junk(0, 64)...); n != 0 {
			t.Errorf("the same 64 again: %d are on record once more", n)
		}
		if n := in(junk(64, 65)...); n != 1 {
			t.Errorf("the 65th: %d are on record", n)
		}
		if n := in(junk(1, 2)...); n != 0 {
			t.Errorf("the second, which is the oldest of 64 now: %d are on record once more", n)
		}
		if n := in(junk(0, 1)...); n != 1 {
			t.Errorf("the first, which was forgotten: %d are on record", n)
		}
	})
}

// TestFinalVerdictsHold64: the 64 newest are remembered (docs/formats/state.md), so that what is refused for good is
// on record once; the 65th makes the device forget the oldest.
func TestFinalVerdictsHold64(t *testing.T) {
	bubble(t, 643, func(r *rig) {
		r.play(r.release(1000, 2)) // its own verdict, already installed, is one of them
		finals := func() (n int) {
			_ = r.mem.View(func(tx journal.Tx) error {
				return tx.Scan(journal.State, "final/", func(k string, _ []byte) bool {
					if strings.HasPrefix(k, "final/") {
						n++
					}
					return strings.HasPrefix(k, "final/")
				})
			})
			return n
		}
		var old [][]byte
		for i := range uint64(64) {
			old = append(old, r.release(i+1, 3))
		}
		in := func(offers ...[]byte) {
			for len(offers) > 0 {
				n := min(len(offers), 15)
				r.awake(func(context.Context, *agent.Agent) { r.hand(offers[:n]...) })
				offers = offers[n:]
			}
		}
		in(old[:62]...)
		if n := finals(); n != 63 {
			t.Fatalf("%d verdicts are kept, want 63", n)
		}
		in(old[62])
		if n, first := finals(), r.refusals(); n != 64 || first != 63 {
			t.Errorf("%d verdicts are kept, %d refusals are on record; want 64 and 63", n, first)
		}
		in(old[63]) // pushes out the one of the installed release
		in(old[0])
		if n := r.refusals(); finals() != 64 || n != 64 {
			t.Errorf("%d verdicts are kept, %d refusals are on record; want 64 and 64: the first is still known",
				finals(), n)
		}
		in(r.release(1000, 2)) // already installed, decided again: pushes out the first
		before := r.refusals()
		in(old[0])
		if n := r.refusals(); finals() != 64 || n != before+1 {
			t.Errorf("%d verdicts are kept; the forgotten one is on record %d times more, want 1", finals(), n-before)
		}
	})
}
