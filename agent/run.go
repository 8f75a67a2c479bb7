package agent

import (
	"context"
	"errors"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/intake"
	"github.com/ratchet-ota/ratchet/agent/internal/quarantine"
	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/hal"
)

// Run reconciles and then carries updates through until ctx ends. It returns nil on a clean
// shutdown; the phase that was in progress is taken up again by the next Run.
func (a *Agent) Run(ctx context.Context) error {
	defer a.release()
	defer a.stopProof()
	event := a.start(ctx)
	for ctx.Err() == nil {
		event = a.turn(ctx, event)
	}
	a.keepWord(ctx, event)
	return nil
}

// keepWord makes durable, at the end, what a person was told or waits to be told.
func (a *Agent) keepWord(ctx context.Context, event life.Event) {
	for range 4 { // an install takes a decision and a beginning
		if a.pending == nil {
			return
		}
		event = a.turn(ctx, event)
	}
	if a.pending != nil {
		a.answer(life.Answer{}, context.Cause(ctx))
	}
}

// turn is one step of the machine: what it commits, then what it does. The result is the next event.
//
// Crash: the commit is one journal transaction, and the machine's state follows it only when it
// succeeded, so that nothing is done which is not announced (I5). The quarantine file goes first and
// may lead the journal: of two counts the higher one holds.
func (a *Agent) turn(ctx context.Context, event life.Event) life.Event {
	do, failed := a.settle(event)
	if failed != nil {
		return failed
	}
	return a.perform(ctx, do)
}

// settle makes a step durable, and returns what it asks to be done; or what has happened where it is not durable.
func (a *Agent) settle(event life.Event) (do life.Action, failed life.Event) {
	next, effects := life.Step(a.s, event)
	if len(effects.Commit.Quar) > 0 {
		a.s.Tally = a.saveQuarantine(effects.Commit.Quar)
		next.Tally = a.s.Tally
	}
	from := a.s.Rec
	a.usePermit(effects.Commit.Ops)
	err := a.commit(effects.Commit)
	switch optional := effects.Commit.Optional; {
	case err == nil:
		a.s = next
	case optional != "":
		a.fail(optional, err)
		next.Stored = a.s.Stored
		a.s = next
	case a.pending != nil:
		a.answer(life.Answer{}, err)
		return nil, life.Begun{Moment: a.moment()}
	default:
		switch event.(type) {
		case life.Decided, life.Taken:
			if from.Phase == life.Idle {
				a.in.Miss() // not decided: the broker may not say it again for weeks
			}
		}
		return nil, life.NotTaken{Moment: a.moment(), Text: err.Error()}
	}
	a.entered(from, effects.Tell)
	a.tell(effects.Tell)
	return effects.Do, nil
}

// commit makes what a step asks for durable; nothing when it asks for nothing.
func (a *Agent) commit(c life.Commit) error {
	if c.Empty() {
		return nil
	}
	ops := a.reported(c.Ops)
	remember := intake.Change{}
	if settled := c.Record != nil && c.Record.Phase == life.Idle; settled {
		remember = a.in.Remember(a.s)
		ops = append(ops, remember.Ops...)
	}
	err := a.st.Commit(c.Record, c.Events, ops...)
	a.unstored.Store(err != nil)
	if err != nil {
		return err
	}
	if !remember.Empty() {
		a.in.Adopt(remember)
	}
	for _, e := range c.Events {
		if e.Kind == evidence.KindDecision {
			a.log.Info("decision", "is", e.To, "reason", string(e.Reason), "sequence", e.Sequence, "origin", e.Actor)
		}
	}
	return nil
}

// reported has the report instead of the order to keep it.
func (a *Agent) reported(ops []life.Op) []life.Op {
	out := make([]life.Op, 0, len(ops))
	for _, op := range ops {
		if keep, ok := op.(life.KeepReport); ok {
			b := a.in.Report(a.s, keep)
			if len(b) == 0 {
				continue
			}
			op = store.PutDocument{Name: store.Report, Body: b}
		}
		out = append(out, op)
	}
	return out
}

// saveQuarantine writes the quarantine file. What it does not take now is tried again in idle: the
// journal bars the manifest meanwhile, and a device whose state directory is full must go on.
func (a *Agent) saveQuarantine(ops []life.QuarOp) life.Tally {
	const what = "cannot write the quarantine file"
	a.q.Apply(ops)
	head := a.st.Head().Evidence()
	if a.foreign {
		head = evidence.Head{} // the last one of the journal stays in the file
	}
	if err := a.q.Save(head); err != nil {
		a.fail(what, err)
	} else {
		a.view.Well(what)
	}
	return a.q.Tally()
}

// adopt makes a change of the book hold. Its document, where it has one, is taken.
//
// Crash: one journal transaction, and memory follows it only when it succeeded.
func (a *Agent) adopt(c intake.Change) error {
	if !c.Empty() {
		err := a.st.Commit(nil, c.Events, c.Ops...)
		if a.unstored.Store(err != nil); err != nil {
			return err
		}
		a.heard = true
		a.view.Show(a.s, a.q.List())
	}
	a.s = c.State
	a.in.Adopt(c)
	a.showTrust()
	if c.Taken {
		e := c.Events[0]
		a.log.Info("document taken", "document", e.Detail["document"], "origin", e.Actor)
	}
	return nil
}

