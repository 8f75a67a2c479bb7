package agent

import (
	"context"
	"errors"
	"time"

	"github.com/ratchet-ota/ratchet/agent/intake"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/transport"
)

// waitFor waits, and hears meanwhile what it is told to hear.
func (a *Agent) waitFor(ctx context.Context, w life.Wait) life.Event {
	if w.Missed && w.Until > a.o.Clock.Uptime() { // what is due comes first
		if m, ok := a.in.Missed(); ok {
			return a.receive(m)
		}
	}
	var requests chan request
	if w.Requests {
		requests = a.requests
	}
	due := a.o.Clock.After(max(w.Until-a.o.Clock.Uptime(), time.Duration(0)))
	for {
		inbox := a.messages()
		if w.Messages {
			inbox = a.o.Inbox.Messages()
		}
		select {
		case <-ctx.Done():
		case r := <-requests:
			if e := a.hear(ctx, r); e != nil {
				return e
			}
		case m := <-inbox:
			switch {
			case w.Messages:
				return a.receive(m)
			case !a.overhear(m) || a.trying():
				continue
			}
			return life.Documented{Moment: a.moment()}
		case <-a.rest:
			a.rest = nil
			continue
		case <-a.o.Stepped:
			return life.Stepped{Moment: a.moment()}
		case <-due:
		}
		return life.Due{Moment: a.moment()}
	}
}

// receive takes one message from outside.
func (a *Agent) receive(m transport.Message) life.Event {
	taken, err := false, error(nil)
	switch m.Kind {
	case transport.Offer:
		if len(m.Body) > 0 { // an empty retained message means nothing
			a.in.Bring(intake.Offer{Envelope: m.Body, Origin: m.Origin, Message: &m})
			return life.Came{Moment: a.moment()}
		}
	case transport.Resend:
		err = a.reporter.Resend(m.Body)
	default:
		for _, c := range a.in.Document(a.s, m) {
			if err = a.adopt(c); err != nil {
				break
			}
			taken = taken || c.Taken
		}
	}
	if err != nil {
		a.in.Keep(m) // the journal had no room: the broker may not say it again for weeks
	}
	switch {
	case taken && err != nil: // its pulse was not kept; the plan was
		a.fail("cannot keep a document", err)
		return life.Documented{Moment: a.moment()}
	case err != nil:
		return life.NotTaken{Moment: a.moment(), Text: err.Error()}
	case taken:
		return life.Documented{Moment: a.moment()}
	}
	return life.Begun{Moment: a.moment()}
}

// decide verifies and decides what the machine asks about. For the update in progress, what the network sent
// meanwhile is taken first, so that the decision is made by the newest documents.
func (a *Agent) decide(ask life.Ask) life.Event {
	d := life.Decided{Ask: ask}
	switch {
	case ask.Offer:
		d.Ruling = a.in.Decide(a.s, ask)
	default:
		if err := a.poll(); err != nil {
			return life.NotTaken{Moment: a.moment(), Text: err.Error()}
		}
		d.Ruling, a.plan = a.in.Again(a.s, ask)
	}
	d.Moment = a.moment()
	return d
}

// poll takes, at a stop point, the documents that came meanwhile; offers wait for idle.
func (a *Agent) poll() error {
	if a.o.Inbox == nil || !a.in.Rooted() || len(a.s.Safe) > 0 {
		return nil
	}
	if err := a.takeKept(); err != nil {
		return err
	}
	for range intake.MaxMissed {
		select {
		case m := <-a.o.Inbox.Messages():
			if m.Kind == transport.Offer {
				a.in.Keep(m)
			} else if e, not := a.receive(m).(life.NotTaken); not {
				return errors.New(e.Text)
			}
		default:
			return nil
		}
	}
	return nil
}

// takeKept takes the documents that were kept.
func (a *Agent) takeKept() error {
	kept := a.in.MissedDocuments()
	for i, m := range kept {
		if e, not := a.receive(m).(life.NotTaken); not {
			for _, m := range kept[i+1:] {
				a.in.Keep(m)
			}
			return errors.New(e.Text)
		}
	}
	return nil
}

// measure reads what the machine around a target is now.
func (a *Agent) measure(target bootctl.Slot) intake.Machine {
	def := a.slot(target)
	m := intake.Machine{Supply: a.o.Power.Supply(), Metered: a.o.Metered(), Index: def.Index, Sizes: map[string]int64{},
		Unread: map[string]string{}, StateMoved: a.o.StateMoved()}
	for c, path := range def.Parts {
		m.Sizes[c] = intake.Unmeasured
		if dev := a.held[c]; dev != nil {
			m.Sizes[c] = dev.Size()
		} else if dev, err := a.o.Blocks.OpenMedium(path); err == nil {
			m.Sizes[c] = dev.Size()
			_ = dev.Close()
		} else {
			m.Unread[c] = err.Error()
			a.log.Warn("target cannot be measured", "slot", target, "component", c, "error", err)
		}
	}
	a.measured = measured{target, m}
	return m
}
