package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// Offer is what is asked for, and by which device. NewOffer makes one.
type Offer struct {
	Manifest   manifest.Digest
	Sequence   uint64
	Components []string // as manifest.ComponentID.String
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

// NewOffer takes everything from where Decide takes it.
func NewOffer(m manifest.Manifest, device string, r Rules, f Facts, now Now) Offer {
	o := Offer{Manifest: m.Digest(), Sequence: m.Sequence(), Signers: m.Signers(), Device: device, Vendors: f.Device.Vendors,
		Classes: f.Device.Classes, Local: f.Local, Now: now, UnknownTimeWaits: r.UnknownTimeWaits}
	for _, c := range m.Components() {
		o.Components = append(o.Components, c.String())
	}
	return o
}

// Scope is what a device is, for trust.Root.At and trust.Root.Release.
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

// Standing is who may say what to this device, and what they said last.
type Standing struct {
	Root    trust.Root // at this device, see trust.Root.At
	Counter uint64     // root version in the hardware counter, 0 when there is none
	Unread  string     // why the hardware counter cannot be read, "" when it can or there is none
	Plan    Campaign   // verified under Root; zero: none
	Pulse   Pulse      // verified under Root; zero: none
	Memory  Memory
}

// Ask tells what the root and, unless a technician installs at the console, the plan and its pulse
// have against the offer. A withdrawal that is known counts at the console too. Decision.With adds
// the findings to a decision; they are asked for anew at every stop point.
func (s Standing) Ask(o Offer) []Finding {
	findings := s.rooted(o)
	if !o.Local {
		return append(findings, s.Plan.Admit(s.Root, s.Pulse, o, s.Memory)...)
	}
	for _, w := range s.Memory.Withdrawn {
		if w.Manifest == o.Manifest.String() {
			findings = append(findings, found(reason.PlanWithdrawn, "at the console too"))
			break
		}
	}
	return findings
}

// rooted: what the root has against the offer.
func (s Standing) rooted(o Offer) (findings []Finding) {
	r := s.Root
	if r.Revoked(o.Manifest.String()) {
		findings = append(findings, found(reason.Revoked, "by root %d", r.Version()))
	}
	authority := r.Release(Scope(manifest.Device{Vendors: o.Vendors, Classes: o.Classes}))
	for _, c := range o.Components {
		if err := authority.Covers(o.Signers, c); err != nil {
			findings = append(findings, found(reason.SignersInsufficient, "%v", err))
		}
		if lo, hi := r.SequenceRange(c); o.Sequence < lo || o.Sequence > hi {
			findings = append(findings, found(reason.SequenceOutOfRange, "%s: %d, the root admits %d to %d", c, o.Sequence, lo, hi))
		}
	}
	if s.Unread != "" {
		findings = append(findings, found(reason.CounterUnreadable, "%s", s.Unread))
	}
	if r.Version() < s.Counter {
		findings = append(findings, found(reason.RootBehind, "root %d, the counter says %d", r.Version(), s.Counter))
	}
	// An unknown time does not stop a device here: it would stop a technician whose device has no
	// clock. Over the network the pulse asks the same question more sharply.
	if passed, _ := reached(r.Expires(), o.Now, s.Memory.Floor(r, trust.RoleRoot)); passed {
		findings = append(findings, found(reason.RootExpired, "root %d, at %s", r.Version(), stamp(r.Expires())))
	}
	return findings
}

// Admit tells what the plan and its pulse have against the offer: nothing, or every rule that does
// not hold. r and m are as they are now: plan and pulse must be the ones that were taken last, of the
// present generation of their roles.
func (c Campaign) Admit(r trust.Root, p Pulse, o Offer, m Memory) (findings []Finding) {
	fail := func(why reason.Reason, detail string, args ...any) {
		findings = append(findings, found(why, detail, args...))
	}
	s := c.spec
	seen := m.Channels[s.Channel]
	switch {
	case c.IsZero():
		fail(reason.PlanMissing, "no plan was received")
		return findings
	case s.Generation != r.Generation(trust.RoleCampaign) || seen.Plan != c.digest.String():
		fail(reason.PlanVoid, "plan %d of channel %s", s.Sequence, s.Channel)
		return findings
	case s.Manifest != o.Manifest || s.ManifestSequence != o.Sequence:
		fail(reason.PlanMissing, "plan %d is for sequence %d, %s", s.Sequence, s.ManifestSequence, s.Manifest)
		return findings
	case m.withdrawn(c.digest.String()):
		fail(reason.PlanWithdrawn, "plan %d of channel %s", s.Sequence, s.Channel)
	}
	if !s.covers(o) {
		fail(reason.NotInScope, "neither this device nor its class is named")
	}
	if passed, sure := reached(s.ValidUntil, o.Now, m.Floor(r, trust.RoleCampaign)); passed {
		fail(reason.PlanExpired, "at %s", stamp(s.ValidUntil))
	} else if !sure && o.UnknownTimeWaits {
		fail(reason.ClockUnknown, "the plan is valid until %s", stamp(s.ValidUntil))
	}
	return append(findings, c.pulsed(r, p, o, m)...)
}

// pulsed: what the pulse has against the offer.
func (c Campaign) pulsed(r trust.Root, p Pulse, o Offer, m Memory) (findings []Finding) {
	fail := func(why reason.Reason, detail string, args ...any) {
		findings = append(findings, found(why, detail, args...))
	}
	s, seen := p.spec, m.Channels[c.spec.Channel].Pulse
	switch {
	case p.IsZero():
		fail(reason.PulseMissing, "plan %d of channel %s", c.spec.Sequence, c.spec.Channel)
		return findings
	case s.Plan != c.digest || s.Generation != r.Generation(trust.RolePulse) || seen.Pulse != p.digest.String() || s.Phase >= len(c.spec.Phases):
		fail(reason.PulseVoid, "pulse %d, taken was %d", s.Sequence, seen.Sequence)
		return findings
	}
	floor := m.Floor(r, trust.RolePulse)
	if passed, sure := reached(s.Expires, o.Now, floor); passed {
		fail(reason.PulseExpired, "at %s", stamp(s.Expires))
	} else if !sure && o.UnknownTimeWaits {
		fail(reason.ClockUnknown, "the pulse holds until %s", stamp(s.Expires))
	}
	switch s.State {
	case StatePaused:
		fail(reason.Paused, "pulse %d", s.Sequence)
	case StateHalted:
		fail(reason.Halted, "pulse %d", s.Sequence)
	}
	phase := c.spec.Phases[s.Phase]
	if !phase.NotBefore.IsZero() {
		if begun, sure := reached(phase.NotBefore, o.Now, floor); !begun && (sure || o.UnknownTimeWaits) {
			f := found(reason.NotBefore, "phase %d begins at %s", s.Phase+1, stamp(phase.NotBefore))
			if !sure {
				f = found(reason.ClockUnknown, "phase %d begins at %s", s.Phase+1, stamp(phase.NotBefore))
			} else {
				f.Retry = phase.NotBefore.Sub(o.Now.Wall)
			}
			findings = append(findings, f)
		}
	}
	if at := Position(c.spec.Salt, o.Device); at >= phase.BasisPoints {
		fail(reason.NotInCohort, "at %d of 10000, phase %d reaches %d", at, s.Phase+1, phase.BasisPoints)
	}
	return findings
}

// covers: the plan names the device, and one of its classes, where it names any.
func (s PlanSpec) covers(o Offer) bool {
	class := len(s.Classes) == 0 || slices.ContainsFunc(o.Classes, func(c manifest.UUID) bool { return slices.Contains(s.Classes, c) })
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

// found is a finding of a reason, final as the reason is.
func found(why reason.Reason, detail string, args ...any) Finding {
	if len(args) > 0 {
		detail = fmt.Sprintf(detail, args...)
	}
	return Finding{Reason: why, Detail: detail, Final: why.Info().Final, Retry: why.Info().Retry}
}

// With returns the decision with more findings: the outcome follows from all of them, and a plan
// remains only where there is none.
func (d Decision) With(more ...Finding) Decision {
	if len(more) == 0 {
		return d
	}
	d.Findings = append(slices.Clone(d.Findings), more...)
	d.Plan = Plan{}
	d.Outcome = outcome(d.Findings)
	return d
}

func outcome(findings []Finding) Outcome {
	switch {
	case slices.ContainsFunc(findings, func(f Finding) bool { return f.Final }):
		return Refuse
	case len(findings) > 0:
		return Defer
	}
	return Install
}
