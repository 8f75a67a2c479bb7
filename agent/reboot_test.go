package agent_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/hal"
)

// slowPower asks for a reboot with a command that ends only when it is killed.
type slowPower struct {
	hal.Power
	heard  bool // the machine goes down all the same
	forced *int
}

func (p slowPower) Reboot(ctx context.Context, arg string) error {
	if p.heard {
		if err := p.Power.Reboot(ctx, arg); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return errors.New("signal: killed")
}

func (p slowPower) Force(ctx context.Context) error {
	*p.forced++
	return p.Power.Force(ctx)
}

// TestOrderlyRebootIsNotForced: init ends the agent while its reboot command has not ended yet. A reboot
// that is forced then would cut the orderly one short, with file systems mounted.
func TestOrderlyRebootIsNotForced(t *testing.T) {
	bubble(t, 71, func(r *rig) {
		forced := 0
		r.options = func(o *agent.Options) { o.Power = slowPower{o.Power, true, &forced} }
		r.play(r.release(2, 2))
		r.is("B", 2)
		if forced != 0 {
			t.Errorf("%d reboots were forced", forced)
		}
	})
}

// TestRebootCommandHangs: a command that never ends and does nothing is as good as none.
func TestRebootCommandHangs(t *testing.T) {
	bubble(t, 72, func(r *rig) {
		forced := 0
		r.options = func(o *agent.Options) { o.Power = slowPower{o.Power, false, &forced} }
		envelopes := [][]byte{r.release(2, 2)}
		if !r.boot(&envelopes, func(a *agent.Agent) bool {
			time.Sleep(time.Second) // for the deadline of the command, which is not the device's clock
			return a.Console().Status(context.Background()).Running.Name == "B"
		}) {
			t.Error("no reboot")
		}
		if forced == 0 {
			t.Errorf("nothing was forced:\n%s", r.told())
		}
	})
}

// TestUnannouncedTrialIsNoUpdate: a factory that does not say which slot is good leaves it on trial. It
// is proven and confirmed, and status does not call that an update. A sick one is told, since it fell back.
func TestUnannouncedTrialIsNoUpdate(t *testing.T) {
	for _, sick := range []bool{false, true} {
		bubble(t, 73, func(r *rig) {
			r.sick[3] = sick
			r.w.Poke("/dev/b", 0, image(3))
			if err := r.backend().Try(context.Background(), "B", 3); err != nil {
				t.Fatal(err)
			}
			r.w.Restart()
			r.loader()
			r.play()
			var last *control.Outcome
			r.until(nil, func(st control.Status) bool {
				last = st.Last
				return st.Phase == "idle"
			})
			switch {
			case !sick && last != nil:
				t.Errorf("the last update is said to be %+v", *last)
			case sick && (last == nil || last.Result != "reverted"):
				t.Errorf("that it fell back is not told: %+v", last)
			}
		})
	}
}

// deafPower hears nothing as long as deaf says so.
type deafPower struct {
	hal.Power
	deaf  func() bool
	asked *int
}

func (p deafPower) Reboot(ctx context.Context, arg string) error {
	if *p.asked++; p.deaf() {
		return nil
	}
	return p.Power.Reboot(ctx, arg)
}

func (p deafPower) Force(ctx context.Context) error {
	if p.deaf() {
		return nil
	}
	return p.Power.Force(ctx)
}

// TestRebootsAreCountedInEachPhase: a device that needed all its reboots to get into the trial has as many
// left to confirm the new system (I8: bounded in each phase, not taken from the next one).
func TestRebootsAreCountedInEachPhase(t *testing.T) {
	bubble(t, 74, func(r *rig) {
		deaf, asked := true, 0
		r.options = func(o *agent.Options) {
			o.Power = deafPower{o.Power, func() bool { return deaf }, &asked}
			first := r.w.Reboots() // of this start
			o.Boot = fakeBoot{Backend: o.Boot, confirm: func(real func() error) error {
				if len(first) < 2 {
					return errors.New("input/output error")
				}
				return real()
			}}
		}
		envs := [][]byte{r.release(2, 2)}
		for i := range 3 { // the daemon is restarted while it asks for the reboot
			deaf = i < 2
			if again := r.boot(&envs, func(*agent.Agent) bool { return asked > i }); again != (i == 2) {
				t.Fatalf("start %d: rebooted %v after %d reboots were asked for\n%s", i, again, asked, r.told())
			}
		}
		r.loader()
		if boots := r.spend(time.Hour); boots != 1 {
			t.Errorf("%d boots to confirm the system, want 1", boots)
		}
		r.is("B", 2, "result=updated")
	})
}
