// Package policy decides whether this device may take an update now: one list of rules over facts.
//
// Decide is pure. It asks nobody, changes nothing, and gives the same answer to the same facts;
// the agent calls it before the download, and again before it arms the bootloader. Every rule that
// does not hold is reported, not only the first, each with a stable reason.
package policy

import (
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

// Approval says what a person at the device has to agree to.
const (
	ApprovalNone     = "none"
	ApprovalDownload = "download" // before an image is loaded, and all that follows
	ApprovalInstall  = "install"  // before the bootloader is armed
)

// Window is a time in which updates are allowed.
type Window struct {
	Days     [7]bool // by time.Weekday of the day in which the window opens; none set = every day
	From, To int     // minutes of the day, local, 0..1440; To <= From ends on the next day
	Zone     *time.Location
}

// Rules is what the device's configuration says.
type Rules struct {
	MinBattery           int      // per cent, 0 = no limit
	Windows              []Window // none = always
	WindowCoversDownload bool     // the windows hold for the download too
	AllowMetered         bool
	Approval             string // ApprovalNone ("" too), ApprovalDownload, ApprovalInstall
	UnknownTimeWaits     bool
}

// Floor is the highest confirmed sequence and the manifest that was confirmed under it.
type Floor struct {
	Sequence uint64
	Manifest manifest.Digest
}

// Facts is what the device is at this moment.
type Facts struct {
	Device         manifest.Device
	SlotSize       map[string]int64 // bytes of the inactive slot, per component
	Floor          Floor
	Bound          func(seq uint64) (manifest.Digest, bool)      // manifest confirmed under a sequence; nil = none
	Quarantined    func(d manifest.Digest) (reason.Reason, bool) // by manifest or image digest; nil = none
	Running        map[string]manifest.Digest                    // image confirmed in the running slot, per component
	Battery        int                                           // per cent, -1 unknown
	Mains          bool
	SupplyKnown    bool
	Metered        bool
	Approved       bool
	Local          bool // a technician's install at the console
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
	Detail string
	Final  bool
	Retry  time.Duration // look again after this; 0 = when a fact changes
}

// Outcome of a decision.
type Outcome int

const (
	Install Outcome = iota
	Defer
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
	Findings []Finding
	Plan     Plan
}

// Plan is a manifest that this device may take now. Only Decide makes one.
type Plan struct {
	m  manifest.Manifest
	up manifest.Update
}

// Manifest returns the manifest that was decided on.
func (p Plan) Manifest() manifest.Manifest { return p.m }

// Installs returns what to write, in order.
func (p Plan) Installs() []manifest.Install { return append([]manifest.Install(nil), p.up.Installs...) }

// IsZero tells whether the plan is empty: Decide did not make it.
func (p Plan) IsZero() bool { return len(p.up.Installs) == 0 }

// Decide applies all rules.
func Decide(m manifest.Manifest, stage Stage, r Rules, f Facts, now Now) Decision {
	return Decision{Outcome: Refuse}
}
