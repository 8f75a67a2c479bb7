package agent

import (
	"context"
	"errors"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/transport"
)

// How often an idle agent looks after the boot metadata, and how soon again when it could not; that
// doubles each time.
const (
	tendEvery = 6 * time.Hour
	tendAgain = 5 * time.Minute
)

// idle looks after the running slot, then waits for an offer, a request, or the time to decide again.
func (a *Agent) idle(ctx context.Context) error {
	now := a.o.Clock.Uptime()
	if first := a.tendAt == 0; first || now >= a.tendAt {
		const what = "cannot look after the boot metadata"
		a.tendAt = now + tendEvery
		if err := a.tend(ctx); err != nil {
			a.tendAt = now + min(tendAgain<<min(a.lapses, 12), tendEvery)
			a.lapses++
			a.fail(what, err)
		} else {
			a.lapses = 0
			a.well(what)
		}
		if a.rec.Phase != Idle {
			return nil
		}
		if first {
			a.wakeWaiting()
		}
	}
	if err := a.judge(); err != nil {
		return err
	}
	if len(a.missed) > 0 {
		m := a.missed[0]
		a.missed = a.missed[1:]
		return a.receive(m)
	}
	wait := a.tendAt - now
	if a.retryAt > 0 {
		wait = min(wait, max(a.retryAt-now, 0))
	}
	if _, ok := a.judging(""); ok {
		wait = min(wait, 15*time.Second)
	}
	var inbox <-chan transport.Message
	if a.o.Inbox != nil && len(a.safe) == 0 {
		inbox = a.o.Inbox.Messages()
	}
	select {
	case <-ctx.Done():
		return nil
	case r := <-a.requests:
		r.done <- r.run(ctx)
		return nil
	case m := <-inbox:
		return a.receive(m)
	case <-a.o.Clock.After(wait):
	}
	if a.retryAt > 0 && a.o.Clock.Uptime() >= a.retryAt {
		return a.retryWaiting()
	}
	return nil
}

// receive takes one message from outside.
func (a *Agent) receive(m transport.Message) error {
	switch m.Kind {
	case transport.Offer:
		if len(m.Body) == 0 {
			return nil // an empty retained message means nothing
		}
		err := ignoreRefused(a.consider(offer{envelope: m.Body, origin: m.Origin}))
		if err != nil { // not decided: the broker may not say it again for weeks
			a.miss(m)
		}
		return err
	case transport.Resend:
		return a.resend(m.Body)
	}
	return a.document(m)
}

func ignoreRefused(err error) error {
	var r *Refused
	if errors.As(err, &r) && !errors.Is(err, errDurable) {
		return nil // decided and recorded
	}
	return err
}

// wakeWaiting makes a start of the daemon, or a changed fact, decide a waiting offer again (loss 21).
func (a *Agent) wakeWaiting() {
	var w storedOffer
	if a.st.load(keyWaiting, &w) && len(a.safe) == 0 {
		a.retryAt = max(a.o.Clock.Uptime(), 1)
		if w.Failures > 0 {
			a.retryAt += a.backoff(w.Failures)
		}
	}
}

// backoff after n failed tries: 1, 2, 4 ... minutes, at most RetryMax.
func (a *Agent) backoff(n int) time.Duration {
	return min(time.Minute<<min(n-1, 12), a.o.RetryMax)
}

func (a *Agent) retryWaiting() error {
	a.retryAt = 0
	var w storedOffer
	if !a.st.load(keyWaiting, &w) {
		return nil
	}
	if online, _ := a.o.Online(); w.Broker && !online {
		a.retryAt = a.o.Clock.Uptime() + time.Minute // its trial could only fail again (loss 24)
		return nil
	}
	err := ignoreRefused(a.consider(offer{envelope: w.Envelope, origin: "waiting"}))
	if err != nil {
		a.retryAt = a.o.Clock.Uptime() + time.Minute
	}
	return err
}

