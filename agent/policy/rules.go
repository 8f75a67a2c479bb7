package policy

import (
	"errors"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// question is one call of Decide.
type question struct {
	m      manifest.Manifest
	stage  Stage
	rules  Rules
	facts  Facts
	now    Now
	update manifest.Update // empty when the manifest does not resolve or one of its conditions fails
	err    error
}

// resolve runs the manifest's own conditions against the facts.
func (q *question) resolve() {
	d := q.facts.Device
	d.Now, d.TimeKnown = q.now.Wall, q.now.Known || !q.rules.UnknownTimeWaits
	if q.facts.Local {
		d.Authorized = nil // whoever installs at the console has agreed
	}
	q.update, q.err = q.m.Resolve(d)
}

// fail reports that a rule does not hold; a retry of 0 is the one of the reason.
type fail func(why reason.Reason, retry time.Duration, detail string, args ...any)

// rule is one rule: the reasons that it may give, and the check.
type rule struct {
	reasons []reason.Reason
	ask     func(q *question, fail fail)
}

// rules is the list, in the order in which findings are told: what the device is, what the manifest
// demands, what was before, what fits, and last what only needs time.
var rules = []rule{
	{[]reason.Reason{reason.Decommissioned}, notDecommissioned},
	{[]reason.Reason{reason.SlotMissing, reason.ManifestUnsupported}, supported},
	{[]reason.Reason{
		reason.WrongVendor, reason.WrongClass, reason.WrongDevice, reason.VersionCondition, reason.Expired, reason.ClockUnknown,
		reason.WrongSlot, reason.LowBattery, reason.ApprovalRequired, reason.ConditionFailed,
	}, conditions},
	{[]reason.Reason{reason.SequenceBelowFloor, reason.SequenceReused}, sequence},
	{[]reason.Reason{reason.Quarantined}, notQuarantined},
	{[]reason.Reason{reason.AlreadyInstalled}, notInstalled},
	{[]reason.Reason{reason.ImageTooLarge, reason.SlotBusy}, fits},
	{[]reason.Reason{reason.LowBattery}, power},
	{[]reason.Reason{reason.OutsideWindow, reason.ClockUnknown}, window},
	{[]reason.Reason{reason.LinkMetered}, link},
	{[]reason.Reason{reason.ApprovalRequired}, approval},
}

func notDecommissioned(q *question, fail fail) {
	if q.facts.Decommissioned {
		fail(reason.Decommissioned, 0, "")
	}
}

// supported: the manifest asks for nothing that this device cannot do.
func supported(q *question, fail fail) {
	var e *manifest.Error
	switch {
	case errors.As(q.err, &e) && e.Code == manifest.CodeComponent:
		fail(reason.SlotMissing, 0, "%s", e)
	case q.err != nil:
		fail(reason.ManifestUnsupported, 0, "%s", q.err)
	case len(q.update.Installs) == 0 && len(q.update.Findings) == 0:
		fail(reason.ManifestUnsupported, 0, "it installs nothing on this device")
	}
}

// SUIT commands (draft-ietf-suit-manifest and draft-ietf-suit-update-management, "SUIT Commands").
const (
	conditionVendor        = 1
	conditionClass         = 2
	conditionUseBefore     = 4
	conditionSlot          = 5
	conditionDevice        = 24
	conditionBattery       = 26
	conditionAuthorization = 27
	conditionVersion       = 28
)

// conditions: what the manifest itself demands of the device holds.
func conditions(q *question, fail fail) {
	for _, c := range q.update.Findings {
		why := reason.ConditionFailed
		switch c.Condition {
		case conditionVendor:
			why = reason.WrongVendor
		case conditionClass:
			why = reason.WrongClass
		case conditionDevice:
			why = reason.WrongDevice
		case conditionVersion:
			why = reason.VersionCondition
		case conditionUseBefore:
			if why = reason.Expired; !q.now.Known && q.rules.UnknownTimeWaits {
				why = reason.ClockUnknown
			}
		case conditionSlot:
			why = reason.WrongSlot
		case conditionBattery:
			why = reason.LowBattery
		case conditionAuthorization:
			why = reason.ApprovalRequired
		}
		fail(why, 0, "%s", c.Detail)
	}
}

// sequence: nothing older than what was confirmed, and one manifest per number. The same manifest
// again is a retry (draft-ietf-suit-manifest section 6.2 refuses lower numbers only).
func sequence(q *question, fail fail) {
	seq, digest, floor := q.m.Sequence(), q.m.Digest(), q.facts.Floor
	if seq < floor.Sequence {
		fail(reason.SequenceBelowFloor, 0, "sequence %d, confirmed is %d", seq, floor.Sequence)
		return
	}
	bound := manifest.Digest{}
	if seq == floor.Sequence {
		bound = floor.Manifest
	}
	if q.facts.Bound != nil {
		if d, ok := q.facts.Bound(seq); ok {
			bound = d
		}
	}
	if !bound.IsZero() && bound != digest {
		fail(reason.SequenceReused, 0, "sequence %d is %s here", seq, bound)
	}
}

func notQuarantined(q *question, fail fail) {
	if q.facts.Quarantined == nil {
		return
	}
	if cause, ok := q.facts.Quarantined(q.m.Digest()); ok {
		fail(reason.Quarantined, 0, "manifest, for %s", cause)
	}
	for _, i := range q.update.Installs {
		if cause, ok := q.facts.Quarantined(i.Image); ok {
			fail(reason.Quarantined, 0, "image of %s, for %s", i.Component, cause)
		}
	}
}

// notInstalled: at least one image differs from what runs. Only a confirmed system counts as
// installed; the manifest need not be the same one, for the image is what runs.
func notInstalled(q *question, fail fail) {
	for _, i := range q.update.Installs {
		if q.facts.Running[i.Component] != i.Image {
			return
		}
	}
	if len(q.update.Installs) > 0 {
		fail(reason.AlreadyInstalled, 0, "")
	}
}

func fits(q *question, fail fail) {
	for _, i := range q.update.Installs {
		switch size, ok := q.facts.SlotSize[i.Component]; {
		case !ok:
			// The slot exists, else the manifest would not have resolved. Somebody may hold it.
			fail(reason.SlotBusy, 0, "the size of %s could not be measured", i.Component)
		case i.Size > size:
			fail(reason.ImageTooLarge, 0, "%s has %d bytes, the slot %d", i.Component, i.Size, size)
		}
	}
}

// power: the configured charge is there. An unknown one is none.
func power(q *question, fail fail) {
	switch f := q.facts; {
	case q.rules.MinBattery <= 0 || f.SupplyKnown && f.Mains:
	case !f.SupplyKnown || f.Battery < 0:
		fail(reason.LowBattery, 0, "charge is unknown, %d %% are demanded", q.rules.MinBattery)
	case f.Battery < q.rules.MinBattery:
		fail(reason.LowBattery, 0, "charge is %d %%, %d %% are demanded", f.Battery, q.rules.MinBattery)
	}
}

func window(q *question, fail fail) {
	if len(q.rules.Windows) == 0 || q.facts.Local || q.stage == Download && !q.rules.WindowCoversDownload {
		return
	}
	if !q.now.Known {
		fail(reason.ClockUnknown, 0, "a maintenance window is configured")
		return
	}
	if wait, open := untilOpen(q.rules.Windows, q.now.Wall); !open {
		fail(reason.OutsideWindow, wait, "next at %s", q.now.Wall.Add(wait).UTC().Format("2006-01-02 15:04Z"))
	}
}

// link: bytes that cost money are loaded only where that is allowed. What comes inside of the
// manifest is here already.
func link(q *question, fail fail) {
	if q.stage != Download || !q.facts.Metered || q.rules.AllowMetered || q.facts.Local {
		return
	}
	bytes := int64(0)
	for _, i := range q.update.Installs {
		if i.Content == nil {
			bytes += max(i.PayloadSize, 1)
		}
	}
	if bytes > 0 || len(q.update.Installs) == 0 {
		fail(reason.LinkMetered, 0, "")
	}
}

func approval(q *question, fail fail) {
	if q.facts.Approved || q.facts.Local {
		return
	}
	switch q.rules.Approval {
	case "", ApprovalNone:
	case ApprovalDownload:
		if q.stage == Download {
			fail(reason.ApprovalRequired, 0, "before the download")
		}
	case ApprovalInstall:
		if q.stage == Arm {
			fail(reason.ApprovalRequired, 0, "before the restart")
		}
	default:
		fail(reason.ApprovalRequired, 0, "approval %q is no word of the configuration", q.rules.Approval)
	}
}
