package agent

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ratchet-ota/ratchet/agent/console"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/intake"
	"github.com/ratchet-ota/ratchet/agent/internal/quarantine"
	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/internal/view"
	"github.com/ratchet-ota/ratchet/agent/internal/witness"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/report"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal"
)

// Agent executes the life of an update on one device. One goroutine (Run) owns the state; others read
// snapshots and hand in requests.
type Agent struct {
	o        Options
	log      *slog.Logger
	st       *store.Store
	q        *quarantine.File
	w        *witness.File // what others may have seen
	dev      life.Device
	view     *view.View
	reporter *report.Reporter
	console  *console.Console
	bootID   string // "": every start counts as another boot

	// Owned by Run.
	s        life.State
	in       *intake.Intake        // offers and documents
	plan     policy.Plan           // of the update in progress, as it was decided last
	local    intake.Payloads       // handed over by a technician
	held     map[string]hal.Medium // parts of the target, held exclusively between checking and arming
	proof    *proof                // the health checks of the trial in progress
	fresh    bool                  // the state was empty when the daemon started
	pending  *request              // a person who waits for an answer
	heard    bool                  // a change of the book was adopted, see errand
	rest     <-chan time.Time      // until it fires, nothing is taken beside an action
	unkept   <-chan time.Time      // when documents that were not durable are tried again beside an action
	measured measured              // of the machine, at the last stop point
	foreign  bool                  // the journal is another version's: what happens now is on record nowhere

	requests chan request
	unstored atomic.Bool                           // the journal did not take the last commit
	counter  atomic.Pointer[control.CounterStatus] // as it was read last
}

// measured is a machine around a target.
type measured struct {
	target bootctl.Slot
	intake.Machine
}

// New wires the parts of one device and opens its memory. The daemon, the laboratory and the tests have no other
// way. It does not act on anything: Run does. What cannot be used (journal, trust) leads to boot-safe mode; an
// error says that the options are wrong.
func New(o Options) (*Agent, error) {
	o.defaults()
	if err := o.Validate(); err != nil {
		return nil, errorf("cannot start agent: %w", err)
	}
	a := &Agent{o: o, log: o.Log, view: view.New(o.Clock), requests: make(chan request)}
	a.s.Rec.Phase = life.Idle
	a.s.Safe = append([]string(nil), o.Safe...)
	a.bootID, _ = o.Identity.BootID()
	a.s.BootID = a.bootID
	a.s.Dev = life.Device{Slots: [2]bootctl.Slot{o.Slots[0].Name, o.Slots[1].Name},
		Parts: slices.Sorted(maps.Keys(o.Slots[0].Parts)), Running: o.Running,
		Tries: o.Tries, MaxBoots: o.MaxBoots, RetryMax: o.RetryMax, Deadline: o.Health.Deadline, GiveBack: o.GiveBack,
		Counter: o.Counter != nil, Inbox: o.Inbox != nil}
	a.dev = a.s.Dev
	var lost bool
	if a.q, lost = quarantine.Open(o.FS, o.StateDir); lost {
		a.log.Warn("both copies of the quarantine are damaged; starting an empty one")
	}
	if a.q.Foreign() {
		a.addSafe("the quarantine file was written by another version")
	}
	if a.w, lost = witness.Open(o.FS, o.StateDir); lost {
		a.log.Warn("what others have seen of this device cannot be read; a journal that has gone back is not noticed")
	}
	a.s.Tally = a.q.Tally()
	if err := a.openStore(); err != nil {
		return nil, errorf("cannot start agent: %w", err)
	}
	a.openIntake()
	a.reporter = report.New(report.Options{Device: o.Device, Version: o.Running, Signer: o.Signer, Outbox: o.Outbox,
		Online: o.Online, Clock: o.Clock, Stamp: a.stamp, Store: a.st, Seen: a.seen, View: a.view,
		Problems: o.Problems, Log: a.log})
	a.console = console.New(console.Options{Device: o.Device, Version: o.Version,
		Slots: [2]console.Slot{
			{Name: o.Slots[0].Name, Parts: o.Slots[0].Parts},
			{Name: o.Slots[1].Name, Parts: o.Slots[1].Parts},
		},
		Network: o.Inbox != nil, Journal: o.Journal != nil, Boot: o.Boot, Clock: o.Clock, Online: o.Online,
		Offline: o.Offline, Signer: o.Signer, Counter: a.counterNow, Seen: a.seen, Store: a.st, View: a.view,
		Intake: a.in, Problems: o.Problems, Reset: o.Reset,
		Ask: a.ask, Adopt: a.adopt, Quarantined: a.q.Find})
	return a, nil
}

