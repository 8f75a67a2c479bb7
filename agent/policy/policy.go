// Package policy decides whether this device may take an update now: one ordered list of rules over
// facts.
//
// Decide is pure. It asks nobody, changes nothing, and gives the same answer to the same facts; the
// agent calls it before the download, and again before it arms the bootloader. Every rule that does
// not hold is reported, not only the first, each with a stable reason. It keeps no state, so there
// is nothing that could be lost with the power.
package policy

import (
	"cmp"
	"fmt"
	"slices"
	"time"

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

// Floor is the highest confirmed sequence and the manifest that was confirmed under it.
type Floor struct {
	Sequence uint64
	Manifest manifest.Digest
}

// Facts is what the device is at this moment.
type Facts struct {
	Device         manifest.Device  // its Now and TimeKnown are taken from Decide's now
	SlotSize       map[string]int64 // bytes of the inactive slot, per component; absent = could not be measured
	Floor          Floor
	Bound          func(seq uint64) (manifest.Digest, bool)      // manifest confirmed under a sequence; nil = none
	Quarantined    func(d manifest.Digest) (reason.Reason, bool) // by manifest or image digest, and its cause; nil = none
	Running        map[string]manifest.Digest                    // image confirmed in the running slot, per component
	Battery        int                                           // per cent, -1 unknown
	Mains          bool
	SupplyKnown    bool
	Metered        bool // the link that the image would come over
	Approved       bool // somebody at the device has agreed to this manifest
	Local          bool // a technician's install at the console: no window, no metered link, approval given
	Decommissioned bool
	Labels         map[string]string
}

// Now is the wall clock and whether it can be relied upon.
type Now struct {
	Wall  time.Time
	Known bool
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
	Findings []Finding // in the order of the rules
	Plan     Plan      // zero unless Outcome is Install
}

// Plan is a manifest that this device may take now, and what it means here. Only Decide makes one.
type Plan struct {
	m        manifest.Manifest
	installs []manifest.Install
}

// Manifest returns the manifest that was decided on.
func (p Plan) Manifest() manifest.Manifest { return p.m }

// Installs returns what to write, in order.
func (p Plan) Installs() []manifest.Install { return slices.Clone(p.installs) }

// IsZero tells whether this is no plan: Decide did not make it.
func (p Plan) IsZero() bool { return len(p.installs) == 0 }

// Decide asks every rule whether this device may take m at this stage. The outcome is Refuse when a
// finding is final, else Defer when there is one, else Install, and only then is there a plan.
func Decide(m manifest.Manifest, stage Stage, r Rules, f Facts, now Now) Decision {
	q := question{m: m, stage: stage, rules: r, facts: f, now: now}
	q.resolve()
	var d Decision
	for _, rule := range rules {
		rule.ask(&q, func(why reason.Reason, retry time.Duration, detail string, args ...any) {
			if len(args) > 0 {
				detail = fmt.Sprintf(detail, args...)
			}
			d.Findings = append(d.Findings, Finding{Reason: why, Detail: detail, Final: why.Info().Final, Retry: cmp.Or(retry, why.Info().Retry)})
		})
	}
	for _, f := range d.Findings {
		if f.Final {
			d.Outcome = Refuse
		} else if d.Outcome == Install {
			d.Outcome = Defer
		}
	}
	if d.Outcome == Install {
		d.Plan = Plan{m: m, installs: q.update.Installs}
	}
	return d
}
