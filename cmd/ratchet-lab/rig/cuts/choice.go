// Package cuts is which power cuts of a recording are played, and what each came to: looked at, booted, cut again. All
// chance is of a seeded source that is handed in, so that a run is repeated by its seed.
package cuts

import (
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
)

// Cuts of the smoke test of each board, besides those that a board boots.
const (
	smokeHealthy = 36
	smokeSick    = 8
	smokeSecond  = 6
	slowBoots    = 3 // a board with no more boots than this one goes to the end once and in the recovery only
)

// What the whole run does besides looking at everything and booting the flush points.
const (
	tornBoots    = 24 // torn tails that are booted
	finishOneIn  = 6  // of the boots go on to the end of the update, the others to the agent's first status
	sickBoots    = 12
	recoveries   = 6 // of healthy cuts that are recorded, and cut again
	secondLooks  = 60
	secondBoots  = 2
	sickRecovers = 2
)

// Scope is how much of the cuts is played.
type Scope struct {
	Smoke      bool // a smoke test, not a whole run
	Every      int  // one in so many of a whole run's boots; 1: all
	SmokeBoots int  // cuts that a smoke test boots on this board
}

// Looks is how many cuts of the update of that name are looked at, 0: all.
func (s Scope) Looks(name string) int {
	switch {
	case !s.Smoke:
		return 0
	case name == "sick":
		return smokeSick
	}
	return smokeHealthy
}

// Plan is which cuts of an update are booted with the real bootloader, each by its number in the coverage.
type Plan struct {
	List   []int
	Finish map[int]bool // goes on to the end of the update; the others to the agent's first status
	Again  map[int]bool // the recovery is recorded, and cut again; goes to the end
	Looks  int          // cuts of such a recovery that are looked at
	Boots  int          // and that are booted
}

// Plan chooses among the cuts of an update that were looked at.
func (v *Coverage) Plan(rnd *rand.Rand, s Scope) Plan {
	sick, share := v.Rec.Name == "sick", func(n int) int { return (n + s.Every - 1) / s.Every }
	b, again := Plan{Finish: map[int]bool{}, Again: map[int]bool{}, Looks: secondLooks, Boots: secondBoots}, recoveries
	switch {
	case s.Smoke && sick:
		b.List, again = Some(rnd, v.Different(nil), 1), 0
	case s.Smoke:
		// One of them is recorded and cut again, one boot goes to that.
		b.List, again, b.Looks, b.Boots = Some(rnd, v.Different(nil), s.SmokeBoots-2), 1, smokeSecond, 1
	case sick:
		b.List, again = Some(rnd, v.Different(nil), share(sickBoots)), share(sickRecovers)
	default:
		for i, k := range v.Different(func(c Result) bool {
			return c.Where == "flush" || c.Point == 0 ||
				c.Point == len(v.Log.Writes)
		}) {
			if i%s.Every == 0 {
				b.List = append(b.List, k)
			}
		}
		b.List = append(b.List, Some(rnd, v.Different(func(c Result) bool { return c.Variant == disk.Torn }),
			share(tornBoots))...)
		slices.Sort(b.List)
		b.List, again = slices.Compact(b.List), share(recoveries)
	}
	for _, k := range Some(rnd, b.List, again) {
		b.Again[k] = true
	}
	for i, k := range b.List {
		b.Finish[k] = b.Again[k] || !s.Smoke && (sick || i%finishOneIn == 0) || s.Smoke && s.SmokeBoots > slowBoots
	}
	return b
}

// Every lists all cuts of a log: each moment whole, and where something is not flushed yet also lost and torn.
func Every(l *disk.Log, seed int64) (all []disk.Cut) {
	for point := range len(l.Writes) + 1 {
		all = append(all, disk.Cut{Point: point, Variant: disk.Whole, Seed: seed})
		if from, _ := l.Unflushed(disk.Cut{Point: point, Variant: disk.Whole}); from < point {
			all = append(all, disk.Cut{Point: point, Variant: disk.Lost, Seed: seed},
				disk.Cut{Point: point, Variant: disk.Torn, Seed: seed})
		}
	}
	return all
}

// Sample takes n of all cuts of the log l of a board, in the order of their points, three quarters of them among the
// writes that are not of the image: there the decisions are.
func Sample(t board.Kind, rnd *rand.Rand, l *disk.Log, all []disk.Cut, n int) []disk.Cut {
	var few, image []disk.Cut
	for _, c := range all {
		if c.Point > 0 && strings.HasPrefix(t.Where(l.Writes[c.Point-1]), "slot-") {
			image = append(image, c)
		} else {
			few = append(few, c)
		}
	}
	k := min(n/4, len(image))
	out := append(Some(rnd, few, n-k), Some(rnd, image, k)...)
	slices.SortStableFunc(out, func(a, b disk.Cut) int { return a.Point - b.Point })
	return out
}

// Some takes n of a list, in their order.
func Some[T any](rnd *rand.Rand, from []T, n int) (out []T) {
	n = max(0, min(n, len(from)))
	pick := rnd.Perm(len(from))[:n]
	slices.Sort(pick)
	for _, i := range pick {
		out = append(out, from[i])
	}
	return out
}
