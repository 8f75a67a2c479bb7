package agent_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/bootmodel"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// The ways in which A/B agents brick devices or loop, by number (docs/hazards.md). Lies and losses are in
// lie_test.go. 5 is TestRunningUnproven and TestVerbs, too; 11 is TestJournalLostInTrial and TestCutAndJournalLost.

// TestBrick01TriesDrain: a loader that counts every boot is refilled in idle and in the middle of a
// download that never gets to its end.
func TestBrick01TriesDrain(t *testing.T) {
	for _, writing := range []bool{false, true} {
		bubbleOn(t, 401, uboot{bootmodel.RAUC}, func(r *rig) {
			r.source = func(string, int64) (io.ReadCloser, error) { return io.NopCloser(cutting{r}), nil }
			var offer [][]byte
			if writing {
				offer = [][]byte{r.release(2, 2)}
			}
			for boot := range 12 {
				r.boot(&offer, func(a *agent.Agent) bool {
					return !writing && a.Console().Status(context.Background()).Evidence.Seq > 1
				})
				if a := r.state().Slots["A"]; a.Tries < 2 {
					t.Fatalf("writing=%v, boot %d: slot A has %d tries left", writing, boot, a.Tries)
				}
				if !writing {
					r.w.Cut()
					r.w.PowerOn()
				}
				r.loader()
				if r.runs() != "A" {
					t.Fatalf("writing=%v, boot %d: slot %s runs", writing, boot, r.runs())
				}
			}
		})
	}
}

// TestBrick02OlderAgent: the slot that is fallen back to holds an older agent than wrote the record.
func TestBrick02OlderAgent(t *testing.T) {
	bubble(t, 402, func(r *rig) {
		if err := r.backend().Try(context.Background(), "B", 3); err != nil {
			t.Fatal(err)
		}
		raw, err := cbor.Marshal(map[int]any{1: "polishing", 2: "B", 3: "sha256:00", 4: 1, 5: "of another shape"})
		if err != nil {
			t.Fatal(err)
		}
		_ = r.mem.Update(func(tx journal.Tx) error { return tx.Put(journal.State, "record", raw) })
		var s control.Status
		r.until(nil, func(now control.Status) bool { s = now; return now.Evidence.Seq > 2 })
		if s.Mode != control.ModeBootSafe || !strings.Contains(s.ModeWhy, "polishing") {
			t.Errorf("mode %s: %s", s.Mode, s.ModeWhy)
		}
		st := r.state()
		if !st.Slots["A"].Confirmed || st.Next != "A" || st.Slots["B"].Bootable {
			t.Errorf("boot-safe mode leaves %+v", st)
		}
		if err := r.backend().Try(context.Background(), "B", 3); err != nil {
			t.Fatal(err)
		}
		r.w.Poke("/dev/b", 0, image(2))
		r.w.Restart()
		r.loader()
		r.play() // it is proven on trial, and confirmed, all the same
		r.is("B", 2)
		_ = r.mem.View(func(tx journal.Tx) error {
			if string(tx.Get(journal.State, "record")) != string(raw) {
				t.Error("another version's record was overwritten")
			}
			return nil
		})
	})
}

// TestBrick03OfferWhileUnconfirmed: what runs is not confirmed; "the other" slot is the only good one.
func TestBrick03OfferWhileUnconfirmed(t *testing.T) {
	for _, sick := range []bool{false, true} {
		bubble(t, 403, func(r *rig) {
			r.sick[3] = sick
			r.w.Poke("/dev/b", 0, image(3))
			if err := r.backend().Try(context.Background(), "B", 3); err != nil {
				t.Fatal(err)
			}
			r.w.Restart()
			r.loader()
			offer := r.release(2, 2)
			r.play(offer) // the rig watches I1 all the time
			r.play(offer) // as the broker does at the next connection
			if want := map[bool]string{false: "A", true: "B"}[sick]; r.runs() != want {
				t.Errorf("sick=%v: slot %s runs", sick, r.runs())
			}
			r.is(r.runs(), 2, "idle>trial", "running-unconfirmed", "!journal-lost")
		})
	}
}

// TestBrick04NothingToGoBackTo: a sick system whose fallback does not boot goes on running.
func TestBrick04NothingToGoBackTo(t *testing.T) {
	bubble(t, 404, func(r *rig) {
		r.sick[2] = true
		r.options = func(o *agent.Options) {
			o.Boot = fakeBoot{Backend: o.Boot, state: func(st bootctl.State, err error) (bootctl.State, error) {
				if a := st.Slots["A"]; r.runs() == "B" {
					a.Bootable = false
					st.Slots["A"] = a
				}
				return st, err
			}}
		}
		r.inPhase(life.Trial, r.release(2, 2))
		asked := len(r.w.Reboots())
		var s control.Status
		r.until(nil, func(now control.Status) bool { s = now; return now.Last != nil })
		if s.Last.Result != "stuck" || s.Last.Reason != reason.RevertImpossible || len(r.w.Reboots()) != asked ||
			r.runs() != "B" {
			t.Errorf("last %+v, %d reboots, slot %s runs", s.Last, len(r.w.Reboots())-asked, r.runs())
		}
	})
}

