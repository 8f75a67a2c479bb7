package life

import "github.com/ratchet-ota/ratchet/agent/reason"

// A trial boot that ended because the power went says nothing about the image, where the machine can tell. Each start
// can tell it of the boot before it, so that what no agent saw is not excused: a boot of the target that was cut off
// early, with another one behind it, counts. Nor is the loader told: its counter goes on, and bounds all of it.

// ended is how many boots of the target are over, as far as the record or the loader knows.
func (v View) ended() int {
	n, armed := v.Budget.Boots+v.Budget.Cuts, v.Record.Ext.Tries
	used := 0
	switch {
	case v.Target.Exhausted:
		used = armed
	case v.BootValid && v.Target.Tries >= 0 && v.Target.Bootable && !v.Target.Confirmed:
		used = armed - v.Target.Tries
	}
	if v.Runs == RunsTarget {
		used-- // the present one
	}
	return max(n, used)
}

// cut tells whether a loss of power ended the last boot of the target, and is no fault of its image.
func (v View) cut() bool {
	_, left := v.Budget.Charge(Excused, Limits{MaxBoots: v.MaxBoots})
	return v.Power && !v.SameBoot && left && v.ended() > 0
}

// excuse takes off what a start finds wrong what losses of power have done.
func excuse(v View, r Resume) Resume {
	switch {
	case r.Hold || r.Same || r.Ended:
		return r
	case r.To == Trial && r.Count:
		r.Cut = v.cut()
		return r
	case r.To != Reverting || v.Runs != RunsOther:
		return r
	case r.Cause != reason.FellBack && r.Cause != reason.TrialBootsExhausted:
		return r
	}
	if v.ended() == 0 {
		v.Budget.Boots = 1 // a loader that keeps no count came back from it
	}
	r.Cut = v.cut()
	guilty := v.ended() - v.Budget.Cuts
	if r.Cut {
		guilty--
	}
	switch {
	case guilty == v.ended(): // nothing to excuse
	case guilty <= 0:
		r.Cause = reason.PowerLost
	case guilty == 1: // as any boot of which nobody knows why it ended
		r.Cause = reason.FellBack
	}
	return r
}

// chargeCut counts a boot of the target that a loss of power has ended. It is not one of those that count.
func (t *turn) chargeCut() {
	t.charge(Cuts)
	t.charge(Excused)
	t.Budget.Boots = max(t.Budget.Boots-1, 0)
}

// resetDetail adds to what is put on record why this boot began.
func (t *turn) resetDetail(d map[string]string) map[string]string {
	r := t.Found.Reset
	if r.Says != "" {
		d["reset"] = r.Says
	}
	if armed := t.Rec.Phase != Idle && !t.Rec.Phase.beforeArm(); armed && r.Panics.since(t.Rec.Ext.Panics) {
		d["panic"] = "a record of a kernel panic has come since the arming"
	}
	return d
}
