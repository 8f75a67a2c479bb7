package agent_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/console"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// fleet is the people behind a rooted device: one key for each role.
type fleet struct {
	r       *rig
	keys    map[trust.Role]*trust.Signer
	spec    trust.RootSpec
	roots   [][]byte
	trusted trust.Root
	plans   uint64
	pulses  uint64
}

var fleetTime = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// rooted makes the rig's device one with a trust root.
func rooted(r *rig) *fleet {
	r.t.Helper()
	f := &fleet{r: r, keys: map[trust.Role]*trust.Signer{}}
	f.spec = trust.RootSpec{Version: 1, Name: "fleet", Issued: fleetTime.Add(-time.Hour),
		Expires: fleetTime.AddDate(2, 0, 0), Algorithms: []int64{trust.Ed25519, trust.ESP256},
		Roles: map[trust.Role]trust.RoleSpec{}}
	for _, role := range trust.Roles() {
		f.rekey(role)
	}
	f.root()
	r.signer = f.keys[trust.RoleRelease]
	anchor := f.bundle()
	r.options = func(o *agent.Options) {
		o.Authority, o.RootVersion = nil, 0
		o.Root, o.Channel, o.Rules.UnknownTimeWaits = anchor, "stable", true
	}
	return f
}

// rekey gives a role a new key.
func (f *fleet) rekey(role trust.Role) {
	f.r.t.Helper()
	s, err := trust.Generate(trust.ESP256)
	if err != nil {
		f.r.t.Fatal(err)
	}
	if old := f.keys[role]; old != nil {
		for i, m := range f.spec.Members {
			if m.ID() == old.Key().ID() {
				f.spec.Members = append(f.spec.Members[:i:i], f.spec.Members[i+1:]...)
				break
			}
		}
	}
	f.keys[role] = s
	m := trust.Member{Name: string(role), Keys: []trust.Key{s.Key()}}
	f.spec.Members = append(f.spec.Members, m)
	f.spec.Roles[role] = trust.RoleSpec{Generation: f.spec.Version,
		Grants: []trust.Grant{{Threshold: 1, Members: []trust.Member{m}}}}
}

// root signs the next root by the old and the new keys of its role.
func (f *fleet) root(old ...*trust.Signer) {
	f.r.t.Helper()
	spec := f.spec
	if !f.trusted.IsZero() {
		spec = f.trusted.Next(f.spec)
	}
	b, err := trust.BuildRoot(spec)
	for _, s := range append(old, f.keys[trust.RoleRoot]) {
		if err == nil {
			b, err = trust.SignRoot(b, s)
		}
	}
	if err != nil {
		f.r.t.Fatal(err)
	}
	f.roots = append(f.roots, b)
	if f.trusted, err = trust.Anchor(f.bundle()); err != nil {
		f.r.t.Fatal(err)
	}
	f.spec = f.trusted.Spec()
}

func (f *fleet) bundle() []byte {
	f.r.t.Helper()
	b, err := trust.BuildBundle(f.roots...)
	if err != nil {
		f.r.t.Fatal(err)
	}
	return b
}

func (f *fleet) digest(env []byte) manifest.Digest {
	f.r.t.Helper()
	e, err := manifest.Parse(env)
	if err != nil {
		f.r.t.Fatal(err)
	}
	return e.ClaimedDigest()
}

// plan admits an envelope to the whole fleet, and an open pulse says so now.
func (f *fleet) plan(env []byte, seq uint64) (plan []byte, digest manifest.Digest) {
	f.r.t.Helper()
	f.plans++
	b, err := campaign.BuildPlan(campaign.PlanSpec{Generation: f.trusted.Generation(trust.RoleCampaign),
		Channel: "stable", Sequence: f.plans, Manifest: f.digest(env), ManifestSequence: seq,
		Classes: []manifest.UUID{class}, Salt: make([]byte, campaign.SaltSize),
		Phases: []campaign.Phase{{BasisPoints: 10000}}, Issued: fleetTime, ValidUntil: fleetTime.AddDate(0, 6, 0)})
	if err == nil {
		b, err = trust.SignDocument("plan", b, f.keys[trust.RoleCampaign])
	}
	if err != nil {
		f.r.t.Fatal(err)
	}
	c, err := campaign.VerifyPlan(f.trusted, b)
	if err != nil {
		f.r.t.Fatal(err)
	}
	return b, c.Digest()
}

