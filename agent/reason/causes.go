package reason

import "time"

// causes are the rest of the table: what an update ended by, and what a person is answered.
var causes = map[Reason]Info{
	// Causes.
	SourceUnreachable: {
		Says:   "The image server did not answer.",
		Advice: "Check the network and the server. The agent tries again.",
	},
	SourceGone: {
		Says:   "The image server says that it has no such image.",
		Advice: "Put the image where the manifest says, and publish the manifest again.",
	},
	SourceChanged: {
		Costly: true,
		Says:   "The image changed on the server during the download.",
		Advice: "Never replace a published image. Release a new one.",
	},
	SourceUnusable: {
		Says:   "Something answers at the image's address, and not with the image.",
		Advice: "Look for a portal, a proxy or a DNS filter on the way, and for an upload that is not complete.",
	},
	ImageCorrupt: {
		Costly: true,
		Says:   "The downloaded image is not the one that the manifest names.",
		Advice: "Compare the file on the server with the release. The running system was not touched.",
	},
	ReadBackMismatch: {
		Costly: true,
		Says:   "The slot does not hold what was written to it.",
		Advice: "Suspect the storage: it may be worn out, or lose writes. The running system was not touched.",
	},
	SlotBusy: {
		Retry:  time.Minute,
		Says:   "The slot to write is mounted, or another program uses it.",
		Advice: "Unmount it, and keep automounters away from the slots.",
	},
	SlotIO: {
		Costly: true,
		Says:   "The slot could not be read or written.",
		Advice: "Suspect the storage, and look at the kernel log.",
	},
	BootMetadataInvalid: {
		Says:   "The boot metadata cannot be trusted: it is damaged, or not what was configured.",
		Advice: "Run `ratchet slots`, and repair the metadata with the bootloader's own tools.",
	},
	BootMetadataIO: {
		Says:   "The boot metadata could not be read or written.",
		Advice: "Check the configured path and the storage behind it.",
	},
	BootMetadataChanged: {
		Says:   "Another program changed the boot metadata at the same time.",
		Advice: "Find the program (fw_setenv, a mark-good unit), and stop it.",
	},
	HealthFailed: {
		Blame:  Image,
		Says:   "The new system did not pass its health checks.",
		Advice: "Look in the history for the check that failed, and correct the image.",
	},
	HealthTimeout: {
		Blame:  Image,
		Says:   "The new system did not become healthy in time.",
		Advice: "Look in the history for the check that was still open. Correct the image or the deadline.",
	},
	HealthUnreachable: {
		Says:   "The new system did not reach something beyond the device that its health checks need.",
		Advice: "Check the broker, the network and the servers that the checks ask. The update is tried again.",
	},
	TrialBootsExhausted: {
		Blame:  ImageIfTriedOften,
		Says:   "The new system used up its trial boots without becoming healthy.",
		Advice: "Look for a crash or a reset early in its start, and correct the image.",
	},
	FellBack: {
		Blame:  ImageIfAgain,
		Says:   "The bootloader tried the new system and went back to the old one.",
		Advice: "Watch the new system boot on a serial console, and correct the image.",
	},
	PowerLost: {
		Says: "The power went in the trial boots of the new system, before it could be proven.",
		Advice: "See to the power supply. The update is tried again; where the supply holds for the old system only, " +
			"the new one may draw too much.",
	},
	NeverTried: {
		Says:   "The new system was armed, but never booted.",
		Advice: "Check that the bootloader's script and the configured backend belong together.",
	},
	ArmNotLanded: {
		Costly: true,
		Says:   "The bootloader could not be told to try the new system.",
		Advice: "Check the boot metadata. The running system goes on.",
	},
	RebootFailed: {
		Says:   "The machine did not reboot when it was told to.",
		Advice: "Find out what holds up the shutdown, and reboot it by hand.",
	},
	ConfirmedExternally: {
		Says:   "Another program confirmed the new system before its health was proven.",
		Advice: "Remove the other confirming service, so that a sick system can be reverted.",
	},
	LostAfterConfirm: {
		Says:   "The new system was confirmed, but the old one is running.",
		Advice: "Run `ratchet slots`, and find out why the bootloader left the confirmed slot.",
	},
	RevertImpossible: {
		Says:   "The device should go back, but the other slot does not boot.",
		Advice: "Keep it powered and do not reboot it. Install a working image into the other slot.",
	},
	DisablePending: {
		Says:   "The failed slot could not be disabled yet.",
		Advice: "Check the boot metadata. The agent tries again at every start.",
	},
	CounterReplaced: {
		Says: "The hardware counter is not the one from before: it was deleted and made " +
			"again, or its TPM was replaced.",
		Advice: "Find out who did it. If nobody should have, the device may have been given an older " +
			"root: check what it runs.",
	},
	FloorPending: {
		Says:   "The update is confirmed, but the rollback counter could not be raised yet.",
		Advice: "Check the counter's hardware. The agent tries again at every start.",
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
		Says:   "The agent's journal was lost or damaged, and a new one was begun.",
		Advice: "Keep the file that was set aside, and suspect the storage.",
	},
	JournalBehind: {
		Says: "The device's journal has gone back to an earlier state, and a new chain of evidence begins.",
		Advice: "Suspect the storage: it has lost what it said was written. What the desk has collected is the " +
			"record of what is lost here.",
	},
	JournalUnwritable: {
		Says:   "The agent cannot write its journal.",
		Advice: "Check that the state directory is writable and its storage healthy.",
	},
	JournalFull: {
		Reserved: true,
		Says:     "The agent's journal is full.",
		Advice:   "Connect the device, so that it can hand over its evidence and make room.",
	},
	RecordUnknown: {
		Says:   "The agent cannot read its record of the update: another version wrote it.",
		Advice: "Run the version that wrote it, or finish its update there.",
	},
	GivenBack: {
		Says:   "An image that was quarantined is tried again: what it was blamed for may have been the power.",
		Advice: "Nothing to do. If it fails again, look for a crash or a reset early in its start.",
	},
	ConfigInvalid: {
		Says:   "The configuration is not valid.",
		Advice: "Run `ratchet daemon --check-config`. It names the line.",
	},
	AnchorsInvalid: {
		Reserved: true,
		Says:     "The trust anchors are not valid.",
		Advice:   "Check the key files that the configuration names.",
	},
	Interrupted: {
		Says:   "Power was lost, or the agent was stopped, in the middle of it.",
		Advice: "Nothing to do. The agent goes on from there.",
	},
	ClockJumped: {
		Reserved: true,
		Says:     "The device's clock was set by a large step.",
		Advice:   "Nothing to do. Deadlines do not depend on it.",
	},
	EvidencePruned: {
		Reserved: true,
		Says:     "Old evidence was removed to make room.",
		Advice:   "Collect evidence more often, or give the journal more room.",
	},

	// Answers.
	NotPermitted: {
		Reserved: true,
		Says:     "You do not have permission to ask for this.",
		Advice:   "Use an account that the daemon's configuration permits, or root.",
	},
	RequestBad: {
		Says:   "The agent does not understand the request.",
		Advice: "See the command's --help. The command and the agent should be of the same version.",
	},
	NothingToDo: {
		Says:   "There is nothing to do.",
		Advice: "Nothing to do.",
	},
	InternalError: {
		Reserved: true,
		Says:     "The agent has a bug.",
		Advice:   "Report it with `ratchet history` and the log.",
	},
}
