package control

import (
	"time"

	"github.com/ratchet-ota/ratchet/agent/reason"
)

// Schema is the version of the result types. Fields are added, never renamed; a reader ignores what
// it does not know.
const Schema = 1

// Modes of the daemon.
const (
	ModeNormal   = "normal"
	ModeBootSafe = "boot-safe" // keeps the running slot bootable and reports, installs nothing
)

// Status is the device at one moment: result of VerbStatus. Times are RFC 3339 in UTC, absent when unknown.
type Status struct {
	Schema     int           `json:"schema"`                // 1
	Device     string        `json:"device"`                // device id
	Agent      string        `json:"agent"`                 // version of the running agent
	Mode       string        `json:"mode"`                  // "normal" or "boot-safe"
	ModeReason reason.Reason `json:"mode_reason,omitempty"` // why boot-safe
	ModeWhy    string        `json:"mode_why,omitempty"`    // the same as one sentence
	// the slot behind "/"; an empty name when that is not proven
	Running  SlotStatus     `json:"running"`
	Other    SlotStatus     `json:"other"`            // the slot that an update goes into
	Phase    string         `json:"phase"`            // name of the phase, "idle" when nothing is in progress
	Update   *UpdateStatus  `json:"update,omitempty"` // the update in progress or waiting
	Last     *Outcome       `json:"last,omitempty"`   // how the last one ended
	Broker   BrokerStatus   `json:"broker"`
	Boot     BootStatus     `json:"boot"`
	Floor    FloorStatus    `json:"floor"`
	Counter  CounterStatus  `json:"counter"`
	Trust    TrustStatus    `json:"trust"`
	Evidence EvidenceStatus `json:"evidence"`
	Journal  JournalStatus  `json:"journal"`
	Time     TimeStatus     `json:"time"`
	Reset    ResetStatus    `json:"reset"`
	// the processes that do for the daemon what root should not
	Processes []ProcessStatus `json:"processes,omitempty"`
	Problems  []string        `json:"problems,omitempty"` // what is missing or cannot be used now, in words
	// the reason of each of Problems
	ProblemReasons []reason.Reason `json:"problem_reasons,omitempty"`
	Advice         []string        `json:"advice,omitempty"` // what to do now, most urgent first
}

// SlotStatus is one slot: in Status, and in the result of VerbSlots.
type SlotStatus struct {
	Name      string     `json:"name"`              // boot name ("A"); "" when unknown
	Devices   []string   `json:"devices,omitempty"` // device or file of each component, "rootfs=/dev/mmcblk0p2"
	Running   bool       `json:"running"`           // it is behind "/"
	Bootable  bool       `json:"bootable"`          // the bootloader would start it
	Confirmed bool       `json:"confirmed"`         // not on trial
	Tries     int        `json:"tries"`             // boot attempts left, -1 when the bootloader keeps no count
	Holds     *SlotHolds `json:"holds,omitempty"`   // what is in it, absent when unknown
	// in words: "confirmed", "on trial", "empty", "being written", "failed its trial", ...
	State string `json:"state"`
}

// SlotHolds is the content of a slot, as far as the agent put or proved it there.
type SlotHolds struct {
	Version  string    `json:"version,omitempty"`  // version text of the manifest
	Sequence uint64    `json:"sequence,omitempty"` // sequence number of the manifest
	Manifest string    `json:"manifest,omitempty"` // digest of the manifest, "sha256:..."
	Image    string    `json:"image,omitempty"`    // digest of the image, "sha256:..."
	Since    time.Time `json:"since,omitzero"`     // when it was confirmed, or written
	// what is on record of each part, in a slot of several
	Parts []PartHolds `json:"parts,omitempty"`
}

// PartHolds is what one part of a slot holds.
type PartHolds struct {
	Component string `json:"component"`
	Image     string `json:"image"`             // digest of the image, "sha256:..."
	Sequence  uint64 `json:"sequence"`          // of the manifest that it came with
	Carried   bool   `json:"carried,omitempty"` // it was carried over from the slot that ran
}

