package agent_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/hal"
)

// night is a window from two to four in the morning.
func night(o *agent.Options) { o.Rules.Windows = []policy.Window{{From: 120, To: 240}} }

// installed runs on until the device reboots for the update, changes something when it waits, and says how long after
// that it rebooted.
func (r *rig) installed(offer []byte, change func()) time.Duration {
	r.t.Helper()
	clock := r.w.Clock()
	var changed time.Duration
	envelopes := [][]byte{offer}
	if !r.boot(&envelopes, func(a *agent.Agent) bool {
		s := a.Console().Status(context.Background())
		if changed == 0 && len(envelopes) == 0 && s.Phase != "" && strings.Contains(r.told(), "outside-window") {
			changed = clock.Uptime()
			change()
			synctest.Wait() // before virtual time goes on
			return false
		}
		return changed > 0 && clock.Uptime() > changed+2*time.Hour
	}) {
		r.t.Fatalf("the update is not installed in two hours\n%s", r.told())
	}
	reboots := r.w.Reboots()
	return reboots[len(reboots)-1].At - changed
}

// A clock that is set while an update waits for a window counts at once where the machine says so, and within a quarter
// of an hour where nobody does: also a window that was days away.
func TestClockIsSetWhileAnUpdateWaits(t *testing.T) {
	noon := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	for name, told := range map[string]bool{"the machine says so": true, "nobody does": false} {
		bubble(t, 91, func(r *rig) {
			r.w.SetWall(noon, hal.TimeSynced)
			stepped := make(chan struct{}, 1)
			r.options = func(o *agent.Options) { night(o); o.Stepped = stepped }
			took := r.installed(r.release(2, 2), func() {
				r.w.SetWall(noon.Add(62*time.Hour+30*time.Minute), hal.TimeSynced)
				if told {
					stepped <- struct{}{}
				}
			})
			if most := map[bool]time.Duration{true: time.Minute, false: 16 * time.Minute}[told]; took > most {
				t.Errorf("%s: rebooted %v after the clock was set, want %v at most", name, took, most)
			}
		})
	}
}

// A window without a zone is in the zone that the machine has when it is asked.
func TestZoneIsSetWhileAnUpdateWaits(t *testing.T) {
	bubble(t, 92, func(r *rig) {
		r.w.SetWall(time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC), hal.TimeSynced)
		zone := time.UTC
		r.options = func(o *agent.Options) { night(o); o.Zone = func() *time.Location { return zone } }
		took := r.installed(r.release(2, 2), func() { zone = time.FixedZone("far east", 14*3600+1800) })
		if took > 16*time.Minute {
			t.Errorf("rebooted %v after the zone was set", took)
		}
	})
}

// What waits is asked about again and again without a word on flash, however long it waits.
func TestAskingAgainWritesNothing(t *testing.T) {
	bubble(t, 93, func(r *rig) {
		r.w.SetWall(time.Date(2026, 12, 1, 4, 30, 0, 0, time.UTC), hal.TimeSynced)
		n, early := 0, 0
		r.options = func(o *agent.Options) { night(o); o.Journal = tallied{o.Journal, &n} }
		clock := r.w.Clock()
		envelopes := [][]byte{r.release(2, 2)}
		if r.boot(&envelopes, func(*agent.Agent) bool {
			if early == 0 && clock.Uptime() > time.Hour {
				early = n
			}
			return clock.Uptime() > 20*time.Hour
		}) {
			t.Fatalf("it does not wait\n%s", r.told())
		}
		if n-early > 4 { // the boot metadata are looked after every six hours
			t.Errorf("%d commits in 19 hours of waiting\n%s", n-early, r.told())
		}
	})
}
