package explorer

import (
	"fmt"
	"slices"
	"time"

	"github.com/ratchet-ota/ratchet/hal/sim"
)

// The deep exploration cuts the power again and again: from the state that each cut leaves, the
// device is played to its rest, and the power is cut at every operation of that play as well. Most
// cuts leave a state that another one left before: a state is played once. When nothing new is
// found any more, every number of cuts is covered.
//
// One play serves all cuts in it: before each operation the machine is forked, and the fork's power
// goes. A cut inside an operation need not be played apart. Of a write that is torn some sectors are in
// the cache, and a cut loses some of what is in the cache: the machine could be left so by a cut behind the
// whole write. Likewise of a flush that is torn, by a cut before it; and what is atomic is old or new.
// Which part is lost is drawn, parts times for each cut.
//
// What a state is, and what is left out of it, is in state.go.

// parts is how many seeded parts of the cache are lost at each cut, beside all and nothing of it.
const parts = 3

// DeepTally is what became of a row that was cut again and again.
type DeepTally struct {
	States  []int    // new states by the number of cuts that lead to them
	Stories []uint64 // stories with so many cuts that are covered: each way of cutting, in every play
	Plays   int
	Again   int  // states that were played a second time, see Depth.Twice
	Whole   int  // all stories with so many cuts are covered
	Fixed   bool // nothing new is left: any number of cuts is covered
	Blamed  int  // plays in which enough cuts looked like a sick image
}

// state is one state that a cut leaves.
type state struct {
	at     *Device        // at the power-on; nil once it was played
	cuts   int            // that lead to it at the least
	next   map[string]int // states that a cut in its play leaves, and how many cuts leave them
	second *Device        // the same state, met by another story, to be played too
}

// deep explores one row.
func (x *Lab) deep(y *Tally, s *Scenario, l *Loader) error {
	began, limit := time.Now(), *y.Task.Deep
	y.Deep = &DeepTally{}
	d := &deep{x: x, limit: limit, y: y.Deep, row: y, states: map[string]*state{}}
	if err := d.begin(s, l); err != nil {
		return err
	}
	for len(d.queue) > 0 && len(y.Fails) < errLimit && (limit.Limit == 0 || y.Deep.Plays < limit.Limit) &&
		(limit.Time == 0 || time.Since(began) < limit.Time) {
		next := d.states[d.queue[0]]
		d.queue = d.queue[1:]
		d.expand(next)
	}
	y.Deep.Fixed = len(d.queue) == 0 && !d.bounded && len(y.Fails) == 0
	d.count()
	return nil
}

// deep is the search in progress.
type deep struct {
	x       *Lab
	limit   Depth
	row     *Tally
	y       *DeepTally
	states  map[string]*state
	queue   []string // met, and not played
	repeats int
	bounded bool // a state was not cut in, because it has all the cuts that are allowed
}

const beginning = "the beginning"

// begin plays the clean run.
func (d *deep) begin(s *Scenario, l *Loader) error {
	first := &state{next: map[string]int{}}
	d.states[beginning] = first
	d.met(0)
	d.y.Plays++
	cutting := d.cuts(0)
	dev, err := d.x.play(s, l, d.row.Task.Seed, nil, nil, func(dev *Device) { d.branch(dev, first, cutting) })
	if err != nil {
		return err
	}
	d.row.Ops = dev.Op()
	d.judge(dev)
	return nil
}

// cuts tells whether stories with so many cuts are cut once more.
func (d *deep) cuts(n int) bool {
	if d.limit.Cuts > 0 && n >= d.limit.Cuts {
		d.bounded = true
		return false
	}
	return true
}

func (d *deep) met(cuts int) {
	for len(d.y.States) <= cuts {
		d.y.States = append(d.y.States, 0)
	}
	d.y.States[cuts]++
}

// expand plays a state to its rest, and meets what the cuts in that play leave.
func (d *deep) expand(s *state) {
	at := s.at
	s.at, s.next = nil, map[string]int{}
	d.y.Plays++
	cutting := d.cuts(s.cuts)
	played := d.x.resume(at, nil, func(dev *Device) { d.branch(dev, s, cutting) })
	d.judge(played)
	if s.second != nil {
		d.compare(s, played.signature(at))
	}
}

