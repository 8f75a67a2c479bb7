package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// asked is an offer as root, plan and pulse look at it.
type asked struct {
	Manifest   manifest.Digest
	Sequence   uint64
	Components []string // as manifest.ComponentID.String
	Carries    []Carry  // parts that it leaves out
	Signers    []string // those whom the authority accepted
	Device     string   // the device's id
	Vendors    []manifest.UUID
	Classes    []manifest.UUID
	Local      bool // a technician's install: no plan and no pulse is needed
	Now        Now
	// UnknownTimeWaits is Rules.UnknownTimeWaits. When false, what cannot be shown to have expired
	// or to lie in the future counts as in time.
	UnknownTimeWaits bool
}

func (q *question) asked() asked {
	m, f := q.offer.Manifest, q.facts
	o := asked{Manifest: m.Digest(), Sequence: m.Sequence(), Signers: m.Signers(),
		Device: f.ID, Vendors: f.Device.Vendors, Classes: f.Device.Classes,
		Local: q.offer.Local, Now: f.Now, UnknownTimeWaits: f.Rules.UnknownTimeWaits, Carries: q.carries}
	for _, c := range m.Components() {
		o.Components = append(o.Components, c.String())
	}
	return o
}

// Scope is what a device is, for trust.Root.At and trust.Root.Release.
//
//go:noinline
func Scope(d manifest.Device) trust.Scope {
	var s trust.Scope
	for _, v := range d.Vendors {
		s.Vendors = append(s.Vendors, v)
	}
	for _, c := range d.Classes {
		s.Classes = append(s.Classes, c)
	}
	return s
}

// Standing is who may say what to this device, and what they said last. The zero value is a device
// without a trust root: nothing is asked for but the signatures of the manifest.
type Standing struct {
	Root    trust.Root        // at this device, see trust.Root.At
	Counter uint64            // root version in the hardware counter, 0 when there is none
	Newest  uint64            // version of the newest root that was verified here, 0 when none is remembered
	Unread  string            // why the hardware counter cannot be read, "" when it can or there is none
	Plan    campaign.Campaign // verified under Root; zero: none
	Pulse   campaign.Pulse    // verified under Root; zero: none
	Memory  campaign.Memory
}

// against tells what the root and, unless a technician installs at the console, the plan and its pulse
// have against the offer. A withdrawal that is known counts at the console too. All of it is asked for
// anew at every stop point.
func (s Standing) against(o asked) []Finding {
	if s.Root.IsZero() {
		return nil
	}
	findings := s.rooted(o)
	if !o.Local {
		return append(findings, admit(s, o)...)
	}
	for _, w := range s.Memory.Withdrawn {
		if w.Manifest == o.Manifest.String() {
			findings = append(findings, found(reason.PlanWithdrawn, "this holds at the console too"))
			break
		}
	}
	return findings
}

// Releasable tells what a root has against a manifest on a device of these vendors and classes,
// whatever the time is: for those who sign plans, before any device is asked.
func Releasable(r trust.Root, m manifest.Manifest, d manifest.Device) []Finding {
	q := question{offer: Offer{Manifest: m}, facts: Facts{Device: d}}
	return releasable(r, q.asked())
}

func releasable(r trust.Root, o asked) (findings []Finding) {
	if r.Revoked(o.Manifest.String()) {
		findings = append(findings, found(reason.Revoked, "by root %d", r.Version()))
	}
	authority := r.Release(Scope(manifest.Device{Vendors: o.Vendors, Classes: o.Classes}))
	for _, c := range o.Components {
		if err := authority.Covers(o.Signers, c); err != nil {
			findings = append(findings, found(reason.SignersInsufficient, "%v", err))
		}
		if lo, hi := r.SequenceRange(c); o.Sequence < lo || o.Sequence > hi {
			findings = append(findings, found(reason.SequenceOutOfRange, "%s: sequence %d, the root allows %d to %d",
				c, o.Sequence, lo, hi))
		}
	}
	return findings
}

// rooted: what the root has against the offer.
func (s Standing) rooted(o asked) []Finding {
	r := s.Root
	findings := append(releasable(r, o), carriable(r, o.Carries)...)
	if s.Unread != "" {
		findings = append(findings, found(reason.CounterUnreadable, "%s", s.Unread))
	}
	if behind := s.behind(); behind != "" {
		findings = append(findings, found(reason.RootBehind, "%s", behind))
	}
	// An unknown time does not stop a device here: it would stop a technician whose device has no
	// clock. Over the network the pulse asks the same question more sharply.
	if passed, _ := reached(r.Expires(), o.Now, s.Memory.Floor(r, trust.RoleRoot)); passed {
		findings = append(findings, found(reason.RootExpired, "root %d expired at %s", r.Version(), stamp(r.Expires())))
	}
	return findings
}

// behind says what there was of a newer root than there is now, "" when there was none.
func (s Standing) behind() string {
	switch r := s.Root.Version(); {
	case r < s.Newest:
		return fmt.Sprintf("root %d, but root %d was verified here before", r, s.Newest)
	case r < s.Counter:
		return fmt.Sprintf("root %d, but the counter says %d", r, s.Counter)
	}
	return ""
}

