// Package health decides whether the system that was just booted works: all checks must hold
// without interruption for the soak time, before the deadline.
package health

import (
	"context"
	"time"
)

// Check is one thing that must hold. Run returns nil when it holds; it must end with ctx.
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
	// Failed is the check that did not hold when the deadline passed, with its last error.
	Failed string
	Err    error
	// Took is the time from the begin to the verdict.
	Took time.Duration
}
