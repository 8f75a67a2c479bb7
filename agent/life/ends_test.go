package life_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// TestHowUpdatesEnd: what a person reads of an update that did not come to its good end, and what becomes of the
// offer. The same happens to an offer from the network, to a technician's install and to an operator's way back.
func TestHowUpdatesEnd(t *testing.T) {
	reach := func(c life.Class) life.Event {
		return life.Done{Moment: moment, Do: life.Reach{}, Class: c, Text: "why"}
	}
	write := func(c life.Class) life.Event {
		return life.Done{Moment: moment, Do: life.Write{}, Class: c, Text: "why"}
	}
	check := func(c life.Class) life.Event {
		return life.Done{Moment: moment, Do: life.Check{}, Class: c, Text: "why"}
	}
	look := func(c life.Class) life.Event {
		return life.Done{Moment: moment, Do: life.Look{}, Class: c, Text: "why"}
	}
	disable := func(d life.Done) life.Event {
		d.Moment, d.Do, d.BootText = moment, life.Disable{Slot: "B"}, "why"
		return d
	}
	tried := func(d life.Done) life.Event {
		d.Moment, d.Do, d.Text = moment, life.Try{Slot: "B", Tries: 3}, "why"
		return d
	}
	defers := life.Decided{Moment: moment, Ruling: life.Ruling{Outcome: life.Defer, Why: reason.LowBattery,
		Said: "why"}}
	refuses := life.Decided{Moment: moment, Ruling: life.Ruling{Outcome: life.Refuse, Why: reason.Revoked, Said: "why"}}
	ends := defers
	ends.Ruling.Ends = reason.PlanWithdrawn
	const (
		waits    = "failed %s: why; waits, counted; resumes"
		costly   = "failed %s: why; waits, counted, costly; from zero"
		final    = "failed %s: why; final; from zero"
		fails    = "failed %s: why; from zero"
		deferred = "failed %s: why; waits; resumes"
		fromZero = "writing %s; rewrites 1; from zero"
		toRevert = "reverting %s"
	)
	for _, c := range []struct {
		phase   life.Phase
		name    string
		e       life.Event
		why     reason.Reason
		network string
		local   string // a technician's install; "": the same
	}{
		{life.Preparing, "battery", defers, reason.LowBattery, deferred, fails},
		{life.Preparing, "revoked", refuses, reason.Revoked, final, fails},
		{life.Preparing, "metadata cannot be read", look(life.IO), reason.BootMetadataIO, waits, fails},
		{life.Preparing, "metadata is invalid", look(life.Invalid), reason.BootMetadataInvalid, waits, fails},
		{life.Preparing, "metadata was changed", look(life.Changed), reason.BootMetadataChanged, waits, fails},
		{life.Preparing, "source does not answer", reach(life.IO), reason.SourceUnreachable, waits, fails},
		{life.Preparing, "source does not have it", reach(life.Gone), reason.SourceGone, waits, fails},
		{life.Preparing, "source is forbidden", reach(life.Forbidden), reason.SourceNotAllowed, waits, fails},
		{life.Preparing, "no key", reach(life.NoKey), reason.DecryptionKeyMissing, waits, fails},
		{life.Preparing, "a copy of another component", reach(life.NoCopy), reason.ManifestUnsupported, final, fails},
		{life.Preparing, "the file is gone", reach(life.NoFile), reason.Interrupted, fails, fails},
		{life.Preparing, "another image at the source", reach(life.SourceChanged), reason.SourceChanged, costly, fails},
		{life.Preparing, "not disabled", disable(life.Done{Class: life.IO, Text: "why"}), reason.BootMetadataIO, waits,
			fails},
		{life.Preparing, "disabled, and cannot be read", disable(life.Done{BootNot: life.Invalid}),
			reason.BootMetadataInvalid, waits, fails},
		{life.Writing, "battery", defers, reason.LowBattery, deferred, fails},
		{life.Writing, "the slot cannot be written", write(life.Medium), reason.SlotIO, costly, fails},
		{life.Writing, "the slot is held", write(life.Busy), reason.SlotBusy, waits, fails},
		{life.Writing, "the slot runs", write(life.Running), reason.RunningUnproven, waits, fails},
		{life.Writing, "something else answers", write(life.Unusable), reason.SourceUnusable, waits, fails},
		{life.Writing, "other bytes", write(life.Mismatch), reason.ImageCorrupt, fromZero, ""},
		{life.Writing, "other bytes than before", write(life.SourceChanged), reason.SourceChanged, fromZero, ""},
		{life.Writing, "the source does not have it", write(life.Gone), reason.SourceGone, waits, fails},
		{life.Checking, "the slot is held", check(life.Busy), reason.SlotBusy, waits, fails},
		{life.Checking, "the slot cannot be read", check(life.Medium), reason.SlotIO, costly, fails},
		{life.Checking, "it holds other bytes", check(life.Mismatch), reason.ReadBackMismatch, fromZero, fails},
		{life.Ready, "revoked", refuses, reason.Revoked, final, fails},
		{life.Ready, "the plan was taken back", ends, reason.PlanWithdrawn, fails, fails},
		{life.Arming, "metadata cannot be read", look(life.IO), reason.BootMetadataIO, waits, fails},
		{life.Arming, "not armed", tried(life.Done{Class: life.IO, Boot: metadata(full, off, "A"), BootOK: true}),
			reason.ArmNotLanded, "failed %s: why; waits, counted, costly; resumes", fails},
		{life.Arming, "armed and not next", tried(life.Done{Class: life.IO, Boot: metadata(full, armed, "A"),
			BootOK: true}), reason.ArmNotLanded, toRevert, ""},
		{life.Arming, "armed or not", tried(life.Done{Class: life.IO}), reason.ArmNotLanded, toRevert, ""},
	} {
		if c.local == "" {
			c.local = c.network
		}
		for _, by := range []struct {
			name, want string
			set        func(*life.State)
		}{
			{"from the network", c.network, func(*life.State) {}},
			{"a technician's", c.local, func(s *life.State) { s.Rec.Ext.Local, s.Waiting = true, life.Waiting{} }},
		} {
			s := usual(c.phase)
			by.set(&s)
			next, eff := life.Step(s, c.e)
			want := strings.Replace(by.want, "%s", string(c.why), 1)
			if got := outcome(s, next, eff); got != want {
				t.Errorf("%s, %s, %s:\n got %s\nwant %s", c.phase, c.name, by.name, got, want)
			}
		}
	}
}

