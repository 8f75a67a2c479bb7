package agent_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/hal"
)

// byTurns are genuine offers that somebody hands in by turns with another one: it waits, and takes that one's place.
var byTurns = map[string]func(*rig) []byte{
	"one of the same number": func(r *rig) []byte {
		return r.release(5, 3, func(m *author.Release) { m.MinBatteryMWh = 1 << 40 })
	},
	"a newer one that needs a step": func(r *rig) []byte {
		return r.release(6, 3, func(m *author.Release) {
			m.Versions = []manifest.VersionCondition{{Compare: manifest.CompareGreaterOrEqual, Version: []int64{9}}}
		})
	},
}

// tries plays trials of an offer that end each time, with the other one handed in behind each, until the offer is not
// begun any more within a day. It returns when each trial began, by the uptime of all boots together.
func (r *rig) tries(x, y []byte, end func()) (began []time.Duration) {
	r.t.Helper()
	wall := func() time.Duration { now, _ := r.w.Clock().Wall(); return now.Sub(fleetTime) }
	for len(began) < 12 {
		late, offers, trial := wall()+26*time.Hour, [][]byte{x}, false
		for r.boot(&offers, func(a *agent.Agent) bool {
			trial = a.Console().Status(context.Background()).Phase == string(life.Trial)
			return trial || wall() > late
		}) {
			r.loader()
		}
		if !trial {
			return began
		}
		began = append(began, wall())
		end()
		for offers = [][]byte{y}; r.boot(&offers, func(a *agent.Agent) bool {
			return len(offers) == 0 && a.Console().Status(context.Background()).Phase == string(life.Idle)
		}); {
			r.loader()
		}
	}
	return began
}

// TestByTurnsIsQuarantined: a bad image comes back from its only try, and somebody hands another offer in each time,
// which takes its place. What it has failed so far is not forgotten: it is quarantined as if it had been offered alone,
// also where the machine is said to have lost its power each time, and across restarts.
func TestByTurnsIsQuarantined(t *testing.T) {
	for name, other := range byTurns {
		for lies, most := range map[bool]int{false: 2, true: 10} {
			bubbleOn(t, 1501, grub{}, func(r *rig) {
				r.options = func(o *agent.Options) {
					o.Facts.Version = []int64{1, 0, 0}
					if lies {
						o.Reset = hal.ResetCause{Kind: hal.ResetPowerOn, Source: "it always says so"}
					}
				}
				x, y := r.release(5, 2), other(r)
				began := r.tries(x, y, func() { r.w.Restart(); r.loader() })
				if len(began) < 2 || len(began) > most || len(r.quarantined()) == 0 {
					t.Errorf("%s, the reset cause lies: %v: %d trials, quarantined: %v", name, lies, len(began),
						r.quarantined())
				}
			})
		}
	}
}

// unreachable is a check of something beyond the device that somebody keeps from it.
type unreachable struct{}

func (unreachable) Name() string              { return "server" }
func (unreachable) Run(context.Context) error { return errors.New("no route to host") }
func (unreachable) Remote() bool              { return true }

// TestByTurnsWaits: somebody drops what a system on trial sends, and hands in offers by turns. The pauses grow all the
// same.
func TestByTurnsWaits(t *testing.T) {
	for name, other := range byTurns {
		bubble(t, 1502, func(r *rig) {
			r.options = func(o *agent.Options) {
				o.Facts.Version = []int64{1, 0, 0}
				o.Health.Checks = append(o.Health.Checks, unreachable{})
			}
			began := r.tries(r.release(5, 2), other(r), func() {
				r.until(nil, func(s control.Status) bool { return r.runs() == "A" && s.Phase == string(life.Idle) })
			})
			for i := 4; i < len(began); i++ {
				if wait := began[i] - began[i-1]; wait < 8*time.Hour {
					t.Errorf("%s: trial %d came %v after the one before", name, i+1, wait)
				}
			}
			if len(began) < 5 {
				t.Errorf("%s: %d trials: %v", name, len(began), began)
			}
		})
	}
}
