package life

import (
	"bytes"
	"slices"
)

// table is the life of an update. Rows are tried in order; a row of every phase stands above those of
// one. Next is where a row may lead; a transition that is not in it is a defect.
//
// Every transition after arming, other than forward, leads through reverting.
var table = []Row{
	// What holds in every phase.
	{Any, OnStarted, "", "record the start; refill the running slot's tries", nil, nil, started},
	{Any, OnRefreshed, "the daemon has just started", "reconcile", nil, starting, refreshedAtStart},
	{Any, OnNotTaken, "the daemon has just started", "hold; hand a trial back to the loader", nil,
		starting, startNotTaken},
	{Any, OnBegin, "the outcome of the start was not durable, and it counted no boot", "wait, then start again",
		nil, retaking, retake},
	{Any, OnDue, "the outcome of the start was not durable, and it counted no boot", "start again", nil,
		retaking, startAgain},
	{Any, OnBegin, "what runs is not proven, or the outcome of the start was not durable",
		"write nothing in this boot", nil, holds, hold},
	{Any, OnBegin, "boot-safe mode, and the update is not past arming", "wait", nil, safeBeforeReboot, hold},
	{Any, OnAsked, "confirm or revert, while nothing is written in this boot", "refuse", nil, asksInHold, refuseInHold},
	{Any, OnAsked, "approve", "remember the consent", nil, verb(VerbApprove), approve},
	{Any, OnDocumented, "", "idle: decide what waits again", nil, nil, documented},
	{Any, OnStepped, "", "idle: decide what waits again, unless it waits after a failure", nil, nil, stepped},
	{Any, OnDecided, "its bytes do not verify", "record it, within a rate", nil, isUnverified, unverified},
	{Any, OnLooked, "the trial could not be made durable", "hand it back to the loader's counter",
		nil, bailing, bailed},

	{Any, OnStays, "it was handed back to the loader's counter", "again, later and later", nil, isPlain, plainStays},

	{Idle, OnBegin, "the daemon has just started", "take up what the power cut left, as Reconcile says",
		[]Phase{Trial}, starting, resumed},
	{Idle, OnBegin, "it is time to look after the boot metadata", "read it", nil, timeToTend, tend},
	{Idle, OnLooked, "", "prove an unconfirmed running slot; else refill its tries", []Phase{Trial}, nil, tendLooked},
	{Idle, OnRefreshed, "", "disable a slot that is armed outside of a trial", []Phase{Idle}, nil, tendRefreshed},
	{Idle, OnDisabled, "", "record it", []Phase{Idle}, nil, tendDisabled},
	{Idle, OnOrigin, "", "record which counter guards the device; do what is pending", []Phase{Idle}, nil, tendOrigin},
	{Idle, OnRaised, "", "what was pending is done", []Phase{Idle}, nil, tendRaised},
	{Idle, OnNotTaken, "while looking after the boot metadata", "again soon", nil, isTending, tendNotTaken},
	{Idle, OnBegin, "", "wait for an offer, a request, or the time to decide again", nil, nil, idleWait},
	{Idle, OnDue, "it is time to decide the waiting offer again", "verify and decide it", nil, timeToRetry, retry},
	{Idle, OnAsked, "revert", "take the other slot up as if it had just been written", []Phase{Checking},
		verb(VerbRevert), goBack},
	{Idle, OnAsked, "retry", "forget what failed; give back what is quarantined", nil, verb(VerbRetry), tryAgain},
	{Idle, OnCame, "", "verify and decide it", nil, nil, came},
	{Idle, OnDecided, "it has a final verdict", "nothing", nil, isSettled, settled},
	{Idle, OnDecided, "it failed, and its back-off is not over", "nothing", nil, isEarly, early},
	{Idle, OnDecided, "a newer one waits", "leave it aside", nil, isPassed, passed},
	{Idle, OnDecided, "install, and it failed before another one took its place", "let it wait", nil,
		failedBefore, waitAgain},
	{Idle, OnDecided, "install, and the slot was written in vain as often as is good for it", "let it wait", nil,
		tooWorn, waitWorn},
	{Idle, OnDecided, "install", "record the decision", nil, decided(Install), decidedInstall},
	{Idle, OnTaken, "", "begin: name manifest and target in the record", []Phase{Preparing}, nil, begin},
	{Idle, OnDecided, "defer", "let it wait", nil, decided(Defer), deferOffer},
	{Idle, OnDecided, "refuse", "remember the final verdict", nil, decided(Refuse), refuseOffer},

	{Preparing, OnBegin, "the daemon has just started", "take up what the power cut left, as Reconcile says",
		[]Phase{Idle, Reverting}, starting, resumed},
	{Preparing, OnBegin, "", "verify and decide again", nil, nil, ask},
	{Preparing, OnDecided, "install, and the record does not name every part of the slot", "name them",
		[]Phase{Preparing}, both(decided(Install), isPartial), nameParts},
	{Preparing, OnDecided, "install", "read the boot metadata", nil, decided(Install), look},
	{Preparing, OnDecided, "", "put it back, or fail", []Phase{Idle}, nil, stop},
	{Preparing, OnLooked, "it cannot be read", "put it back", []Phase{Idle}, notOK, metadataFailed},
	{Preparing, OnLooked, "the running slot is confirmed and bootable", "ask every source for a first byte", nil,
		runningIsGood, reach},
	{Preparing, OnLooked, "", "put it back: the target may be the only good slot", []Phase{Idle}, nil, unconfirmed},
	{Preparing, OnReached, "what was taken meanwhile forbids it", "put it back, or fail", []Phase{Idle},
		isStopped, stopped},
	{Preparing, OnReached, "every source answers, and the manifest leaves a part out",
		"read it back in the running slot, and compare", nil, both(isOK, carries), compare},
	{Preparing, OnReached, "every source answers", "disable the target", nil, isOK, disable},
	{Preparing, OnReached, "", "put it back, or fail", []Phase{Idle}, nil, writeFailed},
	{Preparing, OnCompared, "what was taken meanwhile forbids it", "put it back, or fail", []Phase{Idle},
		isStopped, stopped},
	{Preparing, OnCompared, "it is what was confirmed", "disable the target", nil, isOK, disable},
	{Preparing, OnCompared, "", "put it back, or fail", []Phase{Idle}, nil, writeFailed},
	{Preparing, OnDisabled, "the target does not boot any more", "go on", []Phase{Writing}, disabledOK, toWriting},
	{Preparing, OnDisabled, "", "put it back", []Phase{Idle}, nil, notDisabled},
	{Preparing, OnAsked, "revert", "fail", []Phase{Idle}, verb(VerbRevert), dropNow},

	{Writing, OnBegin, "the daemon has just started", "take up what the power cut left, as Reconcile says",
		[]Phase{Idle, Reverting}, starting, resumed},
	{Writing, OnBegin, "", "verify and decide again", nil, nil, ask},
	{Writing, OnDecided, "install, and the record does not name every part of the slot", "prepare again",
		[]Phase{Preparing}, both(decided(Install), isPartial), nameParts},
	{Writing, OnDecided, "install", "disable the target, in case somebody enabled it", nil, decided(Install), disable},
	{Writing, OnDecided, "", "put it back, or fail", []Phase{Idle}, nil, stop},
	{Writing, OnDisabled, "the target does not boot", "stream, hash, flush and checkpoint each part into it", nil,
		disabledOK, writeFirst},
	{Writing, OnDisabled, "", "put it back", []Phase{Idle}, nil, notDisabled},
	{Writing, OnWrote, "what was taken meanwhile forbids it", "put it back, or fail; what is written is kept",
		[]Phase{Idle}, isStopped, stopped},
	{Writing, OnWrote, "every part is written", "go on", []Phase{Checking}, wroteAll, toChecking},
	{Writing, OnWrote, "a part is written", "the next part", nil, isOK, wrote},
	{Writing, OnWrote, "a checkpoint could not be made durable", "again, later and later", nil,
		isNotDurable, checkpointNotTaken},
	{Writing, OnWrote, "", "once from zero, put it back, or fail", []Phase{Writing, Idle}, nil, writeFailed},
	{Writing, OnAsked, "revert", "fail", []Phase{Idle}, verb(VerbRevert), dropNow},

	{Checking, OnBegin, "the daemon has just started", "take up what the power cut left, as Reconcile says",
		[]Phase{Idle, Reverting}, starting, resumed},
	{Checking, OnBegin, "", "read every image back from the medium, held exclusively, and compare", nil, nil, check},
	{Checking, OnChecked, "what was taken meanwhile forbids it", "put it back, or fail", []Phase{Idle},
		isStopped, stopped},
	{Checking, OnChecked, "it is not equal, or cannot be read", "once from zero, put it back, or fail",
		[]Phase{Writing, Idle}, notOK, checkFailed},
	{Checking, OnChecked, "nothing says what the target must hold, and nobody goes back", "fail", []Phase{Idle},
		namesNothing, unnamed},
	{Checking, OnChecked, "", "go on", []Phase{Ready}, nil, checked},
	{Checking, OnAsked, "revert", "fail", []Phase{Idle}, verb(VerbRevert), dropNow},

	{Ready, OnBegin, "the daemon has just started", "take up what the power cut left, as Reconcile says",
		[]Phase{Checking, Idle, Reverting}, starting, resumed},
	{Ready, OnBegin, "the target is not held any more", "read it back again", []Phase{Checking}, notHeld, checkAgain},
	{Ready, OnBegin, "", "verify and decide again", nil, nil, askToArm},
	{Ready, OnDecided, "a newer offer came", "end this one", []Phase{Idle}, isOver, overtaken},
	{Ready, OnDecided, "refuse", "fail", []Phase{Idle}, decided(Refuse), refusedToArm},
	{Ready, OnDecided, "the plan behind it was taken back or is over", "fail", []Phase{Idle}, isEnded, voided},
	{Ready, OnDecided, "install, and the record does not name every part of the slot", "prepare again",
		[]Phase{Preparing}, both(decided(Install), isPartial), nameParts},
	{Ready, OnDecided, "install, and it was read back long ago", "read it back again", []Phase{Checking},
		decidedLate, checkedLongAgo},
	{Ready, OnDecided, "install", "go on; put it back where it was armed as often as is allowed",
		[]Phase{Arming, Idle}, decided(Install), toArming},
	{Ready, OnDecided, "defer", "wait for window, power and consent", nil, nil, waitReady},
	{Ready, OnCame, "", "verify and decide it", nil, nil, came},
	{Ready, OnAsked, "revert", "fail", []Phase{Idle}, verb(VerbRevert), dropNow},

	{Arming, OnBegin, "the daemon has just started", "take up what the power cut left, as Reconcile says",
		[]Phase{Trial, Rebooting, Checking, Reverting}, starting, resumed},
	{Arming, OnBegin, "", "read the boot metadata", nil, nil, look},
	{Arming, OnLooked, "it can be read", "one atomic record: fallback full, target armed", nil, isOK, try},
	{Arming, OnLooked, "", "put it back", []Phase{Idle}, nil, metadataFailed},
	{Arming, OnTried, "the target boots next", "go on", []Phase{Rebooting}, armed, toRebooting},
	{Arming, OnTried, "", "not bootable: put it back; else leave it", []Phase{Idle, Reverting}, nil, notLanded},

	{Rebooting, OnBegin, "the daemon has just started", "take up what the power cut left, as Reconcile says",
		[]Phase{Trial, Checking, Reverting}, starting, resumed},
	{Rebooting, OnBegin, "a reboot is left", "reboot now, forced after a while", []Phase{Rebooting},
		rebootsLeft, reboot},
	{Rebooting, OnBegin, "", "leave it", []Phase{Reverting}, nil, noReboot},
	{Rebooting, OnStays, "", "leave it", []Phase{Reverting}, nil, noReboot},

	{Trial, OnBegin, "the daemon has just started", "take up what the power cut left, as Reconcile says",
		[]Phase{Trial, Reverting}, starting, resumed},
	{Trial, OnBegin, "the new system cannot read its configuration", "leave it", []Phase{Reverting},
		safeTrial, unreadable},
	{Trial, OnBegin, "", "prove its health through the soak", nil, nil, prove},
	{Trial, OnAsked, "confirm", "confirm without waiting for health", []Phase{Confirming},
		verb(VerbConfirm), confirmNow},
	{Trial, OnAsked, "revert", "leave it", []Phase{Reverting}, verb(VerbRevert), leaveNow},
	{Trial, OnRound, "", "record what changed", nil, nil, healthRound},
	{Trial, OnVerdict, "healthy, and somebody confirmed it already", "go on", []Phase{Sealing},
		both(healthy, already), sealExternally},
	{Trial, OnVerdict, "healthy", "go on", []Phase{Confirming}, healthy, toConfirming},
	{Trial, OnVerdict, "sick, and somebody confirmed it already", "record it; go on", []Phase{Sealing},
		already, sickAndConfirmed},
	{Trial, OnVerdict, "only what is beyond the device is missed", "leave it; it is not to blame", []Phase{Reverting},
		onlyRemote, unreached},
	{Trial, OnVerdict, "sick", "leave it", []Phase{Reverting}, nil, sick},

	{Confirming, OnBegin, "the daemon has just started", "take up what the power cut left, as Reconcile says",
		[]Phase{Idle, Reverting}, starting, resumed},
	{Confirming, OnBegin, "", "confirm the target", nil, nil, confirm},
	{Confirming, OnConfirmed, "it is confirmed, whatever was said", "go on", []Phase{Sealing},
		confirmed, sealAfterConfirm},
	{Confirming, OnConfirmed, "a try is left", "again in two seconds", nil, confirmLeft, confirmSoon},
	{Confirming, OnConfirmed, "", "reboot unconfirmed, or wait; never disable after health has passed",
		[]Phase{Confirming}, nil, confirmInVain},
	{Confirming, OnDue, "a try is left", "confirm the target", nil, hasTried, confirm},
	{Confirming, OnStays, "", "wait", nil, nil, confirmLater},

	{Sealing, OnBegin, "the daemon has just started", "take up what the power cut left, as Reconcile says",
		[]Phase{Confirming, Idle}, starting, resumed},
	{Sealing, OnBegin, "", "read the boot metadata", nil, nil, look},
	{Sealing, OnLooked, "it is not confirmed any more", "confirm it again", []Phase{Confirming}, isUnsealed, unsealed},
	{Sealing, OnLooked, "", "raise the counter", []Phase{Idle}, nil, raise},
	{Sealing, OnRaised, "", "updated, or reverted by an operator; a raise that failed is pending",
		[]Phase{Idle}, nil, raised},

	{Reverting, OnBegin, "the daemon has just started", "go on", nil, starting, resumed},
	{Reverting, OnBegin, "the other slot runs", "disable the target", nil, leftTarget, disable},
	{Reverting, OnDisabled, "the other slot runs", "reverted; quarantine what is to blame, else it waits",
		[]Phase{Idle}, leftTarget, leftDisabled},
	{Reverting, OnBegin, "", "read the boot metadata", nil, nil, look},
	{Reverting, OnLooked, "it cannot be read, and a try is left", "again in two seconds", nil, lookLeft, lookAgain},
	{Reverting, OnDue, "a try is left", "read the boot metadata", nil, hasTried, look},
	{Reverting, OnLooked, "nothing else boots", "stuck, with an alarm; what runs goes on", []Phase{Idle},
		noFallback, stuckAtLook},
	{Reverting, OnLooked, "", "quarantine what is to blame; disable the target", nil, nil, leave},
	{Reverting, OnDisabled, "", "reboot; stuck where nothing else boots or no reboot is left",
		[]Phase{Reverting, Idle}, nil, leaveDisabled},
	{Reverting, OnStays, "", "stuck, with an alarm", []Phase{Idle}, nil, stuckNoReboot},

	{Any, OnAsked, "confirm", "refuse: nothing is on trial", nil, verb(VerbConfirm), nothingOnTrial},
	{Any, OnAsked, "revert", "refuse: an update is in progress", nil, verb(VerbRevert), inProgress},
	{Any, OnAsked, "retry", "refuse: an update is in progress", nil, verb(VerbRetry), inProgress},
	{Any, OnNotTaken, "", "again, later and later; a trial is handed back to the loader's counter", nil, nil, notTaken},
}

