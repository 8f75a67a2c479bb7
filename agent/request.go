package agent

import (
	"context"
	"sync"
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

// abort lets another goroutine end the action in progress, where it can be ended: from the first
// action that can be until one that cannot begins, so that nobody is told that it was ended when it was not.
type abort struct {
	mu     sync.Mutex
	step   context.Context
	cancel context.CancelFunc
	who    string     // who ended it; "" nobody
	done   chan reply // to them
}

// arm makes the present action one that can be ended.
func (b *abort) arm(ctx context.Context) context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cancel == nil {
		b.step, b.cancel = context.WithCancel(ctx)
		b.who = ""
	}
	return b.step
}

// disarm makes nothing endable any more, and returns who ended it before.
func (b *abort) disarm() (by string, done chan reply) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cancel != nil {
		b.cancel()
	}
	by, done = b.who, b.done
	b.step, b.cancel, b.who, b.done = nil, nil, "", nil
	return by, done
}

// fire ends the action; it returns nil when none is in progress that can be ended.
func (b *abort) fire(by string) chan reply {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cancel == nil || b.who != "" {
		return nil
	}
	b.who, b.done = by, make(chan reply, 1)
	b.cancel()
	return b.done
}

// ended is the event of an action that a person has ended, who waits for the answer; nil when nobody has.
func (a *Agent) ended() life.Event {
	by, done := a.abort.disarm()
	if by == "" {
		return nil
	}
	a.pending = &request{done: done}
	return life.Aborted{Moment: a.moment(), By: by}
}

// endWait is how long a person waits until what they ended has ended: a flush may take its time.
const endWait = 30 * time.Second

// end ends the action in progress on a person's word, and waits until that is durable; false when there is no
// action that can be ended.
func (a *Agent) end(ctx context.Context, by string) (life.Answer, bool, error) {
	done := a.abort.fire(by)
	if done == nil {
		return life.Answer{}, false, nil
	}
	select {
	case is := <-done:
		return is.answer, true, is.err
	case <-ctx.Done():
		return life.Answer{}, true, ctx.Err()
	case <-time.After(endWait):
		return life.Answer{}, true, &intake.Refused{Reason: reason.UpdateInProgress, Detail: "it is being ended"}
	}
}