// branch cuts the power of forks of a device that is being played, before its next operation.
func (d *deep) branch(dev *Device, s *state, cutting bool) {
	if !cutting || len(d.row.Fails) >= errLimit {
		return
	}
	w := dev.fork1()
	op := w.Ops() - dev.base
	if op == 0 {
		return // nothing has happened yet
	}
	variants := []Cut{{Op: op, Mode: sim.After, Cache: sim.LoseAll}}
	if w.Dirty() {
		variants = append(variants, Cut{Op: op, Mode: sim.After, Cache: sim.Keep})
		if dev.s.Apart {
			variants = append(variants, Cut{Op: op, Mode: sim.After, Cache: sim.LoseApart},
				Cut{Op: op, Mode: sim.After, Cache: sim.KeepApart})
		}
		for i := range parts {
			variants = append(variants, Cut{Op: op, Mode: sim.After, Draw: i})
		}
	}
	for i, c := range variants {
		if i < len(variants)-1 {
			d.cut(dev, w.Fork(), c, s)
		} else {
			d.cut(dev, w, c, s)
		}
	}
}

// cut takes the power of a fork away, and meets the state that this leaves.
func (d *deep) cut(dev *Device, w *sim.World, c Cut, from *state) {
	w.SetCache(c.Cache)
	w.Reseed(c.chance(dev.seed))
	w.PowerOn()
	dev.settle(w)
	key := fmt.Sprint(dev.stateKey(w), dev.afterCut())
	from.next[key]++
	if known := d.states[key]; known != nil {
		d.repeat(known, dev, w, c)
		return
	}
	twin := dev.cutOff(w, c)
	s := &state{at: twin, cuts: from.cuts + 1}
	d.states[key] = s
	d.queue = append(d.queue, key)
	d.met(s.cuts)
}

// repeat sees to it that now and then a state that was met before by another story is played for this
// one too: the two must go on alike, or something is missing in the key.
func (d *deep) repeat(known *state, dev *Device, w *sim.World, c Cut) {
	if d.limit.Twice == 0 || known.at == nil || known.second != nil {
		return
	}
	if d.repeats++; d.repeats%d.limit.Twice == 0 {
		known.second = dev.cutOff(w, c)
	}
}

// compare plays the second story of a state, and holds it against the first.
func (d *deep) compare(s *state, first string) {
	at := s.second
	s.second = nil
	d.y.Again++
	if got := d.x.resume(at, nil, nil).signature(at); got != first {
		d.row.Fails = append(d.row.Fails, Failure{Case: at.Case().String(), Replay: at.Case().String(), What: "lab",
			Says: "a state that was met before goes on otherwise: " + firstDifference(first, got)})
	}
}

func (d *deep) judge(dev *Device) {
	if dev.ghosts.Worn || dev.ghosts.Spent {
		d.y.Blamed++
	}
	if len(dev.breaches) == 0 {
		return
	}
	b := dev.breaches[0]
	d.row.Fails = append(d.row.Fails,
		Failure{Case: dev.Case().String(), Replay: dev.Case().String(), What: b.What, Says: b.Says, Story: dev.Story()})
}

// count adds up the stories that are covered, by the number of their cuts: as many as there are ways
// through the states. What was met and not played yet covers nothing behind it.
func (d *deep) count() {
	ways, most := map[string]uint64{beginning: 1}, 3
	if d.bounded {
		most = min(most, d.limit.Cuts) // behind that the play of a state was not cut
	}
	for cuts := 0; len(ways) > 0 && cuts <= most; cuts++ {
		total, after := uint64(0), map[string]uint64{}
		for key, n := range ways {
			s := d.states[key]
			if s.at != nil {
				return // not played
			}
			total += n
			for next, m := range s.next {
				after[next] += n * uint64(m)
			}
		}
		d.y.Stories, d.y.Whole = append(d.y.Stories, total), cuts
		ways = after
	}
	if d.y.Fixed {
		d.y.Whole = len(d.y.States)
	} else if len(d.queue) > 0 {
		d.y.Whole = max(d.y.Whole, d.states[d.queue[0]].cuts-1)
	} else {
		d.y.Whole = max(d.y.Whole, d.limit.Cuts)
	}
}

// fork1 forks the machine of a device, from within an operation where there is one.
func (d *Device) fork1() *sim.World {
	if d.forking != nil {
		return d.forking()
	}
	return d.W.Fork()
}

// cutOff is the device whose machine is w after a cut.
func (d *Device) cutOff(w *sim.World, c Cut) *Device {
	t := d.twin(w)
	t.cuts = append(slices.Clone(d.cuts), c)
	t.done, t.armed = len(t.cuts), 0
	t.patience, t.boots, t.resets = 0, 0, 0
	for _, own := range ownCounts {
		delete(t.fired, own)
	}
	t.ghosts = d.afterCut()
	t.note("power cut (%v)", c)
	t.checkFallback()
	return t
}
