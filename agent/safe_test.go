package agent_test

import (
	"errors"
	"testing"

	"github.com/ratchet-ota/ratchet/agent"
)

// TestArmedThenSafe: the power fails between arming and its record, and the new system's agent cannot read its
// configuration: it is left all the same.
func TestArmedThenSafe(t *testing.T) {
	bubble(t, 9200, func(r *rig) {
		tried, boots := false, 0
		r.fault = func() error {
			if tried {
				return errors.New("disk full")
			}
			return nil
		}
		r.options = func(o *agent.Options) {
			o.Boot = fakeBoot{Backend: o.Boot, try: func(real func() error) error {
				err := real()
				tried = true
				return err
			}}
		}
		envs := [][]byte{r.release(2, 2)}
		r.boot(&envs, func(*agent.Agent) bool { return tried })
		r.w.Restart()
		r.loader()
		tried = false
		r.options = func(o *agent.Options) {
			if r.runs() == "B" {
				o.Safe = []string{"line 3: unknown key"}
			}
		}
		r.fault = nil
		clock := r.w.Clock()
		start, _ := clock.Wall()
		for r.boot(nil, func(*agent.Agent) bool { now, _ := clock.Wall(); return now.Sub(start).Hours() > 48 }) {
			boots++
			r.loader()
		}
		if r.runs() != "A" || !r.state().Slots["A"].Confirmed {
			t.Errorf("two days later slot %s runs after %d reboots, %+v\n%s",
				r.runs(), boots, r.state().Slots, r.told())
		}
	})
}
