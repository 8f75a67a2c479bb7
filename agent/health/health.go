// Package health decides whether the system that was just booted works: all checks must hold
// without interruption for the soak time, before the deadline.
//
// Soak and deadline are counted on CLOCK_BOOTTIME, so that a wall clock that jumps from 1970 to now
// ends neither. Nothing here is durable: an agent that starts again in the trial soaks again, and
// the deadline, which it is handed as the uptime at which the trial began, does not move.
package health

import (
	"context"
	"errors"
	"time"
)

// Defaults of a Plan, and the time that a check has to end after its context ended.
const (
	DefaultInterval = 5 * time.Second
	DefaultTimeout  = 10 * time.Second
	Grace           = time.Second
)

// Check is one thing that must hold. Run returns nil when it holds; it must end with ctx. It is
// never called again before it has returned.
type Check interface {
	Name() string
	Run(ctx context.Context) error
}

// Plan is what a trial must pass.
type Plan struct {
	Checks    []Check
	Soak      time.Duration // all checks hold for this long, counted on the clock's Uptime
	Deadline  time.Duration // since the trial began in this boot, on the clock's Uptime
	Interval  time.Duration // between two rounds of checks, default 5 s
	Timeout   time.Duration // of one check, default 10 s
	MinUptime time.Duration // the machine must be up at least this long
}

// Verdict is the outcome of a trial.
type Verdict struct {
	Healthy bool
	// Failed is the check that did not hold when the deadline passed, with its last error; where
	// all held, but not for long enough, the one that broke the soak last; "soak", "uptime" or
	// "deadline" where no check is to blame. It is empty
	// when the context ended: Err is then its cause, and nothing was decided.
	Failed string
	Err    error
	// Took is the time from the begin to the verdict.
	Took time.Duration
	// Last is the last round.
	Last Round
	// Local: the checks that no network can make fail held for the whole of the soak, up to now. A trial
	// that failed all the same failed of the others.
	Local bool
}

// Round is the state of a trial after one round of checks.
type Round struct {
	At           time.Duration // uptime
	Results      []Result      // one for each check, in the order of the plan
	Holds        bool          // all of them hold; false also when the deadline cut the round short
	SoakLeft     time.Duration // that they must go on holding
	DeadlineLeft time.Duration // until the trial has failed
	Changed      bool          // a check holds that did not, or the other way round; true in the first round
}

// Result is one check in one round.
type Result struct {
	Name   string
	Err    error         // nil: it holds
	Since  time.Duration // uptime since which it has been so
	Remote bool          // see Remote
}

// Errors of checks that gave no answer.
var (
	// ErrTimeout: the check did not end within its time.
	ErrTimeout = errors.New("did not answer in time")
	// ErrHangs: the check still hangs from an earlier round and was not started again.
	ErrHangs = errors.New("still hangs from an earlier round")
)

// Validate holds a plan against its limits: a soak that fits before the deadline, check names that
// are distinct. Run does not refuse a plan that Validate refuses; it cannot pass.
func (p Plan) Validate() error {
	p = p.withDefaults()
	if p.Soak < 0 || p.MinUptime < 0 || p.Interval < 0 || p.Timeout < 0 {
		return errors.New("soak, interval, timeout and minimum uptime must not be negative")
	}
	if p.Deadline <= p.Soak {
		return errorf("the deadline (%v) must be later than the soak time (%v)", p.Deadline, p.Soak)
	}
	seen := make(map[string]bool)
	for _, c := range p.Checks {
		name := c.Name()
		if name == "" || name != plain(name, maxName) {
			return errorf("%q is not a name for a check (1 to %d printable characters)", name, maxName)
		}
		if seen[name] {
			return errorf("two checks are named %q: give one of them another name", name)
		}
		seen[name] = true
	}
	return nil
}

func (p Plan) withDefaults() Plan {
	if p.Interval == 0 {
		p.Interval = DefaultInterval
	}
	if p.Timeout == 0 {
		p.Timeout = DefaultTimeout
	}
	return p
}
