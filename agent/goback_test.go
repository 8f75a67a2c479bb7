package agent_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/intake"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/transport"
)

// TestRevertAsksTheRoot: an operator goes back to what the other slot holds only where the root still
// admits it: at its lowest sequence number yes, one below no, and never to a manifest that it revoked.
func TestRevertAsksTheRoot(t *testing.T) {
	for name, tt := range map[string]struct {
		root func(s *trust.RootSpec, digest manifest.Digest)
		want reason.Reason
	}{
		"at the minimum": {func(s *trust.RootSpec, _ manifest.Digest) {
			s.Components = map[string]trust.SequenceRange{"rootfs": {Min: 4, Max: 100}}
		}, ""},
		"one below": {func(s *trust.RootSpec, _ manifest.Digest) {
			s.Components = map[string]trust.SequenceRange{"rootfs": {Min: 5, Max: 100}}
		}, reason.SequenceOutOfRange},
		"revoked":   {func(s *trust.RootSpec, d manifest.Digest) { s.Revoked = []string{d.String()} }, reason.Revoked},
		"as it was": {func(*trust.RootSpec, manifest.Digest) {}, ""},
		"another part": {func(s *trust.RootSpec, _ manifest.Digest) {
			s.Components = map[string]trust.SequenceRange{"app": {Min: 50, Max: 100}}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 621, func(r *rig) {
				f := rooted(r)
				first, second := r.release(4, 2), r.release(7, 3)
				plan, digest := f.plan(first, 4)
				r.hear(doc(transport.Plan, plan),
					doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)), offered(first))
				plan, digest = f.plan(second, 7)
				r.hear(doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)),
					offered(second))
				r.is("A", 3)
				tt.root(&f.spec, f.digest(first))
				f.root()
				r.hear(doc(transport.Root, f.bundle()))
				var err error
				r.ask(func(ctx context.Context, a *agent.Agent) { _, err = a.Console().Revert(ctx, "uid 0", "") })
				if tt.want == "" {
					if err != nil {
						t.Errorf("the way back is refused: %v", err)
					}
					r.is("B", 2)
					return
				}
				var no *intake.Refused
				if !errors.As(err, &no) || no.Reason != tt.want {
					t.Errorf("the answer is %v, want %s", err, tt.want)
				}
				r.is("A", 3, "!>revert")
			})
		})
	}
}

// TestRevertAsksWhatEveryWayAsks: the counter is ahead of the root, or the journal does not know what the other slot
// holds while the root forbids something: nobody can tell that the root admits it.
func TestRevertAsksWhatEveryWayAsks(t *testing.T) {
	for name, tt := range map[string]struct {
		harm func(*rig, *fleet)
		want reason.Reason
	}{
		"counter ahead": {func(r *rig, _ *fleet) { _ = r.w.Counter().Raise(context.Background(), 9) },
			reason.RootBehind},
		"journal lost, nothing forbidden": {func(r *rig, _ *fleet) { r.mem = journal.NewMemory() }, ""},
		"journal lost, a release revoked": {func(r *rig, f *fleet) {
			f.spec.Revoked = []string{f.digest(r.release(4, 2)).String()}
			f.root()
			r.mem = journal.NewMemory()
			r.hear(doc(transport.Root, f.bundle()))
		}, reason.RevertImpossible},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 622, func(r *rig) {
				f := rooted(r)
				env := r.release(4, 2)
				plan, digest := f.plan(env, 4)
				r.hear(doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)),
					offered(env))
				r.is("B", 2)
				tt.harm(r, f)
				var err error
				r.ask(func(ctx context.Context, a *agent.Agent) { _, err = a.Console().Revert(ctx, "uid 0", "") })
				if tt.want == "" {
					if err != nil {
						t.Errorf("the way back is refused: %v", err)
					}
					r.is("A", 1)
					return
				}
				wantRefused(t, "revert", err, tt.want)
				r.is("B", 2)
			})
		})
	}
}

// TestRevertAsksAgainBeforeItArms: a root that revokes what the other slot holds comes while it is being checked.
func TestRevertAsksAgainBeforeItArms(t *testing.T) {
	bubble(t, 623, func(r *rig) {
		f := rooted(r)
		first, second := r.release(4, 2), r.release(7, 3)
		plan, digest := f.plan(first, 4)
		r.hear(doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)), offered(first))
		plan, digest = f.plan(second, 7)
		r.hear(doc(transport.Plan, plan), doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)), offered(second))
		r.is("A", 3)
		f.spec.Revoked = []string{f.digest(first).String()}
		f.root()
		r.inbox = make(chan transport.Message, 1)
		came := false
		r.watch(func(before bool) {
			if !came && r.glance(before).in("checking") {
				came = true
				r.inbox <- doc(transport.Root, f.bundle())
			}
		})
		r.ask(func(ctx context.Context, a *agent.Agent) {
			if _, err := a.Console().Revert(ctx, "uid 0", ""); err != nil {
				t.Error(err)
			}
		})
		r.is("A", 3, "revoked")
	})
}

// TestWhatEndsBeforeTheWriteForgetsNothing: an update that ended before its target was written, whatever stood against
// it, leaves what the other slot is known to hold: `ratchet revert` proves it, and refuses it when it has changed.
func TestWhatEndsBeforeTheWriteForgetsNothing(t *testing.T) {
	for name, stand := range map[string]func(*rig) []byte{
		"the server is away": func(r *rig) []byte {
			offer := r.full(4, 4, 14)
			r.source = func(string, int64) (io.ReadCloser, error) { return nil, errors.New("no route to host") }
			return offer
		},
		"nothing can be carried": func(r *rig) []byte {
			offer := r.app(4, 14)
			r.w.Poke("/dev/a", 4096, []byte("somebody wrote here"))
			return offer
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 624, func(r *rig) {
				twoParts(r)
				r.play(r.full(2, 2, 12))
				r.play(r.full(3, 3, 13))
				r.hear(offered(stand(r)))
				if h := r.seen.Other.Holds; h == nil || h.Sequence != 2 || r.state().Slots["A"].Tries == 0 {
					t.Fatalf("the other slot holds %+v, %+v\n%s", h, r.state(), r.told())
				}
				r.w.Poke("/dev/b", 8192, []byte("and here"))
				r.ask(func(ctx context.Context, a *agent.Agent) {
					// The offer that waits is decided at the start: the first may end what that begins.
					for says := ""; !strings.HasPrefix(says, "Slot B is checked"); {
						done, err := a.Console().Revert(ctx, "uid 0", "")
						if says = done.Says; err != nil {
							t.Error(err)
							return
						}
					}
				})
				if r.runs() != "A" || !strings.Contains(r.told(), "read-back-mismatch") {
					t.Errorf("slot %s runs\n%s", r.runs(), r.told())
				}
			})
		})
	}
}
