package life

import (
	"time"

	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// Moment is when an event happened.
type Moment struct {
	Uptime time.Duration // since the machine was started, time asleep included
	Online bool          // the broker is connected
}

func (m Moment) moment() Moment { return m }

// Event is what has happened. The set is closed.
type Event interface {
	moment() Moment
	on() On
}

// On names what has happened, for the table.
type On string

// What can happen. The first part is the end of an action, and named for the action.
const (
	// a phase is taken up: it was entered, the daemon has started, or a wait is over
	OnBegin      On = "begin"
	OnLooked     On = "looked"          // Look
	OnDecided    On = "decided"         // Ask
	OnReached    On = "source answered" // Reach
	OnCompared   On = "compared"        // Compare
	OnDisabled   On = "disabled"        // Disable
	OnWrote      On = "wrote"           // Write
	OnChecked    On = "read back"       // Check
	OnTried      On = "armed"           // Try
	OnStays      On = "did not reboot"  // Reboot
	OnConfirmed  On = "confirmed"       // Confirm
	OnRefreshed  On = "refreshed"       // Refresh
	OnRaised     On = "raised"          // Raise
	OnOrigin     On = "counter known"   // Origin
	OnDue        On = "due"             // Wait: its time has come
	OnRound      On = "health round"    // Prove: one round of checks
	OnVerdict    On = "health verdict"  // Prove: the end
	OnStarted    On = "started"         // the daemon has started
	OnTaken      On = "offer taken"     // the decision to install is durable
	OnCame       On = "offer came"      // a message
	OnDocumented On = "document taken"  // a root, plan or pulse was taken
	OnStepped    On = "clock was set"   // the calendar time has jumped
	OnAsked      On = "person asked"    // a request at the console
	OnNotTaken   On = "not durable"     // a commit failed
)

// Begun says that the phase is to be taken up.
type Begun struct{ Moment }

func (Begun) on() On { return OnBegin }

// Due says that the time of a Wait has come.
type Due struct{ Moment }

func (Due) on() On { return OnDue }

// Class is what kind of end an action had. It is made in one function of the executor.
type Class int

// The classes. Which reason each one gets is in the tables of prepare.go.
const (
	OK            Class = iota
	Invalid             // the boot metadata cannot be validated
	Changed             // another program wrote the boot metadata meanwhile
	NoFallback          // no other slot would be bootable
	IO                  // the boot metadata could not be read or written, or any other error
	Medium              // the slot could not be read or written
	Mismatch            // the bytes are not the ones that the manifest names
	Busy                // the slot is held by somebody else
	Running             // the slot to write is the one that runs
	NoKey               // this device has no key for the payload
	Uncarried           // what the running slot holds of a part is not what was recorded
	Runs                // the running slot holds all that the update would write
	Unremembered        // the other slot does, and the state that would know why is new
	NoCopy              // the manifest wants a copy of another component
	NoFile              // the file was handed over to a daemon that has ended since
	Forbidden           // the source is not allowed
	Gone                // the source does not have it
	SourceChanged       // the source has other bytes than before
	NotDurable          // a checkpoint could not be made durable
	Unusable            // something answers at the source's address, and not with the payload, or with a part
	Stopped             // what was taken meanwhile forbids the update: Done.Forbids
)

// Done is the end of an action. The classes and fields that an action fills are said with the action.
type Done struct {
	Moment
	Do    Action
	Class Class
	Text  string // the error, for people

	Boot     bootctl.State // the boot metadata after the action, read again
	BootOK   bool          // Boot could be read and is valid
	BootText string        // why Boot could not be read
	BootNot  Class         // and of which class that is

	Run bootctl.Slot // Look with Proof: the slot that is proven to run, "" for none

	Component string // Reach, Write, Check: where it ended
	Image     string // Write: digest of the image
	Last      bool   // Write: no part is left
	Skipped   bool   // Write: the part was whole already
	Carried   bool   // Write: from the running slot
	Written   int64  // Write: bytes of the image written, fetched from the source, and found written already
	Fetched   int64
	Resumed   int64

	Forbids Ruling // Stopped: what is against the update now

	Counter string // Raise, Origin: the counter and where it stands, "" for none
	Origin  string // Origin: which counter it is, "" when that is not known
}

func (d Done) on() On { return d.Do.ends() }

// HealthCheck is one check in a round.
type HealthCheck struct {
	Name   string
	Err    string // "": it holds
	Broker bool   // the check that the broker is connected
}

// Round is one round of health checks in which something changed.
type Round struct {
	Moment
	Checks []HealthCheck
}

func (Round) on() On { return OnRound }

// Verdict is the end of a trial's health checks.
type Verdict struct {
	Moment
	Healthy bool
	Local   bool   // all that no network can make fail held for the whole of the soak, up to now
	Failed  string // what failed: a check's name, "soak", "uptime" or "deadline"
	Text    string // its error
	Took    time.Duration
	Checks  []HealthCheck // the last round
	Boot    bootctl.State
	BootOK  bool
}

func (Verdict) on() On { return OnVerdict }

// Started is what a start of the daemon found.
type Started struct {
	Moment
	Run    bootctl.Slot // the slot that is proven to run, "" for none
	Proof  string       // why it could not be proven
	Boot   bootctl.State
	BootOK bool
	Lost   reason.Reason // why a journal that was there is gone, "" when it is whole
	Reset  Reset         // why this boot began
}

// Reset is why the machine was started, as far as it can tell.
type Reset struct {
	Power  bool   // the power had gone: something says so, and nothing says anything else
	Says   string // for people, "" when nothing is known
	Panics Panics
}

// Panics are the records of kernel panics that the machine holds.
type Panics struct {
	Count  int   `cbor:"1,keyasint,omitempty"`
	Newest int64 `cbor:"2,keyasint,omitempty"` // when the newest was written, by whatever clock there was
}

// since tells whether there is a record that was not there before. Some clocks begin at 1970 in each boot.
func (p Panics) since(before Panics) bool { return p.Count > before.Count || p.Newest > before.Newest }

func (Started) on() On { return OnStarted }

// Outcome is what was decided about an offer.
type Outcome string

// The outcomes of a decision, as evidence spells them.
const (
	Install Outcome = "install"
	Defer   Outcome = "defer"
	Refuse  Outcome = "refuse"
)

// Ruling is an offer and what was decided about it.
type Ruling struct {
	Envelope []byte // as it was received
	Digest   string // of the manifest, "" when it could not be verified
	Sequence uint64
	Version  string // for people, "" when the manifest does not say
	Images   []SlotImage
	Origin   string   // who brought it
	Console  bool     // handed over by a person at the device
	Garbage  []byte   // 16 bytes that stand for the offer in the list of those on record
	Writes   []string // components of this device that the manifest names

	Outcome Outcome
	Why     reason.Reason     // the first finding, the first final one of a refusal
	Said    string            // all findings, for people
	Rules   string            // the reasons of all findings: a decision is on record again when these change
	Detail  map[string]string // the findings, for evidence
	First   string            // the detail of Why
	Retry   time.Duration     // how soon to decide again
	Ends    reason.Reason     // why waiting makes no sense, "" when it does

	Unverified bool          // the bytes could not be verified: Why and Said say why
	Settled    reason.Reason // this digest has a final verdict already
	Passed     bool          // a newer offer waits
	Early      bool          // it failed before, and its back-off is not over
}

// Decided answers Ask.
type Decided struct {
	Moment
	Ask    Ask
	Ruling Ruling
}

func (Decided) on() On { return OnDecided }

// Taken says that the decision to install is durable: the update begins.
type Taken struct {
	Moment
	Ruling Ruling
}

func (Taken) on() On { return OnTaken }

// Came says that the executor holds an offer that came.
type Came struct{ Moment }

func (Came) on() On { return OnCame }

// Documented says that a root, a plan or a pulse was taken.
type Documented struct{ Moment }

// Stepped says that the clock or its zone was set: windows and dates are judged again.
type Stepped struct{ Moment }

func (Documented) on() On { return OnDocumented }
func (Stepped) on() On    { return OnStepped }

// Verb is what a person asked for at the console.
type Verb string

// The verbs that the machine answers.
const (
	VerbConfirm Verb = "confirm"
	VerbRevert  Verb = "revert"
	VerbApprove Verb = "approve"
	VerbRetry   Verb = "retry"
)

// Asked is a person's request. It is answered by Effects.Answer.
type Asked struct {
	Moment
	Verb   Verb
	Actor  string // "uid 0 (pid 123)"
	Note   string // in the person's words, may be ""
	Digest string // approve, retry: of the manifest, "" for the one that waits
	Final  bool   // approve: Digest has a final verdict

	Sure    bool          // retry: also what is quarantined or has a final verdict
	Cause   reason.Reason // retry: why Digest is quarantined, "" when it is not
	Verdict reason.Reason // retry: the final verdict on Digest, "" for none

	Boot     bootctl.State // revert: the boot metadata
	BootOK   bool
	BootText string
	Barred   reason.Reason // revert: why the trust root does not admit what the other slot holds, "" when it does
	BarredBy string        // in words
}

func (Asked) on() On { return OnAsked }

// NotTaken says that a commit failed. The state is the one before it.
type NotTaken struct {
	Moment
	Text string
}

func (NotTaken) on() On { return OnNotTaken }