// entered lets go of what a phase that was left had in its hands.
func (a *Agent) entered(from life.Record, t life.Tell) {
	if !t.Entered {
		return
	}
	to := a.s.Rec
	a.log.Info("phase", "from", from.Phase, "to", to.Phase, "slot", to.Target, "reason", string(to.Ext.Cause),
		"sequence", to.Ext.Sequence)
	switch {
	case to.Phase == life.Preparing:
		a.local = a.in.Payloads()
	case to.Phase == life.Writing:
		a.fresh = false // what the target holds from now on, this state has begun
	case to.Phase == life.Checking || to.Phase == life.Idle:
		// All of them are read, or nothing more is: a stick can be taken out.
		a.local.Close()
		a.local = nil
	}
	if !a.s.Held {
		a.release()
	}
}

// tell shows what the step has to say.
func (a *Agent) tell(t life.Tell) {
	if t.Missed {
		a.in.Miss()
	}
	if t.Failed != nil {
		a.failText(t.Failed.What, t.Failed.Text)
	}
	if t.Well != "" {
		a.view.Well(t.Well)
	}
	if t.Entered {
		a.view.Clear()
	}
	a.view.Show(a.s, a.q.List())
	if t.Waits != reason.None {
		a.view.Waits(t.Waits, t.WaitFor)
	}
	if t.Answer != nil && a.pending != nil {
		a.answer(*t.Answer, nil)
	}
}

func (a *Agent) moment() life.Moment {
	online, _ := a.o.Online()
	return life.Moment{Uptime: a.o.Clock.Uptime(), Online: online}
}

// start reads what is stored and what really is. It never fails: what it cannot do it reports, and the
// device goes on in boot-safe mode or holds.
func (a *Agent) start(ctx context.Context) life.Event {
	stored, err := a.st.Read(a.s.Dev)
	stored.Tally = a.q.Tally()
	stored.Permitted = a.in.Permitted()
	stored.Foreign = a.foreign
	if stored.Frozen = err != nil || a.foreign; err != nil && !a.s.Frozen {
		a.addSafe(err.Error())
	}
	a.s.Stored = stored
	first := !quarantine.Provisioned(a.o.FS, a.o.StateDir)
	// A journal alone may be lost in state that lasts; without the marker all of it is new.
	a.fresh = first && !stored.Have && !stored.Frozen && a.st.Head().Seq == 0
	why := a.o.JournalLost
	if why == "" && !stored.Have && !stored.Frozen && !first && a.st.Head().Seq == 0 {
		why = reason.JournalLost
	}
	if a.foreign {
		why = reason.RecordUnknown // of a chain beside the journal's
	}
	behind := a.goneBack(&stored)
	a.s.Stored = stored
	if behind {
		why = reason.JournalBehind
	}
	if err := a.st.Begin(why, a.lastHead()); err != nil {
		a.unstored.Store(true)
		a.fail("cannot begin evidence", err)
	} else if first && a.o.Journal != nil && !a.foreign {
		// Crash: the marker follows the first durable journal -> before: a first boot again; after: a
		// journal that is gone later is a loss, and said so.
		if err := quarantine.MarkProvisioned(a.o.FS, a.o.StateDir, a.o.Device); err != nil {
			a.fail("cannot mark the device as provisioned", err)
		}
	}
	e := life.Started{Moment: a.moment(), Lost: why, Reset: a.reset()}
	if behind {
		e.Lost = reason.None // what is older is there
	}
	running, proof := a.proveRunning()
	e.Run = running
	if proof != nil {
		e.Proof = proof.Error()
		a.log.Error("nothing is written in this boot", "error", proof)
	}
	for _, s := range a.s.Safe {
		a.log.Error("boot-safe mode", "why", s)
	}
	if e.Boot, err = a.o.Boot.State(ctx); err != nil {
		a.log.Warn("boot metadata cannot be read", "error", err)
	}
	e.BootOK = err == nil
	settled := (!stored.Have || stored.Rec.Phase == life.Idle) && !stored.Frozen && e.Boot.Slots[e.Run].Confirmed
	if err := a.adopt(a.in.Opened(a.s, settled)); err != nil {
		a.fail("cannot record what is wrong with the documents that were taken", err)
	}
	return e
}

// answer ends a person's request.
func (a *Agent) answer(is life.Answer, err error) {
	r := a.pending
	a.pending = nil
	switch {
	case err != nil:
	case is.Refused != reason.None:
		err = &intake.Refused{Reason: is.Refused, Detail: is.Detail, Deferred: is.Deferred}
	}
	r.done <- reply{answer: is, err: err}
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

func (a *Agent) release() {
	closeAll(a.held)
	a.held = nil
}

func closeAll(media map[string]hal.Medium) {
	for _, m := range media {
		_ = m.Close() // they were only read
	}
}

// errText is an error for people, "" for none.
func errText(errs ...error) string {
	if err := errors.Join(errs...); err != nil {
		return err.Error()
	}
	return ""
}
