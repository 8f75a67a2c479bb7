package agent_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/console"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// failing says where in a commit a fault of the journal lies.
type failing int

const (
	beforeIt      failing = iota // nothing has run yet
	afterIt                      // the function has run, and nothing is written: no room, or the first sync failed
	syncedInVain                 // the last sync failed, and the medium has the old state
	syncedUnheard                // the last sync failed, and the medium has the new state
)

// faulty is a journal of which one commit fails. After a last sync that failed nobody knows what it holds: it is of
// no use until it is opened again, as package journal has it.
type faulty struct {
	journal.Store
	count *int // commits so far
	at    int  // the one that fails
	how   failing
	dead  *bool
}

func (f faulty) Update(fn func(journal.Tx) error) error {
	if *f.dead {
		return syscall.EIO
	}
	if *f.count++; *f.count != f.at {
		return f.Store.Update(fn)
	}
	lost := errors.New("rolled back")
	switch f.how {
	case afterIt, syncedInVain:
		err := f.Store.Update(func(tx journal.Tx) error { return errors.Join(fn(tx), lost) })
		if !errors.Is(err, lost) {
			return err // no power
		}
	case syncedUnheard:
		if err := f.Store.Update(fn); err != nil {
			return err
		}
	}
	*f.dead = f.how >= syncedInVain
	return syscall.EIO
}

// failsAt makes the n-th commit from now on fail, until whole is called. A journal that is of no use ends the boot:
// the daemon is started again.
func (r *rig) failsAt(n int, how failing) (came, dead func() bool, whole func()) {
	count, gone := 0, false
	set := r.options
	r.options = func(o *agent.Options) {
		if set != nil {
			set(o)
		}
		gone = false
		o.Journal = faulty{o.Journal, &count, n, how, &gone}
	}
	return func() bool { return count >= n }, func() bool { return gone }, func() { r.options = set }
}

// TestPermitAllowsOnceWhateverFails: an install that a permit allows, with every commit of it failing in every way, and
// the daemon started again afterwards. The old release is installed once; a second time needs a second permit.
func TestPermitAllowsOnceWhateverFails(t *testing.T) {
	for _, how := range []failing{beforeIt, afterIt, syncedInVain, syncedUnheard} {
		for n, more := 1, true; more; n++ {
			bubble(t, 701, func(r *rig) { more = r.permitOnce(n, how) })
			if t.Failed() {
				t.Fatalf("commit %d, %v", n, how)
			}
		}
	}
}

func (r *rig) permitOnce(n int, how failing) (came bool) {
	f := rooted(r)
	offer := func(seq uint64, image byte) []transport.Message {
		env := r.release(seq, image)
		plan, digest := f.plan(env, seq)
		return []transport.Message{doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)),
			offered(env)}
	}
	r.hear(offer(5, 2)...)
	old := r.release(3, 3)
	install := func(ctx context.Context, a *agent.Agent) error {
		_, err := a.Console().Install(ctx, console.LocalInstall{Envelope: old, Name: "old.suit", Actor: "uid 0",
			Payloads: map[string]slots.Source{"3.img": simSource{r, "https://images.example.com/3.img"}}},
			func(control.Progress) {})
		return err
	}
	r.ask(func(ctx context.Context, a *agent.Agent) {
		c, err := a.Console().Challenge(ctx, "uid 0")
		if err == nil {
			_, err = a.Console().Permit(ctx, f.permit(c.Challenge, f.digest(old), reason.SequenceBelowFloor), "uid 0")
		}
		if err != nil {
			r.t.Error(err)
		}
	})
	failed, dead, whole := r.failsAt(n, how)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	asked := false
	for r.boot(nil, func(a *agent.Agent) bool {
		if !asked {
			asked = true
			go func() { _ = install(ctx, a) }()
			return false
		}
		d, ok := r.w.NextTimer()
		return dead() || a.Console().Status(context.Background()).Phase == "idle" && (!ok || d > 10*time.Minute)
	}) {
		r.loader()
	}
	came = failed()
	whole()
	r.hear()
	r.ask(func(ctx context.Context, a *agent.Agent) { _ = install(ctx, a) }) // may be the first that succeeds
	r.hear(offer(7, 4)...)
	var err error
	r.ask(func(ctx context.Context, a *agent.Agent) { err = install(ctx, a) })
	wantRefused(r.t.(*testing.T), "install without a permit", err, reason.SequenceBelowFloor)
	if begun := strings.Count(r.told(), "idle>preparing slot=A seq=3") +
		strings.Count(r.told(), "idle>preparing slot=B seq=3"); begun > 1 {
		r.t.Errorf("the old release was begun %d times\n%s", begun, r.told())
	}
	return came
}

