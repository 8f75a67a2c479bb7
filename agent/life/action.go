package life

import (
	"time"

	"github.com/ratchet-ota/ratchet/bootctl"
)

// Action is the one thing to do. Each is idempotent: it may have been done, in part or whole, before
// a power cut. The set is closed.
type Action interface {
	ends() On // what its end is called
}

// Stage is the stop point at which an offer is decided.
type Stage int

// The stop points: before anything is loaded, and before the target is armed.
const (
	Download Stage = iota
	Arm
)

type (
	// Begin takes up the phase that was entered. It does nothing.
	Begin struct{}

	// Look reads the boot metadata. Proof finds out again what runs. Done: OK, Invalid, Changed, IO.
	Look struct{ Proof bool }

	// Ask verifies and decides: the update in progress, or where Offer is set the offer that came
	// last, or the one that waits. Over is for an offer that came while another one waits to be
	// armed: neither earlier verdicts nor what waits are looked at. Decided is its end.
	Ask struct {
		Stage   Stage
		Offer   bool
		Waiting bool
		Over    bool
	}

	// Reach asks the source of each image for a first byte. Done: classes of a source.
	Reach struct{}

	// Compare reads back, in the running slot, each part that is carried from it, and compares. Done: OK,
	// Uncarried, Runs, Unremembered.
	Compare struct{}

	// Disable makes a slot not bootable and reads the metadata again. Done: OK, Invalid, Changed,
	// NoFallback, IO, of the writing alone.
	Disable struct{ Slot bootctl.Slot }

	// Write streams one part of the plan into the target, and commits its own checkpoints: first those
	// that the manifest names, then those that are carried from the running slot. A part beyond the last
	// does nothing, and is Last.
	Write struct{ Part int }

	// Check reads every image of the record back from the medium and compares. The target stays held
	// exclusively until a phase other than checking, ready or arming is entered. Done: OK, Busy, Mismatch, Medium.
	Check struct{}

	// Try arms a slot and reads the metadata again. Done: OK, or IO with Text.
	Try struct {
		Slot  bootctl.Slot
		Tries int
	}

	// Reboot asks for a reboot and forces it when it does not come. Its end is that the machine stays.
	// Flush gives what is to be sent a moment before. Plain asks without the firmware's argument after a
	// pause in which a person may look: the trial cannot be recorded, and the loader's counter decides.
	Reboot struct{ Plain bool }

	// Prove runs the health checks of the trial. The same action again goes on with the same run.
	// Round, Verdict and Asked are its events.
	Prove struct{ Began time.Duration }

	// Confirm ends the trial of a slot in the metadata, restores the minimum around it where the
	// metadata is invalid, and reads it again. Done: OK or IO with Text; what counts is Boot.
	Confirm struct{ Slot bootctl.Slot }

	// Refresh refills the running slot's tries, or restores the minimum; it reads the metadata again.
	Refresh struct{ Slot bootctl.Slot }

	// Raise raises the counter to the version of the trust root. Done: OK, also where there is
	// nothing to raise, or IO.
	Raise struct{}

	// Origin reads which hardware counter guards the device. Done: Origin, Counter.
	Origin struct{}

	// Wait waits until an uptime, and hears requests and messages meanwhile. Requests are heard and
	// answered without the machine where they do not concern the update.
	Wait struct {
		Until    time.Duration // uptime; at or before now: at once
		Requests bool
		Messages bool // offers and documents
		Missed   bool // offers that came while an update was in progress are heard first
	}

	// Start finds out once more what a start of the daemon finds.
	Start struct{}

	// take goes on with an offer whose decision has just become durable.
	take struct{ ruling Ruling }

	// again hands a decision back whose first commit has been tried.
	again struct{ decided Decided }
)

func (Begin) ends() On   { return OnBegin }
func (Look) ends() On    { return OnLooked }
func (Ask) ends() On     { return OnDecided }
func (Reach) ends() On   { return OnReached }
func (Compare) ends() On { return OnCompared }
func (Disable) ends() On { return OnDisabled }
func (Write) ends() On   { return OnWrote }
func (Check) ends() On   { return OnChecked }
func (Try) ends() On     { return OnTried }
func (Reboot) ends() On  { return OnStays }
func (Prove) ends() On   { return OnVerdict }
func (Confirm) ends() On { return OnConfirmed }
func (Refresh) ends() On { return OnRefreshed }
func (Raise) ends() On   { return OnRaised }
func (Origin) ends() On  { return OnOrigin }
func (Wait) ends() On    { return OnDue }
func (Start) ends() On   { return OnStarted }
func (take) ends() On    { return OnTaken }
func (again) ends() On   { return OnDecided }

// At once gives the event that ends an action which does nothing outside of the machine; false for
// every other action.
func Immediate(a Action, m Moment) (Event, bool) {
	switch a := a.(type) {
	case Begin:
		return Begun{m}, true
	case take:
		return Taken{m, a.ruling}, true
	case again:
		a.decided.Moment = m
		return a.decided, true
	}
	return nil, false
}
