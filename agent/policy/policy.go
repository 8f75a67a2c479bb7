// Package policy decides whether this device may take an update now.
//
// Decide is the one decision: what is offered, who may say what to this device (Standing), what a
// recovery permit lifts, and facts about the device go in; everything that stands against the offer
// comes out. It is pure. It asks nobody, changes nothing, and gives the same answer to the same facts; the
// agent calls it before the download, and again before it arms the bootloader. Every rule that does
// not hold is reported, not only the first, each with a stable reason. It keeps no state, so there
// is nothing that could be lost with the power.
package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// Stage is the stop point that asks.
type Stage int

const (
	// Download: before any byte of an image is loaded.
	Download Stage = iota
	// Arm: the image is in the slot and read back; before the bootloader is told to try it.
	Arm
)

// What a person at the device has to agree to.
const (
	ApprovalNone     = "none"
	ApprovalDownload = "download" // before an image is loaded
	ApprovalInstall  = "install"  // before the bootloader is armed
)

// Rules is what the device's configuration says.
type Rules struct {
	MinBattery           int      // per cent, 0 = no limit; mains is as good as a full battery
	Windows              []Window // none = always
	WindowCoversDownload bool     // the windows hold for the download too, not only for arming
	AllowMetered         bool
	Approval             string // ApprovalNone or "", ApprovalDownload, ApprovalInstall
	// UnknownTimeWaits: while the time is not known, a manifest with an expiry waits. The
	// configuration's default is true. When false, the expiry is compared with what the clock shows.
	UnknownTimeWaits bool
}

// Validate checks the rules.
func (r Rules) Validate() error {
	if r.MinBattery < 0 || r.MinBattery > 100 {
		return fmt.Errorf("minimum battery of %d per cent: want 0 to 100", r.MinBattery)
	}
	if !slices.Contains([]string{"", ApprovalNone, ApprovalDownload, ApprovalInstall}, r.Approval) {
		return fmt.Errorf("approval %q: want %q, %q or %q", r.Approval, ApprovalNone, ApprovalDownload, ApprovalInstall)
	}
	for i, w := range r.Windows {
		if err := w.Validate(); err != nil {
			return fmt.Errorf("window %d: %w", i+1, err)
		}
	}
	return nil
}

// Floor is the highest confirmed sequence of a component, and the manifest that was confirmed under it.
type Floor struct {
	Sequence uint64
	Manifest manifest.Digest
}

// Offer is a verified manifest that asks to be installed, and where it asks.
type Offer struct {
	Manifest manifest.Manifest
	Stage    Stage
	// Local: a technician's install at the console. It needs no plan, no pulse, no window and no
	// approval, and may use a metered link; only here a permit counts.
	Local bool
}

// Facts is what the device is at this moment.
type Facts struct {
	ID         string          // device id, as plans name it
	Device     manifest.Device // its Now and TimeKnown are taken from Now, below
	Rules      Rules
	Now        Now
	SlotSize   map[string]int64  // bytes of the inactive slot, per component; absent = could not be measured
	SlotUnread map[string]string // why it could not be measured, per component
	Floors     map[string]Floor  // per component; absent = nothing was confirmed
	// manifest confirmed for a component under a sequence; nil = none
	Bound func(component string, seq uint64) (manifest.Digest, bool)
	// by manifest or image digest, and its cause; nil = none
	Quarantined    func(d manifest.Digest) (reason.Reason, bool)
	Running        map[string]Part // what was confirmed in the running slot, per component; absent = not known
	Battery        int             // per cent, -1 unknown
	Mains          bool
	SupplyKnown    bool
	Metered        bool // the link that the image would come over
	Approved       bool // somebody at the device has agreed to this manifest
	Decommissioned bool
	Own            Own
}

// Part is what is on record of one component in a slot.
type Part struct {
	Image    manifest.Digest
	Size     int64
	Sequence uint64          // of the manifest that it came with
	Manifest manifest.Digest // that it came with
	Anywhere bool            // it is on record that it was not made for this slot alone
}

// Own is what only the agent knows of its own state. The zero value is an agent that nothing is
// wrong with.
type Own struct {
	Safe    string // why the agent is in boot-safe mode, "" = it is not
	Hold    bool   // it is not proven which slot runs, or the agent holds everything
	Moved   bool   // what it remembers goes into another directory than the next start will read
	Stayed  bool   // the running system has failed its trial, and there is no slot to go back to
	Journal Room
}

// Room is space in the journal, in bytes.
type Room struct {
	Free  int64
	Needs int64 // what an update needs for its phases and evidence
}

// Now is the wall clock and whether it can be relied upon.
type Now struct {
	Wall  time.Time
	Known bool
	Zone  *time.Location // of windows that name none; nil: UTC
}

// Finding is a rule that does not hold.
type Finding struct {
	Reason reason.Reason
	Detail string        // the figures, for people
	Final  bool          // as Reason.Info says
	Retry  time.Duration // look again after this; 0 = when a fact changes
}

// Outcome of a decision.
type Outcome int

