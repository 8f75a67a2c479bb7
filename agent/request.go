package agent

import (
	"context"
	"sync"
	"time"

	"github.com/ratchet-ota/ratchet/agent/reason"
)

type request struct {
	run  func(ctx context.Context) error
	done chan error
}

// abort lets another goroutine end the action in progress, where it can be ended.
type abort struct {
	mu     sync.Mutex
	cancel context.CancelFunc
	by     string // who ended it; "" nobody
}

// arm makes the action one that can be ended. disarm takes that back, and returns who ended it: from
// then on nobody is told that it was ended.
func (b *abort) arm(ctx context.Context) (step context.Context, disarm func() string) {
	step, cancel := context.WithCancel(ctx)
	b.mu.Lock()
	b.cancel, b.by = cancel, ""
	b.mu.Unlock()
	return step, func() string {
		b.mu.Lock()
		defer b.mu.Unlock()
		cancel()
		b.cancel = nil
		return b.by
	}
}

// fire ends the action; it returns false when none is in progress that can be ended.
func (b *abort) fire(by string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cancel == nil {
		return false
	}
	b.by = by
	b.cancel()
	return true
}

// aborted ends the update on an operator's word, before it was armed.
func (a *Agent) aborted(by string) error {
	return a.end("failed", reason.OperatorRevert, "ended by "+by)
}

// waitRequest serves at most one request.
func (a *Agent) waitRequest(ctx context.Context, until <-chan time.Time) error {
	select {
	case <-ctx.Done():
	case <-until:
	case r := <-a.requests:
		r.done <- r.run(ctx)
	}
	return nil
}

// ask hands a request to the goroutine that owns the record; errBusy when it is in the middle of an action.
func (a *Agent) ask(ctx context.Context, run func(ctx context.Context) error) error {
	r := request{run: run, done: make(chan error, 1)}
	select {
	case a.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(2 * time.Second):
		return &Refused{Reason: reason.UpdateInProgress, Detail: "phase " + string(a.snapshot().phase)}
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Refused is the answer to a request or an offer that was not taken, with its stable reason.
type Refused struct {
	Reason   reason.Reason
	Detail   string
	Deferred bool // it may be taken later
}

func (e *Refused) Error() string {
	if e.Detail == "" {
		return string(e.Reason)
	}
	return string(e.Reason) + ": " + e.Detail
}
