package life

import (
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// view is what Reconcile looks at: what is stored, and what the start found.
func (s *State) view() View {
	v := View{HaveRecord: s.Have || s.Frozen, Record: s.Rec, Budget: s.Budget, MaxBoots: s.Dev.MaxBoots}
	// Without a boot id each start looks like another boot.
	v.Power = s.Found.Reset.Power && s.BootID != "" && !s.Found.Reset.Panics.since(s.Rec.Ext.Panics)
	v.SameBoot = s.Rec.Ext.BootID != "" && s.Rec.Ext.BootID == s.BootID
	if s.Run != "" {
		v.Running, v.Runs = s.Run, RunsOther
		if s.Run == s.Rec.Target {
			v.Runs = RunsTarget
		}
	}
	if !s.Found.BootOK {
		return v
	}
	boot := s.Found.Boot
	v.BootValid, v.Self = true, boot.Slots[s.Run]
	target := s.Rec.Target
	if target == "" {
		target = s.Run // what a synthetic trial would be about
	}
	if target != "" {
		v.Target, v.Fallback = boot.Slots[target], boot.Slots[s.other(target)]
	}
	return v
}

// resume is what Reconcile says of this start.
func (s *State) resume() Resume {
	r := Reconcile(s.view())
	if r.Began && s.Found.Lost == "" {
		r.Cause = reason.RunningUnconfirmed // nothing was lost: there was nothing yet
	}
	return r
}

// started puts the start on record, and sees that the running slot stays bootable before anything else.
func started(t *turn) {
	e := t.e.(Started)
	t.Found, t.Run, t.Starting, t.Hold, t.Retake = e, e.Run, true, "", false
	t.WearAt, t.ServedAt = t.now(), t.now()
	if e.Run == "" {
		t.Hold, t.Starting = t.resume().Cause, false
	}
	d := detail("version", t.Dev.Running, "running", string(e.Run), "phase", string(t.Rec.Phase))
	if e.Proof != "" {
		d["why"] = e.Proof
	}
	t.note(evidence.Event{Kind: evidence.KindStart, Slot: string(e.Run), Reason: t.Hold, Detail: t.resetDetail(d)})
	if len(t.Safe) > 0 {
		t.note(evidence.Event{Kind: evidence.KindSafeMode, Reason: reason.BootSafeMode,
			Detail: detail("why", t.Safe[0])})
	}
	t.eff.Commit.Optional = "cannot record the start"
	if e.BootOK && e.Boot.Slots[e.Run].Confirmed && t.Rec.Phase != Idle {
		// Idle looks after more than this. A download that outlives many boots, or boot-safe mode in the
		// middle of one, must not drain the tries of a loader that counts every boot (brick 1).
		t.do(Refresh{e.Run})
	}
}

func refreshedAtStart(t *turn) {
	if e := t.e.(Done); e.Class != OK {
		t.failed("cannot refill the running slot", e.Text)
	}
}

// resumed makes durable what the start found.
func resumed(t *turn) {
	r := t.resume()
	t.Starting = false
	const found = "found at start"
	switch {
	case r.Ended && r.Cause == reason.LostAfterConfirm:
		t.lost(found)
	case r.Ended: // the slot that was written is not the target any more
		t.give(r.Cause, found, true, DropCheckpoints{})
	case r.Began:
		t.synthetic(r.Cause)
	case r.Count:
		t.countBoot(r.Cut)
	case r.Same, r.To == Idle:
	case r.To == Reverting:
		if r.Cut {
			t.chargeCut()
		}
		t.goBackFor(r.Cause, t.resetDetail(detail("why", found)))
	default:
		if r.Redo {
			t.charge(Untried)
		}
		t.move(r.To, r.Cause, evidence.Event{Detail: detail("from", "start")})
	}
}

// lost: the slot was confirmed, and the loader left it. The release does not run, so that it is not called
// installed; it is taken up again like one that was left after it was armed.
func (t *turn) lost(text string) {
	if !t.Rec.Ext.Revert {
		t.ops(DropFinal{t.Rec.Digest})
	}
	t.charge(Reverts)
	t.give(reason.LostAfterConfirm, text, true)
}

// startNotTaken: the old phase stands, and is reconciled again at the next start. Where that counts no
// boot, it need not wait for one.
func startNotTaken(t *turn) {
	e, v, r := t.e.(NotTaken), t.view(), t.resume()
	t.failed("cannot record how the last action ended", e.Text)
	if r.Began || v.Runs == RunsTarget && (r.To == Trial || r.To == Reverting) {
		t.bail(v, e.Text)
	}
	t.Starting, t.Hold, t.Retake = false, reason.JournalUnwritable, !r.Count
	t.RetakeAt = t.now() + retakeEvery
}

// synthetic begins a trial that no record announced: the journal was lost while a slot was on trial,
// or somebody else armed it. It ends in confirm or revert like any other, without a floor.
func (t *turn) synthetic(why reason.Reason) {
	from, key := t.Rec, syntheticKey(t.Run)
	n := 1 + t.Tally.boots(key)
	t.quar(Count{key, n})
	t.Rec = Record{Phase: Trial, Target: t.Run, Ext: Ext{Synthetic: true, Began: t.now(),
		Panics: t.Found.Reset.Panics}}
	t.Budget = Budget{Boots: n}
	t.Tending = false
	t.become(from, why, evidence.Event{Kind: evidence.KindBoot, Detail: detail("trial", "synthetic")})
}

func syntheticKey(s bootctl.Slot) string { return "synthetic:" + string(s) }

// countBoot counts a trial boot, in the quarantine file and in the record, before health is asked.
//
// Crash: before the file -> this boot is not counted by us, but the loader's own counter was
// decremented; between file and record -> the higher of the two counts.
func (t *turn) countBoot(cut bool) {
	key := t.Rec.Digest
	if t.Rec.Ext.Synthetic {
		key = syntheticKey(t.Rec.Target)
	}
	t.Budget.Boots = max(t.Budget.Boots, t.Tally.boots(key))
	d := detail()
	if cut {
		t.chargeCut()
		d = t.resetDetail(detail("not-counted", itoa(t.Budget.Cuts)))
	}
	if !t.charge(Boots) {
		t.goBackFor(reason.TrialBootsExhausted, t.resetDetail(detail("why", "found at start")))
		return
	}
	n := t.Budget.Boots
	t.quar(Count{key, n})
	t.Rec.Ext.Began = t.now()
	d["trial-boot"] = itoa(n)
	t.move(Trial, reason.None, evidence.Event{Kind: evidence.KindBoot, Detail: d})
}

// notTaken: what could not be made durable was not done. It is tried again, later and later: it may
// load a checkpoint's worth of bytes each time.
func notTaken(t *turn) {
	e := t.e.(NotTaken)
	t.cannotGoOn(e.Text)
	if t.Rec.Phase == Idle && t.RetryAt == 0 && t.Waiting.Digest != "" {
		t.RetryAt = t.now() + firstBackoff
	}
	t.Tried, t.Rules = 0, ""
	if t.Rec.Phase == Trial || t.Rec.Phase == Reverting {
		t.Bail, t.BailWhy = true, e.Text
		t.do(Look{Proof: true})
		return
	}
	t.waitAfterFailure()
}

func (t *turn) cannotGoOn(text string) { t.failed("cannot go on in phase "+string(t.Rec.Phase), text) }

// checkpointNotTaken: neither source nor slot is to blame, and nothing could be put on record anyway.
func checkpointNotTaken(t *turn) {
	t.cannotGoOn(t.e.(Done).Text)
	t.waitAfterFailure()
}

func (t *turn) waitAfterFailure() {
	t.do(Wait{Until: t.now() + min(againAfter<<min(t.Failed, maxShift), t.Dev.RetryMax), Requests: true})
	t.Failed++
}

// bailed has looked again: nothing of the trial can be made durable, so that the bootloader's counter
// decides (loop 12).
func bailed(t *turn) {
	e := t.e.(Done)
	t.Run, t.Bail = e.Run, false
	t.Found.Boot, t.Found.BootOK = e.Boot, e.BootOK
	if v := t.view(); v.Runs == RunsTarget {
		t.bail(v, t.BailWhy)
	}
	if t.eff.Do == nil {
		t.waitAfterFailure()
	}
}

func plainStays(t *turn) {
	if t.Hold == "" {
		t.waitAfterFailure()
	}
}

// bail hands the decision back to the bootloader, because the journal cannot be written: a plain
// reboot uses up a try, as long as there is something to fall back to. Without a fallback the system
// that runs goes on running.
//
// Crash: nothing was made durable by us (the sole exception to I5); the loader's own counter bounds it.
func (t *turn) bail(v View, why string) {
	counted := v.Target.Tries >= 0 || v.Target.Exhausted
	if !v.BootValid || !v.Fallback.Bootable || v.Target.Confirmed || !counted {
		t.failed("the trial cannot be recorded and there is no way back", why)
		return
	}
	t.failed("the trial cannot be recorded; rebooting unconfirmed", why)
	t.do(Reboot{Plain: true})
}

// retake waits; what a person asks meanwhile does not make it longer.
func retake(t *turn) {
	if t.now() >= t.RetakeAt {
		startAgain(t)
		return
	}
	t.do(Wait{Until: t.RetakeAt, Requests: true})
}

func startAgain(t *turn) {
	t.Hold, t.Retake = "", false
	t.do(Start{})
}
func hold(t *turn) { t.do(Wait{Until: t.now() + holdEvery, Requests: true}) }
