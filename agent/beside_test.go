package agent_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/console"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// toTrial installs what was begun, and returns when the new system was started by the loader.
func (r *rig) toTrial(msgs ...transport.Message) {
	r.t.Helper()
	if !r.boot(nil, func(*agent.Agent) bool {
		if len(msgs) > 0 {
			select {
			case r.inbox <- msgs[0]:
				msgs = msgs[1:]
			default:
			}
		}
		return false
	}) {
		r.t.Fatal("the device does not reboot")
	}
	r.loader()
}

// TestTrialHears: documents are taken while a system is on trial, and are durable; the trial is ended by its health.
func TestTrialHears(t *testing.T) {
	bubble(t, 1320, func(r *rig) {
		b := r.beginning()
		r.toTrial(b.msgs...)
		r.awake(func(ctx context.Context, a *agent.Agent) {
			halted := b.pulse(b.digest, campaign.StateHalted)
			r.send(doc(transport.Pulse, halted), offered(r.release(9, 9)))
			s := a.Console().Status(ctx)
			if s.Phase != "trial" || s.Trust.Plan == nil || s.Trust.Plan.State != string(campaign.StateHalted) ||
				string(r.stored("pulse")) != string(halted) {
				t.Errorf("phase %s, plan %+v", s.Phase, s.Trust.Plan)
			}
		})
		r.hear()
		r.is("B", 2)
	})
}

// TestRootOfAnImageOnTrial: the image on trial brings a root that this device has never kept. No document is taken on
// its word as long as the system before may come back, which could not follow; they are once it is confirmed.
func TestRootOfAnImageOnTrial(t *testing.T) {
	for _, sick := range []bool{true, false} {
		bubble(t, 1321, func(r *rig) {
			b := r.beginning()
			r.sick[2] = sick
			old := b.keys[trust.RoleRoot]
			b.rekey(trust.RoleRoot)
			b.root(old)
			newer := b.bundle()
			b.rekey(trust.RolePulse)
			b.root()
			third := b.bundle()
			also(r, func(o *agent.Options) {
				if r.runs() == "B" {
					o.Root = newer
				}
			})
			r.toTrial(b.msgs...)
			r.awake(func(ctx context.Context, a *agent.Agent) {
				before := r.stored("newest")
				r.send(doc(transport.Root, third))
				if s := a.Console().Status(ctx); s.Phase != "trial" || s.Trust.Version != 2 ||
					string(r.stored("newest")) != string(before) {
					t.Errorf("phase %s, root %d", s.Phase, s.Trust.Version)
				}
				for range 40 {
					r.w.Advance(time.Second)
					synctest.Wait()
				}
				if s := a.Console().Status(ctx); !sick && (s.Phase != "idle" || s.Trust.Version != 3) {
					t.Errorf("confirmed: phase %s, root %d", s.Phase, s.Trust.Version)
				}
			})
			if sick {
				r.w.Restart()
				r.loader()
				r.hear()
				r.is("A", 1)
				if p := r.seen.Trust.Problem; p != reason.None || r.seen.Trust.Version != 1 {
					t.Errorf("the system before: root %d, %s", r.seen.Trust.Version, p)
				}
			}
		})
	}
}

