package agent_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

var (
	exhaustive = flag.Bool("ratchet.exhaustive", false, "every pair of power cuts, not a sample")
	cutSeed    = flag.Uint64("ratchet.seed", 1, "seed of the sample of pairs")
)

// survive plays a device through boots until it rests, the broker handing in the retained offer at
// every start, as MQTT does.
func (r *rig) survive(offer []byte) {
	r.t.Helper()
	for boots := 0; boots < 60; boots++ {
		envs := [][]byte{offer}
		if !r.live(&envs, nil) {
			return
		}
		r.loader()
	}
	r.t.Fatalf("the device never comes to rest (seed %d)\n%s", r.w.Seed(), strings.Join(r.story(), "\n"))
}

// whole checks what must hold at rest, whatever happened before (I1, I8, I10). lie is what a power
// cut must not be reported as.
func (r *rig) whole(what string, want byte, lies ...string) {
	r.t.Helper()
	st := r.state()
	run := bootctl.Slot(r.runs())
	if !st.Slots[run].Confirmed || !st.Slots[run].Bootable || st.Next != run {
		r.t.Errorf("%s: slot %s runs, and it is not confirmed and next: %+v", what, run, st)
	}
	if want != 0 && !r.holds(device(string(run)), want) {
		r.t.Errorf("%s: slot %s runs and does not hold image %d", what, run, want)
	}
	for name, s := range st.Slots {
		if s.Bootable && !s.Confirmed {
			r.t.Errorf("%s: slot %s is left armed: %+v", what, name, s)
		}
	}
	lines := r.story()
	for _, l := range lines {
		for _, lie := range lies {
			if strings.Contains(l, lie) {
				r.t.Errorf("%s: lie: a power cut is reported as %s: %s", what, lie, l)
			}
		}
	}
	if r.t.Failed() {
		r.t.Log(strings.Join(lines, "\n"))
	}
}

// cutLies are causes that a power cut is not.
var cutLies = []string{"health-failed", "health-timeout", "image-corrupt", "read-back-mismatch", "slot-io-error",
	"source-", "boot-metadata", "arm-not-landed"}

// cutStory plays the healthy or the sick update with power cuts, and returns how many came.
func cutStory(t *testing.T, b board, seed uint64, sick bool, what string, cuts ...cut) (came int) {
	t.Helper()
	bubbleOn(t, seed, b, func(r *rig) {
		r.sick[2] = sick
		r.w.CutAt(r.w.Ops()+cuts[0].op, cuts[0].mode)
		r.cuts = cuts[1:]
		r.outage = func() { came++ }
		r.survive(r.release(2, 2))
		if sick {
			r.whole(what, 1)
			return
		}
		want, lies := byte(2), cutLies
		if _, one := b.(grub); one && len(cuts) > 1 {
			want = 0 // the only try, cut twice: the second time the image is taken to be the cause
		}
		r.whole(what, want, lies...)
	})
	return came
}

// operations counts those of an update without a cut.
func operations(t *testing.T, b board, sick bool) (n int64) {
	t.Helper()
	bubbleOn(t, 100, b, func(r *rig) {
		r.sick[2] = sick
		start := r.w.Ops()
		r.survive(r.release(2, 2))
		n = r.w.Ops() - start
	})
	return n
}

func modes() []sim.Mode { return []sim.Mode{sim.Before, sim.Torn, sim.After} }

// everyStory runs fn, at the same time, for each loader and for the healthy and the sick update.
func everyStory(t *testing.T, fn func(t *testing.T, b board, sick bool, what string)) {
	for _, b := range boards() {
		for _, sick := range []bool{false, true} {
			what := fmt.Sprintf("%s, sick=%v", b, sick)
			t.Run(what, func(t *testing.T) {
				t.Parallel()
				fn(t, b, sick, what)
			})
		}
	}
}

// stride is the distance of the operations that are cut: 1, each of them; under -short, which the race
// detector's run uses, some.
func stride() int64 {
	if testing.Short() {
		return 12
	}
	return 1
}

// TestEveryPowerCut cuts the power at every operation of an update, before it, in the middle of it
// and after it, with what was not flushed lost in a seeded part, and lets the device go on. It must
// end confirmed on the new system; a sick one must end on the old.
func TestEveryPowerCut(t *testing.T) {
	everyStory(t, func(t *testing.T, b board, sick bool, what string) {
		ops, n := operations(t, b, sick), 0
		for op := int64(1); op <= ops; op += stride() {
			for _, mode := range modes() {
				n++
				cutStory(t, b, 100+uint64(op), sick,
					fmt.Sprintf("%s, cut %v operation %d", what, mode, op), cut{op, mode})
				if t.Failed() {
					return
				}
			}
		}
		t.Logf("%d operations, %d cuts", ops, n)
	})
}

// TestSecondCut cuts the power once more while the device recovers from the first cut. By default it
// draws pairs, 60 for each loader and each of the two updates; with -ratchet.exhaustive it walks all
// pairs of operations, the mode of each cut drawn.
func TestSecondCut(t *testing.T) {
	everyStory(t, func(t *testing.T, b board, sick bool, what string) {
		rng := rand.New(rand.NewPCG(*cutSeed, 2))
		ops, n, came := operations(t, b, sick), 0, 0
		pair := func(first, second int64) bool {
			cuts := []cut{{first, modes()[rng.IntN(3)]}, {second, modes()[rng.IntN(3)]}}
			n++
			k := cutStory(t, b, *cutSeed<<20+uint64(first<<10+second), sick,
				fmt.Sprintf("%s, seed %d, cuts %+v", what, *cutSeed, cuts), cuts...)
			if k == 2 {
				came++
			}
			return k == 2 && !t.Failed()
		}
		for first := int64(1); *exhaustive && first <= ops && !t.Failed(); first++ {
			for second := int64(1); pair(first, second); second++ { // until the device rests before it
			}
		}
		for i := 0; !*exhaustive && i < int(60/stride()) && !t.Failed(); i++ {
			pair(1+rng.Int64N(ops), 1+rng.Int64N(ops/2)) // recovery is shorter than the whole
		}
		t.Logf("seed %d: %d pairs over %d operations, in %d of them both cuts came", *cutSeed, n, ops, came)
	})
}

// TestCutAndJournalLost loses the journal with the power, at every operation of an update: the storage
// that holds it did not survive. The device ends confirmed on what runs, and a sick system never does.
func TestCutAndJournalLost(t *testing.T) {
	everyStory(t, func(t *testing.T, b board, sick bool, what string) {
		ops := operations(t, b, sick)
		for op := int64(1); op <= ops && !t.Failed(); op += stride() {
			bubbleOn(t, 300+uint64(op), b, func(r *rig) {
				r.sick[2] = sick
				r.w.CutAt(r.w.Ops()+op, modes()[op%3])
				r.outage = func() { r.mem = journal.NewMemory() }
				r.survive(r.release(2, 2))
				want := byte(0)
				if sick {
					want = 1
				}
				r.whole(fmt.Sprintf("%s, journal lost with the power at operation %d", what, op), want)
			})
		}
	})
}
