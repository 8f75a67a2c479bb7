package agent

import (
	"context"
	"time"

	"github.com/ratchet-ota/ratchet/agent/health"
	"github.com/ratchet-ota/ratchet/agent/internal/view"
	"github.com/ratchet-ota/ratchet/agent/life"
)

const watchdogTimeout = 60 * time.Second

// proof is one run of a trial's health checks.
type proof struct {
	began   time.Duration
	cancel  context.CancelFunc
	rounds  chan health.Round
	verdict chan health.Verdict
	held    *health.Verdict // that waits for the record that it belongs to
	feed    <-chan time.Time
}

// prove goes on with the health checks of the trial, with the watchdog fed while the agent lives, until
// something happens.
func (a *Agent) prove(ctx context.Context, do life.Prove) life.Event {
	if a.proof == nil || a.proof.began != do.Began {
		a.stopProof()
		a.startProof(ctx, do.Began)
	}
	p := a.proof
	for {
		select {
		case <-ctx.Done(): // in the middle: the same boot goes on with the same deadline
			return life.Begun{Moment: a.moment()}
		case <-p.feed: // for the agent's life, not for the checks', which may take longer
			if w := a.o.Watchdog; w != nil {
				_ = w.Feed()
			}
			p.feed = a.o.Clock.After(watchdogTimeout / 4)
			if p.held != nil && !a.o.StateMoved() {
				p.verdict <- *p.held
				p.held = nil
			}
		case r := <-p.rounds:
			a.view.ShowTrial(&view.Trial{Round: r, Soak: a.o.Health.Soak, Boots: a.s.Budget.Boots,
				MaxBoots: a.o.MaxBoots})
			a.view.Show(a.s, a.q.List())
			if r.Changed {
				return life.Round{Moment: a.moment(), Checks: checks(r)}
			}
		case r := <-a.requests:
			if e := a.hear(ctx, r); e != nil {
				return e
			}
		case m := <-a.messages(): // what is taken says nothing of the system on trial
			a.overhear(m)
		case <-a.rest:
			a.rest = nil
		case v := <-p.verdict:
			if a.o.StateMoved() { // what armed this system is on record elsewhere: the daemon begins again with that
				p.held = &v
				continue
			}
			out := life.Verdict{Healthy: v.Healthy, Local: v.Local, Failed: v.Failed, Text: errText(v.Err),
				Took: v.Took, Checks: checks(v.Last)}
			st, err := a.o.Boot.State(ctx)
			out.Boot, out.BootOK, out.Moment = st, err == nil, a.moment()
			return out
		}
	}
}

func checks(r health.Round) []life.HealthCheck {
	var out []life.HealthCheck
	for _, c := range r.Results {
		out = append(out, life.HealthCheck{Name: c.Name, Err: errText(c.Err), Broker: c.Name == health.BrokerName})
	}
	return out
}

func (a *Agent) startProof(ctx context.Context, began time.Duration) {
	if w := a.o.Watchdog; w != nil {
		if err := w.Arm(watchdogTimeout); err != nil {
			a.log.Warn("watchdog cannot be armed for the trial", "error", err)
		}
	}
	step, cancel := context.WithCancel(ctx)
	p := &proof{began: began, cancel: cancel, rounds: make(chan health.Round), verdict: make(chan health.Verdict, 1)}
	go func() {
		p.verdict <- health.Run(step, a.o.Clock, a.o.Health, began, func(r health.Round) {
			select {
			case p.rounds <- r:
			case <-step.Done():
			}
		})
	}()
	p.feed = a.o.Clock.After(watchdogTimeout / 4)
	a.proof = p
}

// stopProof ends the health checks, where they run, and takes the watchdog off.
func (a *Agent) stopProof() {
	if a.proof == nil {
		return
	}
	a.proof.cancel()
	a.proof = nil
	a.view.ShowTrial(nil)
	if w := a.o.Watchdog; w != nil {
		_ = w.Disarm()
	}
}