// TestBrick06Watchdog: it is fed for the agent's life and not for the checks', it is gone with the
// trial, and it ends a trial whose agent is.
func TestBrick06Watchdog(t *testing.T) {
	bubble(t, 406, func(r *rig) {
		r.options = func(o *agent.Options) {
			o.Watchdog = r.w.Watchdog()
			o.Health.Interval, o.Health.Soak, o.Health.Deadline = 3*time.Minute, 9*time.Minute, 30*time.Minute
		}
		outages := 0
		r.outage = func() { outages++ }
		if n := r.spend(2*time.Hour, r.release(2, 2)); n != 1 || outages != 0 {
			t.Errorf("%d boots, %d resets by the watchdog; want 1 and 0", n, outages)
		}
		r.is("B", 2)
		env := [][]byte{r.release(3, 3)}
		r.boot(&env, func(*agent.Agent) bool { return false })
		r.loader()
		hung := false
		r.boot(nil, func(a *agent.Agent) bool {
			if a.Console().Status(context.Background()).Phase == "trial" && !hung {
				hung = true
				r.w.Advance(61 * time.Second) // nobody runs meanwhile
			}
			return false
		})
		if outages != 1 {
			t.Errorf("%d resets of a hanging system, want 1", outages)
		}
	})
}

// TestBrick07TornMetadata: the metadata is destroyed in the trial. A healthy system restores the
// minimum around itself.
func TestBrick07TornMetadata(t *testing.T) {
	for _, b := range []board{uboot{}, grub{}} {
		bubbleOn(t, 407, b, func(r *rig) {
			r.inPhase(life.Trial, r.release(2, 2))
			for _, p := range []string{"/env/0", "/env/1", "/env/grubenv"} {
				if _, ok := r.w.File(p); ok {
					r.w.PutFile(p, []byte("torn"))
				}
			}
			r.play()
			r.is("B", 2, "result=updated", "!fell-back")
		})
	}
}

// TestBrick08RebootFails: the machine does not reboot; the target does not stay armed for a later day.
func TestBrick08RebootFails(t *testing.T) {
	bubble(t, 408, func(r *rig) {
		asked := 0
		r.options = func(o *agent.Options) { o.Power = deadPower{o.Power, &asked} }
		r.spend(10*time.Hour, r.release(2, 2))
		if asked == 0 || asked > 24 {
			t.Errorf("%d reboots asked for", asked)
		}
		if st := r.state(); st.Slots["B"].Bootable || st.Next != "A" {
			t.Errorf("the target stays armed: %+v", st)
		}
		r.is("A", 1, "reboot-failed")
	})
}

// TestBrick09ArmedOnlyWhenAllowed: an update that waits is not armed, over cuts too, and a newer one
// takes its place.
func TestBrick09ArmedOnlyWhenAllowed(t *testing.T) {
	bubble(t, 409, func(r *rig) {
		r.options = func(o *agent.Options) { o.Rules.Approval = policy.ApprovalInstall }
		r.inPhase(life.Ready, r.release(2, 2))
		for range 3 {
			r.w.Cut()
			r.w.PowerOn()
			r.loader()
			r.inPhase(life.Ready)
			if st := r.state(); r.runs() != "A" || st.Slots["B"].Bootable {
				t.Fatalf("slot %s runs, armed while waiting: %+v", r.runs(), st)
			}
		}
		records := len(r.story())
		r.spend(72 * time.Hour)
		if n := len(r.story()) - records; n > 10 {
			t.Errorf("three days of waiting made %d records", n)
		}
		r.play(r.release(3, 3))
		r.is("A", 1, "superseded")
		if !r.holds("/dev/b", 3) {
			t.Error("the newer release was not written")
		}
	})
}

// TestBrick10BootsCounted: the loader's own count is lost at each boot, and the power goes in each trial.
func TestBrick10BootsCounted(t *testing.T) {
	w := new(*sim.World)
	bubbleOn(t, 410, forgetful{w: w}, func(r *rig) {
		*w = r.w
		r.live(&[][]byte{r.release(2, 2)}, nil)
		r.loader()
		boots := 0
		for ; r.runs() == "B" && boots < 20; boots++ {
			r.boot(nil, func(a *agent.Agent) bool {
				if a.Console().Status(context.Background()).Phase == "trial" {
					r.w.Cut()
				}
				return false
			})
			r.loader()
		}
		if boots > 5 {
			t.Errorf("%d trial boots", boots)
		}
		r.play()
		r.is("A", 1, "trial-boots-exhausted")
	})
}

