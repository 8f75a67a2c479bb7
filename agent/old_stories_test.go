package agent_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/health"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/transport"
)

func oldStories() []oldStory {
	var all []oldStory
	all = append(all, oldUpdates()...)
	all = append(all, oldFailures()...)
	all = append(all, oldWaits()...)
	return append(all, oldPeople()...)
}

// retain makes the broker hand an offer over at each start.
func (h *hand) retain(kind transport.Kind, body []byte) {
	h.retained = append(h.retained, doc(kind, body))
}

// offer makes a release, which the broker retains, and plays until the device rests.
func (h *hand) offer(r *rig, seq uint64, n byte) {
	env := r.release(seq, n)
	h.retain(transport.Offer, env)
	r.hear(h.retained...)
}

func oldUpdates() []oldStory {
	writing := func(done bool) func(glance) bool {
		return func(g glance) bool {
			var c struct {
				Done bool `cbor:"3,keyasint"`
			}
			b := g.r.stored("check/rootfs")
			return g.in("writing") && b != nil && cbor.Unmarshal(b, &c) == nil && c.Done == done
		}
	}
	phase := func(p string) func(glance) bool { return func(g glance) bool { return g.in(p) } }
	return []oldStory{
		{points: []point{
			{"idle-first", func(g glance) bool { return g.none && !g.before && len(g.r.w.Files()) > 2 }},
			{"preparing", phase("preparing")},
			{"preparing-disabled", func(g glance) bool { return g.after("preparing") && !g.boot.Slots["B"].Bootable }},
			{"writing", phase("writing")},
			{"writing-checkpoint", writing(false)},
			{"writing-done", writing(true)},
			{"checking", phase("checking")},
			{"ready", phase("ready")},
			{"arming", phase("arming")},
			{"arming-landed", func(g glance) bool { return g.after("arming") && g.boot.Next == "B" }},
			{"rebooting", phase("rebooting")},
			{"rebooting-asked", func(g glance) bool { return g.in("rebooting") && g.rec.Ext.Reboots == 1 }},
			{"trial", phase("trial")},
			{"confirming", phase("confirming")},
			{"confirming-landed", func(g glance) bool { return g.after("confirming") && g.boot.Slots["B"].Confirmed }},
			{"sealing", phase("sealing")},
			{"sealing-raised", func(g glance) bool { return g.after("sealing") && g.r.w.CounterValue() == 1 }},
			{"idle-updated", func(g glance) bool { return g.idle() && g.has("floor") && g.has("outcome") }},
		}, play: func(r *rig, h *hand) { h.offer(r, 2, 2) }},
		{points: []point{
			{"idle-updated-twice", func(g glance) bool { return g.idle() && g.has("slot/A") && g.runs("A") }},
			{"revert-checking", func(g glance) bool { return g.in("checking") && g.rec.Ext.Revert }},
			{"revert-arming", func(g glance) bool { return g.in("arming") && g.rec.Ext.Revert }},
			{"revert-trial", func(g glance) bool { return g.in("trial") && g.rec.Ext.Revert }},
			{"revert-sealing", func(g glance) bool { return g.in("sealing") && g.rec.Ext.Revert }},
			{"idle-went-back", func(g glance) bool {
				return g.idle() && g.has("slot/A") && g.runs("B") && len(g.r.w.Reboots()) == 3
			}},
		}, play: func(r *rig, h *hand) {
			h.offer(r, 2, 2)
			h.retained = nil
			h.offer(r, 3, 3)
			r.ask(func(ctx context.Context, a *agent.Agent) { _, _ = a.Console().Revert(ctx, "uid 0", "back") })
			r.play()
		}},
		{points: []point{{"factory-ready", func(g glance) bool { return g.in("ready") && g.rec.Ext.Revert }},
			{"factory-trial", func(g glance) bool { return g.in("trial") && g.rec.Ext.Revert }}},
			play: func(r *rig, h *hand) {
				h.offer(r, 2, 2)
				r.ask(func(ctx context.Context, a *agent.Agent) { _, _ = a.Console().Revert(ctx, "uid 0", "") })
				r.play()
			}},
		{points: []point{{"pruned", func(g glance) bool { return g.idle() && g.runs("A") && g.has("slot/A") }}},
			play: func(r *rig, h *hand) {
				r.options = func(o *agent.Options) { o.EvidenceMax = 2 << 10 }
				h.offer(r, 2, 2)
				h.retained = nil
				h.offer(r, 3, 3)
			}},
		{board: grub{}, points: []point{{"grub-trial", phase("trial")}, {"grub-rebooting", phase("rebooting")}},
			play: func(r *rig, h *hand) { h.offer(r, 2, 2) }},
	}
}