// UpdateStatus is the update in progress or waiting.
type UpdateStatus struct {
	Manifest    string        `json:"manifest"`              // digest, "sha256:..."
	Sequence    uint64        `json:"sequence"`              // of the manifest
	Version     string        `json:"version,omitempty"`     // version text, sanitised
	Component   string        `json:"component,omitempty"`   // that is written or checked now
	Percent     int           `json:"percent"`               // of the present action, 0..100
	Written     int64         `json:"written"`               // image bytes that are in the slot
	Size        int64         `json:"size"`                  // image bytes in all, 0 when unknown
	RateBytes   int64         `json:"rate_bytes"`            // bytes a second, smoothed; 0 when nothing moves
	ETASeconds  int64         `json:"eta_seconds"`           // seconds to the end of the present action, -1 unknown
	Since       time.Time     `json:"since,omitzero"`        // start of the present phase
	Reason      reason.Reason `json:"reason,omitempty"`      // why it waits or is being reverted
	WaitingFor  string        `json:"waiting_for,omitempty"` // the same as one sentence
	NextSeconds int64         `json:"next_seconds"`          // until it is decided again, -1 when nothing is due
	Trial       *TrialStatus  `json:"trial,omitempty"`       // in the phase trial
}

// TrialStatus is a trial in progress.
type TrialStatus struct {
	Boots               int           `json:"boots"`                 // trial boots so far, this one included
	MaxBoots            int           `json:"max_boots"`             // then it is reverted
	SoakSeconds         int64         `json:"soak_seconds"`          // all checks must hold for so long
	SoakLeftSeconds     int64         `json:"soak_left_seconds"`     // still missing
	DeadlineLeftSeconds int64         `json:"deadline_left_seconds"` // then it is reverted
	Checks              []CheckStatus `json:"checks"`
}

// CheckStatus is one health check.
type CheckStatus struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"` // why it does not hold; "" before the first round
}

// Results of an update.
const (
	ResultUpdated  = "updated"
	ResultReverted = "reverted"
	ResultFailed   = "failed"
	ResultRefused  = "refused"
	ResultDeferred = "deferred"
)

// Outcome is how an update ended, or why it was not begun.
type Outcome struct {
	Result      string        `json:"result"`             // "updated", "reverted", "failed", "refused" or "deferred"
	Reason      reason.Reason `json:"reason,omitempty"`   // stable word
	Says        string        `json:"says,omitempty"`     // what happened, one sentence
	Advice      string        `json:"advice,omitempty"`   // what to do about it
	Slot        string        `json:"slot,omitempty"`     // the target
	Sequence    uint64        `json:"sequence,omitempty"` // of the manifest
	Version     string        `json:"version,omitempty"`  // version text, sanitised
	Manifest    string        `json:"manifest,omitempty"` // digest
	When        time.Time     `json:"when,omitzero"`
	TimeQuality string        `json:"time_quality,omitempty"` // of When: "synced", "local" or "unknown"
}

// BrokerStatus is the connection to the fleet.
type BrokerStatus struct {
	Configured bool      `json:"configured"` // false on a device without one
	Online     bool      `json:"online"`
	Since      time.Time `json:"since,omitzero"`  // of the present state
	Error      string    `json:"error,omitempty"` // of the last attempt
}

// BootStatus is the bootloader and what its layout can do.
type BootStatus struct {
	Backend   string `json:"backend"`            // "u-boot", "grub", "hook"
	Layout    string `json:"layout,omitempty"`   // e.g. "redundant environment"
	PowerSafe bool   `json:"power_safe"`         // every write is atomic under a power cut
	Weakness  string `json:"weakness,omitempty"` // why not
	Damaged   string `json:"damaged,omitempty"`  // a copy of the metadata that cannot be used, and why
	Next      string `json:"next,omitempty"`     // slot that boots next; "" when none would
	Unlocked  string `json:"unlocked,omitempty"` // locks that were gone on without, and why
	Error     string `json:"error,omitempty"`    // the metadata cannot be read, or is not valid
}

// FloorStatus is the soft floor.
type FloorStatus struct {
	Sequence uint64 `json:"sequence"` // highest confirmed sequence number; lower ones are refused
	// where components differ: the highest of each, which alone counts for it
	Components map[string]uint64 `json:"components,omitempty"`
}

// CounterStatus is the monotonic counter.
type CounterStatus struct {
	Kind  string `json:"kind"` // "file", "tpm2-nv", "rpmb"; "" when there is none
	Value uint64 `json:"value"`
	Weak  bool   `json:"weak"` // whoever holds the disk can turn it back
	Error string `json:"error,omitempty"`
}