// Rear is why nothing may be done on the root's word: it is not the newest one that this device has had, or
// nobody can tell. It is asked where no manifest is decided: before a revert, a permit, a document.
func (s Standing) Rear() (reason.Reason, string) {
	if behind := s.behind(); behind != "" {
		return reason.RootBehind, behind
	}
	if s.Unread != "" {
		return reason.CounterUnreadable, s.Unread
	}
	return reason.None, ""
}

// admit tells what the plan and its pulse have against the offer: nothing, or every rule that does
// not hold. Root and memory are as they are now: plan and pulse must be the ones that were taken last,
// of the present generation of their roles.
func admit(st Standing, o asked) (all findings) {
	c, r, m := st.Plan, st.Root, st.Memory
	s := c.Spec()
	seen := m.Channels[s.Channel]
	switch {
	case c.IsZero():
		all.add(reason.PlanMissing, "no plan was received")
		return all
	case s.Generation != r.Generation(trust.RoleCampaign) || seen.Plan != c.Digest().String():
		all.add(reason.PlanVoid, "plan %d of channel %s", s.Sequence, s.Channel)
		return all
	case s.Manifest != o.Manifest || s.ManifestSequence != o.Sequence:
		all.add(reason.PlanMissing, "plan %d is for sequence %d, %s", s.Sequence, s.ManifestSequence, s.Manifest)
		return all
	case m.IsWithdrawn(c.Digest().String()):
		all.add(reason.PlanWithdrawn, "plan %d of channel %s", s.Sequence, s.Channel)
	}
	if !covers(s, o) {
		all.add(reason.NotInScope, "the plan does not name this device or its class")
	}
	if passed, sure := reached(s.ValidUntil, o.Now, m.Floor(r, trust.RoleCampaign)); passed {
		all.add(reason.PlanExpired, "it expired at %s", stamp(s.ValidUntil))
	} else if !sure && o.UnknownTimeWaits {
		all.add(reason.ClockUnknown, "the plan is valid until %s", stamp(s.ValidUntil))
	}
	return append(all, pulsed(st, o)...)
}

// pulsed: what the pulse has against the offer.
func pulsed(st Standing, o asked) (all findings) {
	c, p, r, m := st.Plan, st.Pulse, st.Root, st.Memory
	plan, s := c.Spec(), p.Spec()
	seen := m.Channels[plan.Channel].Pulse
	switch {
	case p.IsZero():
		all.add(reason.PulseMissing, "plan %d of channel %s", plan.Sequence, plan.Channel)
		return all
	case s.Plan != c.Digest(), s.Generation != r.Generation(trust.RolePulse), seen.Pulse != p.Digest().String(),
		s.Phase >= len(plan.Phases):
		all.add(reason.PulseVoid, "pulse %d, and pulse %d was taken last", s.Sequence, seen.Sequence)
		return all
	}
	floor := m.Floor(r, trust.RolePulse)
	if passed, sure := reached(s.Expires, o.Now, floor); passed {
		all.add(reason.PulseExpired, "it expired at %s", stamp(s.Expires))
	} else if !sure && o.UnknownTimeWaits {
		all.add(reason.ClockUnknown, "the pulse is valid until %s", stamp(s.Expires))
	}
	switch s.State {
	case campaign.StatePaused:
		all.add(reason.Paused, "pulse %d", s.Sequence)
	case campaign.StateHalted:
		all.add(reason.Halted, "pulse %d", s.Sequence)
	}
	phase := plan.Phases[s.Phase]
	if !phase.NotBefore.IsZero() {
		if begun, sure := reached(phase.NotBefore, o.Now, floor); !begun && (sure || o.UnknownTimeWaits) {
			f := found(reason.NotBefore, "phase %d begins at %s", s.Phase+1, stamp(phase.NotBefore))
			if !sure {
				f = found(reason.ClockUnknown, "phase %d begins at %s", s.Phase+1, stamp(phase.NotBefore))
			} else {
				f.Retry = phase.NotBefore.Sub(o.Now.Wall)
			}
			all = append(all, f)
		}
	}
	if at := campaign.Position(plan.Salt, o.Device); at >= phase.BasisPoints {
		all.add(reason.NotInCohort, "this device is at %d of 10000, phase %d reaches %d", at, s.Phase+1,
			phase.BasisPoints)
	}
	return all
}

// findings is a list of them that grows.
type findings []Finding

//go:noinline
func (f *findings) add(why reason.Reason, detail string, args ...any) {
	*f = append(*f, found(why, detail, args...))
}

// covers: the plan names the device, and one of its classes, where it names any.
func covers(s campaign.PlanSpec, o asked) bool {
	named := func(c manifest.UUID) bool { return slices.Contains(s.Classes, c) }
	class := len(s.Classes) == 0 || slices.ContainsFunc(o.Classes, named)
	return class && (len(s.Devices) == 0 || slices.Contains(s.Devices, o.Device))
}

// reached tells whether an instant has been reached, and whether that is sure. It cannot be earlier
// than the floor, whatever the clock says and even if it says nothing.
func reached(t time.Time, now Now, floor time.Time) (yes, sure bool) {
	if !floor.Before(t) {
		return true, true
	}
	return now.Known && !now.Wall.Before(t), now.Known
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04Z") }
