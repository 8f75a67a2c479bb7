package agent

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/ratchet-ota/ratchet/agent/intake"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/transport"
)

// errand is an action that may take long: asking sources, writing, reading back. It runs in a goroutine of its own, by
// what held when it began, while the goroutine of Run goes on hearing: s, plan and local stand in front of the
// Agent's own, which move on meanwhile.
type errand struct {
	*Agent
	s     life.State
	plan  policy.Plan
	local intake.Payloads
	held  map[string]hal.Medium // by Check
}

// perform does the one action.
func (e *errand) perform(ctx context.Context, d *life.Done) error {
	switch do := d.Do.(type) {
	case life.Reach:
		return e.reach(ctx, d)
	case life.Compare:
		return e.compare(ctx, d)
	case life.Write:
		return e.write(ctx, do.Part, d)
	case life.Check:
		return e.check(ctx, d)
	}
	panic("internal error: this action takes no time")
}

// longs tells whether an action is one for an errand.
func longs(do life.Action) bool {
	switch do.(type) {
	case life.Reach, life.Compare, life.Write, life.Check:
		return true
	}
	return false
}

// errand performs an action, and takes what comes meanwhile: documents are durable and hold at once. When what was
// taken forbids the update, or a person ends it, the action is told to end: it waits for no network, saves its
// newest checkpoint, and what is in progress is on record as ended before anything else is done.
//
// Crash: a document is one journal transaction and a checkpoint another, in any order: neither says anything of the
// other. Before the stop is on record -> the next start decides again, by the same documents.
func (a *Agent) errand(ctx context.Context, do life.Action) life.Event {
	a.release()
	a.heard = false
	e := &errand{Agent: a, s: a.s, plan: a.plan, local: a.local}
	d := life.Done{Do: do}
	step, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil { // goes on in the goroutine of Run
				ended <- panicked{p, debug.Stack()}
			}
		}()
		ended <- e.perform(step, &d)
	}()
	var forbids *life.Ruling
	var asked life.Event // what a person asked for, and ends the action
	for {
		requests := a.requests
		if asked != nil {
			requests = nil // one after the other
		}
		select {
		case err := <-ended:
			if p, is := err.(panicked); is {
				panic(fmt.Sprintf("%v\n%s", p.what, p.stack))
			}
			a.held = e.held
			return a.came(d, err, forbids, asked)
		case r := <-requests:
			if asked = a.beside(ctx, r); asked != nil {
				stop()
			}
		case m := <-a.messages():
			a.overhear(m)
		case <-a.rest:
			a.rest = nil
		case <-a.unkept:
			a.unkept = nil
			if err := a.takeKept(); err != nil {
				a.cannotKeep(err)
			}
		}
		if a.heard && forbids == nil {
			if no, ok := a.in.Forbids(a.s, e.s.Permitted == e.s.Rec.Digest, a.around(e.s.Rec.Target)); ok {
				a.log.Info("what is in progress is forbidden now", "reason", string(no.Why), "said", no.Said)
				forbids = &no
				stop()
			}
		}
		a.heard = false
	}
}

// panicked carries a panic from one goroutine to another.
type panicked struct {
	what  any
	stack []byte
}

// Error implements error.
func (p panicked) Error() string { return fmt.Sprint(p.what) }

// came is the end of an errand as an event.
func (a *Agent) came(d life.Done, err error, forbids *life.Ruling, asked life.Event) life.Event {
	if err != nil {
		d.Text = err.Error()
		if d.Class == life.OK {
			d.Class = classOf(err)
		}
	}
	switch {
	case asked != nil:
		return asked
	case forbids != nil && d.Class != life.Medium && d.Class != life.NotDurable: // those stand for themselves
		d.Class, d.Text, d.Forbids = life.Stopped, forbids.Said, *forbids
	}
	d.Moment = a.moment()
	return d
}

// beside answers a request while an action goes on. What does not change the phase leaves the action alone; else it
// returns the event that is for the machine once the action has ended.
func (a *Agent) beside(ctx context.Context, r request) life.Event {
	event := a.hear(ctx, r)
	if event == nil {
		return nil
	}
	if _, effects := life.Step(a.s, event); effects.Tell.Entered || effects.Do != life.Action(life.Begin{}) {
		return event
	}
	a.settle(event)
	return nil
}

// messages are what came from outside, where the device is in a state to take it.
func (a *Agent) messages() <-chan transport.Message {
	if a.o.Inbox == nil || len(a.s.Safe) > 0 || a.s.Hold != "" || a.rest != nil {
		return nil
	}
	return a.o.Inbox.Messages()
}

// overhear takes a message while something else goes on: a document holds at once; an offer is kept until it is asked
// for, and so is a document that the journal did not take. It tells whether a document was taken.
//
// Whoever sends without pause gets a fifth of the time at most: the rest is for what goes on.
func (a *Agent) overhear(m transport.Message) (taken bool) {
	began := a.o.Clock.Uptime()
	defer func() {
		if took := a.o.Clock.Uptime() - began; took > 0 {
			a.rest = a.o.Clock.After(4 * took)
		}
	}()
	switch m.Kind {
	case transport.Offer:
		a.in.Keep(m)
		return false
	case transport.Resend:
	default:
		if a.trying() && a.in.Unremembered() {
			a.in.Keep(m)
			return false
		}
	}
	switch is := a.receive(m).(type) {
	case life.Documented:
		return true
	case life.NotTaken:
		a.cannotKeep(errors.New(is.Text))
	}
	return false
}

// cannotKeep says that the journal did not take a document. Nobody may say it again for weeks, and what goes on may
// take as long: it is tried again meanwhile.
func (a *Agent) cannotKeep(err error) {
	a.fail("cannot keep a document", err)
	a.unkept = a.o.Clock.After(keepAgain)
}

// keepAgain is how soon a document that was not durable is tried again while something goes on.
const keepAgain = time.Minute

// trying tells whether the system that runs may be left again for the one before.
func (a *Agent) trying() bool {
	switch a.s.Rec.Phase {
	case life.Trial, life.Confirming, life.Sealing, life.Reverting:
		return true
	}
	return false
}

// around is what was measured of the machine around a target at the last stop point. While an action holds the target
// it cannot be measured.
func (a *Agent) around(target bootctl.Slot) intake.Machine {
	if a.measured.target == target {
		return a.measured.Machine
	}
	def := a.slot(target)
	m := intake.Machine{Index: def.Index, Sizes: map[string]int64{}}
	for c := range def.Parts {
		m.Sizes[c] = intake.Unmeasured
	}
	return m
}
