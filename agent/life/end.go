package life

import (
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// ending is how an update is closed.
type ending struct {
	result  string
	why     reason.Reason
	detail  string
	keep    bool          // the offer waits and its checkpoints stay, so that a later attempt resumes
	final   bool          // the same manifest is not decided again
	pending reason.Reason // what is left to do in idle
	counter string        // where the counter stands after it
}

// end is the one way from an update to idle: the outcome, the verdict and what is forgotten go in one commit.
func (t *turn) end(e ending) {
	r := t.record()
	out := Ending{Result: e.result, Reason: e.why, Detail: e.detail, Manifest: r.Digest, Sequence: r.Ext.Sequence,
		Version: r.Ext.Version, Slot: r.Target}
	if t.Permitted == r.Digest {
		t.Permitted = "" // a permit goes with the update that it allowed: it allows once
	}
	if !e.keep && !t.Frozen { // else they are the other version's, which goes on with them
		t.ops(DropCheckpoints{}, PutEnvelope{})
		switch final := e.isFinal(r); {
		case final:
			t.ops(PutFinal{Digest: r.Digest, Why: e.why})
			fallthrough
		case e.result != "failed":
			if t.Waits() {
				t.Waiting = Waiting{}
			}
		case t.Waits():
			t.supplant(Waiting{}) // it may come again
		}
	}
	// a slot that was on trial without an update is confirmed, and nothing is updated
	if !r.Ext.Synthetic || e.result != "updated" {
		t.ops(PutOutcome{out}, KeepReport{Rec: &r, Result: e.result, Why: e.why})
	}
	t.TendAt = 0
	t.Rec = Record{Phase: Idle, Ext: Ext{Cause: e.why, Pending: e.pending}}
	t.Budget = Budget{}
	d := detail("result", e.result, "why", e.detail)
	if e.counter != "" {
		d["counter"] = e.counter
	}
	t.become(r, e.why, evidence.Event{Kind: evidence.KindVerdict, Detail: d})
}

// isFinal tells whether the way an update ended is final for its digest: trying again cannot help, or
// somebody said no.
func (e ending) isFinal(r Record) bool {
	why := e.why.Info()
	switch {
	case r.Digest == "" || r.Ext.Local || e.result == "updated" || e.result == "reverted" && r.Ext.Revert:
		return false
	case why.ThisCopy:
		return false // of this envelope's signatures: under rotated keys the manifest comes again, signed anew
	}
	return e.final || why.Final || why.Closes
}

// fail closes an update that was not armed.
//
//go:noinline
func (t *turn) fail(why reason.Reason, detail string, ops ...Op) {
	t.ops(ops...)
	t.end(ending{result: "failed", why: why, detail: detail})
}

// give puts a network update back among the waiting offers: it is decided again later, with what was
// written so far kept. failed counts toward the back-off. What a person started simply fails.
func (t *turn) give(why reason.Reason, detail string, failed bool, ops ...Op) {
	if t.Rec.Ext.Local || t.Rec.Ext.Revert || !t.Waits() {
		t.fail(why, detail, ops...)
		return
	}
	b := t.Budget
	if failed {
		b, _ = b.Charge(Failures, t.limits())
	}
	if why.Info().Costly {
		b, _ = b.Charge(Costly, t.limits())
	}
	t.again(b, why, string(why)+": "+detail)
	t.ops(ops...)
	t.end(ending{result: "failed", why: why, detail: detail, keep: true})
}

// again makes the update in progress an offer that waits for its next attempt.
func (t *turn) again(b Budget, why reason.Reason, said string) {
	t.Waiting.Reason, t.Waiting.Said, t.Waiting.Rules, t.Waiting.Budget = why, said, "", b.attempt()
	t.RetryAt = t.now() + b.backoff(t.Dev.RetryMax)
}

// back begins the way back to the other slot.
func (t *turn) back(why reason.Reason, text string) { t.goBackFor(why, detail("why", text)) }

func (t *turn) goBackFor(why reason.Reason, d map[string]string) {
	t.Rec.Ext.Cause = why
	t.move(Reverting, why, evidence.Event{Detail: d})
}

// charge counts in the budget of the update in progress; false when that is used up.
func (t *turn) charge(c Counter) bool {
	next, ok := t.Budget.Charge(c, t.limits())
	t.Budget = next
	return ok
}

//go:noinline
func (t *turn) quar(ops ...QuarOp) { t.eff.Commit.Quar = append(t.eff.Commit.Quar, ops...) }