func starting(t *turn) bool { return t.Starting }
func retaking(t *turn) bool { return t.Retake }
func holds(t *turn) bool    { return t.Hold != "" }
func bailing(t *turn) bool  { return t.Bail }

func safeBeforeReboot(t *turn) bool {
	return !t.Starting && len(t.Safe) > 0 && (t.Rec.Phase.beforeArm() || t.Rec.Phase == Arming)
}
func safeTrial(t *turn) bool { return len(t.Safe) > 0 && (!t.Rec.Ext.Synthetic || t.Foreign) }

func timeToTend(t *turn) bool  { return t.now() >= t.TendAt }
func timeToRetry(t *turn) bool { return t.RetryAt > 0 && t.now() >= t.RetryAt }
func isTending(t *turn) bool   { return t.Tending }

func isUnverified(t *turn) bool { return t.e.(Decided).Ruling.Unverified }
func isSettled(t *turn) bool    { return t.e.(Decided).Ruling.Settled != "" }
func isEarly(t *turn) bool      { return t.e.(Decided).Ruling.Early }
func isPassed(t *turn) bool     { return t.e.(Decided).Ruling.Passed }
func isOver(t *turn) bool       { return t.e.(Decided).Ask.Over }
func isEnded(t *turn) bool      { return t.e.(Decided).Ruling.Ends != "" }
func decided(o Outcome) func(*turn) bool {
	return func(t *turn) bool { return t.e.(Decided).Ruling.Outcome == o }
}
func decidedLate(t *turn) bool {
	return decided(Install)(t) && t.now()-t.CheckedAt > readyFor
}

