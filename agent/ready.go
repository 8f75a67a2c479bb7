package agent

import (
	"context"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/transport"
)

// readyFor is how long a checked target may wait and still be armed without another check.
const readyFor = time.Hour

// maxMissed bounds the offers that are kept while one waits to be armed; the broker has them all.
const maxMissed = 8

// ready waits for window, power and consent, and decides again before arming.
func (a *Agent) ready(ctx context.Context) error {
	if len(a.held) == 0 && len(a.rec.Ext.Images) > 0 {
		return a.move(Checking, reason.Interrupted, nil, evidence.Event{})
	}
	for said := ""; ; {
		d, err := a.again(policy.Arm)
		if err != nil {
			return err
		}
		why, text, detail := summary(d)
		switch {
		case d.Outcome == policy.Refuse:
			return a.end("failed", why, text)
		case overtakenBy(d) != reason.None:
			// What was meant for this device is not any more: it does not wait armed or half-armed (loop 9).
			return a.end("failed", overtakenBy(d), text)
		case d.Outcome == policy.Install && a.o.Clock.Uptime()-a.checked > readyFor:
			// Only now, so that waiting for a window costs neither reads nor records.
			return a.move(Checking, reason.None, nil, evidence.Event{Detail: map[string]string{"why": "waited long; reading back again"}})
		case d.Outcome == policy.Install:
			return a.move(Arming, reason.None, func(r *Record) { r.Ext.Arms++ }, evidence.Event{})
		}
		if rules(d) != said {
			said = rules(d)
			e := evidence.Event{Kind: evidence.KindDecision, Reason: why, To: "defer", Manifest: a.rec.Digest, Sequence: a.rec.Ext.Sequence, Detail: detail}
			if err := a.note(e); err != nil {
				return err
			}
		}
		a.waiting(why, text)
		var inbox <-chan transport.Message
		if a.o.Inbox != nil && !a.rec.Ext.Local && !a.rec.Ext.Revert {
			inbox = a.o.Inbox.Messages()
		}
		select {
		case <-ctx.Done():
			return nil
		case r := <-a.requests:
			r.done <- r.run(ctx)
			if a.rec.Phase != Ready {
				return nil
			}
		case m := <-inbox:
			if done, err := a.overtaken(m); done || err != nil {
				return err
			}
		case <-a.o.Clock.After(retryAfter(d)):
		}
	}
}

// overtakenBy is why a wait makes no sense: the plan behind the update was taken back, replaced or is over.
func overtakenBy(d policy.Decision) reason.Reason {
	for _, f := range d.Findings {
		if f.Reason.Info().Ends {
			return f.Reason
		}
	}
	return reason.None
}

// miss keeps an offer until the update in progress has ended.
func (a *Agent) miss(m transport.Message) {
	if a.missed = append(a.missed, m); len(a.missed) > maxMissed {
		a.missed = a.missed[1:]
	}
}

// overtaken takes a message while an update waits to be armed. It returns true when that update was
// ended because a newer one can be installed. What is not taken now is looked at when it has ended.
func (a *Agent) overtaken(m transport.Message) (bool, error) {
	if m.Kind != transport.Offer || len(m.Body) == 0 {
		return false, a.receive(m)
	}
	if !a.newer(m) {
		a.miss(m)
		return false, nil
	}
	if err := a.end("failed", reason.Superseded, "a newer release came"); err != nil {
		return false, err
	}
	return true, a.receive(m)
}