func oldFailures() []oldStory {
	return []oldStory{
		{points: []point{
			{"reverting", func(g glance) bool { return g.in("reverting") }},
			{"reverting-asked",
				func(g glance) bool { return g.in("reverting") && g.rec.Ext.Reboots == 1 && g.runs("B") }},
			{"reverting-left", func(g glance) bool { return g.in("reverting") && g.runs("A") }},
			{"idle-quarantined", func(g glance) bool { return g.idle() && g.has("outcome") }},
		}, play: func(r *rig, h *hand) {
			r.sick[2] = true
			h.offer(r, 2, 2)
		}},
		{points: []point{{"rebooting-exhausted", func(g glance) bool {
			return g.after("rebooting") && g.runs("A") && g.boot.Slots["B"].Exhausted
		}}},
			play: func(r *rig, h *hand) {
				r.panics[2] = true
				h.offer(r, 2, 2)
			}},
		{board: grub{}, points: []point{{"idle-fell", func(g glance) bool { return g.idle() && g.waiting.Fell == 1 }}},
			play: func(r *rig, h *hand) {
				r.panics[2] = true
				h.offer(r, 2, 2)
			}},
		{points: []point{
			{"trial-2", func(g glance) bool { return g.in("trial") && g.rec.Boots == 2 }},
			{"trial-3", func(g glance) bool { return g.in("trial") && g.rec.Boots == 3 }},
		}, play: func(r *rig, h *hand) {
			h.retain(transport.Offer, r.release(2, 2))
			r.inPhase(life.Trial, h.retained[0].Body)
			for range 2 {
				r.w.Cut()
				r.powerOn()
				r.loader()
				r.inPhase(life.Trial)
			}
		}},
		{board: bootNext{lose: new(int)}, points: []point{
			{"checking-never-tried", func(g glance) bool { return g.in("checking") && g.rec.Ext.NeverTried == 1 }},
			{"arming-again", func(g glance) bool { return g.in("arming") && g.rec.Ext.Arms == 2 }},
			{"idle-reverted",
				func(g glance) bool { return g.idle() && g.waiting.Reverts == 1 && g.waiting.Failures == 1 }},
			{"idle-reverted-3", func(g glance) bool { return g.idle() && g.waiting.Reverts == 3 }},
		}, play: func(r *rig, h *hand) {
			*r.board.(bootNext).lose = 100
			h.retain(transport.Offer, r.release(2, 2))
			r.spend(12*time.Hour, h.retained[0].Body)
		}},
		{points: []point{
			{"reverting-judge", func(g glance) bool { return g.in("reverting") && g.waiting.Broker }},
			{"idle-judge", func(g glance) bool { return g.idle() && g.waiting.Broker }},
		}, play: func(r *rig, h *hand) {
			r.options = brokerProven(r)
			h.retain(transport.Offer, r.release(2, 2))
			r.inPhase(life.Trial, h.retained[0].Body)
			r.online = false
			r.spend(time.Minute * 5)
		}},
		{points: []point{{"disable-pending", pending(reason.DisablePending)}},
			play: func(r *rig, h *hand) {
				r.sick[2] = true
				r.options = func(o *agent.Options) {
					if r.runs() == "A" && !r.glance(false).none && r.glance(false).rec.Phase == "reverting" {
						fails := func(func() error) error { return errors.New("input/output error") }
						o.Boot = fakeBoot{Backend: o.Boot, disable: fails}
					}
				}
				h.offer(r, 2, 2)
			}},
		{points: []point{{"floor-pending", pending(reason.FloorPending)}},
			play: func(r *rig, h *hand) {
				r.w.SetCounter(0, false)
				h.offer(r, 2, 2)
			}},
		{points: []point{
			{"synthetic-trial", func(g glance) bool { return g.in("trial") && g.rec.Ext.Synthetic }},
			{"synthetic-trial-2",
				func(g glance) bool { return g.in("trial") && g.rec.Ext.Synthetic && g.rec.Boots == 2 }},
			{"synthetic-sealing", func(g glance) bool { return g.in("sealing") && g.rec.Ext.Synthetic }},
		}, play: func(r *rig, h *hand) {
			h.retain(transport.Offer, r.release(2, 2))
			r.inPhase(life.Trial, h.retained[0].Body)
			r.w.Restart()
			r.mem = journal.NewMemory()
			r.loader()
			r.inPhase(life.Trial)
			r.w.Cut()
			r.powerOn()
			r.loader()
			r.hear(h.retained...)
		}},
		{points: []point{{"newer-record", func(g glance) bool { return !g.before && g.rec.Phase == "polishing" }}},
			play: func(r *rig, h *hand) {
				ext := map[int]any{1: "x", 17: "new"}
				raw, err := cbor.Marshal(map[int]any{1: "polishing", 2: "B", 3: "sha256:00", 4: 1, 5: ext})
				if err != nil {
					r.t.Fatal(err)
				}
				_ = r.mem.Update(func(tx journal.Tx) error {
					return errors.Join(tx.Put(journal.State, "record", raw),
						tx.Put(journal.State, "envelope", []byte("of the other version")))
				})
				r.spend(time.Hour)
			}},
	}
}

