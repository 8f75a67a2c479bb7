package agent_test

import (
	"context"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/console"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/oldread"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/hal/sim"
	"github.com/ratchet-ota/ratchet/slots"
)

// Two versions in turns: version 0.1 cannot be run beside this one, so that package oldread reads and writes what it
// does.

// cutIn takes the power at the next operation behind the first commit into a phase, and has version 0.1 write the
// journal again before this one starts.
func (r *rig) cutIn(phase string) (turned *bool) {
	turned = new(bool)
	r.wrap = func(o *agent.Options) {
		o.Serial = true
		o.Journal = watched{o.Journal, func(before bool) {
			if !*turned && r.glance(before).in(phase) {
				*turned = true
				r.w.CutAt(r.w.Ops()+1, sim.Before)
			}
		}}
	}
	r.outage = func() {
		for _, key := range []string{oldread.KeyRecord, oldread.KeyWaiting, oldread.KeyJudge} {
			if was := r.stored(key); was != nil {
				again, err := oldread.Rewrite(key, was)
				if err != nil {
					r.t.Fatal(err)
				}
				r.put(key, again)
			}
		}
	}
	return turned
}

// phases are all through which an update goes that is taken, tried and confirmed.
var phases = []string{"preparing", "writing", "checking", "ready", "arming", "rebooting", "trial", "confirming",
	"sealing"}

// TestTurnsWhileCarrying: a release of the app alone, in which version 0.1 writes the journal again at one of the
// phases, and drops what it does not know. The slot is whole, and what was carried keeps its number.
func TestTurnsWhileCarrying(t *testing.T) {
	for _, phase := range phases {
		t.Run(phase, func(t *testing.T) {
			bubble(t, 961, func(r *rig) {
				twoParts(r)
				r.play(r.full(2, 2, 12))
				turned := r.cutIn(phase)
				r.survive(r.app(3, 13))
				if !*turned {
					t.Fatal("it never came to this phase")
				}
				r.wrap = nil
				r.hear()
				r.have("A", 2, 13)
				if f := r.seen.Floor.Components; f["rootfs"] != 2 || f["app"] != 3 {
					t.Errorf("the floors are %+v", r.seen.Floor)
				}
				// 3 is the app's number, and not yet the rootfs's. Written late, the record does not say that the app
				// fits the other slot too: only a release of both is taken then.
				r.survive(r.release(3, 3))
				if r.runs() == "A" && slices.Contains(phases[4:], phase) {
					r.survive(r.full(4, 3, 13))
				}
				r.have("B", 3, 13)
			})
		})
	}
}

// TestOlderAgentConfirms: version 0.1 runs in the slot on trial, and confirms it. This version goes on from what it
// has left: its numbers are those of the parts that it wrote, and the next release makes a whole slot.
func TestOlderAgentConfirms(t *testing.T) {
	bubble(t, 962, func(r *rig) {
		twoParts(r)
		r.play(r.full(2, 2, 12))
		r.cutIn("trial")
		envs := [][]byte{r.app(9, 13)}
		for r.live(&envs, nil) {
			if r.loader(); r.glance(false).rec.Phase == "trial" {
				break
			}
		}
		g := r.glance(false)
		if g.rec.Phase != "trial" || r.runs() != "A" || len(g.rec.Ext.Images) != 2 {
			t.Fatalf("the old agent finds %+v", g.rec)
		}
		if err := r.backend().Confirm(context.Background(), "A"); err != nil {
			t.Fatal(err)
		}
		left, err := oldread.Confirm(g.rec, oldread.ReadFloor(r.stored(oldread.KeyFloor)))
		if err != nil {
			t.Fatal(err)
		}
		for key, b := range left {
			r.put(key, b)
		}
		r.wrap, r.outage = nil, nil
		r.hear()
		r.have("A", 2, 13)
		if f := r.seen.Floor.Components; f["rootfs"] != 2 || f["app"] != 9 {
			t.Errorf("the floors are %+v", r.seen.Floor)
		}
		r.hear(offered(r.release(3, 3)))
		r.have("A", 2, 13) // it is not on record that the app fits the other slot
		r.play(r.full(9, 3, 13))
		r.have("A", 2, 13) // another manifest of that number
		r.play(r.full(10, 3, 13))
		r.have("B", 3, 13)
		r.play(r.app(11, 14))
		r.have("A", 3, 14)
	})
}

// TestDowngradeToAnOlderAgent: a permit lets an older release in, with version 0.1 as its agent. That one understands
// all that it finds: the record and its own verdict on numbers; and back on this version no floor has fallen.
func TestDowngradeToAnOlderAgent(t *testing.T) {
	for _, phase := range phases {
		t.Run(phase, func(t *testing.T) {
			bubble(t, 963, func(r *rig) {
				f := rooted(r)
				f.admit(r.release(5, 2), 5)
				r.is("B", 2)
				old := r.release(3, 3)
				turned := r.cutIn(phase)
				stick := map[string]slots.Source{"3.img": simSource{r, "https://images.example.com/3.img"}}
				for n := 0; n < 3 && r.runs() != "A"; n++ { // an install that was cut off is asked for again
					r.ask(func(ctx context.Context, a *agent.Agent) {
						c, err := a.Console().Challenge(ctx, "uid 0")
						if err == nil {
							_, err = a.Console().Permit(ctx,
								f.permit(c.Challenge, f.digest(old), reason.SequenceBelowFloor), "uid 0")
						}
						if err != nil {
							return // the machine has gone down
						}
						l := console.LocalInstall{Envelope: old, Name: "stick", Actor: "uid 0", Payloads: stick}
						_, _ = a.Console().Install(ctx, l, func(control.Progress) {})
					})
				}
				if !*turned {
					t.Fatal("it never came to this phase")
				}
				r.wrap, r.outage = nil, nil
				rewrite(r)
				r.is("A", 3)
				floor := oldread.ReadFloor(r.stored(oldread.KeyFloor))
				rec, err := oldread.ReadRecord(r.stored(oldread.KeyRecord))
				if err != nil || rec.Phase != "idle" || !oldread.Takes(r.stored(oldread.KeySchema)) {
					t.Errorf("the old agent reads %+v, %v", rec, err)
				}
				for seq, want := range map[uint64]string{4: "sequence-below-floor", 5: "sequence-reused", 6: ""} {
					bound := r.stored(oldread.PrefixSeq + string(binary.BigEndian.AppendUint64(nil, seq)))
					if why := oldread.Refuses(floor, bound, seq, "sha256:another"); why != want {
						t.Errorf("the old agent says %q to sequence %d, want %q", why, seq, want)
					}
				}
				r.hear()
				if r.seen.Floor.Sequence != 5 || r.seen.Mode != control.ModeNormal {
					t.Errorf("floor %+v, mode %s", r.seen.Floor, r.seen.Mode)
				}
				f.admit(r.release(4, 4), 4)
				r.is("A", 3)
				f.admit(r.release(6, 2), 6)
				r.is("B", 2)
			})
		})
	}
}
