package agent_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/intake"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/transport"
)

// spoiled is a bundle in which the last signature of one version does not hold. No key is needed to make it.
func spoiled(t testing.TB, bundle []byte, version int) []byte {
	t.Helper()
	docs, err := trust.SplitBundle(bundle)
	if err != nil {
		t.Fatal(err)
	}
	d := append([]byte(nil), docs[version-1]...)
	d[len(d)-1] ^= 1
	docs[version-1] = d
	b, err := cbor.Marshal(docs)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// rotateAll gives every role another key, and makes the next root.
func (f *fleet) rotateAll() {
	f.r.t.Helper()
	old := f.keys[trust.RoleRoot]
	for _, role := range trust.Roles() {
		f.rekey(role)
	}
	f.root(old)
}

// put puts what somebody has done to the journal, or takes it away.
func (r *rig) put(key string, value []byte) {
	r.t.Helper()
	err := r.mem.Update(func(tx journal.Tx) error {
		if value == nil {
			return tx.Delete(journal.State, key)
		}
		return tx.Put(journal.State, key, value)
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// TestHalfVerifiedBundleIsNotTaken: a broker without any key sends a bundle that leads on from the trusted root,
// and in which an earlier version is broken. Kept, it would lead nowhere from the image's root at the next start,
// and keys that were rotated away would count again.
func TestHalfVerifiedBundleIsNotTaken(t *testing.T) {
	bubble(t, 681, func(r *rig) {
		f := rooted(r)
		thief := &fleet{r: r, keys: map[trust.Role]*trust.Signer{}, trusted: f.trusted}
		for role, key := range f.keys {
			thief.keys[role] = key
		}
		f.rotateAll()
		two := f.bundle()
		f.spec.Expires = f.spec.Expires.AddDate(0, 1, 0)
		f.root()
		r.hear(doc(transport.Root, two))
		r.hear(doc(transport.Root, spoiled(t, f.bundle(), 2)))
		if r.seen.Trust.Version != 2 {
			t.Errorf("root %d is trusted, want 2", r.seen.Trust.Version)
		}
		r.signer = thief.keys[trust.RoleRelease]
		env := r.release(9, 9)
		plan, digest := thief.plan(env, 9)
		n := r.hear(doc(transport.Plan, plan), doc(transport.Pulse, thief.pulse(digest, campaign.StateOpen)),
			offered(env))
		if n != 0 || r.seen.Trust.Version != 2 {
			t.Errorf("booted %d times, root %d", n, r.seen.Trust.Version)
		}
		r.is("A", 1, "root-refused", "signer-unknown")
		r.hear(doc(transport.Root, f.bundle()))
		if r.seen.Trust.Version != 3 {
			t.Errorf("root %d is trusted, want 3", r.seen.Trust.Version)
		}
	})
}

// TestStoredRootThatFailsIsNoStepBack: the stored roots are spoiled or gone. Status, the signed status and the
// evidence (once) say so, and nothing is installed, reverted or permitted until a good bundle comes, also without
// a counter.
func TestStoredRootThatFailsIsNoStepBack(t *testing.T) {
	for name, harm := range map[string]func(*rig, *fleet){
		"spoiled": func(r *rig, f *fleet) { r.put("root", spoiled(r.t, f.bundle(), 2)) },
		"gone":    func(r *rig, _ *fleet) { r.put("root", nil) },
		"by an agent that kept no floor": func(r *rig, f *fleet) {
			r.put("root", spoiled(r.t, f.bundle(), 2))
			r.put("newest", nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 682, func(r *rig) {
				f := rooted(r)
				set, box := r.options, &mailbox{}
				r.options = func(o *agent.Options) { set(o); o.Counter, o.Outbox = nil, box }
				env := r.release(2, 2)
				plan, digest := f.plan(env, 2)
				r.hear(doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)),
					offered(env))
				f.rotateAll()
				r.signer = f.keys[trust.RoleRelease]
				r.hear(doc(transport.Root, f.bundle()))
				harm(r, f)
				next := r.release(3, 3)
				plan, digest = f.plan(next, 3)
				pulse := f.pulse(digest, campaign.StateOpen)
				r.hear()
				r.hear(doc(transport.Plan, plan), doc(transport.Pulse, pulse), offered(next))
				if got := r.seen.Trust; got.Problem != reason.RootBehind || got.Newest != 2 || got.Version != 1 {
					t.Errorf("status says %+v", got)
				}
				if st := box.status(r); st.Problem != reason.RootBehind || st.Under.Root != 1 || st.Under.Newest != 2 {
					t.Errorf("the signed status says %+v", st)
				}
				if n := strings.Count(r.told(), "config    >void"); n != 1 {
					t.Errorf("the alarm is on record %d times\n%s", n, r.told())
				}
				r.is("B", 2)
				r.ask(func(ctx context.Context, a *agent.Agent) {
					_, err := a.Console().Revert(ctx, "uid 0", "")
					wantRefused(t, "revert", err, reason.RootBehind)
					c, err := a.Console().Challenge(ctx, "uid 0")
					if err != nil {
						t.Error(err)
					}
					permit := f.permit(c.Challenge, f.digest(next), reason.SequenceReused)
					_, err = a.Console().Permit(ctx, permit, "uid 0")
					wantRefused(t, "permit", err, reason.RootBehind)
				})
				// Plan and pulse came before the root, and hold as soon as it is there.
				r.hear(doc(transport.Plan, plan), doc(transport.Pulse, pulse), doc(transport.Root, f.bundle()),
					offered(next))
				if got := r.seen.Trust; got.Problem != "" || got.Version != 2 || got.Newest != 0 {
					t.Errorf("status says %+v with the good bundle", got)
				}
				r.is("A", 3)
			})
		})
	}
}

func wantRefused(t *testing.T, what string, err error, want reason.Reason) {
	t.Helper()
	var no *intake.Refused
	if !errors.As(err, &no) || no.Reason != want {
		t.Errorf("%s: the answer is %v, want %s", what, err, want)
	}
}

// mailbox keeps the newest status that the device sends.
type mailbox struct {
	outbox
	newest []byte
}

func (m *mailbox) Send(ctx context.Context, msg transport.Message) error {
	if msg.Kind == transport.Status {
		m.mu.Lock()
		m.newest = msg.Body
		m.mu.Unlock()
	}
	return m.outbox.Send(ctx, msg)
}

// status is what a device that has just started sends.
func (m *mailbox) status(r *rig) evidence.Status {
	r.t.Helper()
	r.awake(func(ctx context.Context, a *agent.Agent) {
		defer reports(ctx, a)()
		for range 4 {
			synctest.Wait()
			r.w.Advance(5 * time.Second)
		}
	})
	keys, err := trust.NewKeys([]trust.Key{r.device.Key()}, false)
	if err != nil {
		r.t.Fatal(err)
	}
	st, _, err := evidence.VerifyStatus(m.newest, keys)
	if err != nil {
		r.t.Fatal(err)
	}
	return st
}

// TestVoidPlanIsAnAlarm: a stored plan that nobody has signed is not used, and is not passed over in silence; the
// next good one takes the alarm back. One that a newer root voids is none.
func TestVoidPlanIsAnAlarm(t *testing.T) {
	bubble(t, 683, func(r *rig) {
		f := rooted(r)
		env := r.release(2, 2)
		plan, digest := f.plan(env, 2)
		r.hear(doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StatePaused)))
		if got := r.seen.Trust.Plan; got == nil || got.Sequence != 1 || got.Pulse != 1 || got.State != "paused" {
			t.Errorf("status says %+v of the plan", got)
		}
		f.rekey(trust.RoleCampaign)
		f.root()
		r.hear(doc(transport.Root, f.bundle()))
		r.hear()
		if got := r.seen.Trust; got.Problem != "" || got.Plan != nil {
			t.Errorf("after a rotation status says %+v", got)
		}
		plan, digest = f.plan(env, 2)
		r.hear(doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StatePaused)))
		bad := append([]byte(nil), plan...)
		bad[len(bad)-1] ^= 1
		r.put("plan", bad)
		for range 2 {
			r.hear()
		}
		if got := r.seen.Trust; got.Problem != reason.DocumentVoid || got.Plan != nil {
			t.Errorf("status says %+v", got)
		}
		if n := strings.Count(r.told(), "config    >void"); n != 1 {
			t.Errorf("the alarm is on record %d times\n%s", n, r.told())
		}
		plan, digest = f.plan(env, 2)
		r.hear(doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)), offered(env))
		if r.seen.Trust.Problem != "" {
			t.Errorf("the alarm stays: %+v", r.seen.Trust)
		}
		r.is("B", 2)
	})
}

