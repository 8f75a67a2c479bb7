package policy

import (
	"errors"
	"slices"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// question is one call of Decide.
type question struct {
	offer  Offer
	facts  Facts
	update manifest.Update // empty when the manifest does not resolve or one of its conditions fails
	err    error

	carries []Carry   // the parts that it leaves out, as far as they can be carried
	missing []Finding // why the others cannot
}

// resolve runs the manifest's own conditions against the facts.
func (q *question) resolve() {
	d, now := q.facts.Device, q.facts.Now
	d.Now, d.TimeKnown = now.Wall, now.Known || !q.facts.Rules.UnknownTimeWaits
	if q.offer.Local {
		d.Authorized = nil // whoever installs at the console has agreed
	}
	q.update, q.err = q.offer.Manifest.Resolve(d)
}

// askRules asks every rule of the list.
func (q *question) askRules() (findings []Finding) {
	for _, rule := range rules {
		rule.ask(q, func(f Finding) { findings = append(findings, f) })
	}
	return findings
}

// lift takes out of the findings what the permit lifts for this manifest. What the manifest itself
// demands (its conditions) is the word of those who released it, and no permit lifts it. A permit
// answers a challenge on the console, and serves nobody else.
func (q *question) lift(p campaign.Permit, findings []Finding) (left, lifted []Finding) {
	if !q.offer.Local || p.IsZero() || p.Spec().Manifest != q.offer.Manifest.Digest() {
		return findings, nil
	}
	if q.err != nil || len(q.update.Installs) == 0 { // it does not resolve, or a condition of its own fails
		return findings, nil
	}
	lifts := p.Spec().Lifts
	for _, f := range findings {
		if slices.Contains(lifts, f.Reason) && campaign.Liftable(f.Reason) {
			lifted = append(lifted, f)
		} else {
			left = append(left, f)
		}
	}
	return left, lifted
}

// fail reports that a rule does not hold.
type fail func(f Finding)

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
		reason.WrongVendor, reason.WrongClass, reason.WrongDevice, reason.VersionCondition, reason.Expired,
		reason.ClockUnknown, reason.WrongSlot, reason.LowBattery, reason.ApprovalRequired, reason.ConditionFailed,
	}, conditions},
	{[]reason.Reason{reason.SequenceBelowFloor, reason.SequenceReused}, sequence},
	{[]reason.Reason{reason.Quarantined}, notQuarantined},
	{[]reason.Reason{reason.AlreadyInstalled}, notInstalled},
	{[]reason.Reason{reason.ImageTooLarge, reason.SlotBusy}, fits},
	{[]reason.Reason{reason.SlotIncomplete}, whole},
	{[]reason.Reason{reason.LowBattery}, power},
	{[]reason.Reason{reason.OutsideWindow, reason.ClockUnknown}, window},
	{[]reason.Reason{reason.LinkMetered}, link},
	{[]reason.Reason{reason.ApprovalRequired}, approval},
}

func notDecommissioned(q *question, fail fail) {
	if q.facts.Decommissioned {
		fail(found(reason.Decommissioned, ""))
	}
}

// supported: the manifest asks for nothing that this device cannot do.
func supported(q *question, fail fail) {
	var e *manifest.Error
	switch {
	case errors.As(q.err, &e) && e.Code == manifest.CodeComponent:
		fail(found(reason.SlotMissing, "%s", e))
	case q.err != nil:
		fail(found(reason.ManifestUnsupported, "%s", q.err))
	case len(q.update.Installs) == 0 && len(q.update.Findings) == 0:
		fail(found(reason.ManifestUnsupported, "it installs nothing on this device"))
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
			if why = reason.Expired; !q.facts.Now.Known && q.facts.Rules.UnknownTimeWaits {
				why = reason.ClockUnknown
			}
		case conditionSlot:
			why = reason.WrongSlot
		case conditionBattery:
			why = reason.LowBattery
		case conditionAuthorization:
			why = reason.ApprovalRequired
		}
		fail(found(why, "%s", c.Detail))
	}
}

// sequence: of no component that it writes anything older than what was confirmed, and one manifest per
// number. The same manifest again is a retry (draft-ietf-suit-manifest section 6.2 refuses lower numbers only).
func sequence(q *question, fail fail) {
	seq, digest := q.offer.Manifest.Sequence(), q.offer.Manifest.Digest()
	for _, c := range q.writes() {
		floor := q.facts.Floors[c]
		if seq < floor.Sequence {
			fail(found(reason.SequenceBelowFloor, "%s: sequence %d is lower than %d, which was confirmed", c, seq,
				floor.Sequence))
			continue
		}
		bound := manifest.Digest{}
		if seq == floor.Sequence {
			bound = floor.Manifest
		}
		if q.facts.Bound != nil {
			if d, ok := q.facts.Bound(c, seq); ok {
				bound = d
			}
		}
		if !bound.IsZero() && bound != digest {
			fail(found(reason.SequenceReused, "%s: sequence %d was confirmed here for %s", c, seq, bound))
		}
	}
}