const (
	// Install: no rule is against it.
	Install Outcome = iota
	// Defer: not now; the offer waits.
	Defer
	// Refuse: never; the verdict sticks to the envelope.
	Refuse
)

func (o Outcome) String() string {
	switch o {
	case Install:
		return "install"
	case Defer:
		return "defer"
	}
	return "refuse"
}

// Decision is the answer.
type Decision struct {
	Outcome  Outcome
	Findings []Finding // what stands against it, in the order of the rules
	Lifted   []Finding // what a permit lifted; these count no more
	Plan     Plan      // zero unless Outcome is Install
	// Carries are the parts that the manifest leaves out and that would be copied from the running slot,
	// under the condition of Needs.
	Carries []Carry
	// Needs are the payloads that the images come from, where only the agent's own state, if anything,
	// is against the install: what a technician has to bring.
	Needs []Payload
}

// Payload is a file that an image is installed from.
type Payload struct {
	URI       string
	Component string
	Bytes     int64 // 0 = the manifest does not say
}

// Carry is a part of the slot that the manifest leaves out: what the running slot holds of it goes into
// the target too, so that a slot is never half one release and half whatever was there.
type Carry struct {
	Component string
	Part
}

// Plan is a manifest that this device may take now, and what it means here. Only Decide makes one. The
// parts that it installs and those that it carries are together all that the slot has.
type Plan struct {
	m        manifest.Manifest
	installs []manifest.Install
	carries  []Carry
}

// Manifest returns the manifest that was decided on.
func (p Plan) Manifest() manifest.Manifest { return p.m }

// Installs returns what to write, in order.
//
//go:noinline
func (p Plan) Installs() []manifest.Install { return slices.Clone(p.installs) }

// Carries returns what to copy from the running slot, in order.
//
//go:noinline
func (p Plan) Carries() []Carry { return slices.Clone(p.carries) }

// IsZero tells whether this is no plan: Decide did not make it.
func (p Plan) IsZero() bool { return len(p.installs) == 0 }

// Decide says whether this device may take the offer now. It asks in this order, which is the order of
// the findings: the rules; the root; plan and pulse, or for a local install whether the plan was
// withdrawn. What a permit lifts is taken out. Where nothing that is left is final, the agent's own
// state is asked too. The outcome is Refuse when a finding is final, else Defer when there is one,
// else Install, and only then is there a plan.
func Decide(o Offer, s Standing, p campaign.Permit, f Facts) Decision {
	q := question{offer: o, facts: f}
	q.resolve()
	q.complete()
	var d Decision
	d.Findings, d.Lifted = q.lift(p, append(q.askRules(), s.against(q.asked())...))
	d.Outcome = outcome(d.Findings)
	if d.Outcome == Refuse {
		return d
	}
	if d.Outcome == Install {
		d.Needs, d.Carries = needs(q.update.Installs), q.carries
	}
	d.Findings = append(d.Findings, f.Own.against()...)
	if d.Outcome = outcome(d.Findings); d.Outcome == Install {
		d.Plan = Plan{m: o.Manifest, installs: q.update.Installs, carries: q.carries}
	}
	return d
}

// Only is the decision with those findings alone whose reasons count. It is never more than that: it has no plan.
func (d Decision) Only(counts func(reason.Reason) bool) Decision {
	var left Decision
	for _, f := range d.Findings {
		if counts(f.Reason) {
			left.Findings = append(left.Findings, f)
		}
	}
	left.Outcome = outcome(left.Findings)
	return left
}

// outcome follows from all findings.
func outcome(findings []Finding) Outcome {
	switch {
	case slices.ContainsFunc(findings, func(f Finding) bool { return f.Final }):
		return Refuse
	case len(findings) > 0:
		return Defer
	}
	return Install
}

// found is a finding of a reason, with the fate that the reason has.
func found(why reason.Reason, detail string, args ...any) Finding {
	if len(args) > 0 {
		detail = fmt.Sprintf(detail, args...)
	}
	i := why.Info()
	return Finding{Reason: why, Detail: detail, Final: i.Final, Retry: i.Retry}
}

func needs(installs []manifest.Install) []Payload {
	var out []Payload
	for _, i := range installs {
		if i.Content == nil {
			out = append(out, Payload{URI: i.URI, Component: i.Component, Bytes: i.PayloadSize})
		}
	}
	return out
}

// against is what the agent's own state has against any install.
func (o Own) against() []Finding {
	var findings []Finding
	if o.Safe != "" {
		findings = append(findings, found(reason.BootSafeMode, "%s", o.Safe))
	}
	if o.Hold {
		findings = append(findings, found(reason.RunningUnproven, ""))
	}
	if o.Moved {
		findings = append(findings, found(reason.StateMoved, ""))
	}
	if o.Stayed {
		findings = append(findings,
			found(reason.RunningUnconfirmed, "its trial failed, and there is no slot to go back to"))
	}
	if o.Journal.Free < o.Journal.Needs {
		findings = append(findings, found(reason.NoSpace, "the journal has %d bytes left", o.Journal.Free))
	}
	return findings
}
