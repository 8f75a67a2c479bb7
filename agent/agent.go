package agent

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// Agent is the state machine of one device. One goroutine (Run) owns the record and acts; others
// read snapshots and hand in requests.
type Agent struct {
	o   Options
	log *slog.Logger
	st  *store
	q   *quarantine

	rec    Record
	hold   reason.Reason // running is unproven, or the journal took nothing at the start: nothing is written in this boot
	stayed bool          // in this boot a trial failed that could not be left: it does not begin again
	retake bool          // what the start found can be tried again without a new boot
	frozen bool          // the stored record is another version's: it is never overwritten
	safe   []string
	bootID string
	run    bootctl.Slot // proven running slot, "" when unproven

	held    map[string]hal.Medium   // parts of the target, held exclusively between checking and arming
	checked time.Duration           // uptime at which they were read back
	local   map[string]slots.Source // payloads handed over by a technician
	tendAt  time.Duration           // uptime at which idle looks after the boot metadata; 0: now
	lapses  int                     // times in a row that it could not
	retryAt time.Duration           // uptime at which a waiting offer is decided again; 0: none
	missed  []transport.Message     // offers that came while another one waited to be armed
	garbage garbageLimit
	who     standing        // root, plan and pulse; zero with flat anchors
	permit  campaign.Permit // what a recovery permit lifts; zero: nothing

	counterKnown bool                                  // in this process it is on record which one there is
	counter      atomic.Pointer[control.CounterStatus] // as it was read last

	requests chan request
	abort    abort
	progress atomic.Pointer[progress]
	trouble  atomic.Pointer[trouble]
	trialNow atomic.Pointer[trialView]
	snap     atomic.Pointer[snapshot]
	changed  chan struct{} // status is to be published
}

// trouble is the last thing that could not be done, and that no later success has made up for.
type trouble struct {
	what, text string
	journal    bool // because the journal did not take it
}

// New opens the agent's memory. It does not act on anything: Run does.
func New(o Options) (*Agent, error) {
	o.defaults()
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("cannot start agent: %w", err)
	}
	a := &Agent{
		o: o, log: o.Log, safe: append([]string(nil), o.Safe...),
		rec:      Record{Phase: Idle},
		requests: make(chan request), changed: make(chan struct{}, 1),
	}
	a.bootID, _ = o.Identity.BootID() // "": every start counts as another boot
	var lost bool
	a.q, lost = openQuarantine(o.FS, o.StateDir)
	if lost {
		a.log.Warn("both copies of the quarantine are damaged; starting an empty one")
	}
	if o.Journal == nil {
		o.Journal = journal.NewMemory() // what happens now is reported, and lost with the process
		a.addSafe("no journal: " + string(o.JournalLost))
	}
	st, err := openStore(o.Journal, o.Device, o.EvidenceMax, a.stamp)
	if err != nil {
		a.addSafe(err.Error())
		st, err = openStore(journal.NewMemory(), o.Device, o.EvidenceMax, a.stamp)
		if err != nil {
			return nil, fmt.Errorf("cannot start agent: %w", err)
		}
	}
	a.st = st
	st.load(keyGarbage, &a.garbage.seen)
	if err := a.openStanding(); err != nil {
		a.addSafe(err.Error())
	}
	a.openPermit()
	if o.Authority == nil && !a.who.rooted() {
		a.addSafe("no trust anchors")
	}
	return a, nil
}

func (a *Agent) addSafe(why string) { a.safe = append(a.safe, why) }

func (a *Agent) stamp() evidence.Stamp {
	wall, q := a.o.Clock.Wall()
	return evidence.Stamp{Wall: wall, Quality: q.String(), Uptime: a.o.Clock.Uptime(), BootID: a.bootID, Agent: a.o.Version}
}

// Run reconciles and then carries updates through until ctx ends. It returns nil on a clean
// shutdown; the phase that was in progress is taken up again by the next Run.
func (a *Agent) Run(ctx context.Context) error {
	defer a.release()
	a.start(ctx)
	for failed := 0; ctx.Err() == nil; {
		err := a.step(ctx)
		a.publish()
		if err == nil || ctx.Err() != nil {
			failed = 0
			continue
		}
		// What could not be made durable was not done. The same step is tried again, later and later:
		// it may load a checkpoint's worth of bytes each time.
		a.fail("cannot go on in phase "+string(a.rec.Phase), err)
		a.publish()
		if a.rec.Phase == Trial || a.rec.Phase == Reverting {
			// Nothing of the trial can be made durable: the bootloader's counter decides (loop 12).
			if v, _ := a.look(ctx, true); v.Runs == RunsTarget {
				a.trialUnwritable(ctx, v, err)
			}
		}
		_ = a.waitRequest(ctx, a.o.Clock.After(min(30*time.Second<<min(failed, 12), a.o.RetryMax)))
		failed++
	}
	return nil
}

