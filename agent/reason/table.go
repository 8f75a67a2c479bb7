package reason

import "time"

// table has one entry for every constant of this package; a test compares them with the source, and
// another one holds every fate.
//
// Final follows one rule: what cannot change while the envelope stays the same is final. Two
// entries need their reason. AlreadyInstalled is final, else an operator's revert would be undone
// by the offer that was waiting. VersionCondition is not: after another update the same offer may
// be the right next step.
//
// Blame is kept narrow, because a quarantined digest is a blocked update: ImageCorrupt means
// that some server sent other bytes than the manifest names, which says nothing about the image
// that the manifest names, and would let whoever sits on the path block a good update.
var table = map[Reason]Info{
	None: {
		Says:   "Nothing is wrong.",
		Advice: "Nothing to do.",
	},

	// Decisions.
	WrongVendor: {
		Final: true, Quiet: true,
		Says:   "The update is for another vendor's device.",
		Advice: "Publish it to the devices it was made for, or correct the vendor in the release file.",
	},
	WrongClass: {
		Final: true, Quiet: true,
		Says:   "The update is for another class of device.",
		Advice: "Publish it to the devices it was made for, or correct the class in the release file.",
	},
	WrongDevice: {
		Final: true, Quiet: true,
		Says:   "The update is for one other device.",
		Advice: "Send it to the device that it names.",
	},
	SequenceBelowFloor: {
		Final: true, Quiet: true,
		Says:   "The update is older than what was already confirmed on this device.",
		Advice: "To go back to old content, release it again under a higher sequence number.",
	},
	SequenceReused: {
		Final:  true,
		Says:   "Another update with the same sequence number was confirmed here before.",
		Advice: "Release it under a new, higher sequence number; a number is used once.",
	},
	VersionCondition: {
		StepsAside: true,
		Says:       "The update cannot be installed over the version that runs here.",
		Advice:     "Install the version in between first; this update is looked at again afterwards.",
	},
	Expired: {
		Final:  true,
		Says:   "The update says that it must not be used any more at this date.",
		Advice: "Publish a newer update, or check the device's date.",
	},
	ClockUnknown: {
		Says:   "The rule needs the date or the time of day, and the device does not know it.",
		Advice: "Give the device time synchronisation or a working clock battery; the update waits.",
	},
	Quarantined: {
		Final:  true,
		Says:   "This image failed on this device before and is not tried again.",
		Advice: "Read its history for the cause, and publish a corrected image.",
	},
	AlreadyInstalled: {
		Final: true, Quiet: true, Satisfied: true,
		Says:   "The device already runs exactly this.",
		Advice: "Nothing to do.",
	},
	ImageTooLarge: {
		Final:  true,
		Says:   "The image does not fit into the slot.",
		Advice: "Make the image smaller, or use a device with larger slots.",
	},
	SlotMissing: {
		Final:  true,
		Says:   "The update contains a component that this device has no slot for.",
		Advice: "Check the component's name in the release file and the slots in the device's configuration.",
	},
	WrongSlot: {
		StepsAside: true,
		Says:       "The update was built for the other slot than the one that is free.",
		Advice:     "Publish an update with an image for each slot.",
	},
	LowBattery: {
		Retry:  10 * time.Minute,
		Says:   "There is not enough energy to install safely.",
		Advice: "Charge the device or connect it to mains; the update waits.",
	},
	OutsideWindow: {
		Says:   "It is not the time of day or the day that updates are allowed at.",
		Advice: "Wait for the maintenance window, or install at the console.",
	},
	LinkMetered: {
		Says:   "The device is on a link that is paid by volume.",
		Advice: "Connect it to another network, allow metered links in its configuration, or install from a file.",
	},
	ApprovalRequired: {
		Says:   "Somebody at the device has to agree first.",
		Advice: "Run `ratchet approve` on the device.",
	},
	Decommissioned: {
		Says:   "The device is decommissioned and takes no updates.",
		Advice: "Put it back into service first, if that is what you want.",
	},
	ConditionFailed: {
		Final:  true,
		Says:   "A condition that the update sets does not hold on this device.",
		Advice: "Run `ratchet-release inspect` on the manifest to see the condition.",
	},
	SourceNotAllowed: {
		Final:  true,
		Says:   "The image's address is not one that the device may load from.",
		Advice: "Publish the image under an allowed address (https, no loopback, no local file).",
	},
	NoSpace: {
		Retry:  time.Hour,
		Says:   "There is no room for the records that an update needs.",
		Advice: "Free space in the state directory; the update waits.",
	},
	Superseded: {
		Final:  true,
		Says:   "A newer update took its place.",
		Advice: "Nothing to do.",
	},
	UpdateInProgress: {
		Says:   "Another update is in progress.",
		Advice: "Wait until it has ended; `ratchet status` shows it.",
	},
	RunningUnproven: {
		Retry:  time.Hour,
		Says:   "It could not be proven which slot runs, so no slot is written.",
		Advice: "Run `ratchet slots`; compare the boot command line with the configured slots.",
	},
	RunningUnconfirmed: {
		Retry:  time.Hour,
		Says:   "The running system is not the last confirmed one.",
		Advice: "Run `ratchet status`; confirm the running system or revert first.",
	},
	BootSafeMode: {
		Retry:  time.Hour,
		Says:   "The agent runs in boot-safe mode and takes no updates.",
		Advice: "Run `ratchet status` for the cause, and correct it.",
	},

	// Root, plan and pulse.
	Revoked: {
		Final:  true,
		Says:   "The trust root has revoked this update.",
		Advice: "Publish another one; a revoked update is never installed again.",
	},
	SignersInsufficient: {
		Says:   "Too few of those who may release this component for this device have signed.",
		Advice: "Let the missing people sign the same envelope, and publish it again.",
	},
	SequenceOutOfRange: {
		Says:   "The update's sequence number lies outside of what the trust root admits for a component.",
		Advice: "Release it under a number within the range, or publish a root with another range.",
	},
	RootExpired: {
		Says:   "The device's trust root has expired, so a newer one may be kept from it.",
		Advice: "Publish the newest root bundle; check the device's date.",
	},
	RootBehind: {
		Says:   "The device once had a newer trust root than it has now.",
		Advice: "Give it the newest root bundle; look in the history for how it lost its state.",
	},
	CounterUnreadable: {
		Says:   "The hardware counter that keeps the version of the trust root cannot be read, so that an old root could pass for the newest.",
		Advice: "ratchet counter names the fault. One that was deleted: find out by whom, then ratchet counter init --version with the root's version.",
	},
	PlanMissing: {
		Ends:   true,
		Says:   "No campaign plan names this update for this device.",
		Advice: "Publish a plan that names it, or install at the console.",
	},
	PlanVoid: {
		Ends:   true,
		Says:   "The campaign plan is superseded: the device has seen a newer one.",
		Advice: "Publish a plan under a higher sequence and the present generation of the campaign role.",
	},
	PlanExpired: {
		Ends:   true,
		Says:   "The campaign plan is no longer valid at this date.",
		Advice: "Publish a new plan, or check the device's date.",
	},
	PlanWithdrawn: {
		Ends:   true,
		Says:   "The campaign for this update was withdrawn.",
		Advice: "Correct what was wrong and publish a new plan; a withdrawn one never comes back.",
	},
	NotInScope: {
		Says:   "The campaign plan is for other devices.",
		Advice: "Nothing to do, unless the plan should name this class or device.",
	},
	NotInCohort: {
		Says:   "This device is not among the first that get the update.",
		Advice: "Nothing to do; a later phase of the campaign reaches it.",
	},
	NotBefore: {
		Says:   "The campaign's phase has not begun yet.",
		Advice: "Nothing to do; the update waits for its time.",
	},
	PulseMissing: {
		Says:   "No pulse says that the campaign goes on.",
		Advice: "Publish a pulse for the plan.",
	},
	PulseVoid: {
		Says:   "The pulse is superseded, or belongs to another plan.",
		Advice: "Publish a pulse for the present plan, under a higher sequence.",
	},
	PulseExpired: {
		Says:   "The last pulse of the campaign is too old.",
		Advice: "Publish a fresh pulse; look for what keeps it from the device.",
	},
	Paused: {
		Says:   "The campaign is paused.",
		Advice: "Nothing to do; the update waits until it goes on.",
	},
	Halted: {
		Says:   "The campaign was halted, because something is wrong with it.",
		Advice: "Find the cause; open the campaign again or withdraw it.",
	},
	RootRefused: {
		Final:  true,
		Says:   "A root bundle was refused; the trusted root stays.",
		Advice: "Publish the whole bundle that `ratchet-release root` wrote; treat others as an attack.",
	},
	PermitVoid: {
		Final:  true,
		Says:   "The recovery permit does not answer the challenge of this device.",
		Advice: "Run `ratchet recover` and have the challenge that it shows answered.",
	},
	Permitted: {
		Says:   "A recovery permit allowed it in spite of a rule.",
		Advice: "Nothing to do; the history names the rules and who permitted it.",
	},

	// Refusals of the manifest itself.
	EnvelopeMalformed: {
		Final:  true,
		Says:   "What was received is not a well-formed update manifest.",
		Advice: "Publish the file that `ratchet-release sign` wrote, unchanged.",
	},
	SignatureInvalid: {
		Final: true, ThisCopy: true,
		Says:   "The signature does not belong to this manifest: it was altered or signed wrongly.",
		Advice: "Treat it as an attack until shown otherwise; sign and publish the manifest again.",
	},
	SignerUnknown: {
		Final: true, ThisCopy: true,
		Says:   "Nobody whom this device trusts has signed the manifest.",
		Advice: "Sign with a key that the device knows; `ratchet status` lists them.",
	},
	DigestMismatch: {
		Final:  true,
		Says:   "The manifest is not the one that was signed.",
		Advice: "Treat it as an attack until shown otherwise; publish the signed file again.",
	},
	ManifestUnsupported: {
		Final:  true,
		Says:   "The manifest asks for something that this device cannot do.",
		Advice: "Run `ratchet-release inspect` on it; build it for this version of the agent.",
	},
	DecryptionKeyMissing: {
		Final:  true,
		Says:   "The image is encrypted, and not for this device.",
		Advice: "Encrypt it for the device's public key, or give the device the decryption key that it names.",
	},
	AlgorithmNotAllowed: {
		Final: true, ThisCopy: true,
		Says:   "The manifest is signed with an algorithm that this device does not accept.",
		Advice: "Sign with ESP256 or Ed25519, as the device's configuration says.",
	},

	// Causes.
	SourceUnreachable: {
		Says:   "The image's server did not answer.",
		Advice: "Check the network and the server; the agent tries again.",
	},
	SourceGone: {
		Says:   "The image's server says that it has no such image.",
		Advice: "Put the image where the manifest says, and publish the manifest again.",
	},
	SourceChanged: {
		Costly: true,
		Says:   "The image changed on the server while it was loaded.",
		Advice: "Never replace a published image; release a new one.",
	},
	ImageCorrupt: {
		Costly: true,
		Says:   "The loaded image is not the one that the manifest names.",
		Advice: "Compare the served file with the release; the running system was not touched.",
	},
	ReadBackMismatch: {
		Costly: true,
		Says:   "The slot does not hold what was written into it.",
		Advice: "Suspect the storage: it wears out or loses writes. The running system was not touched.",
	},
	SlotBusy: {
		Retry:  time.Minute,
		Says:   "The slot to write is mounted or held by another program.",
		Advice: "Unmount it, and keep automounters away from the slots.",
	},
	SlotIO: {
		Costly: true,
		Says:   "The slot could not be read or written.",
		Advice: "Suspect the storage; look at the kernel log.",
	},
	BootMetadataInvalid: {
		Says:   "The boot metadata cannot be trusted: it is damaged or not what was configured.",
		Advice: "Run `ratchet slots`, and repair the metadata with the bootloader's own tools.",
	},
	BootMetadataIO: {
		Says:   "The boot metadata could not be read or written.",
		Advice: "Check the configured path and the storage behind it.",
	},
	BootMetadataChanged: {
		Says:   "Something else changed the boot metadata meanwhile.",
		Advice: "Find the other writer (fw_setenv, a mark-good unit) and stop it.",
	},
	HealthFailed: {
		Blame: Image, Retry: time.Minute,
		Says:   "The new system did not pass its health checks.",
		Advice: "Read the history for the check that failed; correct the image.",
	},
	HealthTimeout: {
		Blame: Image, Retry: time.Minute,
		Says:   "The new system did not become healthy in time.",
		Advice: "Read the history for the check that was still open; correct the image or its deadline.",
	},
	TrialBootsExhausted: {
		Blame:  ImageIfTriedOften,
		Says:   "The new system used up its trial boots without becoming healthy.",
		Advice: "Look for a crash or a reset early in its start; correct the image.",
	},
	FellBack: {
		Blame:  ImageIfAgain,
		Says:   "The bootloader tried the new system and went back to the old one.",
		Advice: "Look at the new system's boot on a serial console; correct the image.",
	},
	NeverTried: {
		Says:   "The new system was never booted, although it was armed.",
		Advice: "Check that the bootloader's script and the configured backend belong together.",
	},
	ArmNotLanded: {
		Costly: true,
		Says:   "The bootloader could not be told to try the new system.",
		Advice: "Check the boot metadata; the running system goes on.",
	},
	RebootFailed: {
		Says:   "The machine did not reboot when it was told to.",
		Advice: "Look for what holds the shutdown up; reboot it by hand.",
	},
	ConfirmedExternally: {
		Says:   "Something else confirmed the new system before its health was proven.",
		Advice: "Remove the other confirming service, so that a sick system can be reverted.",
	},
	LostAfterConfirm: {
		Says:   "The new system was confirmed, yet the old one runs.",
		Advice: "Run `ratchet slots`; look for why the bootloader left the confirmed slot.",
	},
	RevertImpossible: {
		Says:   "The device should go back, but the other slot does not boot.",
		Advice: "Keep it powered, do not reboot it, and install a working image into the other slot.",
	},
	DisablePending: {
		Says:   "The failed slot could not be disabled yet.",
		Advice: "Check the boot metadata; the agent tries again at every start.",
	},
	CounterReplaced: {
		Says:   "The hardware counter is not the one that was there before: it was deleted and made again, or its TPM was exchanged.",
		Advice: "Find out who did it. If nobody was meant to, the device may have been given an older root: look at what it runs.",
	},
	FloorPending: {
		Says:   "The update is confirmed, but the rollback counter could not be raised yet.",
		Advice: "Check the counter's hardware; the agent tries again at every start.",
	},
	OperatorRevert: {
		Closes: true,
		Says:   "A person asked to go back.",
		Advice: "Nothing to do.",
	},
	OperatorConfirm: {
		Says:   "A person confirmed the system.",
		Advice: "Nothing to do.",
	},
	Withdrawn: {
		Final: true, Reserved: true,
		Says:   "The update was withdrawn before it was started.",
		Advice: "Nothing to do.",
	},
	JournalLost: {
		Says:   "The agent's journal was lost or damaged; a new one was begun.",
		Advice: "Keep the file that was set aside; suspect the storage.",
	},
	JournalUnwritable: {
		Says:   "The agent's journal cannot be written.",
		Advice: "Check that the state directory is writable and its storage healthy.",
	},
	JournalFull: {
		Reserved: true,
		Says:     "The agent's journal is full.",
		Advice:   "Connect the device, so that its evidence can be handed over and pruned.",
	},
	RecordUnknown: {
		Says:   "The agent's record was written by another version and is not understood.",
		Advice: "Run the version that wrote it, or finish its update there.",
	},
	ConfigInvalid: {
		Says:   "The configuration cannot be used.",
		Advice: "Run `ratchet daemon --check-config`; it names the line.",
	},
	AnchorsInvalid: {
		Reserved: true,
		Says:     "The trust anchors cannot be used.",
		Advice:   "Check the key files that the configuration names.",
	},
	Interrupted: {
		Says:   "Power was lost or the agent was stopped in the middle.",
		Advice: "Nothing to do; the agent goes on from there.",
	},
	ClockJumped: {
		Reserved: true,
		Says:     "The device's clock was set by a large step.",
		Advice:   "Nothing to do; deadlines do not depend on it.",
	},
	EvidencePruned: {
		Reserved: true,
		Says:     "Old evidence was removed to make room.",
		Advice:   "Collect evidence more often, or give the journal more room.",
	},

	// Answers.
	NotPermitted: {
		Reserved: true,
		Says:     "You are not permitted to ask for this.",
		Advice:   "Use an account that the daemon's configuration permits, or root.",
	},
	RequestBad: {
		Says:   "The request is not one that the agent understands.",
		Advice: "See the command's --help; use the same version for both.",
	},
	NothingToDo: {
		Says:   "There is nothing to do.",
		Advice: "Nothing to do.",
	},
	InternalError: {
		Reserved: true,
		Says:     "The agent has a defect.",
		Advice:   "Report it with `ratchet history` and the log.",
	},
}
