// Package view is what other goroutines may see of the state that the executor owns: the phase and what it
// waits for, progress, the trial, what could not be done. The executor writes it; reports and the console
// read it. Nothing comes back from here (I7), and nothing of it outlives the process.
package view

import (
	"sync/atomic"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/health"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/slots"
)

// View is what is shown now. One goroutine writes it, any may read.
type View struct {
	clock    hal.Clock
	snap     atomic.Pointer[Snapshot]
	progress atomic.Pointer[Progress]
	trial    atomic.Pointer[Trial]
	trouble  atomic.Pointer[Trouble]
	trust    atomic.Pointer[Trust]
	changed  chan struct{}
}

// Snapshot is the state at one moment.
type Snapshot struct {
	Phase   life.Phase
	Rec     life.Record
	Hold    reason.Reason
	Safe    []string
	Running bootctl.Slot             // "" when unproven
	Since   time.Duration            // uptime at which the phase was entered
	Wall    time.Time                // wall clock then
	Wait    reason.Reason            // why the phase waits
	WaitFor string                   // in words
	Retry   time.Duration            // uptime at which the waiting offer is decided again; 0: none
	Barred  []string                 // what is quarantined
	Back    map[string]time.Duration // of that, what is given back, and the uptime then
	Floors  life.Floors              // highest confirmed sequence numbers
}

// Progress is how far the present action is.
type Progress struct {
	Component string
	Done      int64
	Size      int64
	Rate      int64 // bytes a second, smoothed
	at        time.Duration
}

// Percent is 0 where nothing is known.
func (p *Progress) Percent() int {
	if p.Size <= 0 {
		return 0
	}
	return int(p.Done * 100 / p.Size)
}

// Trial is a trial for people.
type Trial struct {
	Round    health.Round
	Soak     time.Duration
	Boots    int
	MaxBoots int
}

// Trouble is the last thing that could not be done, and that no later success has made up for.
type Trouble struct {
	What, Text string
	Journal    bool // because the journal did not take it
}

// Trust is whom the device trusts: a trust root with what is in force under it, or flat keys.
type Trust struct {
	Under   evidence.Under
	Root    string        // name of the trust root, "" on a device with flat keys
	Keys    []string      // ids of the flat keys
	Plan    string        // digest of the plan, "" for none
	State   string        // what its pulse says, "" for none
	Phase   int           // of the plan, which the pulse has opened, from 1
	Problem reason.Reason // what is wrong with it, reason.None: nothing
	Why     string        // in words
}

// New shows an agent that has not started yet.
func New(clock hal.Clock) *View { return &View{clock: clock, changed: make(chan struct{}, 1)} }

// Uptime is that of the device now.
func (v *View) Uptime() time.Duration { return v.clock.Uptime() }

// Snapshot is the state as it was shown last; before anything was, idle.
func (v *View) Snapshot() Snapshot {
	if s := v.snap.Load(); s != nil {
		return *s
	}
	return Snapshot{Phase: life.Idle}
}

// Show shows the present state, and what is quarantined. It waits for nobody (I7).
func (v *View) Show(state life.State, barred []string) {
	old := v.Snapshot()
	wall, _ := v.clock.Wall()
	s := Snapshot{Phase: state.Rec.Phase, Rec: state.Rec, Hold: state.Hold, Safe: state.Safe, Running: state.Run,
		Since: old.Since, Wall: old.Wall, Wait: old.Wait, WaitFor: old.WaitFor, Retry: state.RetryAt, Barred: barred,
		Back: state.GivesBack(), Floors: state.Floors}
	if old.Phase != s.Phase || old.Wall.IsZero() {
		s.Since, s.Wall, s.Wait, s.WaitFor = v.clock.Uptime(), wall, "", ""
		v.progress.Store(nil)
	}
	v.snap.Store(&s)
	v.Signal()
}

// Waits shows what the present phase waits for.
func (v *View) Waits(why reason.Reason, text string) {
	s := v.Snapshot()
	s.Wait, s.WaitFor = why, text
	v.snap.Store(&s)
	v.Signal()
}

// Changed says that there is something new to see. One reader may wait for it.
func (v *View) Changed() <-chan struct{} { return v.changed }

// Signal says so.
func (v *View) Signal() {
	select {
	case v.changed <- struct{}{}:
	default:
	}
}

// Progress is how far the present action is; nil where that is not known.
func (v *View) Progress() *Progress { return v.progress.Load() }

// Meter shows the progress of one component, with the rate smoothed over the calls.
func (v *View) Meter(component string) func(slots.Progress) {
	return func(p slots.Progress) {
		now := v.clock.Uptime()
		next := Progress{Component: component, Done: p.Written, Size: p.Size, at: now}
		if old := v.progress.Load(); old != nil && old.Component == component && now > old.at && p.Written >= old.Done {
			rate := int64(float64(p.Written-old.Done) / (now - old.at).Seconds())
			next.Rate = rate
			if old.Rate > 0 {
				next.Rate = (3*old.Rate + rate) / 4
			}
		}
		old := v.progress.Swap(&next)
		if old == nil || old.Percent() != next.Percent() {
			v.Signal() // every percent, not every write: what the radio sends costs
		}
	}
}

// Trial is the trial in progress, nil for none.
func (v *View) Trial() *Trial { return v.trial.Load() }

// ShowTrial shows a trial; nil: there is none.
func (v *View) ShowTrial(t *Trial) { v.trial.Store(t) }

// Trust is whom the device trusts now.
func (v *View) Trust() Trust {
	if t := v.trust.Load(); t != nil {
		return *t
	}
	return Trust{}
}

// ShowTrust shows whom the device trusts.
func (v *View) ShowTrust(t Trust) {
	v.trust.Store(&t)
	v.Signal()
}

// Trouble is what could not be done, nil for nothing.
func (v *View) Trouble() *Trouble { return v.trouble.Load() }

// Fail shows what could not be done.
func (v *View) Fail(t Trouble) { v.trouble.Store(&t) }

// Well takes back what Fail said about one thing.
func (v *View) Well(what string) {
	if t := v.trouble.Load(); t != nil && t.What == what {
		v.trouble.Store(nil)
	}
}

// Clear takes back whatever Fail said.
func (v *View) Clear() { v.trouble.Store(nil) }
