package life

import (
	"slices"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// Glance tells what is known of an offer from the network before it is decided: it failed and its
// back-off is not over, or a newer one waits. One that needs a step first lets an older one pass. Numbers
// belong to components: newer is only what writes all that the offer would write.
func (s *State) Glance(r Ruling, now time.Duration) Ruling {
	w := s.Waiting
	switch {
	case w.Digest == "":
	case w.Digest == r.Digest:
		if w.Budget.Failures > 0 && now < s.RetryAt {
			r.Early, r.Why = true, w.Reason
		}
	case w.Sequence > r.Sequence && covers(w.Components, r.Writes) && !w.Reason.Info().StepsAside:
		r.Passed = true
	}
	return r
}

// covers tells whether one that writes some components can be newer than one that writes others: it must
// write them all. Where what it writes is not known, one number counts for all, as it did before.
//
//go:noinline
func covers(newer, older []string) bool {
	return newer == nil || !slices.ContainsFunc(older, func(c string) bool { return !slices.Contains(newer, c) })
}

// unverified: refusals of bytes that nobody vouches for are recorded within a rate, so that a flood
// does not push out the evidence. The same decision then comes back as one of the update, if it is.
func unverified(t *turn) {
	d := t.e.(Decided)
	r := &d.Ruling
	if dropped, ok := t.allowGarbage(r.Garbage, t.now()); ok {
		e := evidence.Event{Kind: evidence.KindDecision, Reason: r.Why, To: string(Refuse), Actor: r.Origin,
			Detail: detail("why", r.Said)}
		if dropped > 0 {
			e.Detail["not-recorded-before"] = itoa(dropped)
		}
		t.note(e)
		if !r.Console {
			t.noted(&Ending{Result: "refused", Reason: r.Why, Detail: r.Said})
		}
		t.eff.Commit.Optional = "cannot record a refusal"
	}
	switch {
	case d.Ask.Over:
		t.eff.Tell.Missed = true
	case d.Ask.Offer:
		t.refused(r.Why, r.Said, false)
	default:
		r.Unverified, r.Said = false, string(r.Why)+" ("+r.Said+")"
		t.do(again{d})
	}
}

// noted remembers the newest offer that was not taken; nil forgets it.
//
//go:noinline
func (t *turn) noted(e *Ending) {
	t.Noted = ""
	if e != nil {
		t.Noted = e.Reason
	}
	t.ops(PutNoted{e})
}

//go:noinline
func (t *turn) refused(why reason.Reason, detail string, deferred bool) {
	t.eff.Tell.Answer = &Answer{Refused: why, Detail: detail, Deferred: deferred}
}

func settled(t *turn) {
	r := t.e.(Decided).Ruling
	if r.Settled.Info().Satisfied && t.Noted != "" {
		t.noted(nil) // what the fleet offers is what runs: an earlier refusal needs nobody any more
	}
	t.refused(r.Settled, "", false)
}

func early(t *turn) { t.refused(t.e.(Decided).Ruling.Why, "", true) }

// passed leaves an offer aside because a newer one waits. It is on record once, within the rate of
// unverifiable ones.
func passed(t *turn) {
	r := t.e.(Decided).Ruling
	if _, ok := t.allowGarbage(r.Garbage, t.now()); ok {
		t.note(evidence.Event{Kind: evidence.KindDecision, Reason: reason.Superseded, To: string(Defer),
			Manifest: r.Digest, Sequence: r.Sequence, Actor: r.Origin})
	}
	t.refused(reason.Superseded, "", true)
}

//go:noinline
func (r Ruling) event() evidence.Event {
	return evidence.Event{Kind: evidence.KindDecision, Reason: r.Why, To: string(r.Outcome), Manifest: r.Digest,
		Sequence: r.Sequence, Actor: r.Origin, Detail: r.Detail}
}

func (r Ruling) ending(result string) *Ending {
	return &Ending{Result: result, Reason: r.Why, Detail: r.First, Manifest: r.Digest, Sequence: r.Sequence,
		Version: r.Version}
}

func decidedInstall(t *turn) {
	r := t.e.(Decided).Ruling
	t.note(r.event())
	t.do(take{r})
}

// begin takes an update up: the record names it and the target before anything is touched.
//
// Crash: one commit -> before: the offer comes again; after: preparing is run again.
func begin(t *turn) {
	r := t.e.(Taken).Ruling
	from, target := t.Rec, t.other(t.Run)
	same := t.Waiting.Digest == r.Digest
	if same {
		t.Budget = t.Waiting.Budget.attempt()
	} else {
		t.Budget = t.known(r.Digest).attempt()
		t.ops(DropCheckpoints{}) // those of an attempt that failed for a cause outside the image are worth keeping
	}
	if !r.Console { // what the network offers goes on waiting behind a technician's install
		t.supplant(Waiting{Envelope: r.Envelope, Digest: r.Digest, Sequence: r.Sequence, Components: r.Writes,
			Budget: t.Budget})
	}
	t.Left = slices.Clone(t.Left)
	for n := range t.Left {
		t.Left[n].Whole = false // another image goes into the slot
	}
	images := t.Slots[t.index(target)].there(r.Images)
	if len(t.Floors) > 0 {
		t.ops(PutFloors{t.Floors}) // they may have been read from what the slot holds, and that is forgotten soon
	}
	t.ops(PutEnvelope{r.Envelope})
	t.noted(nil)
	t.Rec = Record{Phase: Preparing, Target: target, Digest: r.Digest,
		Ext: Ext{Sequence: r.Sequence, Version: r.Version, Images: images, Local: r.Console}}
	t.eff.Tell.Answer = &Answer{}
	t.become(from, reason.None, evidence.Event{Actor: r.Origin, Detail: t.carried()})
}

// failedBefore: the offer failed, and another one took its place until it came again.
func failedBefore(t *turn) bool {
	r := t.e.(Decided).Ruling
	return r.Outcome == Install && !r.Console && r.Digest != t.Waiting.Digest && t.known(r.Digest).Failures > 0
}

// waitAgain has it wait once more as long as after its last failure: nobody knows how long it has waited already.
func waitAgain(t *turn) {
	e := t.e.(Decided)
	r := &e.Ruling
	r.Outcome, r.Why, r.Rules = Defer, reason.FailedBefore, string(reason.FailedBefore)
	r.Said, r.Detail, r.Retry = string(r.Why), map[string]string{string(r.Why): ""}, 0
	t.e = e
	deferOffer(t)
}

func deferOffer(t *turn) {
	r := t.e.(Decided).Ruling
	t.refused(r.Why, r.Said, true)
	if r.Console {
		t.note(r.event())
		return
	}
	if t.Waiting.Digest != r.Digest && !t.allowGenuine(t.now()) {
		t.eff.Tell.Missed = true // it is heard again when there is room
		return
	}
	t.RetryAt = t.now() + r.Retry
	w := t.Waiting
	if w.Digest != r.Digest {
		w = Waiting{Budget: t.known(r.Digest)}
		if w.Budget.Failures > 0 {
			t.RetryAt = t.now() + max(r.Retry, w.Budget.backoff(t.Dev.RetryMax))
		}
	}
	known, same := w.Rules == r.Rules, w.Said == r.Said
	if known && same {
		return
	}
	w.Envelope, w.Digest, w.Sequence, w.Components, w.Reason, w.Said, w.Rules = r.Envelope, r.Digest, r.Sequence,
		r.Writes, r.Why, r.Said, r.Rules
	t.supplant(w)
	if !known { // the same rules with other figures are no new decision
		t.note(r.event())
		t.noted(r.ending("deferred"))
	}
}

func refuseOffer(t *turn) {
	r := t.e.(Decided).Ruling
	t.refused(r.Why, r.Said, false)
	if r.Console {
		t.note(r.event())
		return
	}
	switch {
	case t.Waiting.Digest == r.Digest:
		t.Waiting = Waiting{}
	case !t.allowGenuine(t.now()):
		return
	}
	t.ops(PutFinal{Digest: r.Digest, Why: r.Why, Next: true})
	if !r.Why.Info().Satisfied {
		t.ops(KeepReport{Result: "refused", Why: r.Why})
	}
	if !r.Why.Info().Quiet { // a broker hands in older releases than the device has for as long as it keeps them
		t.noted(r.ending("refused"))
	}
	// Genuine and old ones can flood, too: more of them than verdicts are remembered.
	if _, ok := t.allowGarbage(nil, t.now()); ok {
		t.note(r.event())
	}
}

// overtaken: an offer came while this one waits to be armed. What is not taken now is looked at when
// the update in progress has ended.
func overtaken(t *turn) {
	r := t.e.(Decided).Ruling
	if r.Sequence <= t.Rec.Ext.Sequence || !covers(r.Writes, t.Rec.writes()) || r.Outcome != Install ||
		failedBefore(t) {
		t.eff.Tell.Missed = true
		return
	}
	t.fail(reason.Superseded, "a newer release came")
	t.do(Ask{Stage: Download, Offer: true})
}