// TrustStatus is whose releases the device installs: those of a trust root, or those of flat keys.
type TrustStatus struct {
	Root    string   `json:"root,omitempty"`    // name of the trust root
	Version uint64   `json:"version,omitempty"` // of the trust root
	Keys    []string `json:"keys,omitempty"`    // ids of the flat keys

	Newest  uint64        `json:"newest,omitempty"`  // version of the newest trust root that was verified here
	Plan    *PlanStatus   `json:"plan,omitempty"`    // the campaign plan in force
	Problem reason.Reason `json:"problem,omitempty"` // what is wrong with the documents that were taken
	Why     string        `json:"why,omitempty"`     // the same in words
}

// PlanStatus is the campaign plan in force, and its pulse.
type PlanStatus struct {
	Sequence uint64 `json:"sequence"`
	Digest   string `json:"digest"`
	Pulse    uint64 `json:"pulse,omitempty"` // sequence of its pulse; 0: none came
	State    string `json:"state,omitempty"` // open, paused, halted, withdrawn
	Phase    int    `json:"phase,omitempty"` // that the pulse has opened, from 1
}

// EvidenceStatus is the chain of records.
type EvidenceStatus struct {
	Seq   uint64 `json:"seq"`             // of the last record
	Sent  uint64 `json:"sent"`            // last one that the broker acknowledged
	Chain string `json:"chain,omitempty"` // id of the chain, hex
}

// JournalStatus is the durable memory of the agent.
type JournalStatus struct {
	FreeBytes int64  `json:"free_bytes"`      // that can still be written; -1 when unknown
	Error     string `json:"error,omitempty"` // it cannot be read or written
}

// TimeStatus is the device's clock.
type TimeStatus struct {
	Wall          time.Time `json:"wall"`           // as the clock shows it, whatever it is worth
	Quality       string    `json:"quality"`        // "synced", "local" or "unknown"
	UptimeSeconds int64     `json:"uptime_seconds"` // CLOCK_BOOTTIME
}

// ResetStatus is why the present boot began.
type ResetStatus struct {
	Cause  string `json:"cause"`            // "power-on", "watchdog", "panic", "software" or "unknown"
	Source string `json:"source,omitempty"` // who says so, and in which words
	Panics int    `json:"panics,omitempty"` // records of kernel panics that the machine holds
}

// ProcessStatus is a process that does something for the daemon, without its rights.
type ProcessStatus struct {
	Name    string    `json:"name"` // "net": holds all connections
	Running bool      `json:"running"`
	Pid     int       `json:"pid,omitempty"`
	Since   time.Time `json:"since,omitzero"`  // it runs
	Starts  int       `json:"starts"`          // since the daemon started
	Error   string    `json:"error,omitempty"` // why it does not run
	Ended   string    `json:"ended,omitempty"` // why the one before ended
	// what it is confined by, and what is missing
	Sandbox []SandboxStatus `json:"sandbox,omitempty"`
}

// SandboxStatus is one thing by which a process is confined, if it is.
type SandboxStatus struct {
	Name   string `json:"name"` // "user", "capabilities", "seccomp", "landlock", ...
	On     bool   `json:"on"`
	Detail string `json:"detail,omitempty"` // what it forbids, or why it is off
}

// Slots is the result of VerbSlots.
type Slots struct {
	Schema int          `json:"schema"`
	Slots  []SlotStatus `json:"slots"` // in the order of the configuration
	Boot   BootStatus   `json:"boot"`
}

// HistoryEntry is one evidence record, for people.
type HistoryEntry struct {
	Seq       uint64        `json:"seq"`
	Chain     string        `json:"chain,omitempty"` // id of the chain, hex; Seq counts within it
	When      time.Time     `json:"when,omitzero"`
	Quality   string        `json:"quality"`          // of When: "synced", "local" or "unknown"
	Kind      string        `json:"kind"`             // of the event: "decision", "phase", "verdict", ...
	Reason    reason.Reason `json:"reason,omitempty"` // stable word
	Text      string        `json:"text"`             // one sentence
	From      string        `json:"from,omitempty"`   // phase before
	To        string        `json:"to,omitempty"`     // phase after
	Slot      string        `json:"slot,omitempty"`
	Component string        `json:"component,omitempty"`
	Sequence  uint64        `json:"sequence,omitempty"` // of the manifest
	Manifest  string        `json:"manifest,omitempty"` // digest
	Actor     string        `json:"actor,omitempty"`    // who asked, where somebody did
}

