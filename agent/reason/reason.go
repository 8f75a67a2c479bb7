// Package reason lists every Reason that Ratchet gives a person or a machine: stable kebab-case
// words, the same in evidence, on the command line and over MQTT, each with what it means and what
// to do about it. A word is never reused for something else and never removed.
package reason

// Reason is one stable word; the zero value means "none".
type Reason string

// Decisions of policy: why an offer was not taken. Final ones are not decided again for the same
// envelope; the others are deferrals.
const (
	None               Reason = ""
	WrongVendor        Reason = "wrong-vendor"
	WrongClass         Reason = "wrong-class"
	WrongDevice        Reason = "wrong-device"
	SequenceBelowFloor Reason = "sequence-below-floor"
	SequenceReused     Reason = "sequence-reused"
	VersionCondition   Reason = "version-condition"
	Expired            Reason = "expired"
	ClockUnknown       Reason = "clock-unknown"
	Quarantined        Reason = "quarantined"
	AlreadyInstalled   Reason = "already-installed"
	ImageTooLarge      Reason = "image-too-large"
	SlotMissing        Reason = "slot-missing"
	SlotIncomplete     Reason = "slot-incomplete"
	StartedBefore      Reason = "started-before"
	WrongSlot          Reason = "wrong-slot"
	LowBattery         Reason = "low-battery"
	OutsideWindow      Reason = "outside-window"
	LinkMetered        Reason = "link-metered"
	ApprovalRequired   Reason = "approval-required"
	Decommissioned     Reason = "decommissioned"
	ConditionFailed    Reason = "condition-failed"
	SourceNotAllowed   Reason = "source-not-allowed"
	NoSpace            Reason = "no-space"
	WriteLimit         Reason = "write-limit"
	FailedBefore       Reason = "failed-before"
	Superseded         Reason = "superseded"
	UpdateInProgress   Reason = "update-in-progress"
	RunningUnproven    Reason = "running-unproven"
	RunningUnconfirmed Reason = "running-unconfirmed"
	BootSafeMode       Reason = "boot-safe-mode"
	PartMissing        Reason = "part-missing"
	StateVolatile      Reason = "state-volatile"
	StateMoved         Reason = "state-moved"
)

// What the trust root, the campaign plan and its pulse have against an offer at this moment: each can
// change while the manifest stays the same, but for Revoked.
const (
	Revoked             Reason = "revoked"
	SignersInsufficient Reason = "signers-insufficient"
	SequenceOutOfRange  Reason = "sequence-out-of-range"
	RootExpired         Reason = "root-expired"
	RootBehind          Reason = "root-behind"
	CounterUnreadable   Reason = "counter-unreadable"
	PlanMissing         Reason = "plan-missing"
	PlanVoid            Reason = "plan-void"
	PlanExpired         Reason = "plan-expired"
	PlanWithdrawn       Reason = "plan-withdrawn"
	NotInScope          Reason = "not-in-scope"
	NotInCohort         Reason = "not-in-cohort"
	NotBefore           Reason = "not-before"
	PulseMissing        Reason = "pulse-missing"
	PulseVoid           Reason = "pulse-void"
	PulseExpired        Reason = "pulse-expired"
	Paused              Reason = "paused"
	Halted              Reason = "halted"
	TooManyDocuments    Reason = "too-many-documents"
)

// What became of documents that are no manifests.
const (
	RootRefused  Reason = "root-refused"
	DocumentVoid Reason = "document-void"
	PermitVoid   Reason = "permit-void"
	Permitted    Reason = "permitted"
)

// Refusals of the manifest itself.
const (
	EnvelopeMalformed    Reason = "envelope-malformed"
	SignatureInvalid     Reason = "signature-invalid"
	SignerUnknown        Reason = "signer-unknown"
	DigestMismatch       Reason = "digest-mismatch"
	ManifestUnsupported  Reason = "manifest-unsupported"
	DecryptionKeyMissing Reason = "decryption-key-missing"
	AlgorithmNotAllowed  Reason = "algorithm-not-allowed"
)

// Causes: what happened to an update.
const (
	SourceUnreachable   Reason = "source-unreachable"
	SourceGone          Reason = "source-gone"
	SourceChanged       Reason = "source-changed"
	SourceUnusable      Reason = "source-unusable"
	ImageCorrupt        Reason = "image-corrupt"
	ReadBackMismatch    Reason = "read-back-mismatch"
	SlotBusy            Reason = "slot-busy"
	SlotIO              Reason = "slot-io-error"
	BootMetadataInvalid Reason = "boot-metadata-invalid"
	BootMetadataIO      Reason = "boot-metadata-io-error"
	BootMetadataChanged Reason = "boot-metadata-changed"
	HealthFailed        Reason = "health-failed"
	HealthTimeout       Reason = "health-timeout"
	HealthUnreachable   Reason = "health-unreachable"
	TrialBootsExhausted Reason = "trial-boots-exhausted"
	FellBack            Reason = "fell-back"
	PowerLost           Reason = "power-lost"
	NeverTried          Reason = "never-tried"
	ArmNotLanded        Reason = "arm-not-landed"
	RebootFailed        Reason = "reboot-failed"
	ConfirmedExternally Reason = "confirmed-externally"
	LostAfterConfirm    Reason = "lost-after-confirm"
	RevertImpossible    Reason = "revert-impossible"
	DisablePending      Reason = "disable-pending"
	FloorPending        Reason = "floor-pending"
	CounterReplaced     Reason = "counter-replaced"
	OperatorRevert      Reason = "operator-revert"
	OperatorConfirm     Reason = "operator-confirm"
	Withdrawn           Reason = "withdrawn"
	JournalLost         Reason = "journal-lost"
	JournalBehind       Reason = "journal-behind"
	JournalUnwritable   Reason = "journal-unwritable"
	JournalFull         Reason = "journal-full"
	RecordUnknown       Reason = "record-unknown"
	ConfigInvalid       Reason = "config-invalid"
	AnchorsInvalid      Reason = "anchors-invalid"
	Interrupted         Reason = "interrupted"
	ClockJumped         Reason = "clock-jumped"
	EvidencePruned      Reason = "evidence-pruned"
	GivenBack           Reason = "given-back"
)

// Answers to a person or a program that asked for something.
const (
	NotPermitted  Reason = "not-permitted"
	RequestBad    Reason = "request-invalid"
	NothingToDo   Reason = "nothing-to-do"
	InternalError Reason = "internal-error"
)
