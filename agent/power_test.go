package agent_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// tells has the machine tell why each boot began. What the loader has counted is not lost in a cut.
func (r *rig) tells(cause func() hal.ResetCause) {
	r.w.SetCache(sim.Keep)
	r.options = func(o *agent.Options) { o.Reset = cause() }
}

// cutTrials cuts the power in so many trial boots that the agent sees, over as many attempts as that takes.
func (r *rig) cutTrials(n int, envelopes ...[]byte) {
	r.t.Helper()
	for range n {
		r.inPhase(life.Trial, envelopes...)
		r.w.Cut()
		r.powerOn()
		r.loader()
		envelopes = nil
	}
}

// TestPowerCutsInTrial: where the machine tells that the power had gone, a good image is not quarantined for it,
// however many trial boots it takes away within the bound; it is tried again by itself, and runs in the end.
func TestPowerCutsInTrial(t *testing.T) {
	for n := 1; n <= 9; n++ {
		bubble(t, 970+uint64(n), func(r *rig) {
			r.tells(r.w.Reset)
			r.cutTrials(n, r.release(2, 2))
			r.spend(3 * time.Hour)
			r.is("B", 2, "!trial-boots-exhausted", "!quarantined", "!given-back")
			if said := strings.Contains(r.told(), "power-lost"); said != (n >= 3) {
				t.Errorf("%d cuts: %s", n, r.told())
			}
		})
	}
}

// TestPowerCutsInTheOnlyTry: the same with a loader that counts one try.
func TestPowerCutsInTheOnlyTry(t *testing.T) {
	bubble(t, 981, func(r *rig) {
		r.options = func(o *agent.Options) { o.Tries, o.Reset = 1, r.w.Reset() }
		r.cutTrials(4, r.release(2, 2))
		r.spend(30 * time.Hour)
		r.is("B", 2, "power-lost", "!trial-boots-exhausted", "!fell-back")
	})
}

// TestPowerExcusesSoManyBoots: an image that takes the power away in each trial boot is quarantined in the end: it
// may be the image that does it.
func TestPowerExcusesSoManyBoots(t *testing.T) {
	bubble(t, 982, func(r *rig) {
		r.tells(r.w.Reset)
		cuts, envelopes := 0, [][]byte{r.release(2, 2)}
		for barred := false; !barred && cuts < 30; {
			r.until(envelopes, func(s control.Status) bool {
				barred = strings.Contains(strings.Join(s.Advice, " "), "Quarantined on this device")
				return barred || s.Phase == string(life.Trial)
			})
			if envelopes = nil; !barred {
				cuts++
				r.w.Cut()
				r.powerOn()
				r.loader()
			}
		}
		if r.is("A", 1, "power-lost", "trial-boots-exhausted"); cuts < 9 || cuts > 14 {
			t.Errorf("it was quarantined after %d cuts", cuts)
		}
	})
}

// TestPanicIsNoPowerCut: an image whose kernel panics is quarantined as ever, whatever the machine says of the boot
// after the last panic; and with a panic on record none of its boots is excused.
func TestPanicIsNoPowerCut(t *testing.T) {
	bubble(t, 983, func(r *rig) {
		r.panics[2] = true
		r.tells(func() hal.ResetCause { return hal.ResetCause{Kind: hal.ResetPowerOn, Source: "it always says so"} })
		r.spend(30*time.Minute, r.release(2, 2))
		r.is("A", 1, "trial-boots-exhausted")
	})
	bubble(t, 984, func(r *rig) { // it hangs in its panic, and a person pulls the plug each time
		records := 0
		r.tells(func() hal.ResetCause {
			c := r.w.Reset()
			c.Panics = hal.Panics{Count: records}
			return c
		})
		r.inPhase(life.Trial, r.release(2, 2))
		for range 3 {
			r.w.Cut()
			records++
			r.powerOn()
			if r.loader(); r.runs() == "B" {
				r.inPhase(life.Trial)
			}
		}
		r.spend(time.Hour)
		r.is("A", 1, "trial-boots-exhausted", "!power-lost", "panic")
	})
}

// TestUnknownCauseIsAsEver: with a machine that does not tell, cuts in every trial boot look like a bad image.
func TestUnknownCauseIsAsEver(t *testing.T) {
	for _, kind := range []hal.ResetKind{"", hal.ResetUnknown, hal.ResetSoftware, hal.ResetWatchdog, hal.ResetPanic} {
		bubble(t, 985, func(r *rig) {
			r.tells(func() hal.ResetCause { return hal.ResetCause{Kind: kind} })
			r.cutTrials(3, r.release(2, 2))
			r.spend(time.Hour)
			r.is("A", 1, "trial-boots-exhausted", "!power-lost")
		})
	}
}

// TestResetIsShown: status says why the machine was started, and who says so.
func TestResetIsShown(t *testing.T) {
	bubble(t, 986, func(r *rig) {
		r.tells(func() hal.ResetCause {
			return hal.ResetCause{Kind: hal.ResetWatchdog, Source: "watchdog0", Panics: hal.Panics{Count: 2}}
		})
		r.awake(func(ctx context.Context, a *agent.Agent) {
			want := control.ResetStatus{Cause: "watchdog", Source: "watchdog0", Panics: 2}
			if got := a.Console().Status(ctx).Reset; got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
		r.is("A", 1, "watchdog (watchdog0)")
	})
}
