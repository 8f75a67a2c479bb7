package bench

import (
	"testing"

	"github.com/ratchet-ota/ratchet/agent/life"
)

// TestWrongStart: where Reconcile leads, and where an agent went.
func TestWrongStart(t *testing.T) {
	at := func(phases ...life.Phase) (out []life.Record) {
		for _, p := range phases {
			out = append(out, life.Record{Phase: p})
		}
		return out
	}
	for i, c := range []struct {
		from life.Phase
		step life.Resume
		seen []life.Record
		bad  bool
	}{
		{life.Writing, life.Resume{To: life.Writing, Same: true}, at(life.Writing), false},
		{life.Writing, life.Resume{To: life.Writing, Same: true}, at(life.Writing, life.Checking), false},
		{life.Writing, life.Resume{To: life.Writing, Same: true}, at(life.Writing, life.Arming), true},
		{life.Ready, life.Resume{To: life.Checking}, at(life.Ready, life.Checking), false},
		{life.Ready, life.Resume{To: life.Checking}, at(life.Ready, life.Arming), true},
		{life.Ready, life.Resume{To: life.Checking}, at(life.Ready), true},
		{life.Rebooting, life.Resume{To: life.Trial, Count: true}, at(life.Rebooting, life.Trial), false},
		{life.Rebooting, life.Resume{To: life.Trial, Count: true}, at(life.Rebooting, life.Reverting), true},
		{life.Trial, life.Resume{To: life.Trial, Hold: true}, at(life.Trial), true},
	} {
		v := life.View{HaveRecord: true, Record: life.Record{Phase: c.from}, MaxBoots: 4}
		if got := wrongStart(v, c.step, c.seen); (got != "") != c.bad {
			t.Errorf("%d: %q", i, got)
		}
	}
}