func (f *fleet) pulse(plan manifest.Digest, state campaign.State) []byte {
	f.r.t.Helper()
	f.pulses++
	b, err := campaign.BuildPulse(campaign.PulseSpec{Generation: f.trusted.Generation(trust.RolePulse), Plan: plan,
		Sequence: f.pulses, State: state, Issued: fleetTime, Expires: fleetTime.AddDate(0, 0, 7)})
	if err == nil {
		b, err = trust.SignDocument("pulse", b, f.keys[trust.RolePulse])
	}
	if err != nil {
		f.r.t.Fatal(err)
	}
	return b
}

func doc(kind transport.Kind, body []byte) transport.Message {
	return transport.Message{Kind: kind, Origin: "test", Body: body}
}

func offered(env []byte) transport.Message { return doc(transport.Offer, env) }

func TestRootedNeedsPlanAndPulse(t *testing.T) {
	bubble(t, 40, func(r *rig) {
		f := rooted(r)
		env := r.release(2, 2)
		plan, digest := f.plan(env, 2)
		if n := r.hear(offered(env)); n != 0 || r.runs() != "A" {
			t.Fatalf("an offer without a plan made the device boot %d times", n)
		}
		if n := r.hear(doc(transport.Plan, plan)); n != 0 {
			t.Fatalf("a plan without a pulse made the device boot %d times", n)
		}
		if n := r.hear(doc(transport.Pulse, f.pulse(digest, campaign.StatePaused))); n != 0 {
			t.Fatalf("a paused plan made the device boot %d times", n)
		}
		r.hear(doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)))
		if r.runs() != "B" || !r.holds("/dev/b", 2) {
			t.Errorf("an open plan was not followed: slot %s runs", r.runs())
		}
		if n, _ := r.w.Counter().Read(context.Background()); n != 1 {
			t.Errorf("the counter is %d, want the root's version 1", n)
		}
		r.flow("campaign")
	})
}

// TestPulseBeforePlan: retained messages come in any order.
func TestPulseBeforePlan(t *testing.T) {
	bubble(t, 41, func(r *rig) {
		f := rooted(r)
		env := r.release(2, 2)
		plan, digest := f.plan(env, 2)
		r.hear(doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)), offered(env), doc(transport.Plan, plan))
		if r.runs() != "B" {
			t.Errorf("slot %s runs", r.runs())
		}
	})
}

// TestWithdrawnWhileWaiting: a plan that is withdrawn before the target is armed ends there (loop 9).
func TestWithdrawnWhileWaiting(t *testing.T) {
	bubble(t, 42, func(r *rig) {
		f := rooted(r)
		set := r.options
		r.options = func(o *agent.Options) { set(o); o.Rules.Approval = policy.ApprovalInstall }
		env := r.release(2, 2)
		plan, digest := f.plan(env, 2)
		r.hear(doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)), offered(env))
		n := r.hear(doc(transport.Pulse, f.pulse(digest, campaign.StateWithdrawn)))
		if n != 0 || r.runs() != "A" || r.state().Slots["B"].Bootable {
			t.Errorf("booted %d times, slot %s runs, state %+v", n, r.runs(), r.state())
		}
		story := strings.Join(r.story(), "\n")
		if !strings.Contains(story, "plan-withdrawn") {
			t.Errorf("the withdrawal is not on record:\n%s", story)
		}
		// Nobody opens it again.
		if n := r.hear(doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)), offered(env)); n != 0 {
			t.Errorf("a withdrawn plan came back and made the device boot %d times", n)
		}
	})
}

// TestRootRotation: the release key is replaced by a new root; what the old key signs is refused from then on.
func TestRootRotation(t *testing.T) {
	bubble(t, 43, func(r *rig) {
		f := rooted(r)
		first := r.release(2, 2)
		f.rekey(trust.RoleRelease)
		f.root()
		stolen := r.release(3, 3) // signed with the old release key
		r.signer = f.keys[trust.RoleRelease]
		good := r.release(4, 4)
		plan, digest := f.plan(good, 4)
		r.hear(doc(transport.Root, f.bundle()))
		if got := r.seen.Trust; got.Root != "fleet" || got.Version != 2 || got.Keys != nil {
			t.Errorf("status names %+v, want version 2 of the root fleet", got)
		}
		if n := r.hear(offered(first), offered(stolen)); n != 0 {
			t.Errorf("a rotated key made the device boot %d times", n)
		}
		advice := strings.Join(r.seen.Advice, "\n")
		if !strings.Contains(advice, reason.SignerUnknown.Info().Advice) {
			t.Errorf("status does not say what to do about a key that is not trusted:\n%s", advice)
		}
		r.hear(doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)), offered(good))
		if r.runs() != "B" || !r.holds("/dev/b", 4) {
			t.Errorf("the new key's release was not taken: slot %s runs", r.runs())
		}
		if n, _ := r.w.Counter().Read(context.Background()); n != 2 {
			t.Errorf("the counter is %d, want root version 2, raised after confirm", n)
		}
	})
}

