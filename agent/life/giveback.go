package life

import (
	"slices"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// Where the machine does not tell why it was started (see excuse.go), no loader and no record can tell several power
// cuts in the trial boots of a good image from an image that resets the machine early. Such an image is quarantined,
// and given back when the old system has been well for Device.GiveBack; twice as long the second time, and so on.
// After mostGivenBack times only a person gives it back: an image that is truly bad costs a bounded number of trials.
const mostGivenBack = 3

// MayBePower tells whether an image that was quarantined for this cause may have met power cuts.
func MayBePower(cause reason.Reason) bool { return cause.Info().Blame.FallsBack() }

// serve counts the time in which the old system is well, each time that idle looks after the metadata, and
// gives back what has served its time.
//
// Crash: the file leads the journal -> a manifest that is given back in the file and barred in the journal still, which
// is made good here at the next start. One that is not the last that was barred keeps its final verdict until a person
// drops that.
func (t *turn) serve() {
	if b := t.Barred.Digest; b != "" && slices.Contains(t.Tally.Given, b) {
		t.giveBack(b, evidence.Event{Kind: evidence.KindVerdict, Reason: reason.GivenBack, Manifest: b,
			Detail: detail("why", "it was given back before the last start")})
	}
	well := t.now() - t.ServedAt
	t.ServedAt = t.now()
	if t.First || well <= 0 || t.Dev.GiveBack <= 0 || len(t.Tally.Held) == 0 || len(t.Safe) > 0 {
		return
	}
	t.quar(Serve{well})
	for _, h := range t.Tally.Held {
		if h.Times <= mostGivenBack && h.Served+well >= t.Dev.GiveBack<<(h.Times-1) {
			t.giveBack(h.Digest, evidence.Event{Kind: evidence.KindVerdict, Reason: reason.GivenBack,
				Manifest: h.Digest, Detail: detail("why", "the old system was well for "+
					(h.Served+well).Round(time.Hour).String())})
		}
	}
}

// GivesBack is the uptime from which each manifest is given back that may have met power cuts, where the old system
// stays well. Those that only a person gives back are left out.
func (s *State) GivesBack() map[string]time.Duration {
	out := map[string]time.Duration{}
	for _, h := range s.Tally.Held {
		if h.Times <= mostGivenBack && s.Dev.GiveBack > 0 {
			out[h.Digest] = s.ServedAt + s.Dev.GiveBack<<(h.Times-1) - h.Served
		}
	}
	return out
}

// giveBack takes a manifest out of the quarantine. Where it is the one that was kept, it waits again.
func (t *turn) giveBack(digest string, e evidence.Event) {
	t.note(e)
	t.quar(GiveBack{digest})
	t.ops(DropFinal{digest}, DropBlame{})
	t.Left = slices.DeleteFunc(slices.Clone(t.Left), func(b Budget) bool { return b.Digest == digest })
	if b := t.Barred; b.Digest == digest {
		t.Barred = Barred{}
		w := t.Waiting
		if w.Digest == "" || w.Sequence < b.Sequence || !covers(w.Components, b.Components) {
			t.supplant(Waiting{Envelope: b.Envelope, Digest: b.Digest, Sequence: b.Sequence, Components: b.Components,
				Reason: reason.GivenBack, Said: string(reason.GivenBack), Budget: Budget{Digest: b.Digest}})
		}
	}
	if t.Waiting.Digest == digest {
		t.RetryAt = max(t.now(), 1)
	}
}

// Retries is the manifest that a person means who wants an update tried again and names none.
func (s *State) Retries() string {
	if s.Waiting.Digest != "" {
		return s.Waiting.Digest
	}
	return s.Barred.Digest
}

// tryAgain takes up at once, on a person's word, what waits or what was given up: its failures are forgotten,
// its quarantine is lifted, its final verdict goes.
func tryAgain(t *turn) {
	a := t.e.(Asked)
	digest := a.Digest
	known := digest == t.Waiting.Digest || digest == t.Barred.Digest || a.Cause != "" || a.Verdict != "" ||
		t.known(digest).counted()
	switch {
	case digest == "" || !known:
		t.refused(reason.NothingToDo, "no update waits, and none with this digest was given up", false)
		return
	case a.Cause != "" && !a.Sure:
		t.refused(reason.Quarantined, string(a.Cause), false)
		return
	case a.Verdict != "" && !a.Sure:
		t.refused(a.Verdict, "it has a final verdict", false)
		return
	}
	e := a.event("retry")
	e.Manifest = digest
	t.settleWear()
	t.Wear = min(t.Wear, mostWear-oneImage)
	t.giveBack(digest, e)
	if t.Waiting.Digest != digest {
		t.says("It is taken when it is offered again.")
		return
	}
	t.Waiting.Budget = Budget{Digest: digest, Whole: t.Waiting.Budget.Whole}
	t.RetryAt = max(t.now(), 1)
	t.says("The update is tried again now.")
}
