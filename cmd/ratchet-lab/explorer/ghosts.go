package explorer

import (
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// ghosts remember of the cuts in a story what tells a lie from the truth. When the power goes in every
// trial boot that the loader counts, the tries are used up, and the evidence may say so; when it goes
// each time that the slot is armed, it was armed as often as is allowed. No state of the device knows
// what cut it off.
type ghosts struct {
	Trials int // cuts since the attempt began, while the target was to boot or on trial
	Arms   int // while it was armed or about to be tried
	Worn   bool
	Spent  bool
}

// maxGhosts is as many as make a difference: the attempts to arm that are allowed.
const maxGhosts = 3

// afterCut is what they are when the power goes now.
func (d *Device) afterCut() ghosts {
	g, phase := d.ghosts, d.rec.Phase
	switch phase {
	case life.Arming, life.Rebooting:
		g.Arms = min(g.Arms+1, maxGhosts)
	}
	// The slot can be armed before that is on record: then its boots are cut off in phase arming.
	tried := phase == life.Arming && (d.started == "" || d.started == string(d.rec.Target))
	switch phase {
	case life.Rebooting, life.Trial, life.Confirming:
		tried = true
	}
	if tried {
		g.Trials = min(g.Trials+1, maxGhosts)
	}
	g.Worn = g.Worn || g.Trials >= d.l.Tries && !d.tellsAll()
	g.Spent = g.Spent || g.Arms >= maxGhosts
	return g
}

// tellsAll: the old system learns why each boot of the target ended. With more tries than one it learns it of those
// that an agent saw, and of the last.
func (d *Device) tellsAll() bool { return d.s.Tells && d.l.Tries == 1 }

// enter begins a new attempt.
func (g *ghosts) enter(phase life.Phase) {
	if phase == life.Preparing {
		g.Trials, g.Arms = 0, 0
	}
}

// excuse tells whether a reason that accuses the image or the loader is true of this story.
func (g *ghosts) excuse(why reason.Reason) bool {
	switch why {
	case reason.TrialBootsExhausted, reason.FellBack, reason.Quarantined:
		return g.Worn
	case reason.ArmNotLanded:
		return g.Spent
	}
	return false
}