// TestRotatedMidway: the release key is replaced while its release is written. The same manifest, signed
// by the new key, is taken: the verdict was about the signature, not about what it names.
func TestRotatedMidway(t *testing.T) {
	bubble(t, 48, func(r *rig) {
		f := rooted(r)
		set := r.options
		r.options = func(o *agent.Options) { set(o); o.Rules.Approval = policy.ApprovalInstall }
		env := r.release(2, 2)
		plan, digest := f.plan(env, 2)
		r.hear(doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)), offered(env))
		f.rekey(trust.RoleRelease)
		f.root()
		r.hear(doc(transport.Root, f.bundle()))
		r.options = set
		r.is("A", 1, "signer-unknown")
		r.signer = f.keys[trust.RoleRelease]
		again := r.release(2, 2)
		if f.digest(again) != f.digest(env) {
			t.Fatal("the rig made another manifest")
		}
		r.hear(offered(again))
		r.is("B", 2)
	})
}

// TestAmnesia: the journal is lost and the image still brings root 1, but the counter says 2. Nothing
// is installed before the newer root is back.
func TestAmnesia(t *testing.T) {
	bubble(t, 47, func(r *rig) {
		f := rooted(r)
		old := f.keys[trust.RoleRoot]
		f.rekey(trust.RoleRoot)
		f.root(old)
		env := r.release(2, 2)
		plan, digest := f.plan(env, 2)
		r.hear(doc(transport.Root, f.bundle()), doc(transport.Plan, plan),
			doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)), offered(env))
		r.is("B", 2)
		r.mem = journal.NewMemory()
		next := r.release(3, 3)
		plan, digest = f.plan(next, 3)
		pulse := f.pulse(digest, campaign.StateOpen)
		if n := r.hear(doc(transport.Plan, plan), doc(transport.Pulse, pulse), offered(next)); n != 0 {
			t.Errorf("a device that lost its root took an update: booted %d times", n)
		}
		r.is("B", 2, "root-behind")
		r.hear(doc(transport.Root, f.bundle()))
		r.is("A", 3)
	})
}

// TestForgedDocuments: what the wrong role or nobody signs changes nothing but the evidence.
func TestForgedDocuments(t *testing.T) {
	bubble(t, 44, func(r *rig) {
		f := rooted(r)
		env := r.release(2, 2)
		plan, digest := f.plan(env, 2)
		f.keys[trust.RoleCampaign], f.keys[trust.RolePulse] = f.keys[trust.RolePulse], f.keys[trust.RoleCampaign]
		forgedPulse := f.pulse(digest, campaign.StateOpen) // signed by the campaign key
		other := rooted(newRig(t, 46))
		n := r.hear(doc(transport.Root, other.bundle()), doc(transport.Root, []byte("garbage")),
			doc(transport.Plan, []byte{0xd8}), doc(transport.Plan, plan),
			doc(transport.Pulse, forgedPulse), offered(env))
		if n != 0 || r.runs() != "A" {
			t.Errorf("forged documents made the device boot %d times", n)
		}
		story := strings.Join(r.story(), "\n")
		if !strings.Contains(story, "root-refused") {
			t.Errorf("a foreign root is not on record:\n%s", story)
		}
	})
}

