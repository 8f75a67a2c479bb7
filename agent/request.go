package agent

import (
	"context"
	"time"

	"github.com/ratchet-ota/ratchet/agent/intake"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// request is what a person asks the goroutine of Run for. run gives the event that the machine answers,
// or nil where there is nothing for it to answer.
type request struct {
	run  func(context.Context, life.State) (life.Event, error)
	done chan reply
}

type reply struct {
	answer life.Answer
	err    error
}

// hear takes a request up. It returns nil when it is answered already.
func (a *Agent) hear(ctx context.Context, r request) life.Event {
	event, err := r.run(ctx, a.s)
	if event == nil || err != nil {
		r.done <- reply{err: err}
		return nil
	}
	a.pending = &r
	return event
}

// ask hands a request to the goroutine of Run and waits for its answer. It is refused when an action is
// in progress that hears nobody.
func (a *Agent) ask(ctx context.Context,
	run func(context.Context, life.State) (life.Event, error)) (life.Answer, error) {
	r := request{run: run, done: make(chan reply, 1)}
	select {
	case a.requests <- r:
	case <-ctx.Done():
		return life.Answer{}, ctx.Err()
	case <-time.After(2 * time.Second):
		phase := string(a.view.Snapshot().Phase)
		return life.Answer{}, &intake.Refused{Reason: reason.UpdateInProgress, Detail: "phase " + phase}
	}
	select {
	case is := <-r.done:
		return is.answer, is.err
	case <-ctx.Done():
		return life.Answer{}, ctx.Err()
	}
}
