package agent

import (
	"context"
	"errors"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// start reads the record, reconciles it with what really is, and makes the outcome durable. It
// never fails: what it cannot do it reports, and the device goes on in boot-safe mode or holds.
func (a *Agent) start(ctx context.Context) {
	rec, have, err := a.st.record()
	switch {
	case errors.Is(err, errRecord):
		a.frozen = true
		a.addSafe(err.Error())
		a.rec = Record{Phase: Idle}
	case err != nil:
		a.addSafe(err.Error())
		a.frozen = true
	default:
		a.rec = rec
	}
	first := !provisioned(a.o.FS, a.o.StateDir)
	why := a.o.JournalLost
	begun := a.st.lastSeq().Seq > 0
	if why == "" && !have && !first && !begun {
		why = reason.JournalLost
	}
	if err := a.st.begin(why, a.q.lastHead()); err != nil {
		a.fail("cannot begin evidence", err)
	} else if first && a.o.Journal != nil {
		// Crash: the marker follows the first durable journal -> before: a first boot again; after: a
		// journal that is gone later is a loss, and said so.
		if err := markProvisioned(a.o.FS, a.o.StateDir, a.o.Device); err != nil {
			a.fail("cannot mark the device as provisioned", err)
		}
	}
	view, proof := a.look(ctx, have || a.frozen)
	step := Reconcile(view)
	if step.Began && !have && why == "" {
		step.Cause = reason.RunningUnconfirmed // nothing was lost: there was nothing yet
	}
	if view.Runs == RunsUnknown {
		a.hold = step.Cause
		a.log.Error("nothing is written in this boot", "error", proof)
	}
	detail := map[string]string{"version": a.o.Running, "running": string(a.run), "phase": string(a.rec.Phase)}
	if proof != nil {
		detail["why"] = proof.Error()
	}
	e := evidence.Event{Kind: evidence.KindStart, Slot: string(a.run), Reason: a.hold, Detail: detail}
	if err := a.note(e); err != nil {
		a.fail("cannot record the start", err)
	}
	if len(a.safe) > 0 {
		for _, s := range a.safe {
			a.log.Error("boot-safe mode", "why", s)
		}
		e := evidence.Event{Kind: evidence.KindSafeMode, Reason: reason.BootSafeMode, Detail: map[string]string{"why": a.safe[0]}}
		if err := a.note(e); err != nil {
			a.fail("cannot record boot-safe mode", err)
		}
	}
	if a.hold != "" {
		a.publish()
		return
	}
	if view.BootValid && view.Self.Confirmed && a.rec.Phase != Idle {
		// Idle looks after more than this. A download that outlives many boots, or boot-safe mode in the
		// middle of one, must not drain the tries of a loader that counts every boot (brick 1).
		if err := a.o.Boot.Refresh(ctx, a.run); err != nil {
			a.fail("cannot refill the running slot", err)
		}
	}
	if err := a.take(ctx, view, step); err != nil {
		a.fail("cannot record how the last action ended", err)
		if step.Began || view.Runs == RunsTarget && (step.To == Trial || step.To == Reverting) {
			a.trialUnwritable(ctx, view, err)
		}
		// The step is not taken: the old phase stands, and is reconciled again at the next start. Where that
		// counts no boot, it need not wait for one.
		a.hold = reason.JournalUnwritable
		a.retake = !step.Began && !step.Count
	}
	a.publish()
}

func (a *Agent) fail(what string, err error) {
	a.trouble.Store(&trouble{what: what, text: what + ": " + err.Error(), journal: errors.Is(err, errDurable)})
	a.log.Error(what, "error", err)
}

// well takes back what fail said.
func (a *Agent) well(what string) {
	if t := a.trouble.Load(); t != nil && t.what == what {
		a.trouble.Store(nil)
	}
}

// take makes a step of Reconcile durable.
func (a *Agent) take(ctx context.Context, v View, s Step) error {
	switch {
	case s.Ended:
		return a.end("failed", s.Cause, "found at start")
	case s.Began:
		return a.synthetic(s.Cause)
	case s.To == Trial && s.Count:
		return a.countBoot()
	case s.Same && s.To == a.rec.Phase:
		return nil
	case s.To == Reverting:
		return a.revert(s.Cause, "found at start")
	case s.To == Idle:
		return nil
	}
	edit := func(r *Record) {
		if s.Redo {
			r.Ext.NeverTried++
		}
	}
	return a.move(s.To, s.Cause, edit, evidence.Event{Detail: map[string]string{"from": "start"}})
}

// synthetic begins a trial that no record announced: the journal was lost while a slot was on
// trial, or somebody else armed it. It ends in confirm or revert like any other, without a floor.
func (a *Agent) synthetic(why reason.Reason) error {
	running := a.run
	return a.move(Trial, why, func(r *Record) {
		*r = Record{Phase: Trial, Target: running, Boots: 1 + a.q.boots(syntheticKey(running)),
			Ext: Ext{BootID: a.bootID, Origin: a.other(running).Name, Synthetic: true, Began: a.o.Clock.Uptime()}}
		a.countInQuarantine(syntheticKey(running), r.Boots)
	}, evidence.Event{Kind: evidence.KindBoot, Detail: map[string]string{"trial": "synthetic"}})
}

func syntheticKey(s bootctl.Slot) string { return "synthetic:" + string(s) }

// countBoot makes a trial boot durable, in the quarantine file and in the record, before health is asked.
//
// Crash: before the file -> this boot is not counted by us, but the loader's own counter was
// decremented; between file and record -> the higher of the two counts.
func (a *Agent) countBoot() error {
	key := a.rec.Digest
	if a.rec.Ext.Synthetic {
		key = syntheticKey(a.rec.Target)
	}
	n := max(a.rec.Boots, a.q.boots(key)) + 1
	a.countInQuarantine(key, n)
	if n > a.o.MaxBoots {
		return a.revert(reason.TrialBootsExhausted, "found at start")
	}
	return a.move(Trial, reason.None, func(r *Record) {
		r.Boots = n
		r.Ext.Began = a.o.Clock.Uptime()
	}, evidence.Event{Kind: evidence.KindBoot, Detail: map[string]string{"trial-boot": itoa(n)}})
}

func (a *Agent) countInQuarantine(key string, n int) {
	a.q.setBoots(key, n)
	a.saveQuarantine()
}

// saveQuarantine writes the quarantine file. What it does not take now is tried again in idle: the
// journal bars the manifest meanwhile, and a device whose state directory is full must go on.
func (a *Agent) saveQuarantine() {
	const what = "cannot write the quarantine file"
	if err := a.q.save(evidenceHead(a.st.lastSeq())); err != nil {
		a.fail(what, err)
		return
	}
	a.well(what)
}