// TestPermit: at the console, a permit lifts the floor once, for one manifest and one challenge.
func TestPermit(t *testing.T) {
	bubble(t, 45, func(r *rig) {
		f := rooted(r)
		env := r.release(5, 2)
		plan, digest := f.plan(env, 5)
		r.hear(doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)), offered(env))
		old := r.release(3, 3)
		install := func(ctx context.Context, a *agent.Agent) error {
			_, err := a.Console().Install(ctx, console.LocalInstall{Envelope: old, Name: "old.suit", Actor: "uid 0",
				Payloads: map[string]slots.Source{"3.img": simSource{r, "https://images.example.com/3.img"}}},
				func(control.Progress) {})
			return err
		}
		var refused error
		r.ask(func(ctx context.Context, a *agent.Agent) { refused = install(ctx, a) })
		if refused == nil || !strings.Contains(refused.Error(), string(reason.SequenceBelowFloor)) {
			t.Fatalf("an old release at the console: %v, want %s", refused, reason.SequenceBelowFloor)
		}
		var stale []byte
		var permitted, voided error
		r.ask(func(ctx context.Context, a *agent.Agent) {
			first, err := a.Console().Challenge(ctx, "uid 0")
			if err != nil {
				t.Error(err)
			}
			stale = f.permit(first.Challenge, f.digest(old), reason.SequenceBelowFloor)
			second, err := a.Console().Challenge(ctx, "uid 0")
			if err != nil {
				t.Error(err)
			}
			_, voided = a.Console().Permit(ctx, stale, "uid 0")
			_, permitted = a.Console().Permit(ctx,
				f.permit(second.Challenge, f.digest(old), reason.SequenceBelowFloor), "uid 0")
		})
		if voided == nil || permitted != nil {
			t.Fatalf("a permit for a challenge that is void: %v; for the open one: %v", voided, permitted)
		}
		// It answers a challenge on the console: the same manifest over the network is as old as before.
		plan, digest = f.plan(old, 3)
		if n := r.hear(doc(transport.Plan, plan),
			doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)), offered(old)); n != 0 {
			t.Errorf("a permit served an offer of the network: %d boots", n)
		}
		r.is("B", 2, "refuse slot= seq=3 sequence-below-floor")
		r.ask(func(ctx context.Context, a *agent.Agent) { _ = install(ctx, a) })
		// What it lifted is on record with the decision, figures and all.
		r.is("A", 3, "challenge",
			"install slot= seq=3 permitted lifted-sequence-below-floor=rootfs: sequence 3 is lower than 5, "+
				"which was confirmed")
		// It was good once: without an open challenge none is taken, and the one that was used is gone, also
		// after restarts.
		var again error
		r.ask(func(ctx context.Context, a *agent.Agent) { _, again = a.Console().Permit(ctx, stale, "uid 0") })
		if again == nil {
			t.Error("a permit without an open challenge was taken")
		}
		env = r.release(6, 6)
		plan, digest = f.plan(env, 6)
		r.hear(doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)), offered(env))
		r.is("B", 6)
		refused = nil
		r.ask(func(ctx context.Context, a *agent.Agent) { refused = install(ctx, a) })
		if refused == nil || !strings.Contains(refused.Error(), string(reason.SequenceBelowFloor)) {
			t.Errorf("a permit that was used serves again: %v", refused)
		}
		r.is("B", 6)
	})
}

// permit answers a challenge, as those who hold the recovery key do.
func (f *fleet) permit(challenge string, digest manifest.Digest, lifts ...reason.Reason) []byte {
	f.r.t.Helper()
	c, err := campaign.ParseChallenge(challenge)
	var b []byte
	if err == nil {
		b, err = campaign.BuildPermit(campaign.PermitSpec{Generation: f.trusted.Generation(trust.RoleRecovery),
			Challenge: c, Manifest: digest, Lifts: lifts, Issued: fleetTime})
	}
	if err == nil {
		b, err = trust.SignDocument("permit", b, f.keys[trust.RoleRecovery])
	}
	if err != nil {
		f.r.t.Fatal(err)
	}
	return b
}

// hear hands messages in, one after the other whenever the device takes them, through reboots, until
// it is at rest. It returns the number of reboots.
func (r *rig) hear(msgs ...transport.Message) (boots int) {
	r.t.Helper()
	rests := func(a *agent.Agent) bool {
		if len(msgs) > 0 {
			select {
			case r.inbox <- msgs[0]:
				msgs = msgs[1:]
			default:
			}
			return false
		}
		d, ok := r.w.NextTimer()
		r.seen = a.Console().Status(context.Background())
		return (r.seen.Phase == "idle" || r.seen.Phase == "ready") && (!ok || d > 10*time.Minute)
	}
	for r.boot(nil, rests) {
		boots++
		r.loader()
	}
	return boots
}