// tend keeps the running slot bootable: tries refilled before network and policy (brick 1), a stray
// armed slot disabled (loop 8), a pending raise or disable done.
func (a *Agent) tend(ctx context.Context) error {
	if a.q.dirty {
		a.saveQuarantine()
	}
	st, err := a.o.Boot.State(ctx)
	if err != nil && !errors.Is(err, bootctl.ErrInvalid) {
		return err
	}
	if err == nil && !st.Slots[a.run].Confirmed && !a.frozen {
		if a.stayed {
			return nil // its trial has failed in this boot, and there is nothing to go back to (I8)
		}
		return a.synthetic(reason.RunningUnconfirmed)
	}
	if err := a.o.Boot.Refresh(ctx, a.run); err != nil {
		return err
	}
	after, serr := a.o.Boot.State(ctx)
	if serr != nil {
		return serr
	}
	if err != nil {
		e := evidence.Event{Kind: evidence.KindBoot, Reason: reason.BootMetadataInvalid, Slot: string(a.run), Detail: map[string]string{"restored": "running bootable, others disabled"}}
		if nerr := a.note(e); nerr != nil {
			return nerr
		}
	}
	other := a.other(a.run).Name
	if s := after.Slots[other]; s.Bootable && !s.Confirmed {
		if err := a.o.Boot.Disable(ctx, other); err != nil {
			return err
		}
		e := evidence.Event{Kind: evidence.KindBoot, Slot: string(other), Detail: map[string]string{"disabled": "it was armed outside of a trial"}}
		if err := a.note(e); err != nil {
			return err
		}
	}
	if err := a.knowCounter(ctx); err != nil {
		return err
	}
	return a.pending(ctx)
}

// pending retries what an update left open.
func (a *Agent) pending(ctx context.Context) error {
	switch a.rec.Ext.Pending {
	case "":
		return nil
	case reason.DisablePending: // tend has just disabled it
	case reason.FloorPending:
		if a.o.Counter == nil {
			break
		}
		if err := a.o.Counter.Raise(ctx, a.rootVersion()); err != nil {
			return err
		}
	}
	return a.move(Idle, a.rec.Ext.Pending, func(r *Record) { r.Ext.Pending = "" }, evidence.Event{Detail: map[string]string{"done": "yes"}})
}

// keyJudge: a trial failed because the broker was out of reach. Whether the image is to blame is
// known once the old system reaches the broker, or cannot reach it either (DESIGN 5, loss 24).
const keyJudge = "judge"

type storedJudge struct {
	Digest string        `cbor:"1,keyasint"`
	Images []string      `cbor:"2,keyasint"`
	Cause  reason.Reason `cbor:"3,keyasint"`
}

func (a *Agent) judging(digest string) (storedJudge, bool) {
	var j storedJudge
	ok := a.st.load(keyJudge, &j) && (digest == "" || j.Digest == digest)
	return j, ok
}

// judge ends a pending question: the old system reaches the broker -> quarantine; it cannot, for as
// long as a trial may take -> the image is not to blame.
func (a *Agent) judge() error {
	j, ok := a.judging("")
	if !ok || len(a.safe) > 0 {
		return nil
	}
	online, _ := a.o.Online()
	gone := func(tx journal.Tx) error { return tx.Delete(journal.State, keyJudge) }
	switch {
	case online:
		a.q.add(quarantineEntry(j))
		a.saveQuarantine()
		return a.note(evidence.Event{Kind: evidence.KindVerdict, Reason: reason.Quarantined, Manifest: j.Digest,
			Detail: map[string]string{"why": "the old system reaches the broker, the new one did not"}}, gone)
	case a.o.Clock.Uptime() > a.o.Health.Deadline:
		return a.note(evidence.Event{Kind: evidence.KindVerdict, Reason: j.Cause, Manifest: j.Digest,
			Detail: map[string]string{"why": "the old system does not reach the broker either; not quarantined"}}, gone)
	}
	return nil
}

// newer looks, without waiting, whether a newer offer has come that would be installed.
func (a *Agent) newer(m transport.Message) bool {
	if m.Kind != transport.Offer || len(m.Body) == 0 {
		return false
	}
	man, err := a.verify(offer{envelope: m.Body, origin: m.Origin})
	if err != nil || man.Sequence() <= a.rec.Ext.Sequence {
		return false
	}
	return a.decide(man, policy.Download, false, a.other(a.run)).Outcome == policy.Install
}
