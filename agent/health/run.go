package health

import (
	"context"
	"errors"
	"time"

	"github.com/ratchet-ota/ratchet/hal"
)

// Run plays a trial to its verdict. began is the uptime at which the trial began in this boot; it
// may lie before the call. All checks of a round run at the same time, so that one that hangs costs
// the others nothing; it counts as failed and is left alone until it has returned. report, which
// may be nil, is called after each round, from the caller's goroutine; Round.Changed marks those
// worth a line of evidence. Run ends with ctx, at the latest Grace later.
func Run(ctx context.Context, clock hal.Clock, p Plan, began time.Duration, report func(round Round)) Verdict {
	t := trial{clock: clock, plan: p.withDefaults(), began: began, busy: make([]chan error, len(p.Checks))}
	t.end = began + p.Deadline
	for t.clock.Uptime() < t.end {
		round := t.round(ctx)
		if ctx.Err() != nil {
			return t.verdict("", context.Cause(ctx))
		}
		t.last = round
		if report != nil {
			report(round)
		}
		if round.Holds && round.SoakLeft == 0 && round.At <= t.end && round.At >= t.plan.MinUptime {
			v := t.verdict("", nil)
			v.Healthy = true
			return v
		}
		if round.At >= t.end {
			break
		}
		select {
		case <-ctx.Done():
			return t.verdict("", context.Cause(ctx))
		case <-clock.After(t.pause()):
		}
	}
	return t.verdict(t.blame())
}

// trial is the state of Run.
type trial struct {
	clock hal.Clock
	plan  Plan
	began time.Duration // uptimes
	end   time.Duration
	busy  []chan error // of a check that has not returned yet

	last  Round         // zero before the first
	held  time.Duration // proven without interruption so far
	local time.Duration // the same, of the checks that are not remote
	broke Result        // what broke the soak last

	lastLocal bool // they held in the last round
}

// round runs all checks once, at most until the deadline.
func (t *trial) round(ctx context.Context) Round {
	errs := t.runAll(ctx)
	now := t.clock.Uptime()
	first := t.last.Results == nil
	r := Round{At: now, Holds: true, Changed: first, Results: make([]Result, len(errs))}
	cut, localHolds, localCut := false, true, false
	for i, err := range errs {
		remote := isRemote(t.plan.Checks[i])
		res := Result{Name: t.plan.Checks[i].Name(), Err: err, Since: now, Remote: remote}
		if errors.Is(err, errCut) {
			cut, localCut = true, localCut || !remote
			if !first {
				res = t.last.Results[i] // what it said last still stands
				err = res.Err
			}
		}
		if !first {
			if before := t.last.Results[i]; (before.Err == nil) == (err == nil) {
				res.Since = before.Since
			} else {
				r.Changed = true
			}
		}
		if err != nil {
			if r.Holds && !errors.Is(err, errCut) {
				t.broke = res
			}
			r.Holds, localHolds = false, localHolds && remote
		}
		r.Results[i] = res
	}
	// A gap longer than a round can last (the machine slept, the agent was stopped) proves nothing
	// beyond one interval: what was not looked at has not held.
	gap := min(now-t.last.At, t.plan.Interval+t.plan.Timeout+Grace)
	switch {
	case !r.Holds:
		t.held = 0
	case cut: // not all of them were looked at, and the deadline is here
	case t.last.Holds:
		t.held += gap
	}
	switch {
	case !localHolds:
		t.local = 0
	case localCut:
	case !first && t.lastLocal:
		t.local += gap
	}
	t.lastLocal = localHolds
	if cut {
		r.Holds = false
	}
	r.SoakLeft = max(t.plan.Soak-t.held, 0)
	r.DeadlineLeft = max(t.end-now, 0)
	return r
}

// errCut: the deadline came while the check was running, which says nothing about the check.
var errCut = errors.New("was still running when the deadline came")

// answer is what a check returned.
type answer struct {
	i   int
	err error
}

// runAll runs the checks at the same time and returns one error or nil for each, in order.
func (t *trial) runAll(parent context.Context) []error {
	limit, over := t.plan.Timeout, errorf("%w (%v)", ErrTimeout, t.plan.Timeout)
	if left := t.end - t.clock.Uptime(); left < limit {
		limit, over = left, errCut
	}
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	errs := make([]error, len(t.plan.Checks))
	answers := make(chan answer, len(errs))
	waiting := 0
	for i, c := range t.plan.Checks {
		if t.busy[i] != nil {
			select {
			case <-t.busy[i]:
			default:
				errs[i] = ErrHangs
				continue
			}
		}
		done := make(chan error, 1)
		t.busy[i], errs[i] = done, over
		waiting++
		go func() {
			err := c.Run(ctx)
			done <- err
			answers <- answer{i, err}
		}()
	}

	timer, gone, late := t.clock.After(limit), parent.Done(), false
	for waiting > 0 {
		select {
		case a := <-answers:
			waiting--
			t.busy[a.i] = nil
			if !late {
				errs[a.i] = a.err
			} else if a.err != nil && !errors.Is(a.err, context.Canceled) {
				errs[a.i] = errorf("%w: %w", over, a.err)
			}
			continue
		case <-gone:
			gone = nil
		case <-timer:
			if late {
				return errs // what has not returned by now is left alone, and stands in t.busy
			}
		}
		late = true
		cancel(over)
		timer = t.clock.After(Grace)
	}
	return errs
}

// pause is the time to the next round: the interval, or less where a verdict is due before.
func (t *trial) pause() time.Duration {
	r := t.last
	d := min(t.plan.Interval, r.DeadlineLeft)
	if r.Holds && r.SoakLeft > 0 {
		d = min(d, r.SoakLeft)
	} else if up := t.plan.MinUptime - r.At; r.Holds && up > 0 {
		d = min(d, up)
	}
	return max(d, time.Millisecond)
}

// blame names what the trial failed of when its deadline has passed.
func (t *trial) blame() (string, error) {
	cut := ""
	for _, res := range t.last.Results {
		if errors.Is(res.Err, errCut) {
			cut = res.Name
		} else if res.Err != nil {
			return res.Name, res.Err
		}
	}
	held := errorf("the checks held, but not for the whole of %v before the deadline", t.plan.Soak)
	switch {
	case t.last.Results == nil:
		return "deadline", errors.New("the deadline had passed before the first round of checks")
	case t.broke.Err != nil:
		return t.broke.Name, errorf("%w; what broke it: %w", held, t.broke.Err)
	case cut != "":
		return cut, errCut
	case t.last.SoakLeft > 0:
		return "soak", held
	case t.last.At < t.plan.MinUptime:
		return "uptime", errorf("the machine is up for %v, less than %v",
			t.last.At.Round(time.Second), t.plan.MinUptime)
	}
	return "deadline", errors.New("the verdict came after the deadline")
}

func (t *trial) verdict(failed string, err error) Verdict {
	return Verdict{Failed: failed, Err: err, Took: t.clock.Uptime() - t.began, Last: t.last,
		Local: t.last.Results != nil && t.local >= t.plan.Soak && t.last.At >= t.plan.MinUptime}
}