func pending(what reason.Reason) func(glance) bool {
	return func(g glance) bool { return g.idle() && g.rec.Ext.Pending == string(what) }
}

// brokerProven makes the broker one of the health checks.
func brokerProven(r *rig) func(*agent.Options) {
	return func(o *agent.Options) {
		o.Health.Checks = append(o.Health.Checks, &health.Broker{Online: r.isOnline})
	}
}

func oldWaits() []oldStory {
	return []oldStory{
		{points: []point{{"idle-failed", func(g glance) bool { return g.idle() && g.waiting.Failures == 1 }},
			{"idle-failed-3", func(g glance) bool { return g.idle() && g.waiting.Failures == 3 }}},
			play: func(r *rig, h *hand) {
				gone := 3
				r.source = func(uri string, off int64) (io.ReadCloser, error) {
					if gone--; gone >= 0 {
						return nil, transport.ErrGone
					}
					return io.NopCloser(bytes.NewReader(r.images[uri][off:])), nil
				}
				h.retain(transport.Offer, r.release(2, 2))
				r.spend(time.Hour, h.retained[0].Body)
			}},
		{points: []point{
			{"writing-restarted", func(g glance) bool { return g.in("writing") && g.rec.Ext.Restarts == 1 }},
			{"idle-costly", func(g glance) bool { return g.idle() && g.waiting.Costly == 1 }},
			{"idle-costly-3", func(g glance) bool { return g.idle() && g.waiting.Costly == 3 }},
		}, play: func(r *rig, h *hand) {
			r.source = otherBytes
			h.retain(transport.Offer, r.release(2, 2))
			r.spend(time.Hour, h.retained[0].Body)
		}},
		{points: []point{{"idle-deferred", func(g glance) bool { return g.idle() && g.waiting.Rules != "" }}},
			play: func(r *rig, h *hand) {
				r.options = func(o *agent.Options) { o.Metered = func() bool { return true } }
				h.offer(r, 2, 2)
			}},
		{points: []point{
			{"ready-waits", func(g glance) bool { return g.after("ready") }},
			{"ready-approved", func(g glance) bool { return g.in("ready") && g.has("approved") }},
		}, play: func(r *rig, h *hand) {
			r.options = needsApproval
			h.offer(r, 2, 2)
			r.until(nil, func(s control.Status) bool { return s.Phase == "ready" })
			asked := false
			r.live(nil, func(a *agent.Agent) {
				if !asked && a.Console().Status(context.Background()).Phase == "ready" {
					asked = true
					go func() { _, _ = a.Console().Approve(context.Background(), "", "uid 0", "go") }()
				}
			})
		}},
		{points: []point{{"idle-refused", func(g glance) bool {
			return g.idle() && g.has("garbage") && g.has("offer") && g.has("report")
		}}},
			play: func(r *rig, h *hand) {
				h.retain(transport.Offer, []byte("garbage"))
				h.retain(transport.Offer, r.release(7, 3, foreign))
				r.hear(h.retained...)
			}},
	}
}