// TestRootOfTheImageIsRemembered: an image brings a newer root. When it is confirmed the root is kept, and the
// older image in the other slot, which has an older one, does not go back behind it.
func TestRootOfTheImageIsRemembered(t *testing.T) {
	bubble(t, 684, func(r *rig) {
		f := rooted(r)
		set := r.options
		first := f.bundle()
		env := r.release(2, 2)
		plan, digest := f.plan(env, 2)
		pulse := f.pulse(digest, campaign.StateOpen)
		f.rotateAll()
		newer := f.bundle()
		r.options = func(o *agent.Options) {
			set(o)
			o.Counter, o.Root = nil, first
			if r.runs() == "B" {
				o.Root = newer
			}
		}
		msgs := []transport.Message{doc(transport.Plan, plan), doc(transport.Pulse, pulse), offered(env)}
		reverted := false
		rests := func(a *agent.Agent) bool {
			r.seen = a.Console().Status(context.Background())
			idle := r.seen.Phase == "idle"
			switch {
			case len(msgs) > 0:
				select {
				case r.inbox <- msgs[0]:
					msgs = msgs[1:]
				default:
				}
			case idle && r.runs() == "B" && !reverted: // in the boot in which it was confirmed
				if reverted = true; r.seen.Trust.Version != 2 {
					t.Errorf("root %d is trusted, want that of the image", r.seen.Trust.Version)
				}
				go func() {
					if _, err := a.Console().Revert(context.Background(), "uid 0", ""); err != nil {
						t.Error(err)
					}
				}()
			}
			return idle && r.runs() == "A" && reverted
		}
		for r.boot(nil, rests) {
			r.loader()
		}
		r.is("A", 1)
		if got := r.seen.Trust; got.Version != 2 || got.Problem != "" {
			t.Errorf("status says %+v in the older image", got)
		}
	})
}

// TestCounterWaitsForTheRoot: the root under which an update was decided is gone when the update is confirmed. The
// counter is not taken for raised: that is done when the root is back.
func TestCounterWaitsForTheRoot(t *testing.T) {
	bubble(t, 685, func(r *rig) {
		f := rooted(r)
		f.rotateAll()
		r.signer = f.keys[trust.RoleRelease]
		env := r.release(2, 2)
		plan, digest := f.plan(env, 2)
		r.hear(doc(transport.Root, f.bundle()), doc(transport.Plan, plan),
			doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)))
		r.inPhase(life.Trial, env)
		r.put("root", nil)
		r.hear()
		r.is("B", 2, "confirmed", "floor-pending")
		if n := r.w.CounterValue(); n != 0 {
			t.Errorf("the counter is %d", n)
		}
		r.hear(doc(transport.Root, f.bundle()))
		r.spend(7 * time.Hour)
		if n := r.w.CounterValue(); n != 2 {
			t.Errorf("the counter is %d with the root, want 2", n)
		}
	})
}