// TestPermitGoesWithItsRoot: the key that signed a permit is rotated away after the permit was taken, while the daemon
// goes on: it permits nothing any more, now and after a restart, and neither does it come back with the next root.
func TestPermitGoesWithItsRoot(t *testing.T) {
	bubble(t, 702, func(r *rig) {
		f := rooted(r)
		env := r.release(5, 2)
		plan, digest := f.plan(env, 5)
		r.hear(doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)), offered(env))
		old := r.release(3, 3)
		install := func(ctx context.Context, a *agent.Agent) {
			_, err := a.Console().Install(ctx, console.LocalInstall{Envelope: old, Name: "old.suit", Actor: "uid 0",
				Payloads: map[string]slots.Source{"3.img": simSource{r, "https://images.example.com/3.img"}}},
				func(control.Progress) {})
			wantRefused(t, "install", err, reason.SequenceBelowFloor)
		}
		r.ask(func(ctx context.Context, a *agent.Agent) {
			c, err := a.Console().Challenge(ctx, "uid 0")
			if err == nil {
				_, err = a.Console().Permit(ctx,
					f.permit(c.Challenge, f.digest(old), reason.SequenceBelowFloor), "uid 0")
			}
			if err != nil {
				t.Error(err)
			}
			f.rekey(trust.RoleRecovery)
			f.root()
			r.inbox <- doc(transport.Root, f.bundle())
			install(ctx, a)
		})
		if r.stored("permit") != nil {
			t.Error("a permit that is void is still in the journal")
		}
		r.ask(install)
		r.is("B", 2)
	})
}

// TestNothingLeadsTheJournal: a commit of a document fails in each way. What the device goes on by is what a start
// reads: no root, plan or pulse holds that the journal does not have.
func TestNothingLeadsTheJournal(t *testing.T) {
	for _, how := range []failing{beforeIt, afterIt, syncedInVain, syncedUnheard} {
		for n := 2; n <= 4; n++ { // root, plan, pulse: the first is that of the start
			bubble(t, 703, func(r *rig) {
				f := rooted(r)
				r.hear()
				f.rotateAll()
				r.signer = f.keys[trust.RoleRelease]
				env := r.release(2, 2)
				plan, digest := f.plan(env, 2)
				msgs := []transport.Message{doc(transport.Root, f.bundle()), doc(transport.Plan, plan),
					doc(transport.Pulse, f.pulse(digest, campaign.StatePaused))}
				came, _, whole := r.failsAt(n, how)
				r.hear(msgs...)
				if !came() {
					t.Fatalf("commit %d did not come", n)
				}
				said := r.seen.Trust
				whole()
				before := bytes.Clone(r.stored("root"))
				if how != syncedUnheard && (said.Version == 2) != (before != nil) {
					t.Errorf("commit %d, %v: root %d held, %d bytes were stored", n, how, said.Version, len(before))
				}
				if how != syncedUnheard && (said.Plan != nil) != (r.stored("plan") != nil) {
					t.Errorf("commit %d, %v: plan %v held, %d bytes were stored", n, how, said.Plan,
						len(r.stored("plan")))
				}
				r.hear(msgs...)
				if got := r.seen.Trust; got.Version != 2 || got.Plan == nil || got.Plan.Pulse != 1 {
					t.Errorf("commit %d, %v: status says %+v in the end", n, how, got)
				}
			})
		}
	}
}
