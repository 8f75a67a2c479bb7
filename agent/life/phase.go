package life

import "slices"

// Phase is the action that may be in progress. It is stored by name: an agent that does not know
// the name enters boot-safe mode and guesses nothing.
type Phase string

// The phases of one update, in the order of a good one.
const (
	Idle       Phase = "idle"
	Preparing  Phase = "preparing"
	Writing    Phase = "writing"
	Checking   Phase = "checking"
	Ready      Phase = "ready"
	Arming     Phase = "arming"
	Rebooting  Phase = "rebooting"
	Trial      Phase = "trial"
	Confirming Phase = "confirming"
	Sealing    Phase = "sealing"
	Reverting  Phase = "reverting"
)

// Phases lists every phase in the order of a good update; reverting is last.
func Phases() []Phase {
	return []Phase{Idle, Preparing, Writing, Checking, Ready, Arming, Rebooting, Trial, Confirming, Sealing, Reverting}
}

// Known tells whether this agent knows the phase.
func (p Phase) Known() bool { return slices.Contains(Phases(), p) }

// May tells whether the table allows the transition from p to next. A transition that is not in the
// table is a defect. Leaving a phase after arming, other than forward, leads through reverting.
func (p Phase) May(next Phase) bool {
	for i := range table {
		if r := &table[i]; r.Phase == p && slices.Contains(r.Next, next) {
			return true
		}
	}
	return false
}

// beforeArm: the target is disabled or about to be, and not armed; the update can still be dropped.
func (p Phase) beforeArm() bool {
	return p == Preparing || p == Writing || p == Checking || p == Ready
}