// TestBrick11QuarantineSurvives: the journal is lost, the retained offer of a sick image comes again.
func TestBrick11QuarantineSurvives(t *testing.T) {
	bubble(t, 411, func(r *rig) {
		r.sick[2] = true
		env := r.release(2, 2)
		r.play(env)
		r.mem = journal.NewMemory()
		if n := r.play(env); n != 0 {
			t.Errorf("the sick image made the device boot %d times more", n)
		}
		r.is("A", 1, "journal-lost", "quarantined")
	})
}

// TestBrick12JournalUnwritable: from any commit on the journal takes nothing more. No action begins that
// is not on record, but for the plain reboot of a trial (I5): the device comes to rest on a system that boots, loads
// next to nothing again, and goes on when the journal is back.
func TestBrick12JournalUnwritable(t *testing.T) {
	for _, sick := range []bool{false, true} {
		commits := 0
		bubble(t, 412, func(r *rig) {
			r.sick[2] = sick
			r.fault = func() error { commits++; return nil }
			r.survive(r.release(2, 2))
		})
		for k := 1; k <= commits; k++ {
			bubble(t, 412, func(r *rig) {
				r.sick[2] = sick
				n := 0
				r.fault = func() error {
					if n++; n >= k {
						return journal.ErrFull
					}
					return nil
				}
				env := r.release(2, 2)
				boots := r.spend(6*time.Hour, env)
				if boots > 12 || len(r.opened) > 40 {
					t.Errorf("sick=%v, full from commit %d: %d boots, source opened %d times",
						sick, k, boots, len(r.opened))
				}
				st := r.state()
				if a := st.Slots["A"]; !a.Bootable && !st.Slots["B"].Confirmed {
					t.Errorf("sick=%v, full from commit %d: %+v", sick, k, st)
				}
				if sick && r.runs() == "B" && !st.Slots["B"].Bootable {
					t.Errorf("full from commit %d: the sick system was disabled, and still runs", k)
				}
				r.fault = nil
				r.w.Restart()
				r.loader()
				r.survive(env)
				want := map[bool]byte{false: 2, true: 1}[sick]
				if sick {
					r.whole("journal full", want)
					return
				}
				r.whole("journal full", 0, "source-", "image-corrupt", "health-")
			})
			if t.Failed() {
				return
			}
		}
	}
}

// TestBrick12JournalHiccup: one commit fails, and the next is taken. Nobody else is blamed for it.
func TestBrick12JournalHiccup(t *testing.T) {
	for k := 1; k < 60; k++ {
		bubble(t, 430, func(r *rig) {
			n := 0
			r.fault = func() error {
				if n++; n == k {
					return journal.ErrReadOnly
				}
				return nil
			}
			r.survive(r.release(2, 2))
			r.whole("hiccup", 2, cutLies...)
		})
		if t.Failed() {
			t.Fatalf("at commit %d", k)
		}
	}
}

// TestBrick13IdleWatchdog: nothing starves in idle, because nothing is armed.
func TestBrick13IdleWatchdog(t *testing.T) {
	bubble(t, 413, func(r *rig) {
		r.options = func(o *agent.Options) { o.Watchdog = r.w.Watchdog() }
		r.play()
		r.w.Advance(time.Hour)
		if down, why := r.w.Down(); down {
			t.Errorf("an idle machine was reset: %s", why)
		}
	})
}

// TestBrick14DisableFails: the way back has an end also where the slot cannot be disabled, and the slot
// is disabled when it can be.
func TestBrick14DisableFails(t *testing.T) {
	for _, reboots := range []bool{false, true} {
		bubble(t, 414, func(r *rig) {
			r.sick[2] = true
			broken, asked := true, 0
			r.options = func(o *agent.Options) {
				if !reboots {
					o.Power = deadPower{o.Power, &asked}
				}
				o.Boot = fakeBoot{Backend: o.Boot, disable: func(real func() error) error {
					if broken && len(r.w.Reboots())+asked > 0 {
						return errors.New("input/output error")
					}
					return real()
				}}
			}
			r.spend(3*time.Hour, r.release(2, 2))
			if r.runs() != "A" {
				t.Fatalf("slot %s runs", r.runs())
			}
			broken = false
			r.spend(7 * time.Hour)
			r.is("A", 1, map[bool]string{false: "reboot-failed", true: "health-failed"}[reboots])
			if r.state().Slots["B"].Bootable {
				t.Errorf("the slot is still bootable:\n%s", r.told())
			}
		})
	}
}