// outcome is what a step makes of an update.
func outcome(s, next life.State, eff life.Effects) string {
	var out []string
	end, fromZero := life.Ending{}, false
	for _, op := range eff.Commit.Ops {
		switch op := op.(type) {
		case life.PutOutcome:
			end = op.Ending
		case life.DropCheckpoints:
			fromZero = true
		}
	}
	e := eff.Commit.Events[len(eff.Commit.Events)-1]
	if next.Rec.Phase == life.Idle {
		out = append(out, fmt.Sprintf("%s %s: %s", end.Result, end.Reason, end.Detail))
		if end.Reason != e.Reason || end.Result != e.Detail["result"] || end.Detail != e.Detail["why"] ||
			end.Manifest != s.Rec.Digest || end.Version != s.Rec.Ext.Version {
			out = append(out, fmt.Sprintf("and evidence %+v", e))
		}
	} else {
		out = append(out, fmt.Sprintf("%s %s", next.Rec.Phase, e.Reason))
	}
	if w := next.Waiting; w.Digest != "" && next.Rec.Phase == life.Idle {
		is := "waits"
		if w.Budget.Failures > s.Waiting.Budget.Failures {
			is += ", counted"
		}
		if w.Budget.Costly > s.Waiting.Budget.Costly {
			is += ", costly"
		}
		out = append(out, is)
	}
	if n := next.Budget.Rewrites; n > s.Budget.Rewrites {
		out = append(out, fmt.Sprint("rewrites ", n))
	}
	if finalOf(eff) != "" {
		out = append(out, "final")
	}
	switch {
	case fromZero:
		out = append(out, "from zero")
	case next.Waiting.Digest != "" && next.Rec.Phase == life.Idle:
		out = append(out, "resumes")
	}
	return strings.Join(out, "; ")
}

