package life

import (
	"slices"
	"time"
)

// Budget counts how often an update was tried, and in which way it failed (I8). It is durable: it is
// part of every record. Charge alone changes a counter.
type Budget struct {
	Digest string `cbor:"1,keyasint"` // of the manifest

	// Of one attempt: they begin at zero when the update begins.
	Boots    int `cbor:"2,keyasint,omitempty"`  // trial boots, the present one included
	Rewrites int `cbor:"3,keyasint,omitempty"`  // times that writing began again from zero
	Arms     int `cbor:"4,keyasint,omitempty"`  // times that it was armed
	Untried  int `cbor:"5,keyasint,omitempty"`  // times that the loader ignored the armed slot
	Reboots  int `cbor:"6,keyasint,omitempty"`  // reboots asked for in the present phase
	Cuts     int `cbor:"13,keyasint,omitempty"` // trial boots that a loss of power ended: they are not in Boots

	// Of the update, over all attempts: they go when its offer goes.
	Failures int  `cbor:"7,keyasint,omitempty"`  // attempts that failed for causes outside the image
	Costly   int  `cbor:"8,keyasint,omitempty"`  // failures that loaded or wrote an image for nothing
	Fell     int  `cbor:"9,keyasint,omitempty"`  // times that the loader came back from it
	Reverts  int  `cbor:"10,keyasint,omitempty"` // times that it was armed and left again
	Broker   bool `cbor:"11,keyasint,omitempty"` // its trial failed for want of the broker: wait for that first
	Whole    bool `cbor:"12,keyasint,omitempty"` // it was written and read back before: armed again as it is
	Excused  int  `cbor:"14,keyasint,omitempty"` // trial boots that a loss of power ended, of all attempts
}

// Counter names one counter of a budget.
type Counter int

// The counters.
const (
	Boots Counter = iota
	Rewrites
	Arms
	Untried
	Reboots
	Failures
	Costly
	Fell
	Reverts
	Cuts
	Excused
)

// Limits are the figures of a device that limits depend on.
type Limits struct {
	MaxBoots  int  // trial boots that are allowed
	Reverting bool // a target that cannot be disabled starts again until its tries are used up
}

// Rule is the limit of one counter: what is allowed, and what follows when that is used up.
type Rule struct {
	Counter Counter
	Name    string
	Allowed func(Limits) int // -1: without limit
	Then    string
}

func times(n int) func(Limits) int { return func(Limits) int { return n } }

// rules is invariant I8 on one screen.
var rules = [...]Rule{
	Boots:    {Boots, "trial boots", func(l Limits) int { return l.MaxBoots }, "revert, trial-boots-exhausted"},
	Rewrites: {Rewrites, "writes again from zero", times(1), "the attempt ends; the failure is costly"},
	Arms:     {Arms, "times armed", times(3), "revert, arm-not-landed, or put it back where nothing was armed"},
	Untried:  {Untried, "times armed and never tried", times(1), "revert, never-tried"},
	Reboots: {Reboots, "reboots asked for in one phase", func(l Limits) int {
		if l.Reverting {
			return 3 + l.MaxBoots
		}
		return 3
	}, "revert, reboot-failed; stuck while reverting; wait while confirming"},
	Failures: {Failures, "failed attempts", times(-1), "the back-off doubles each time"},
	Costly:   {Costly, "costly failures", times(-1), "the back-off is eight times as long each time, up to a day"},
	Fell:     {Fell, "falls back", times(1), "the image is to blame: quarantine"},
	Reverts:  {Reverts, "attempts left after arming", times(-1), "as costly failures"},
	Cuts:     {Cuts, "trial boots that the power ended, of one attempt", times(-1), "the loader's tries bound them"},
	Excused:  {Excused, "trial boots that the power ended, of all attempts", times(mostExcused), "they count as any"},
}

// Rules lists the rule of every counter.
func Rules() []Rule { return rules[:] }

func (b *Budget) counter(c Counter) *int {
	switch c {
	case Boots:
		return &b.Boots
	case Rewrites:
		return &b.Rewrites
	case Arms:
		return &b.Arms
	case Untried:
		return &b.Untried
	case Reboots:
		return &b.Reboots
	case Failures:
		return &b.Failures
	case Costly:
		return &b.Costly
	case Fell:
		return &b.Fell
	case Reverts:
		return &b.Reverts
	case Cuts:
		return &b.Cuts
	case Excused:
		return &b.Excused
	}
	panic("internal error: no such counter")
}

// Charge counts once. Where more than what is allowed would be counted, it returns the budget as it
// was, and false.
func (b Budget) Charge(c Counter, l Limits) (Budget, bool) {
	next := b
	*next.counter(c)++
	if next.Over(c, l) {
		return b, false
	}
	return next, true
}

// Over tells whether more was counted than is allowed: another version's rule may have been wider,
// and a count that is read from two places takes the higher.
func (b Budget) Over(c Counter, l Limits) bool {
	allowed := rules[c].Allowed(l)
	return allowed >= 0 && *b.counter(c) > allowed
}

// attempt is the budget with which another attempt begins.
func (b Budget) attempt() Budget {
	b.Boots, b.Rewrites, b.Arms, b.Untried, b.Reboots, b.Cuts = 0, 0, 0, 0, 0, 0
	return b
}

// mostExcused: a bad image can look like a loss of power, when it draws so much that the supply breaks down, or hangs
// until a person pulls the plug. So this many starts cost no more than outages: with three tries two whole attempts
// and a part of the third, at least a minute and then eight minutes apart. A site that takes the power away eight
// times, each time within the minutes of a trial, cannot prove an image anyway; what is quarantined then is given
// back, as ever.
const mostExcused = 8

