package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/console"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/health"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/sim"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// The ways in which A/B agents lie and lose updates, by number (docs/hazards.md). 26 is TestMixAndMatch.

// TestBrick15NeverTried: the loader loses the order to try the target. The image is not to blame.
func TestBrick15NeverTried(t *testing.T) {
	for lose, want := range map[int]string{1: "B", 100: "A"} {
		bubbleOn(t, 415, bootNext{lose: &lose}, func(r *rig) {
			env := r.release(2, 2)
			boots := r.spend(48*time.Hour, env)
			if want == "B" {
				r.is("B", 2, "never-tried", "!quarantined")
				return
			}
			if boots > 12 {
				t.Errorf("%d boots for an update that is never tried", boots)
			}
			r.is("A", 1, "never-tried", "!fell-back", "!trial-boots-exhausted")
			lose = 0
			r.play(r.release(3, 2)) // the same image is not quarantined
			r.is("B", 2)
		})
	}
}

// TestBrick16ConfirmLies: what counts is what is there, not what the write said.
func TestBrick16ConfirmLies(t *testing.T) {
	t.Run("landed", func(t *testing.T) {
		bubble(t, 416, func(r *rig) {
			r.options = func(o *agent.Options) {
				o.Boot = fakeBoot{Backend: o.Boot, confirm: func(real func() error) error {
					return errors.Join(real(), errors.New("input/output error"))
				}}
			}
			r.play(r.release(2, 2))
			r.is("B", 2, "result=updated")
		})
	})
	t.Run("never", func(t *testing.T) {
		onBoards(t, 416, func(r *rig) {
			r.options = func(o *agent.Options) {
				o.Boot = fakeBoot{Backend: o.Boot, confirm: func(func() error) error {
					return errors.New("input/output error")
				}}
			}
			if n := r.spend(4*time.Hour, r.release(2, 2)); n > 20 {
				t.Errorf("%d boots", n)
			}
			if told := r.told(); strings.Contains(told, "result=updated") || strings.Contains(told, "health-failed") {
				t.Errorf("neither confirmed nor sick:\n%s", told)
			}
		})
	})
}

// TestBrick17ConfirmedExternally: somebody else confirms before the soak has ended.
func TestBrick17ConfirmedExternally(t *testing.T) {
	for _, sick := range []bool{false, true} {
		bubble(t, 417, func(r *rig) {
			r.sick[2] = sick
			r.inPhase(life.Trial, r.release(2, 2))
			if err := r.backend().Confirm(context.Background(), "B"); err != nil {
				t.Fatal(err)
			}
			r.play()
			r.is("B", 2, "confirmed-externally")
			r.awake(func(ctx context.Context, a *agent.Agent) {
				if l := a.Console().Status(ctx).Last; l.Reason != reason.ConfirmedExternally ||
					strings.Contains(l.Says, "proven healthy") {
					t.Errorf("sick=%v: last is %+v", sick, l)
				}
			})
		})
	}
}

// TestBrick18CounterFollows: the counter is not raised while the old slot runs (I4).
func TestBrick18CounterFollows(t *testing.T) {
	ops := operations(t, uboot{}, false)
	for op := int64(1); op <= ops; op += 2 {
		bubble(t, 418, func(r *rig) {
			r.w.CutAt(r.w.Ops()+op, sim.Torn)
			r.boot(&[][]byte{r.release(2, 2)}, func(*agent.Agent) bool { return false })
			for range 6 {
				st := r.state()
				if n, _ := r.w.Counter().Read(context.Background()); n > 0 && !st.Slots["B"].Confirmed {
					t.Fatalf("cut at %d: the counter is %d, and %+v", op, n, st)
				}
				r.loader()
				if !r.live(nil, nil) {
					return
				}
			}
		})
	}
}

// TestBrick19EvidenceGoesOn: sequence numbers go on after pruning and restarts; a lost journal is a
// new chain with its reason and the last known head, also when it cannot be written at first.
func TestBrick19EvidenceGoesOn(t *testing.T) {
	bubble(t, 419, func(r *rig) {
		r.options = func(o *agent.Options) { o.EvidenceMax = 2 << 10 }
		r.play(r.release(2, 2), r.release(3, 3))
		var before control.EvidenceStatus
		r.awake(func(ctx context.Context, a *agent.Agent) { before = a.Console().Status(ctx).Evidence })
		if before.Seq < 30 || len(r.story()) > 20 {
			t.Errorf("%d records, %d kept", before.Seq, len(r.story()))
		}
		r.mem = journal.NewMemory()
		full := true
		r.fault = func() error {
			if full {
				return journal.ErrReadOnly
			}
			return nil
		}
		var chain string
		r.spend(time.Minute)
		full = false
		r.awake(func(ctx context.Context, a *agent.Agent) { chain = a.Console().Status(ctx).Evidence.Chain })
		var again string
		r.awake(func(ctx context.Context, a *agent.Agent) { again = a.Console().Status(ctx).Evidence.Chain })
		if chain == before.Chain || chain != again {
			t.Errorf("chains %s, %s, %s", before.Chain, chain, again)
		}
		r.is(r.runs(), 3, "journal-lost")
	})
}

