package agent

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

// Row is one line of the phase table: what the phase does, and where it may lead.
type Row struct {
	Phase  Phase
	Action string
	Next   []Phase
}

// Table is the life of an update. Every transition that is not in it is a defect, and leaving a
// phase after arming, other than forward, always leads through reverting.
var Table = []Row{
	{Idle, "prove what runs; refill the running slot's tries; retry a pending raise or disable", []Phase{Idle, Preparing, Checking, Trial, Reverting}},
	{Preparing, "running is confirmed; the source answers; disable the target", []Phase{Writing, Idle, Reverting}},
	{Writing, "stream, hash, flush and checkpoint the image into the target", []Phase{Writing, Checking, Idle, Reverting}},
	{Checking, "read the target back from the medium, held exclusively, and compare", []Phase{Checking, Ready, Writing, Idle, Reverting}},
	{Ready, "wait for window, power and consent; decide again", []Phase{Checking, Arming, Idle, Reverting}},
	{Arming, "one atomic record: fallback full, target armed; read again", []Phase{Rebooting, Checking, Idle, Trial, Reverting}},
	{Rebooting, "reboot now, forced after a while", []Phase{Rebooting, Trial, Checking, Reverting}},
	{Trial, "count the boot; prove health through the soak", []Phase{Trial, Confirming, Sealing, Reverting}},
	{Confirming, "confirm the target; read again", []Phase{Confirming, Sealing, Idle, Reverting}},
	{Sealing, "raise the counter", []Phase{Idle, Confirming}},
	{Reverting, "disable the target; reboot if it runs", []Phase{Reverting, Idle}},
}

func (p Phase) row() (Row, bool) {
	for _, r := range Table {
		if r.Phase == p {
			return r, true
		}
	}
	return Row{}, false
}

// Known tells whether this agent knows the phase.
func (p Phase) Known() bool { _, ok := p.row(); return ok }

// May tells whether the table allows the transition from p to next.
func (p Phase) May(next Phase) bool {
	r, _ := p.row()
	for _, n := range r.Next {
		if n == next {
			return true
		}
	}
	return false
}

// beforeArm: the target is disabled or about to be, and not armed; the update can still be dropped.
func (p Phase) beforeArm() bool {
	return p == Preparing || p == Writing || p == Checking || p == Ready
}
