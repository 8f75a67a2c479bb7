package agent

import (
	"context"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/health"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// trialView is a trial for people.
type trialView struct {
	round    health.Round
	soak     time.Duration
	boots    int
	maxBoots int
}

// trial proves the health of the running target, with the watchdog fed while the agent lives. What
// ends it is decided on CLOCK_BOOTTIME alone (lie 20).
func (a *Agent) trial(ctx context.Context) error {
	if len(a.safe) > 0 && !a.rec.Ext.Synthetic {
		// A new system whose agent cannot read its configuration is not healthy.
		return a.revert(reason.ConfigInvalid, a.safe[0])
	}
	if w := a.o.Watchdog; w != nil {
		if err := w.Arm(watchdogTimeout); err != nil {
			a.log.Warn("watchdog cannot be armed for the trial", "error", err)
		} else {
			defer func() { _ = w.Disarm() }()
		}
	}
	began := a.rec.Ext.Began
	step, cancel := context.WithCancel(ctx)
	defer cancel()
	verdict := make(chan health.Verdict, 1)
	rounds := make(chan health.Round)
	go func() {
		verdict <- health.Run(step, a.o.Clock, a.o.Health, began, func(r health.Round) {
			select {
			case rounds <- r:
			case <-step.Done():
			}
		})
	}()
	defer a.trialNow.Store(nil)
	feed := a.o.Clock.After(watchdogTimeout / 4)
	for {
		select {
		case <-feed: // for the agent's life, not for the checks', which may take longer
			if w := a.o.Watchdog; w != nil {
				_ = w.Feed()
			}
			feed = a.o.Clock.After(watchdogTimeout / 4)
		case r := <-rounds:
			a.trialNow.Store(&trialView{round: r, soak: a.o.Health.Soak, boots: a.rec.Boots, maxBoots: a.o.MaxBoots})
			a.publish()
			if r.Changed {
				if err := a.note(roundEvent(a.rec, r)); err != nil {
					a.fail("cannot record a round of health checks", err)
				}
			}
		case r := <-a.requests:
			r.done <- r.run(ctx)
			if a.rec.Phase != Trial {
				return nil
			}
		case v := <-verdict:
			if ctx.Err() != nil {
				return nil // shutdown in the middle: the same boot goes on with the same deadline
			}
			return a.judged(ctx, v)
		}
	}
}

const watchdogTimeout = 60 * time.Second

func roundEvent(rec Record, r health.Round) evidence.Event {
	e := evidence.Event{Kind: evidence.KindHealth, Slot: string(rec.Target), Manifest: rec.Digest, Sequence: rec.Ext.Sequence,
		To: "holds", Detail: map[string]string{}}
	for _, c := range r.Results {
		if c.Err != nil && len(e.Detail) < evidence.MaxDetails {
			e.To = "fails"
			e.Detail[c.Name] = c.Err.Error()
		}
	}
	return e
}

// judged takes the verdict of a trial.
func (a *Agent) judged(ctx context.Context, v health.Verdict) error {
	st, err := a.o.Boot.State(ctx)
	already := err == nil && st.Slots[a.rec.Target].Confirmed
	if v.Healthy {
		if already {
			return a.sealed(reason.ConfirmedExternally) // lie 17: somebody else was first; health agrees
		}
		return a.move(Confirming, reason.None, nil, evidence.Event{Kind: evidence.KindHealth, Detail: map[string]string{"took": v.Took.Round(time.Millisecond).String()}})
	}
	why := reason.HealthFailed
	detail := v.Failed
	if v.Err != nil {
		detail += ": " + v.Err.Error()
	}
	if v.Failed == "soak" {
		why = reason.HealthTimeout
	}
	if already {
		e := roundEvent(a.rec, v.Last)
		e.Reason = why
		if err := a.note(e); err != nil {
			return err
		}
		return a.sealed(reason.ConfirmedExternally)
	}
	if onlyBroker(v) {
		var images []string
		for _, i := range a.rec.Ext.Images {
			images = append(images, i.text())
		}
		j := storedJudge{Digest: a.rec.Digest, Images: images, Cause: why}
		return a.revertWith(why, detail, func(tx journal.Tx) error { return put(tx, keyJudge, j) })
	}
	return a.revert(why, detail)
}

func onlyBroker(v health.Verdict) bool {
	n := 0
	for _, r := range v.Last.Results {
		if r.Err != nil && r.Name != health.BrokerName {
			return false
		}
		if r.Err != nil {
			n++
		}
	}
	return n > 0
}

// trialUnwritable: the trial cannot be counted or ended durably, because the journal cannot be
// written (loop 12). The decision is the bootloader's: a plain reboot uses up a try, as long as
// there is something to fall back to. Without a fallback the system that runs goes on running.
//
// Crash: nothing was made durable by us (the sole exception to I5); the loader's own counter bounds it.
func (a *Agent) trialUnwritable(ctx context.Context, v View, why error) {
	counted := v.Target.Tries >= 0 || v.Target.Exhausted
	if !v.BootValid || !v.Fallback.Bootable || v.Target.Confirmed || !counted {
		a.fail("the trial cannot be recorded and there is no way back", why)
		return
	}
	a.fail("the trial cannot be recorded; rebooting unconfirmed", why)
	if !a.wait(ctx, a.o.ForceAfter) { // a person may look
		return
	}
	if err := a.o.Power.Reboot(ctx, ""); err != nil || a.wait(ctx, a.o.ForceAfter) {
		_ = a.o.Power.Force()
	}
}

func (i SlotImage) digest() manifest.Digest {
	return manifest.Digest{Alg: i.Alg, Sum: string(i.Digest)}
}

func (i SlotImage) text() string { return i.digest().String() }
