package agent_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// survive plays a device through boots until it rests, the broker handing in the retained offer at
// every start, as MQTT does.
func (r *rig) survive(offer []byte) {
	r.t.Helper()
	for boots := 0; boots < 40; boots++ {
		envs := [][]byte{offer}
		if !r.live(&envs, nil) {
			return
		}
		r.loader()
	}
	r.t.Fatalf("the device never comes to rest (seed %d)", r.w.Seed())
}

// whole checks what must hold at rest, whatever happened before (I1, I8, I10).
func (r *rig) whole(what string, want byte) {
	r.t.Helper()
	st := r.state()
	run := bootctl.Slot(r.runs())
	if !st.Slots[run].Confirmed || !st.Slots[run].Bootable || st.Next != run {
		r.t.Errorf("%s: slot %s runs, and it is not confirmed and next: %+v", what, run, st)
	}
	if !r.holds(device(string(run)), want) {
		r.t.Errorf("%s: slot %s runs and does not hold image %d", what, run, want)
	}
	for name, s := range st.Slots {
		if s.Bootable && !s.Confirmed {
			r.t.Errorf("%s: slot %s is left armed: %+v", what, name, s)
		}
	}
	lines := r.story()
	for _, l := range lines {
		if want == 2 && (strings.Contains(l, "health-failed") || strings.Contains(l, "image-corrupt") || strings.Contains(l, "read-back-mismatch")) {
			r.t.Errorf("%s: lie: a power cut is reported as a bad image: %s", what, l)
		}
	}
	if r.t.Failed() {
		r.t.Log(strings.Join(lines, "\n"))
	}
}

// TestEveryPowerCut cuts the power at every operation of an update, before it, in the middle of it
// and after it, with what was not flushed lost in a seeded part, and lets the device go on. It must
// end confirmed on the new system; a sick one must end on the old.
func TestEveryPowerCut(t *testing.T) {
	for _, sick := range []bool{false, true} {
		var ops int64
		var start int64
		bubble(t, 100, func(r *rig) {
			r.sick[2] = sick
			start = r.w.Ops()
			r.survive(r.release(2, 2))
			ops = r.w.Ops()
		})
		n := 0
		for op := start + 1; op <= ops; op++ {
			for _, mode := range []sim.Mode{sim.Before, sim.Torn, sim.After} {
				n++
				bubble(t, 100+uint64(op), func(r *rig) {
					r.sick[2] = sick
					r.w.CutAt(op, mode)
					r.survive(r.release(2, 2))
					want := byte(2)
					if sick {
						want = 1
					}
					r.whole(fmt.Sprintf("sick=%v, cut %v operation %d", sick, mode, op), want)
				})
				if t.Failed() {
					return
				}
			}
		}
		t.Logf("sick=%v: %d operations, %d cuts", sick, ops-start, n)
	}
}
