package agent_test

import (
	"bytes"
	"context"
	"io"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/console"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// otherBytes is a server that sends another image than the manifest names.
func otherBytes(_ string, off int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(image(9)[off:])), nil
}

func needsApproval(o *agent.Options) { o.Rules.Approval = policy.ApprovalInstall }

func foreign(m *author.Release) {
	m.Classes = []manifest.UUID{manifest.ClassUUID(vendor, "toaster")}
}

// install is a technician with image 3 on a stick.
func (r *rig) install(envelope []byte) func(context.Context, *agent.Agent) {
	return func(ctx context.Context, a *agent.Agent) {
		payloads := map[string]slots.Source{"3.img": simSource{r, "https://images.example.com/3.img"}}
		l := console.LocalInstall{Envelope: envelope, Name: "stick", Actor: "uid 0", Payloads: payloads}
		_, _ = a.Console().Install(ctx, l, func(control.Progress) {})
	}
}

// oldPeople are stories with a technician, an operator or a fleet.
func oldPeople() []oldStory {
	local := func(phase string) func(glance) bool {
		return func(g glance) bool { return g.in(phase) && g.rec.Ext.Local }
	}
	return []oldStory{
		{points: []point{
			{"local-preparing", local("preparing")},
			{"local-writing", func(g glance) bool { return local("writing")(g) && g.has("check/rootfs") }},
			{"local-ready", local("ready")},
			{"local-trial", local("trial")},
		}, play: func(r *rig, h *hand) {
			r.options = func(o *agent.Options) { o.Metered = func() bool { return true } }
			h.offer(r, 2, 2) // waits beside it
			r.ask(r.install(r.release(3, 3)))
		}},
		{points: []point{
			{"rooted-waiting", func(g glance) bool {
				return g.idle() && g.has("waiting") && g.has("plan") && g.has("memory") && !g.has("pulse")
			}},
			{"rooted-rotated", func(g glance) bool { return g.idle() && g.has("root") }},
			{"rooted-writing",
				func(g glance) bool { return g.in("writing") && g.has("check/rootfs") && g.has("pulse") }},
			{"rooted-trial", func(g glance) bool { return g.in("trial") && g.has("pulse") }},
			{"rooted-updated", func(g glance) bool { return g.idle() && g.has("floor") && g.has("pulse") }},
			{"permit-challenge", func(g glance) bool { return g.idle() && g.has("challenge") }},
			{"permit-taken", func(g glance) bool { return g.idle() && g.has("permit") && !g.has("challenge") }},
			{"permit-writing", func(g glance) bool {
				return local("writing")(g) && g.has("permit") && g.has("check/rootfs")
			}},
			{"permit-ready", func(g glance) bool { return local("ready")(g) && g.has("permit") }},
			{"permit-trial", func(g glance) bool { return local("trial")(g) && g.has("permit") }},
		}, play: playFleet},
		{points: []point{{"rooted-withdrawn-ready", func(g glance) bool { return g.after("ready") && g.has("pulse") }}},
			play: func(r *rig, h *hand) {
				f := rooted(r)
				h.root = f.bundle()
				set := r.options
				r.options = func(o *agent.Options) { set(o); needsApproval(o) }
				env := r.release(2, 2)
				plan, digest := f.plan(env, 2)
				h.retain(transport.Plan, plan)
				h.retain(transport.Pulse, f.pulse(digest, campaign.StateOpen))
				h.retain(transport.Offer, env)
				h.things["withdrawn"] = f.pulse(digest, campaign.StateWithdrawn)
				r.hear(h.retained...)
				r.hear()
			}},
	}
}

// playFleet: an update by the fleet's documents under a root that was rotated, then an older one by a permit.
func playFleet(r *rig, h *hand) {
	f := rooted(r)
	h.root = f.bundle()
	env := r.release(5, 2)
	plan, digest := f.plan(env, 5)
	h.retain(transport.Plan, plan)
	h.retain(transport.Offer, env)
	pulse := f.pulse(digest, campaign.StateOpen)
	h.things["pulse"] = pulse
	r.hear(h.retained...)
	f.rekey(trust.RoleRecovery)
	f.root()
	h.retain(transport.Root, f.bundle())
	r.hear(h.retained...)
	h.retain(transport.Pulse, pulse)
	r.hear(h.retained...)
	older := r.release(3, 3)
	h.things["older"] = older
	r.ask(func(ctx context.Context, a *agent.Agent) {
		c, err := a.Console().Challenge(ctx, "uid 0")
		if err != nil {
			r.t.Error(err)
			return
		}
		h.things["permit"] = f.permit(c.Challenge, f.digest(older), reason.SequenceBelowFloor)
		if _, err := a.Console().Permit(ctx, h.things["permit"], "uid 0"); err != nil {
			r.t.Error(err)
		}
	})
	r.ask(r.install(older))
}
