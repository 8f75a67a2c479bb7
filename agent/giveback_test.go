package agent_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/intake"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// cutInTrials cuts the power in every trial boot that is allowed.
func (r *rig) cutInTrials(envelope []byte) {
	r.t.Helper()
	r.inPhase(life.Trial, envelope)
	for boot := range 4 {
		r.w.Cut()
		r.powerOn()
		r.loader()
		if boot < 3 {
			r.inPhase(life.Trial)
		}
	}
	r.play()
	r.is("A", 1, "trial-boots-exhausted")
}

// TestGivenBack: the power went in every trial boot, and a good image was quarantined. When the old system has been
// well for a week it is tried again, without anybody offering it again; a bad one costs a bounded number of trials.
func TestGivenBack(t *testing.T) {
	const day = 24 * time.Hour
	bubble(t, 951, func(r *rig) {
		r.cutInTrials(r.release(2, 2))
		r.awake(func(ctx context.Context, a *agent.Agent) {
			todo := strings.Join(a.Console().Status(ctx).Advice, " ")
			if !strings.Contains(todo, "well for another 7 days") || !strings.Contains(todo, "`ratchet retry`") {
				t.Errorf("status does not say when it is given back: %s", todo)
			}
		})
		r.spend(6 * day)
		r.is("A", 1, "trial-boots-exhausted", "!given-back")
		r.spend(2 * day)
		r.is("B", 2, "given-back")
	})
	bubble(t, 952, func(r *rig) {
		r.panics[2] = true
		two, three := r.release(2, 2), r.release(3, 2)
		r.spend(60*day, two, three)
		r.is("A", 1)
		if n := strings.Count(r.told(), "given-back"); n != 3 {
			t.Errorf("it was given back %d times in 60 days, want 3", n)
		}
		crashes := r.crashes
		r.spend(300 * day)
		if r.crashes != crashes || crashes > 20 {
			t.Errorf("it crashed %d times, %d later", crashes, r.crashes-crashes)
		}
	})
	bubble(t, 953, func(r *rig) { // what the new system's own health says is no power cut
		r.sick[2] = true
		r.spend(100*day, r.release(2, 2))
		r.is("A", 1, "health-failed", "!given-back")
	})
	bubble(t, 954, func(r *rig) { // nothing is given back where that is not wanted
		r.options = func(o *agent.Options) { o.GiveBack = -1 }
		r.cutInTrials(r.release(2, 2))
		r.spend(100 * day)
		r.is("A", 1, "!given-back")
	})
}

// TestRetry: a person has an update tried again that waits for its back-off, and one that is quarantined, which needs
// their word; and nothing where there is nothing.
func TestRetry(t *testing.T) {
	retry := func(r *rig, digest string, sure bool) (says string, err error) {
		r.awake(func(ctx context.Context, a *agent.Agent) {
			var d control.Done
			d, err = a.Console().Retry(ctx, digest, sure, "uid 7", "cable")
			says = d.Says
		})
		r.play()
		return says, err
	}
	refused := func(err error, why reason.Reason) bool {
		var e *intake.Refused
		return errors.As(err, &e) && e.Reason == why
	}
	bubble(t, 961, func(r *rig) {
		if _, err := retry(r, "", true); !refused(err, reason.NothingToDo) {
			t.Errorf("nothing waits: %v", err)
		}
		gone := true
		r.source = func(uri string, off int64) (body, error) {
			if gone {
				return nil, errors.New("no route to host")
			}
			return r.right(uri, off)
		}
		r.spend(2*time.Hour, r.release(2, 2))
		gone = false
		var next int64
		r.awake(func(ctx context.Context, a *agent.Agent) {
			s := a.Console().Status(ctx)
			if next = s.Update.NextSeconds; !strings.Contains(strings.Join(s.Advice, " "), "`ratchet retry`") {
				t.Errorf("a person is told %q", s.Advice)
			}
		})
		if next <= 60 || next > 3600 {
			t.Errorf("it is said to be tried in %d s", next)
		}
		began := r.w.Clock().Uptime()
		if says, err := retry(r, "", false); err != nil || !strings.Contains(says, "now") {
			t.Errorf("%q, %v", says, err)
		}
		r.is("B", 2)
		if took := r.w.Clock().Uptime() - began; took > 30*time.Minute {
			t.Errorf("it took %v", took)
		}
	})
	bubble(t, 962, func(r *rig) {
		env := r.release(2, 2)
		r.cutInTrials(env)
		if _, err := retry(r, "", false); !refused(err, reason.Quarantined) {
			t.Errorf("quarantined, and nobody is sure: %v", err)
		}
		r.is("A", 1)
		if says, err := retry(r, "", true); err != nil || !strings.Contains(says, "now") {
			t.Errorf("%q, %v", says, err)
		}
		r.is("B", 2)
	})
	bubble(t, 963, func(r *rig) {
		for _, digest := range []string{"nonsense", "sha256:" + strings.Repeat("0", 64)} {
			if _, err := retry(r, digest, true); !refused(err, reason.RequestBad) && !refused(err, reason.NothingToDo) {
				t.Errorf("%s: %v", digest, err)
			}
		}
	})
}

// TestGivenBackInTheFileAlone: the quarantine file gives an image back before the journal does. Where the journal does
// not follow, for want of room or because the power went, the image is given back all the same, without an offer.
func TestGivenBackInTheFileAlone(t *testing.T) {
	const day = 24 * time.Hour
	for _, cut := range []bool{false, true} {
		bubble(t, 957, func(r *rig) {
			r.cutInTrials(r.release(2, 2))
			r.spend(6 * day)
			r.fault = func() error { return journal.ErrFull }
			r.spend(2 * day)
			r.is("A", 1, "!given-back")
			r.fault = nil
			if cut {
				r.w.Cut()
				r.powerOn()
				r.loader()
			}
			r.spend(day)
			r.is("B", 2, "given-back")
		})
	}
}

// TestGivenBackBesideAnotherPart: a release of the rootfs is quarantined, and then one of the app is confirmed, under a
// higher number. Numbers belong to components: when the rootfs is given back it is taken all the same.
func TestGivenBackBesideAnotherPart(t *testing.T) {
	bubble(t, 959, func(r *rig) {
		twoParts(r)
		r.play(r.full(2, 2, 12))
		r.panics[3] = true
		r.spend(time.Hour, r.release(3, 3))
		r.panics[3] = false
		r.spend(time.Hour, r.app(9, 14))
		r.have("A", 2, 14)
		r.spend(8 * 24 * time.Hour)
		r.have("B", 3, 14)
	})
	bubble(t, 960, func(r *rig) { // one that writes both is over with the first confirmed release of both
		twoParts(r)
		r.play(r.full(2, 2, 12))
		r.panics[3] = true
		r.spend(time.Hour, r.full(3, 3, 13))
		r.panics[3] = false
		r.spend(time.Hour, r.full(4, 4, 14))
		r.spend(30 * 24 * time.Hour)
		r.have("A", 4, 14)
	})
}
