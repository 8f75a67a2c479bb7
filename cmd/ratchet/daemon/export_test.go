package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/ratchet-ota/ratchet/agent/journal"
)

var (
	// AboutPermit is what a technician is told of a permit that is refused.
	AboutPermit = aboutPermit
	// Until runs an agent and what ends all else.
	Until = until
	// RunLooking is Run that looks for what is missing as often as it is told to.
	RunLooking = run
)

// WatchJournal watches over a device whose journal is j, and tells whether it starts once more before ctx ends.
func WatchJournal(ctx context.Context, j journal.Store, path string, pause time.Duration) (again bool) {
	d := &device{path: path, journal: j, pause: pause, log: slog.New(slog.DiscardHandler),
		restart: func() { again = true }}
	d.lacks = d.lacking()
	_ = d.watch(ctx)
	return again
}