// TestBrick19LateJournal: the journal cannot be written when the daemon starts, and can be later.
func TestBrick19LateJournal(t *testing.T) {
	bubble(t, 420, func(r *rig) {
		full := true
		r.fault = func() error {
			if full {
				return journal.ErrReadOnly
			}
			return nil
		}
		env := [][]byte{}
		r.boot(&env, func(a *agent.Agent) bool {
			if s := a.Console().Status(context.Background()); s.Evidence.Seq > 0 {
				return true
			}
			if full {
				full, env = false, [][]byte{r.release(2, 2)}
			}
			return false
		})
		r.play(env...)
		r.is("B", 2) // the export verifies: one chain, whole, from its first record
	})
}

// TestBrick20ClockJumps: the wall clock jumps to and fro in the trial.
func TestBrick20ClockJumps(t *testing.T) {
	for _, sick := range []bool{false, true} {
		bubble(t, 421, func(r *rig) {
			r.sick[2] = sick
			r.w.SetWall(time.Unix(0, 0), hal.TimeUnknown)
			r.inPhase(life.Trial, r.release(2, 2))
			r.w.SetWall(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC), hal.TimeSynced)
			r.until(nil, func(s control.Status) bool { return s.Phase == "trial" && s.Update.Trial != nil })
			r.w.SetWall(time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC), hal.TimeSynced)
			r.play()
			r.is(map[bool]string{false: "B", true: "A"}[sick], map[bool]byte{false: 2, true: 1}[sick])
		})
	}
}

// TestBrick21OffersAreKept: a deferred offer survives a technician's install; an offer that comes
// while another one waits to be armed is looked at afterwards.
func TestBrick21OffersAreKept(t *testing.T) {
	bubble(t, 422, func(r *rig) {
		metered := true
		r.options = func(o *agent.Options) { o.Metered = func() bool { return metered } }
		r.play(r.release(3, 3))
		local := console.LocalInstall{Envelope: r.release(2, 2), Name: "stick", Actor: "uid 0",
			Payloads: map[string]slots.Source{"2.img": simSource{r, "https://images.example.com/2.img"}}}
		r.ask(func(ctx context.Context, a *agent.Agent) {
			_, _ = a.Console().Install(ctx, local, func(control.Progress) {})
		})
		r.play()
		r.is("B", 2)
		metered = false
		r.play()
		r.is("A", 3)
	})
	bubble(t, 423, func(r *rig) {
		approval := policy.ApprovalInstall
		r.options = func(o *agent.Options) { o.Rules.Approval = approval }
		r.inPhase(life.Ready, r.release(5, 2))
		envs := [][]byte{r.release(4, 3)} // lower: not taken instead of it
		reverted, taken := false, false
		r.boot(&envs, func(a *agent.Agent) bool {
			s := a.Console().Status(context.Background())
			if len(envs) == 0 && s.Phase == "ready" && !reverted {
				reverted = true
				go func() { _, _ = a.Console().Revert(context.Background(), "uid 0", "") }()
			}
			taken = s.Phase == "ready" && s.Update.Sequence == 4
			return taken || reverted && s.Phase == "idle" && s.Time.UptimeSeconds > 7200
		})
		if !taken {
			t.Errorf("the other offer was forgotten:\n%s", r.told())
		}
	})
}

// TestBrick22CounterStuck: a counter that cannot be raised blocks nothing, and is raised later.
func TestBrick22CounterStuck(t *testing.T) {
	bubble(t, 424, func(r *rig) {
		r.w.SetCounter(0, false)
		r.play(r.release(2, 2))
		r.is("B", 2, "floor-pending")
		r.play(r.release(3, 3))
		r.is("A", 3)
		r.w.SetCounter(0, true)
		r.play()
		if n, _ := r.w.Counter().Read(context.Background()); n != 1 {
			t.Errorf("the counter is %d", n)
		}
	})
}

