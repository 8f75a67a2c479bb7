package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ratchet-ota/ratchet/agent/cipher"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/health"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// SlotDef is one slot of the table: what the bootloader calls it, its number in SUIT's
// component-slot condition, and the device or file of each component.
type SlotDef struct {
	Name  bootctl.Slot
	Index int
	Parts map[string]string // component -> path
}

// Options are the parts of the machine and the rules that an Agent works with.
type Options struct {
	Device  string // id, [A-Za-z0-9._-]{1,64}
	Version string // of this program
	Running string // version of the running system, for people

	Facts         manifest.Device // vendor, class and device ids, version
	Slots         [2]SlotDef
	RootComponent string // the component that is mounted at "/"
	NeedMarker    bool   // the bootloader's marker must be there and agree with the root device

	Boot     bootctl.Backend
	Blocks   hal.Blocks
	FS       hal.FS
	Counter  hal.Counter
	Watchdog hal.Watchdog // nil: none
	Power    hal.Power
	Clock    hal.Clock
	Identity hal.Identity

	Journal     journal.Store // nil: none could be opened; see Safe
	JournalLost reason.Reason // why a journal that was there is gone; "" when it is whole
	StateDir    string
	Authority   manifest.Authority // nil: anchors are bad; see Safe
	Root        []byte             // the trust root that the running image brings (a bundle); nil: flat anchors
	RootVersion uint64             // with flat anchors: what the counter is raised to after a confirmed update
	Channel     string             // of the campaign plans that this device follows
	Decrypt     cipher.Keys        // of this device, for encrypted payloads; zero: none
	Sequence    uint64             // of the manifest that the running image was released under, 0: unknown
	Signer      *trust.Signer      // nil: evidence is kept unsigned, and says so
	EvidenceMax int64              // bytes of evidence kept; 0 is 1 MiB

	Inbox   transport.Inbox          // nil: no network
	Outbox  transport.Outbox         // nil: evidence waits
	Online  func() (bool, time.Time) // nil: never
	Fetch   func(urls []string, size int64) (slots.Source, error)
	Metered func() bool

	Rules      policy.Rules
	Health     health.Plan
	Tries      int           // boots that the loader may try the target, default 3
	MaxBoots   int           // trial boots that the agent allows, default Tries+1
	Checkpoint int64         // bytes, default slots.DefaultCheckpoint
	Serial     bool          // write, flush and checkpoint one after the other: slower, and the same order in every run
	RetryMax   time.Duration // longest back-off of a failed download, default 1 h
	ForceAfter time.Duration // a reboot that did not happen is forced, default 60 s

	Safe []string // reasons for boot-safe mode; empty: normal
	Log  *slog.Logger
}

func (o *Options) defaults() {
	if o.Tries == 0 {
		o.Tries = 3
	}
	if o.MaxBoots == 0 {
		o.MaxBoots = o.Tries + 1
	}
	if o.EvidenceMax == 0 {
		o.EvidenceMax = 1 << 20
	}
	if o.RetryMax == 0 {
		o.RetryMax = time.Hour
	}
	if o.ForceAfter == 0 {
		o.ForceAfter = time.Minute
	}
	if o.Online == nil {
		o.Online = func() (bool, time.Time) { return false, time.Time{} }
	}
	if o.Metered == nil {
		o.Metered = func() bool { return false }
	}
	if o.RootComponent == "" {
		o.RootComponent = "rootfs"
	}
}

// Validate says what is wrong with the options, for people.
func (o Options) Validate() error {
	switch {
	case o.Device == "":
		return errors.New("device id is missing")
	case o.Slots[0].Name == "" || o.Slots[1].Name == "" || o.Slots[0].Name == o.Slots[1].Name:
		return errors.New("two slots with different names are needed")
	case o.Tries < 0 || o.Tries > bootctl.MaxTries:
		return fmt.Errorf("tries must be 1 to %d", bootctl.MaxTries)
	case len(o.Root) > 0 && o.Authority != nil:
		return errors.New("a device with a trust root takes no flat anchors")
	case o.Boot == nil, o.Blocks == nil, o.FS == nil, o.Power == nil, o.Clock == nil, o.Identity == nil, o.Log == nil:
		return errors.New("internal error: a part of the machine is missing")
	}
	for _, s := range o.Slots {
		if s.Parts[o.RootComponent] == "" && o.RootComponent != "" {
			return fmt.Errorf("slot %s has no device for component %q, which is mounted at /", s.Name, o.RootComponent)
		}
		for c := range s.Parts {
			if o.Slots[0].Parts[c] == "" || o.Slots[1].Parts[c] == "" {
				return fmt.Errorf("component %q must be in both slots", c)
			}
		}
	}
	return nil
}

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
	who     standing      // root, plan and pulse; zero with flat anchors
	permit  policy.Permit // what a recovery permit lifts; zero: nothing

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

type request struct {
	run  func(ctx context.Context) error
	done chan error
}

// trouble is the last thing that could not be done, and that no later success has made up for.
type trouble struct {
	what, text string
	journal    bool // because the journal did not take it
}

// abort lets another goroutine end the action in progress, where it can be ended.
type abort struct {
	mu     sync.Mutex
	cancel context.CancelFunc
	by     string // who ended it; "" nobody
}

// arm makes the action one that can be ended. disarm takes that back, and returns who ended it: from
// then on nobody is told that it was ended.
func (b *abort) arm(ctx context.Context) (step context.Context, disarm func() string) {
	step, cancel := context.WithCancel(ctx)
	b.mu.Lock()
	b.cancel, b.by = cancel, ""
	b.mu.Unlock()
	return step, func() string {
		b.mu.Lock()
		defer b.mu.Unlock()
		cancel()
		b.cancel = nil
		return b.by
	}
}

// fire ends the action; it returns false when none is in progress that can be ended.
func (b *abort) fire(by string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cancel == nil {
		return false
	}
	b.by = by
	b.cancel()
	return true
}

// aborted ends the update on an operator's word, before it was armed.
func (a *Agent) aborted(by string) error {
	return a.end("failed", reason.OperatorRevert, "ended by "+by)
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

// waitRequest serves at most one request.
func (a *Agent) waitRequest(ctx context.Context, until <-chan time.Time) error {
	select {
	case <-ctx.Done():
	case <-until:
	case r := <-a.requests:
		r.done <- r.run(ctx)
	}
	return nil
}

// ask hands a request to the goroutine that owns the record; errBusy when it is in the middle of an action.
func (a *Agent) ask(ctx context.Context, run func(ctx context.Context) error) error {
	r := request{run: run, done: make(chan error, 1)}
	select {
	case a.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(2 * time.Second):
		return &Refused{Reason: reason.UpdateInProgress, Detail: "phase " + string(a.snapshot().phase)}
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Refused is the answer to a request or an offer that was not taken, with its stable reason.
type Refused struct {
	Reason   reason.Reason
	Detail   string
	Deferred bool // it may be taken later
}

func (e *Refused) Error() string {
	if e.Detail == "" {
		return string(e.Reason)
	}
	return string(e.Reason) + ": " + e.Detail
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