// writes names the components that the manifest writes. Where it does not resolve, those that it names and
// the device has: what stands against it by its number is told all the same.
func (q *question) writes() (names []string) {
	for _, i := range q.update.Installs {
		names = append(names, i.Component)
	}
	if len(names) > 0 {
		return names
	}
	for _, c := range q.offer.Manifest.Components() {
		if _, ok := q.facts.Device.Components[c.String()]; ok {
			names = append(names, c.String())
		}
	}
	return names
}

func notQuarantined(q *question, fail fail) {
	if q.facts.Quarantined == nil {
		return
	}
	if cause, ok := q.facts.Quarantined(q.offer.Manifest.Digest()); ok {
		fail(found(reason.Quarantined, "the manifest, because of %s", cause))
	}
	for _, i := range q.update.Installs {
		if cause, ok := q.facts.Quarantined(i.Image); ok {
			fail(found(reason.Quarantined, "the image of %s, because of %s", i.Component, cause))
		}
	}
}

// notInstalled: at least one image differs from what runs. Only a confirmed system counts as
// installed; the manifest need not be the same one, for the image is what runs.
func notInstalled(q *question, fail fail) {
	for _, i := range q.update.Installs {
		if q.facts.Running[i.Component].Image != i.Image {
			return
		}
	}
	if len(q.update.Installs) > 0 {
		fail(found(reason.AlreadyInstalled, ""))
	}
}

func fits(q *question, fail fail) {
	for _, i := range q.update.Installs {
		switch size, ok := q.facts.SlotSize[i.Component]; {
		case !ok:
			fail(unmeasured(q, i.Component))
		case i.Size > size:
			fail(found(reason.ImageTooLarge, "%s has %d bytes, its slot has %d", i.Component, i.Size, size))
		}
	}
	for _, c := range q.carries {
		if _, ok := q.facts.SlotSize[c.Component]; !ok {
			fail(unmeasured(q, c.Component))
		}
	}
}

// unmeasured: the slot exists, else the manifest would not have resolved. Somebody may hold it.
func unmeasured(q *question, component string) Finding {
	if why := q.facts.SlotUnread[component]; why != "" {
		return found(reason.SlotBusy, "the slot of %s could not be measured: %s", component, why)
	}
	return found(reason.SlotBusy, "the slot of %s could not be measured", component)
}

// whole: no part of the slot is left as it happens to be.
func whole(q *question, fail fail) {
	for _, f := range q.missing {
		fail(f)
	}
}

// power: the configured charge is there. An unknown one is none.
func power(q *question, fail fail) {
	switch f := q.facts; {
	case q.facts.Rules.MinBattery <= 0 || f.SupplyKnown && f.Mains:
	case !f.SupplyKnown || f.Battery < 0:
		fail(found(reason.LowBattery, "the charge is not known, and %d %% is required", q.facts.Rules.MinBattery))
	case f.Battery < q.facts.Rules.MinBattery:
		fail(found(reason.LowBattery, "the charge is %d %%, and %d %% is required", f.Battery,
			q.facts.Rules.MinBattery))
	}
}

func window(q *question, fail fail) {
	r := q.facts.Rules
	if len(r.Windows) == 0 || q.offer.Local || q.offer.Stage == Download && !r.WindowCoversDownload {
		return
	}
	if !q.facts.Now.Known {
		fail(found(reason.ClockUnknown, "a maintenance window is configured"))
		return
	}
	if wait, open := untilOpen(placed(r.Windows, q.facts.Now.Zone), q.facts.Now.Wall); !open {
		f := found(reason.OutsideWindow, "the next window opens at %s", stamp(q.facts.Now.Wall.Add(wait)))
		f.Retry = wait
		fail(f)
	}
}

// link: bytes that cost money are loaded only where that is allowed. What comes inside of the
// manifest is here already.
func link(q *question, fail fail) {
	if q.offer.Stage != Download || !q.facts.Metered || q.facts.Rules.AllowMetered || q.offer.Local {
		return
	}
	bytes := int64(0)
	for _, i := range q.update.Installs {
		if i.Content == nil {
			bytes += max(i.PayloadSize, 1)
		}
	}
	if bytes > 0 || len(q.update.Installs) == 0 {
		fail(found(reason.LinkMetered, ""))
	}
}

func approval(q *question, fail fail) {
	if q.facts.Approved || q.offer.Local {
		return
	}
	switch q.facts.Rules.Approval {
	case "", ApprovalNone:
	case ApprovalDownload:
		if q.offer.Stage == Download {
			fail(found(reason.ApprovalRequired, "before the download"))
		}
	case ApprovalInstall:
		if q.offer.Stage == Arm {
			fail(found(reason.ApprovalRequired, "before the restart"))
		}
	default:
		fail(found(reason.ApprovalRequired, "unknown approval mode %q", q.facts.Rules.Approval))
	}
}