// TestPeopleWhileWritten: what a person asks for while an image is written is answered, and what does not concern the
// update leaves it alone. A challenge is opened and a permit taken; one who ends it is told when that is on record.
func TestPeopleWhileWritten(t *testing.T) {
	for name, server := range map[string]func(*rig, string) slots.Source{
		"drips": func(r *rig, uri string) slots.Source { return &drip{r: r, uri: uri, first: imageSize / 2} },
		"mute":  func(*rig, string) slots.Source { return deaf{} },
	} {
		bubble(t, 1322, func(r *rig) {
			b := r.beginning()
			r.from(func(uri string) slots.Source { return server(r, uri) })
			r.awake(func(ctx context.Context, a *agent.Agent) {
				r.send(b.msgs...)
				opened, phase := len(r.opened), a.Console().Status(ctx).Phase
				c, err := a.Console().Challenge(ctx, "uid 0")
				if err == nil {
					old := b.fleet.digest(r.release(3, 3))
					_, err = a.Console().Permit(ctx, b.permit(c.Challenge, old, reason.SequenceBelowFloor), "uid 0")
				}
				if err != nil || r.stored("permit") == nil {
					t.Errorf("%s: the permit: %v", name, err)
				}
				_, confirm := a.Console().Confirm(ctx, "uid 0", "")
				_, retry := a.Console().Retry(ctx, "", false, "uid 0", "")
				wantRefused(t, "confirm", confirm, reason.NothingToDo)
				wantRefused(t, "retry", retry, reason.UpdateInProgress)
				if s := a.Console().Status(ctx); s.Phase != phase || len(r.opened) != opened {
					t.Errorf("%s: phase %s, was %s; opened %d times more", name, s.Phase, phase, len(r.opened)-opened)
				}
				_, err = a.Console().Revert(ctx, "uid 7", "not today")
				if s := a.Console().Status(ctx); err != nil || s.Phase != "idle" || says(s) != reason.OperatorRevert {
					t.Errorf("%s: revert: %v; phase %s, %s", name, err, s.Phase, says(s))
				}
			})
			r.is("A", 1, "why=ended by uid 7: not today")
		})
	}
}

// TestPermitVoidWhileWritten: an old release is installed under a permit, and a root comes that voids it. The write
// stops for what the permit had lifted. A root voids nothing of an install that needs no permit.
func TestPermitVoidWhileWritten(t *testing.T) {
	for _, older := range []bool{true, false} {
		bubble(t, 1323, func(r *rig) {
			b := r.beginning()
			r.hear(b.msgs...)
			r.is("B", 2)
			env, n := r.release(7, 3), "3.img"
			if older {
				env = r.release(3, 3)
			}
			r.awake(func(ctx context.Context, a *agent.Agent) {
				if older {
					c, err := a.Console().Challenge(ctx, "uid 0")
					if err == nil {
						_, err = a.Console().Permit(ctx,
							b.permit(c.Challenge, b.fleet.digest(env), reason.SequenceBelowFloor), "uid 0")
					}
					if err != nil {
						t.Error(err)
					}
				}
				done := make(chan error, 1)
				go func() {
					server := &drip{r: r, uri: "https://images.example.com/" + n, first: imageSize / 2}
					_, err := a.Console().Install(ctx, console.LocalInstall{Envelope: env, Name: "stick",
						Actor: "uid 0", Payloads: map[string]slots.Source{n: server}}, func(control.Progress) {})
					done <- err
				}()
				synctest.Wait()
				if s := a.Console().Status(ctx); s.Phase != "writing" {
					t.Errorf("the phase is %s", s.Phase)
				}
				b.root()
				r.send(doc(transport.Root, b.bundle()))
				if s := a.Console().Status(ctx); !older {
					if s.Phase != "writing" {
						t.Errorf("an install without a permit: phase %s", s.Phase)
					}
					return
				}
				time.Sleep(time.Second) // of the bubble: who follows the install looks again
				select {
				case err := <-done:
					wantRefused(t, "install", err, reason.SequenceBelowFloor)
				default:
					t.Error("the install goes on")
				}
				if st := r.state(); st.Slots["A"].Bootable || st.Next != "B" {
					t.Errorf("the target boots: %+v", st)
				}
			})
		})
	}
}

// TestDocumentOfABadMoment: the journal does not take a halt that comes while an image is written. It is taken at the
// next stop point, before anything is armed.
func TestDocumentOfABadMoment(t *testing.T) {
	bubble(t, 1324, func(r *rig) {
		b := r.beginning()
		fails := false
		r.fault = func() error {
			if fails {
				return errors.New("no space left on device")
			}
			return nil
		}
		gone := make(chan struct{})
		r.from(func(uri string) slots.Source { return &waiting{simSource{r, uri}, gone} })
		r.awake(func(ctx context.Context, a *agent.Agent) {
			r.send(b.msgs...)
			fails = true
			r.send(doc(transport.Pulse, b.pulse(b.digest, campaign.StateHalted)))
			fails = false
			close(gone)
			synctest.Wait()
			if s := a.Console().Status(ctx); says(s) != reason.Halted || r.state().Slots["B"].Bootable {
				t.Errorf("phase %s, %s; %+v", s.Phase, says(s), r.state())
			}
		})
		r.is("A", 1, "halted", "!armed=")
	})
}
