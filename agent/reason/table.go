package reason

import "time"

// table has one entry for every constant of this package; a test compares them with the source, and
// another one holds every fate.
//
// Final follows one rule: only what the signed manifest itself says, compared with what cannot change
// on this device, is final. What an answer, a redirect, a resolver, a clock, a file, a medium or a
// broker says may pass: it is tried again, later and later, and never given up. So the verdicts on
// the device's kind, slots and floor are final, and Expired, the sources, the decryption key and the
// slot's medium are not. Quarantined is final for as long as the image is; a person can give it back.
// AlreadyInstalled is final, else an operator's revert would be undone by the offer that was waiting.
// VersionCondition is not: after another update the same offer may be the right next step. Revoked is
// the word of the trust root's owner.
//
// Blame is kept narrow, because a quarantined digest is a blocked update: only what happens inside the
// new system, where nobody on the network can make it happen. ImageCorrupt means that some server
// sent other bytes than the manifest names, and HealthUnreachable that something beyond the device did
// not answer: neither says anything about the image, and either would let whoever sits on the path block
// a good update.
var table = map[Reason]Info{
	None: {
		Says:   "Nothing is wrong.",
		Advice: "Nothing to do.",
	},

	// Decisions.
	WrongVendor: {
		Final: true, Quiet: true,
		Says:   "The update is for another vendor's devices.",
		Advice: "Publish it to the devices it was made for, or correct the vendor in the release file.",
	},
	WrongClass: {
		Final: true, Quiet: true,
		Says:   "The update is for another class of device.",
		Advice: "Publish it to the devices it was made for, or correct the class in the release file.",
	},
	WrongDevice: {
		Final: true, Quiet: true,
		Says:   "The update is for a different device.",
		Advice: "Send it to the device that it names.",
	},
	SequenceBelowFloor: {
		Final: true, Quiet: true,
		Says:   "The update is older than one that was already confirmed on this device.",
		Advice: "To go back to old content, release it again under a higher sequence number.",
	},
	SequenceReused: {
		Final:  true,
		Says:   "Another update with the same sequence number was already confirmed on this device.",
		Advice: "Release it under a new, higher sequence number. Use each number once.",
	},
	VersionCondition: {
		StepsAside: true,
		Says:       "The update cannot be installed over the version that is running.",
		Advice:     "Install the version in between first. This update is then looked at again.",
	},
	Expired: {
		StepsAside: true,
		Says:       "The update has expired.",
		Advice:     "Publish a newer update, or check the device's date. It is looked at again when the date changes.",
	},
	ClockUnknown: {
		Says:   "A rule needs the date or the time of day, and the device does not know it.",
		Advice: "Set up time synchronisation, or fit a working clock battery. The update waits.",
	},
	Quarantined: {
		Final:  true,
		Says:   "This image failed on this device before.",
		Advice: "Look in the history for the cause, and publish a corrected image; or run `ratchet retry`.",
	},
	AlreadyInstalled: {
		Final: true, Quiet: true, Satisfied: true,
		Says:   "The device already runs this update.",
		Advice: "Nothing to do.",
	},
	ImageTooLarge: {
		Final:  true,
		Says:   "The image does not fit into the slot.",
		Advice: "Make the image smaller, or use a device with larger slots.",
	},
	SlotIncomplete: {
		StepsAside: true, Stops: true,
		Says:   "The update leaves out a part of the slot, and it is not proven what the running slot holds of it.",
		Advice: "Release all parts of the slot together once, and mount the running slot read-only.",
	},
	StartedBefore: {
		StepsAside: true,
		Says:       "The other slot holds this update already, and the device has no record of what became of it.",
		Advice: "Its state was lost when it came back: let the state directory last over a reboot. To try the update " +
			"all the same, install it at the device.",
	},
	SlotMissing: {
		Final:  true,
		Says:   "The update contains a component that this device has no slot for.",
		Advice: "Check the component's name in the release file, and the slots in the device's configuration.",
	},
	WrongSlot: {
		StepsAside: true,
		Says:       "The update was not built for the slot that is free.",
		Advice:     "Publish an update with an image for each slot.",
	},
	LowBattery: {
		Retry:  10 * time.Minute,
		Says:   "There is not enough power to install safely.",
		Advice: "Charge the device or connect it to mains power. The update waits.",
	},
	OutsideWindow: {
		Says:   "Updates are not allowed at this time.",
		Advice: "Wait for the maintenance window, or install at the console.",
	},
	LinkMetered: {
		Says:   "The device is on a metered network link.",
		Advice: "Connect it to another network, allow metered links in its configuration, or install from a file.",
	},
	ApprovalRequired: {
		Says:   "Somebody at the device has to approve the update first.",
		Advice: "Run `ratchet approve` on the device.",
	},
	Decommissioned: {
		Says:   "The device is decommissioned and takes no updates.",
		Advice: "Put it back into service first, if you want that.",
	},
	ConditionFailed: {
		Final:  true,
		Says:   "A condition in the update does not hold on this device.",
		Advice: "Run `ratchet-release inspect` on the manifest to see the condition.",
	},
	SourceNotAllowed: {
		Says:   "The device may not download from the image's address.",
		Advice: "Publish the image at an allowed address (https), or allow the address in the configuration.",
	},
	NoSpace: {
		Retry:  time.Hour,
		Says:   "There is no room for the records that an update needs.",
		Advice: "Free some space in the state directory. The update waits.",
	},
	WriteLimit: {
		Says:   "The slot was written in vain so often that writing it again would wear it out.",
		Advice: "Find out why the updates before failed. It goes on by itself, or with `ratchet retry`.",
	},
	FailedBefore: {
		Says:   "The update failed before, and another offer took its place in between.",
		Advice: "The history says why it failed. It is tried again by itself, or at once with `ratchet retry`.",
	},
	Superseded: {
		Says:   "A newer update has taken its place.",
		Advice: "Nothing to do.",
	},
	UpdateInProgress: {
		Says:   "An update is in progress.",
		Advice: "Wait until it has ended. `ratchet status` shows it.",
	},
	RunningUnproven: {
		Retry:  time.Hour,
		Says:   "Ratchet cannot be certain which slot is running, so it writes to neither.",
		Advice: "Run `ratchet slots`, and compare the boot command line with the configured slots.",
	},
	RunningUnconfirmed: {
		Retry:  time.Hour,
		Says:   "The running system is not the one that was confirmed last.",
		Advice: "Run `ratchet status`. Confirm the running system or revert first.",
	},
	BootSafeMode: {
		Retry:  time.Hour,
		Says:   "The agent is in boot-safe mode and takes no updates.",
		Advice: "Run `ratchet status` for the cause, and correct it.",
	},
	PartMissing: {
		Retry:  time.Minute,
		Says:   "Something that the device needs is missing, or cannot be used as it is.",
		Advice: "Run `ratchet status` for what it is. It is looked for again every minute.",
	},
	StateVolatile: {
		Says: "What the device remembers (floors, failures, how far an update came) is lost when it is switched off.",
		Advice: "Mount a partition that lasts over the state directory. Where it is meant so, say so with " +
			"`state.volatile = \"allow\"`.",
	},
	StateMoved: {
		Retry: time.Minute,
		Says:  "Another directory is in the place of the state directory than the one that the daemon began with.",
		Advice: "The daemon begins again with it as soon as nothing is half done. " +
			"Have it mounted before the daemon starts (`RequiresMountsFor`).",
	},

	// Root, plan and pulse.
	Revoked: {
		Final: true, Stops: true,
		Says:   "The trust root has revoked this update.",
		Advice: "Publish another one. A revoked update is never installed again.",
	},
	SignersInsufficient: {
		Stops:  true,
		Says:   "Too few of the people who may release this component for this device have signed.",
		Advice: "Have the missing people sign the same envelope, and publish it again.",
	},
	SequenceOutOfRange: {
		Stops:  true,
		Says:   "The update's sequence number is outside the range that the trust root allows for a component.",
		Advice: "Release it under a number in that range, or publish a root with another range.",
	},
	RootExpired: {
		Says:   "The device's trust root has expired, and somebody may be keeping a newer one from it.",
		Advice: "Publish the newest root bundle, and check the device's date.",
	},
	RootBehind: {
		Says:   "The device had a newer trust root before than it has now.",
		Advice: "Send it the newest root bundle. Look in the history for how it lost the newer root.",
	},
	CounterUnreadable: {
		Says: "The hardware counter with the trust root's version cannot be read, so an old root " +
			"could pass for the newest one.",
		Advice: "Run `ratchet counter` for the fault. If the counter was deleted, find out by whom, then make it " +
			"again with `ratchet counter init`.",
	},
	PlanMissing: {
		Ends: true, Stops: true,
		Says:   "No campaign plan names this update for this device.",
		Advice: "Publish a plan that names it, or install at the console.",
	},
	PlanVoid: {
		Ends: true, Stops: true,
		Says:   "The campaign plan is superseded: the device has seen a newer one.",
		Advice: "Publish a plan with a higher sequence number and the current generation of the campaign role.",
	},
	PlanExpired: {
		Ends:   true,
		Says:   "The campaign plan has expired.",
		Advice: "Publish a new plan, or check the device's date.",
	},
	PlanWithdrawn: {
		Ends: true, Stops: true,
		Says:   "The campaign for this update was withdrawn.",
		Advice: "Correct what was wrong, and publish a new plan. A withdrawn plan never comes back.",
	},
	NotInScope: {
		Stops:  true,
		Says:   "The campaign plan is for other devices.",
		Advice: "Nothing to do, unless the plan should name this class or device.",
	},
	NotInCohort: {
		Stops:  true,
		Says:   "The campaign has not reached this device yet.",
		Advice: "Nothing to do. A later phase of the campaign reaches it.",
	},
	NotBefore: {
		Says:   "The campaign's phase has not begun yet.",
		Advice: "Nothing to do. The update waits for its time.",
	},
	PulseMissing: {
		Says:   "There is no pulse to say that the campaign goes on.",
		Advice: "Publish a pulse for the plan.",
	},
	PulseVoid: {
		Says:   "The pulse is superseded, or belongs to another plan.",
		Advice: "Publish a pulse for the current plan, with a higher sequence number.",
	},
	PulseExpired: {
		Says:   "The campaign's last pulse has expired.",
		Advice: "Publish a fresh pulse, and find out what keeps it from the device.",
	},
	Paused: {
		Stops:  true,
		Says:   "The campaign is paused.",
		Advice: "Nothing to do. The update waits until the campaign goes on.",
	},
	Halted: {
		Stops:  true,
		Says:   "The campaign was halted, because something is wrong with it.",
		Advice: "Find the cause. Then open the campaign again, or withdraw it.",
	},
	TooManyDocuments: {
		Says: "More plans and pulses came within an hour than a device takes.",
		Advice: "Find out who signs so many, and rotate the key if nobody should. A pulse that stops the campaign, " +
			"and a new root, are taken all the same.",
	},
	RootRefused: {
		Final:  true,
		Says:   "A root bundle was refused, and the trusted root stays.",
		Advice: "Publish the whole bundle that `ratchet-release root` wrote. Treat any other as an attack.",
	},
	DocumentVoid: {
		Says: "A document that the device took before no longer verifies, and is not used.",
		Advice: "Publish the root, the plan and the pulse again. Find out who or what has changed the state " +
			"directory.",
	},
	PermitVoid: {
		Final:  true,
		Says:   "The recovery permit does not answer this device's challenge.",
		Advice: "Run `ratchet recover`, and have the challenge that it shows answered.",
	},
	Permitted: {
		Says:   "A recovery permit allowed it although a rule was against it.",
		Advice: "Nothing to do. The history names the rules and who permitted it.",
	},

	// Refusals of the manifest itself.
	EnvelopeMalformed: {
		Final: true, ThisCopy: true,
		Says:   "What the device received is not a well-formed update manifest.",
		Advice: "Publish the file that `ratchet-release sign` wrote, unchanged.",
	},
	SignatureInvalid: {
		Final: true, ThisCopy: true, Stops: true,
		Says:   "The signature does not match this manifest: it was altered, or signed wrongly.",
		Advice: "Treat it as an attack until shown otherwise. Sign the manifest again and publish it.",
	},
	SignerUnknown: {
		Final: true, ThisCopy: true, Stops: true,
		Says:   "No key that this device trusts has signed the manifest.",
		Advice: "Sign it with a key that the device trusts: `ratchet status` shows its keys, or its trust root.",
	},
	DigestMismatch: {
		Final: true, ThisCopy: true,
		Says:   "The manifest is not the one that was signed.",
		Advice: "Treat it as an attack until shown otherwise. Publish the signed file again.",
	},
	ManifestUnsupported: {
		Final:  true,
		Says:   "The manifest asks for something that this device cannot do.",
		Advice: "Run `ratchet-release inspect` on it, and build it for this version of the agent.",
	},
	DecryptionKeyMissing: {
		Says:   "The image is encrypted, and this device does not have the key.",
		Advice: "Encrypt it for the device's public key, or give the device the decryption key that it names.",
	},
	AlgorithmNotAllowed: {
		Final: true, ThisCopy: true, Stops: true,
		Says:   "The manifest is signed with an algorithm that this device does not accept.",
		Advice: "Sign with ESP256 or Ed25519, or with what the device's root or configuration allows.",
	},
}