// TestWaysBack: how a trial that failed ends in the old system: whose fault it was, whether the image is quarantined,
// and whether the offer is tried again.
func TestWaysBack(t *testing.T) {
	for _, c := range []struct {
		name  string
		cause reason.Reason
		set   func(*life.State)
		want  string
	}{
		{"health failed", reason.HealthFailed, nil, "reverted health-failed, quarantined, final"},
		{"no soak", reason.HealthTimeout, nil, "reverted health-timeout, quarantined, final"},
		{"only the broker was missed", reason.HealthUnreachable, func(s *life.State) { s.Budget.Broker = true },
			"reverted health-unreachable, waits for the broker: reverts 2, fell 0"},
		{"another server was missed", reason.HealthUnreachable, nil,
			"reverted health-unreachable, waits: reverts 2, fell 0"},
		{"the broker was missed in the trial before", reason.NeverTried, func(s *life.State) { s.Budget.Broker = true },
			"reverted never-tried, waits: reverts 2, fell 0"},
		{"the loader came back once", reason.FellBack, nil, "reverted fell-back, waits: reverts 2, fell 1"},
		{"the loader came back twice", reason.FellBack, func(s *life.State) { s.Budget.Fell = 1 },
			"reverted fell-back, quarantined, final"},
		{"all tries are gone", reason.TrialBootsExhausted, nil, "reverted trial-boots-exhausted, quarantined, final"},
		{"the only try is gone", reason.TrialBootsExhausted, func(s *life.State) { s.Rec.Ext.Tries = 1 },
			"reverted trial-boots-exhausted, waits: reverts 2, fell 1"},
		{"never tried", reason.NeverTried, nil, "reverted never-tried, waits: reverts 2, fell 0"},
		{"the reboot did not come", reason.RebootFailed, nil, "reverted reboot-failed, waits: reverts 2, fell 0"},
		{"and so for the hundredth time", reason.RebootFailed, func(s *life.State) { s.Budget.Reverts = 99 },
			"reverted reboot-failed, waits: reverts 100, fell 0"},
		{"an operator ended it", reason.OperatorRevert, nil, "reverted operator-revert, final"},
		{"a technician's install", reason.RebootFailed, func(s *life.State) {
			s.Rec.Ext.Local, s.Waiting = true, life.Waiting{}
		}, "reverted reboot-failed"},
		{"an operator's way back failed", reason.RebootFailed, func(s *life.State) {
			s.Rec.Ext.Revert, s.Waiting = true, life.Waiting{}
		}, "failed reboot-failed"},
		{"an operator's way back to what is offered failed", reason.RebootFailed, func(s *life.State) {
			s.Rec.Ext.Revert = true
		}, "failed reboot-failed"},
		{"an operator ended his way back", reason.OperatorRevert, func(s *life.State) {
			s.Rec.Ext.Revert, s.Waiting = true, life.Waiting{}
		}, "reverted operator-revert"},
		{"a synthetic trial", reason.HealthFailed, func(s *life.State) { s.Rec.Digest, s.Rec.Ext.Synthetic = "", true },
			"reverted health-failed, waits: reverts 1, fell 0"},
	} {
		s := usual(life.Reverting)
		s.Run, s.Rec.Ext.Cause = "A", c.cause
		if c.set != nil {
			c.set(&s)
		}
		_, eff := life.Step(s, life.Begun{Moment: moment})
		if eff.Do != life.Action(life.Disable{Slot: "B"}) {
			t.Errorf("%s: begins with %#v", c.name, eff.Do)
		}
		for _, disabled := range []bool{true, false} {
			d := life.Done{Moment: moment, Do: eff.Do, Boot: metadata(full, off, "A"), BootOK: true}
			if !disabled {
				d.Class, d.Text = life.IO, "locked"
			}
			next, eff := life.Step(s, d)
			if got := wayBack(next, eff); got != c.want {
				t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
			}
			if (next.Rec.Ext.Pending == reason.DisablePending) == disabled || (eff.Tell.Failed == nil) != disabled {
				t.Errorf("%s: disabled %v, pending %q, told %+v", c.name, disabled, next.Rec.Ext.Pending,
					eff.Tell.Failed)
			}
		}
	}
}

func wayBack(next life.State, eff life.Effects) string {
	var out string
	for _, op := range eff.Commit.Ops {
		if p, ok := op.(life.PutOutcome); ok {
			out = p.Ending.Result + " " + string(p.Ending.Reason)
		}
	}
	for _, q := range eff.Commit.Quar {
		if b, ok := q.(life.Bar); ok {
			out += ", quarantined"
			if b.Digest != offered || len(b.Images) != 1 || !slices.Contains(eff.Commit.Quar,
				life.QuarOp(life.Count{})) {
				out += fmt.Sprintf(" as %+v", eff.Commit.Quar)
			}
		}
	}
	if w := next.Waiting; w.Digest != "" {
		out += ", waits"
		if w.Budget.Broker {
			out += " for the broker"
		}
		out += fmt.Sprintf(": reverts %d, fell %d", w.Budget.Reverts, w.Budget.Fell)
	}
	if finalOf(eff) != "" {
		out += ", final"
	}
	return out
}

// TestNothingElseQuarantines: of all the reasons for which a trial can be left, only those of the new system itself put
// its image into the quarantine; and of all that can end a trial, nothing does that the network can make.
func TestNothingElseQuarantines(t *testing.T) {
	inside := map[reason.Reason]bool{reason.HealthFailed: true, reason.HealthTimeout: true,
		reason.TrialBootsExhausted: true, reason.FellBack: true}
	for _, why := range reason.All() {
		s := usual(life.Reverting)
		s.Run, s.Rec.Ext.Cause, s.Budget.Fell = "A", why, 1
		d := life.Done{Moment: moment, Do: life.Disable{Slot: "B"}, Boot: metadata(full, off, "A"), BootOK: true}
		next, eff := life.Step(s, d)
		if got := len(eff.Commit.Quar) == 2; got != inside[why] {
			t.Errorf("%s: quarantined %v", why, got)
		}
		if gone := next.Waiting.Digest == ""; gone != (inside[why] || why.Info().Closes) {
			t.Errorf("%s: the offer is gone: %v", why, gone)
		}
	}
	for _, v := range []life.Verdict{{Failed: "broker"}, {Failed: "soak"}, {Failed: "deadline"}} {
		v.Moment, v.Local = moment, true
		if s, _ := life.Step(usual(life.Trial), v); s.Rec.Ext.Cause != reason.HealthUnreachable {
			t.Errorf("the local checks held and %q did not: %s", v.Failed, s.Rec.Ext.Cause)
		}
	}
}