// isPartial: an agent of the version before began it, which did not care for the parts that a manifest leaves
// out, and neither wrote nor checked them.
func isPartial(t *turn) bool {
	return !t.Rec.Ext.Revert && slices.ContainsFunc(t.e.(Decided).Ruling.Images, func(want SlotImage) bool {
		return !slices.ContainsFunc(t.Rec.Ext.Images, func(i SlotImage) bool {
			return i.Component == want.Component && i.Alg == want.Alg && bytes.Equal(i.Digest, want.Digest)
		})
	})
}
func carries(t *turn) bool {
	return slices.ContainsFunc(t.Rec.Ext.Images, func(i SlotImage) bool { return i.Carried })
}

func isOK(t *turn) bool         { return t.e.(Done).Class == OK }
func isStopped(t *turn) bool    { return t.e.(Done).Class == Stopped }
func isPlain(t *turn) bool      { return t.e.(Done).Do == Action(Reboot{Plain: true}) }
func isNotDurable(t *turn) bool { return t.e.(Done).Class == NotDurable }
func notOK(t *turn) bool        { return !isOK(t) }
func runningIsGood(t *turn) bool {
	s := t.e.(Done).Boot.Slots[t.Run]
	return s.Confirmed && s.Bootable
}
func wroteAll(t *turn) bool     { return t.e.(Done).Last }
func namesNothing(t *turn) bool { return len(t.Rec.Ext.Images) == 0 && !t.Rec.Ext.Revert }
func notHeld(t *turn) bool      { return !t.Held && len(t.Rec.Ext.Images) > 0 }
func hasTried(t *turn) bool     { return t.Tried > 0 }
func isUnsealed(t *turn) bool {
	e := t.e.(Done)
	return e.Class == OK && !e.Boot.Slots[t.Rec.Target].Confirmed
}
func both(a, b func(*turn) bool) func(*turn) bool {
	return func(t *turn) bool { return a(t) && b(t) }
}