// openStore opens what the journal holds. Without a journal, or with one of a newer schema, what happens now is
// reported, and lost with the process.
func (a *Agent) openStore() (err error) {
	j := a.o.Journal
	if j == nil {
		j = journal.NewMemory()
		a.addSafe("no journal: " + string(a.o.JournalLost))
	}
	if a.st, err = store.Open(j, a.o.Device, a.o.EvidenceMax, a.stamp); err != nil {
		a.foreign = errors.Is(err, store.ErrSchema)
		a.addSafe(err.Error())
		a.st, err = store.Open(journal.NewMemory(), a.o.Device, a.o.EvidenceMax, a.stamp)
	}
	return err
}

// openIntake opens the book of who may say what.
func (a *Agent) openIntake() {
	o, err := a.o, error(nil)
	a.in, err = intake.New(intake.Options{Device: o.Device, Facts: o.Facts, Rules: o.Rules, Authority: o.Authority,
		Root: o.Root, RootVersion: o.RootVersion, RootComponent: o.RootComponent, Channel: o.Channel,
		Sequence: o.Sequence, Store: a.st,
		Seen: a.w.Newest, Used: a.w.Used, Quarantined: a.q.Find, Measure: a.measure, Counter: a.counterValue,
		Clock: o.Clock, Zone: o.Zone, Log: a.log})
	if err != nil {
		a.addSafe(err.Error())
	}
	a.s.Permitted = a.in.Permitted()
	a.showTrust()
	if !a.in.Trusts() {
		a.addSafe("no trust anchors")
	}
}

// showTrust shows whom the device trusts now, and what is wrong with that.
func (a *Agent) showTrust() {
	t := view.Trust{Under: a.in.Under(), Root: a.in.Root().Name()}
	if k, ok := a.o.Authority.(trust.Keys); ok && !a.in.Rooted() {
		t.Keys = k.IDs()
	}
	if plan, pulse := a.in.Plan(); !plan.IsZero() {
		t.Plan = plan.Digest().String()
		if !pulse.IsZero() {
			t.State, t.Phase = string(pulse.Spec().State), pulse.Spec().Phase+1
		}
	}
	if a.in.Rooted() && a.o.AskRoot != nil {
		a.o.AskRoot(a.in.Root().Version() + 1)
	}
	t.Problem, t.Why = a.in.Problem()
	a.view.ShowTrust(t)
}

// Reporter tells the fleet about this device. Its Run is a goroutine beside the agent's.
func (a *Agent) Reporter() *report.Reporter { return a.reporter }

// Console answers the people at this device.
func (a *Agent) Console() *console.Console { return a.console }

// AtRest tells whether another start of the agent would interrupt nothing. It may be called from any goroutine.
func (a *Agent) AtRest() bool {
	s := a.view.Snapshot()
	return s.Phase == life.Idle || len(s.Safe) > 0 || s.Running == ""
}

// reset is why this boot began, as the machine of an update's life has it.
func (a *Agent) reset() life.Reset {
	c := a.o.Reset
	r := life.Reset{Power: c.Is() == hal.ResetPowerOn, Panics: life.Panics(c.Panics)}
	if c.Is() != hal.ResetUnknown {
		r.Says = c.String()
	}
	return r
}

// Movable tells whether another start of the agent, from another state directory, leaves nothing half done. It may be
// called from any goroutine.
//
// Crash: at rest nothing is in progress. Ready: the target is whole and not armed; what the other directory has on
// record of it, or nothing, is taken up. Trial: a system on trial is nobody's but the loader's and the record's that
// armed it, which is in the other directory: its boots, its verdict and its floors belong there. Between, half a slot
// or half a change of the boot metadata would be left to a record that knows nothing of it; what is armed meanwhile
// is none (Options.StateMoved).
func (a *Agent) Movable() bool {
	p := a.view.Snapshot().Phase
	return p == life.Ready || p == life.Trial || a.AtRest()
}

// Look has what Options.Problems says told to whoever follows this device. It may be called from any goroutine.
func (a *Agent) Look() { a.view.Signal() }

// Unproven is why it cannot be proven now which slot runs, nil where it can. Nothing is changed by that: what runs is
// proven once, at the start. It may be called from any goroutine.
func (a *Agent) Unproven() error {
	_, err := a.proveRunning()
	return err
}

//go:noinline
func (a *Agent) addSafe(why string) { a.s.Safe = append(a.s.Safe, why) }

// stamp may be called from any goroutine.
func (a *Agent) stamp() evidence.Stamp {
	wall, q := a.o.Clock.Wall()
	return evidence.Stamp{Wall: wall, Quality: q.String(), Uptime: a.o.Clock.Uptime(), BootID: a.bootID,
		Agent: a.o.Version, Under: a.view.Trust().Under}
}

func (a *Agent) fail(what string, err error) { a.failText(what, err.Error()) }

func (a *Agent) failText(what, text string) {
	a.view.Fail(view.Trouble{What: what, Text: what + ": " + text, Journal: a.unstored.Load()})
	a.log.Error(what, "error", text)
}

//go:noinline
func (a *Agent) slot(name bootctl.Slot) SlotDef {
	for _, s := range a.o.Slots {
		if s.Name == name {
			return s
		}
	}
	return SlotDef{}
}