// Times that are no budget of an update: how long a device waits between two looks at something.
const (
	tendEvery    = 6 * time.Hour    // idle looks after the boot metadata
	tendAgain    = 5 * time.Minute  // the first time that it could not; doubles up to tendEvery
	firstBackoff = time.Minute      // after a failed attempt; doubles up to Device.RetryMax
	againAfter   = 30 * time.Second // a commit that failed; doubles up to Device.RetryMax
	longest      = 24 * time.Hour   // between two attempts that cost a download, a slot's life or a reboot
	brokerAgain  = time.Minute      // an offer that waits for the broker
	retakeEvery  = time.Minute      // a start whose outcome was not taken
	holdEvery    = time.Hour        // a device that holds looks whether somebody asks
	confirmPause = 2 * time.Second  // between two tries to confirm, or to read the metadata
	confirmAgain = time.Minute      // after confirmTries in vain
	readyFor     = time.Hour        // a checked target is armed without another check
	confirmTries = 3                // in a row
	maxShift     = 12               // doublings: more would overflow, and the limit is reached long before
)

// backoff is how long an update waits for its next attempt: 1, 2, 4 ... minutes, at most limit; where
// attempts cost a download, a part of the slot's life or a reboot, 1, 8, 64 ... minutes of these, at
// most a day. It never ends.
func (b Budget) backoff(limit time.Duration) time.Duration {
	d := min(firstBackoff<<min(max(b.Failures, 1)-1, maxShift), limit)
	if dear := b.Costly + b.Reverts; dear > 0 {
		d = max(d, min(firstBackoff<<min(3*(dear-1), maxShift), longest))
	}
	return d
}

// maxLeft bounds the offers whose failures are remembered although another one has taken their place.
const maxLeft = 4

// supplant has an offer wait in the place of another one. What that one has failed so far is remembered: whoever hands
// in two offers by turns must neither shorten the pause after a failure, nor keep a bad image from being quarantined.
func (t *turn) supplant(w Waiting) {
	old := t.Waiting
	left := slices.DeleteFunc(slices.Clone(t.Left), func(b Budget) bool {
		return b.Digest == w.Digest || b.Digest == old.Digest
	})
	if old.Digest != w.Digest && old.Budget.counted() {
		left = append(left, old.Budget.attempt())
	}
	t.Left = left[max(len(left)-maxLeft, 0):]
	t.Waiting = w
}

// known is what is counted of an offer that does not wait, or did not until now.
//
//go:noinline
func (s *Stored) known(digest string) Budget {
	for _, b := range s.Left {
		if b.Digest == digest {
			return b
		}
	}
	return Budget{Digest: digest}
}

// budgets is what a record stores: one of the update in progress, one of the offer that waits, and those of offers
// whose place another one took.
//
//go:noinline
func (s *Stored) budgets() []Budget {
	var out []Budget
	if s.Rec.Phase != Idle {
		out = append(out, s.Budget)
	}
	if s.Waiting.Digest != "" && s.Waiting.Digest != s.Rec.Digest && s.Waiting.Budget.counted() {
		out = append(out, s.Waiting.Budget)
	}
	for _, b := range s.Left {
		if b.Digest != s.Rec.Digest && b.Digest != s.Waiting.Digest {
			out = append(out, b)
		}
	}
	return out
}

func (b Budget) counted() bool { return b != Budget{Digest: b.Digest} }

// record is the present record with the budgets, and with their copies for an agent of the version before.
func (s *Stored) record() Record {
	r := s.Rec
	r.Boots, r.Ext.Restarts, r.Ext.NeverTried = s.Budget.Boots, s.Budget.Rewrites, s.Budget.Untried
	r.Ext.Reboots, r.Ext.Arms = s.Budget.Reboots, s.Budget.Arms
	r.Ext.Budgets = s.budgets()
	return r
}

// Budget is what the record itself says of the attempt in progress.
func (r Record) Budget() Budget {
	return Budget{Digest: r.Digest, Boots: r.Boots, Rewrites: r.Ext.Restarts, Arms: r.Ext.Arms,
		Untried: r.Ext.NeverTried, Reboots: r.Ext.Reboots}
}

// Open brings record and waiting offer together after they were read: the budget of the record counts
// where there is one; an agent of the version before left only the copies.
func (s *Stored) Open() {
	r := &s.Rec
	if len(r.Ext.Budgets) == 0 && !r.Ext.Revert {
		r.Ext.Images = s.stillCarried(r.Ext.Images)
	}
	s.Budget = r.Budget()
	s.Left = nil
	for _, b := range r.Ext.Budgets {
		switch {
		case b.Digest == "":
		case b.Digest == s.Waiting.Digest:
			s.Waiting.Budget = b.attempt()
		case r.Phase == Idle || b.Digest != r.Digest:
			s.Left = append(s.Left, b)
		}
	}
	s.Left = s.Left[max(len(s.Left)-maxLeft, 0):]
	if s.Waits() {
		w := s.Waiting.Budget
		w.Boots, w.Rewrites, w.Arms, w.Untried, w.Reboots = s.Budget.Boots, s.Budget.Rewrites, s.Budget.Arms,
			s.Budget.Untried, s.Budget.Reboots
		s.Budget = w
	}
	for _, b := range r.Ext.Budgets {
		if r.Phase != Idle && b.Digest == r.Digest {
			s.Budget = b
			s.Budget.Boots = max(b.Boots, r.Boots) // the frozen core is every version's
		}
	}
	r.Ext.Budgets = nil
}