func (a *Agent) step(ctx context.Context) error {
	if a.hold == reason.JournalUnwritable && a.retake {
		if err := a.waitRequest(ctx, a.o.Clock.After(time.Minute)); err != nil || ctx.Err() != nil {
			return err
		}
		a.hold, a.retake = "", false
		a.start(ctx)
		return nil
	}
	if a.hold != "" {
		return a.waitRequest(ctx, a.o.Clock.After(time.Hour))
	}
	if len(a.safe) > 0 && (a.rec.Phase.beforeArm() || a.rec.Phase == Arming) {
		return a.waitRequest(ctx, a.o.Clock.After(time.Hour))
	}
	switch a.rec.Phase {
	case Idle:
		return a.idle(ctx)
	case Preparing:
		return a.preparing(ctx)
	case Writing:
		return a.writing(ctx)
	case Checking:
		return a.checking(ctx)
	case Ready:
		return a.ready(ctx)
	case Arming:
		return a.arming(ctx)
	case Rebooting:
		return a.rebooting(ctx)
	case Trial:
		return a.trial(ctx)
	case Confirming:
		return a.confirming(ctx)
	case Sealing:
		return a.sealing(ctx)
	case Reverting:
		return a.reverting(ctx)
	}
	panic("internal error: phase " + string(a.rec.Phase))
}

// wait returns false when ctx ended first.
func (a *Agent) wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-a.o.Clock.After(d):
		return true
	}
}

// move makes a transition durable with its evidence, then takes it up. Nothing of the new phase
// happens before (I5, I6).
func (a *Agent) move(to Phase, why reason.Reason, edit func(*Record), e evidence.Event, also ...txFunc) error {
	if !a.rec.Phase.May(to) {
		panic(fmt.Sprintf("internal error: transition %s -> %s", a.rec.Phase, to))
	}
	next := a.rec
	next.Ext.Images = append([]SlotImage(nil), a.rec.Ext.Images...)
	next.Phase = to
	if to != a.rec.Phase {
		next.Ext.Reboots = 0
	}
	next.Ext.BootID = a.bootID
	if edit != nil {
		edit(&next)
	}
	if e.Kind == "" {
		e.Kind = evidence.KindPhase
	}
	e.From, e.To, e.Reason = string(a.rec.Phase), string(to), why
	if e.Manifest == "" {
		e.Manifest, e.Sequence = a.rec.Digest, a.rec.Ext.Sequence
		if next.Digest != "" {
			e.Manifest, e.Sequence = next.Digest, next.Ext.Sequence
		}
	}
	if e.Slot == "" {
		e.Slot = string(next.Target)
		if next.Target == "" {
			e.Slot = string(a.rec.Target)
		}
	}
	rec := &next
	if a.frozen {
		rec = nil
	}
	if err := a.st.commit(rec, []evidence.Event{e}, also...); err != nil {
		return fmt.Errorf("cannot enter phase %s: %w", to, err)
	}
	a.log.Info("phase", "from", a.rec.Phase, "to", to, "slot", e.Slot, "reason", string(why), "sequence", e.Sequence)
	a.rec = next
	a.trouble.Store(nil)
	a.publish()
	return nil
}

type txFunc = func(journal.Tx) error

// note records an event that is no transition.
func (a *Agent) note(e evidence.Event, also ...txFunc) error {
	if err := a.st.commit(nil, []evidence.Event{e}, also...); err != nil {
		return fmt.Errorf("cannot record %s: %w", e.Kind, err)
	}
	a.publish()
	return nil
}

func (a *Agent) release() {
	for _, m := range a.held {
		_ = m.Close()
	}
	a.held = nil
}

func (a *Agent) slot(name bootctl.Slot) SlotDef {
	for _, s := range a.o.Slots {
		if s.Name == name {
			return s
		}
	}
	return SlotDef{}
}

func (a *Agent) other(name bootctl.Slot) SlotDef {
	if a.o.Slots[0].Name == name {
		return a.o.Slots[1]
	}
	return a.o.Slots[0]
}