// History is the result of VerbHistory.
type History struct {
	Schema  int            `json:"schema"`
	Entries []HistoryEntry `json:"entries"` // oldest first
	Older   bool           `json:"older"`   // there are more before them
}

// Finding is one rule that stands against an update.
type Finding struct {
	Reason reason.Reason `json:"reason"`
	Says   string        `json:"says"`             // what it means here, one sentence
	Advice string        `json:"advice,omitempty"` // what to do about it
	Final  bool          `json:"final"`            // waiting does not help
}

// Outcomes of InstallCheck.
const (
	OutcomeInstall = "install"
	OutcomeDefer   = "defer"  // it will be installed when the findings are gone
	OutcomeRefuse  = "refuse" // it will not be installed
)

// InstallCheck is the result of VerbInstall with StepCheck: the envelope is genuine, this is what it
// would do here, and these payloads are needed for it.
type InstallCheck struct {
	Schema      int       `json:"schema"`
	Outcome     string    `json:"outcome"` // "install", "defer" or "refuse"
	Findings    []Finding `json:"findings,omitempty"`
	Manifest    string    `json:"manifest"` // digest
	Sequence    uint64    `json:"sequence"`
	Version     string    `json:"version,omitempty"`     // version text, sanitised
	Description string    `json:"description,omitempty"` // text of the manifest, sanitised
	Signers     []string  `json:"signers,omitempty"`     // key ids
	Target      string    `json:"target,omitempty"`      // slot that it goes into
	// payloads that the client must hand over; empty when all are inside
	Need []Payload `json:"need"`
	// parts that the update leaves out, and that are copied from the running slot
	Carry []Carried `json:"carry,omitempty"`
}

// Carried is a part of the slot that an update leaves out.
type Carried struct {
	Component string `json:"component"`
	Bytes     int64  `json:"bytes"` // that are copied within the device
	Sequence  uint64 `json:"sequence"`
}

// Payload is one file that an update needs.
type Payload struct {
	Name      string `json:"name"`      // file name: last element of the manifest's URI
	Component string `json:"component"` // that it is for
	Bytes     int64  `json:"bytes"`     // size of the file, 0 when the manifest does not say
}

// Progress of an installation, sent while VerbInstall with StepInstall runs.
type Progress struct {
	Phase      string `json:"phase"` // name of the phase
	Component  string `json:"component,omitempty"`
	Percent    int    `json:"percent"`     // of this phase, 0..100, -1 when it has no measure
	Done       int64  `json:"done"`        // bytes
	Size       int64  `json:"size"`        // bytes in all, 0 when unknown
	RateBytes  int64  `json:"rate_bytes"`  // bytes a second, smoothed
	ETASeconds int64  `json:"eta_seconds"` // -1 when unknown
	// one sentence, where the phase needs one ("waiting for the window 02:00-04:00")
	Says string `json:"says,omitempty"`
}

// Done is the result of a verb that changes something, and of VerbInstall with StepInstall.
type Done struct {
	Schema int `json:"schema"`
	// of an installation: "rebooting", "deferred", "updated" (nothing to do)
	Result  string        `json:"result,omitempty"`
	Reason  reason.Reason `json:"reason,omitempty"`
	Says    string        `json:"says"`             // what was done and what happens next
	Advice  string        `json:"advice,omitempty"` // what to do now
	Reboots bool          `json:"reboots"`          // the device restarts within seconds
}

// Challenge is the result of VerbRecover with StepChallenge.
type Challenge struct {
	Schema      int    `json:"schema"`
	Challenge   string `json:"challenge"`    // what a recovery permit must answer, as a person copies it
	Device      string `json:"device"`       // device id
	RootVersion uint64 `json:"root_version"` // of the trusted root; a permit holds only under it
}

// EvidenceExport is the result of VerbEvidence: what was written into the descriptor.
type EvidenceExport struct {
	Schema   int    `json:"schema"`
	Records  int    `json:"records"`
	Unsigned int    `json:"unsigned"` // of them still without a signature of the device, so left out
	Bytes    int64  `json:"bytes"`
	First    uint64 `json:"first"` // sequence numbers
	Last     uint64 `json:"last"`
	Chain    string `json:"chain,omitempty"` // of the last record, hex
}