// TestBrick23AlteredWhileWaiting: the slot is altered behind the back of everybody, and the wait is long.
func TestBrick23AlteredWhileWaiting(t *testing.T) {
	for _, restart := range []bool{false, true} {
		bubble(t, 425, func(r *rig) {
			r.options = func(o *agent.Options) { o.Rules.MinBattery = 50 }
			r.w.SetSupply(hal.Supply{Battery: 80, BatteryMWh: -1, Known: true})
			r.source = func(uri string, off int64) (io.ReadCloser, error) {
				if off == 0 && len(r.opened) == 2 {
					r.w.SetSupply(hal.Supply{Battery: 20, BatteryMWh: -1, Known: true})
				}
				return io.NopCloser(bytes.NewReader(r.images[uri][off:])), nil
			}
			r.inPhase(life.Ready, r.release(2, 2))
			if restart {
				r.w.Poke("/dev/b", 4096, []byte("altered"))
				r.w.SetSupply(hal.Supply{Battery: 80, BatteryMWh: -1, Known: true})
			} else {
				began := r.w.Ops()
				poked := false
				r.boot(nil, func(a *agent.Agent) bool {
					if d, ok := r.w.NextTimer(); ok && a.Console().Status(context.Background()).Phase == "ready" &&
						!poked {
						poked = true
						r.w.Poke("/dev/b", 4096, []byte("altered"))
						r.w.Advance(d + 2*time.Hour)
						r.w.SetSupply(hal.Supply{Battery: 80, BatteryMWh: -1, Known: true})
					}
					return false
				})
				if r.w.Ops() == began {
					t.Fatal("nothing happened")
				}
				r.loader()
			}
			r.play()
			r.is("B", 2, "read-back-mismatch")
		})
	}
}

// TestBrick24BrokerOutage: the broker is gone in the trial, and for the old system, too. The image is
// not quarantined, not tried while the broker is gone, and taken when it is back. Where only the new system does
// not reach it, somebody may have seen to that: it is tried again later and later, without writing the slot again.
func TestBrick24BrokerOutage(t *testing.T) {
	bubble(t, 426, func(r *rig) {
		r.options = func(o *agent.Options) {
			o.Health.Checks = append(o.Health.Checks, &health.Broker{Online: r.isOnline})
		}
		r.inPhase(life.Trial, r.release(2, 2))
		r.online = false
		if n := r.spend(24 * time.Hour); n > 2 {
			t.Errorf("a day without the broker made %d boots", n)
		}
		r.is("A", 1, "!quarantined why")
		r.online = true
		r.spend(3 * time.Hour)
		r.is("B", 2)
	})
	bubble(t, 427, func(r *rig) {
		r.options = func(o *agent.Options) {
			o.Health.Checks = append(o.Health.Checks,
				&health.Broker{Online: func() (bool, time.Time) { return r.runs() == "A", time.Time{} }})
			o.Online = o.Health.Checks[1].(*health.Broker).Online
		}
		if n := r.spend(10*24*time.Hour, r.release(2, 2)); n > 30 {
			t.Errorf("ten days of trials that do not reach the broker made %d boots", n)
		}
		r.is("A", 1, "health-unreachable", "!quarantined")
		if n := strings.Count(r.told(), "progress "); n != 1 {
			t.Errorf("the slot was written %d times", n)
		}
	})
}

// TestBrick25RevertToAltered: what the other slot holds is read back before the device goes there.
func TestBrick25RevertToAltered(t *testing.T) {
	bubble(t, 428, func(r *rig) {
		r.play(r.release(2, 2), r.release(3, 3))
		r.w.Poke("/dev/b", 8192, []byte("altered"))
		r.awake(func(ctx context.Context, a *agent.Agent) {
			if _, err := a.Console().Revert(ctx, "uid 0", "back"); err != nil {
				t.Error(err)
			}
		})
		if n := r.play(); n != 0 {
			t.Errorf("%d boots towards an altered slot", n)
		}
		r.is("A", 3, "read-back-mismatch", "!quarantined")
	})
}

// TestBrick27SecondWriter: somebody enables the target while it is written. It is disabled again
// before another byte is written.
func TestBrick27SecondWriter(t *testing.T) {
	bubble(t, 429, func(r *rig) {
		first := true
		r.source = func(uri string, off int64) (io.ReadCloser, error) {
			body := io.Reader(bytes.NewReader(r.images[uri][off:]))
			if first && len(r.opened) > 1 {
				first = false
				if err := r.backend().Try(context.Background(), "B", 1); err != nil {
					return nil, err
				}
				return nil, fmt.Errorf("cut off: %w", transport.ErrGone)
			}
			if !first {
				if r.state().Slots["B"].Bootable {
					t.Error("written while it is bootable")
				}
			}
			return io.NopCloser(body), nil
		}
		r.play(r.release(2, 2))
		r.is("B", 2)
	})
}
