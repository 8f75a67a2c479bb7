package explorer

import (
	"fmt"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/hal/sim"
)

// Task is one row, as a worker gets it: a scenario on a loader.
type Task struct {
	Scenario, Loader string
	Seed             uint64
	// Stop ends the task with its first failure, or with the first breach of a layout that is not power-safe.
	Stop bool
	// Deep, where set, cuts again and again; else every single cut is played, and every failed operation.
	Deep *Depth
}

// Depth is how deep a row is explored.
type Depth struct {
	// Cuts is how many cuts a story has at the most; 0: as many as lead to something new.
	Cuts int
	// Limit ends the row after so many plays; 0: none.
	Limit int
	// Time ends it after so long; 0: never.
	Time time.Duration
	// Twice plays every Twice-th state that is met a second time a second time, and holds the two plays
	// against each other; 0: none.
	Twice int
}

// Tally is what became of a task.
type Tally struct {
	Task    Task
	Ops     int64          // operations of the clean run
	Singles int            // cases with one cut, or one failed operation
	Faults  int            // of Singles: failed operations
	Kinds   map[string]int // cases by the kind of the operation that was cut
	Weak    map[string]int // layouts that are not power-safe: breaches by kind
	Deep    *DeepTally     // of a deep task
	Seconds float64
	Fails   []Failure
	WeakAt  []Failure // the first of each kind
}

// Failure is one case that broke something.
type Failure struct {
	Case   string
	What   string
	Says   string
	Story  string
	Replay string
}

// errLimit bounds how many failures of a task are told.
const errLimit = 5

// Explore plays one task.
func (x *Lab) Explore(task Task) (Tally, error) {
	began := time.Now()
	y := Tally{Task: task, Kinds: map[string]int{}, Weak: map[string]int{}}
	s, ok := FindScenario(task.Scenario)
	if !ok || s.Needs != "" {
		return y, fmt.Errorf("no scenario %q that can be played", task.Scenario)
	}
	l, ok := FindLoader(task.Loader)
	if !ok {
		return y, fmt.Errorf("no loader %q", task.Loader)
	}
	explore := x.singles
	if task.Deep != nil {
		explore = x.deep
	}
	err := explore(&y, &s, &l)
	y.Seconds = time.Since(began).Seconds()
	return y, err
}

// singles plays every single cut, and every failed operation.
func (x *Lab) singles(y *Tally, s *Scenario, l *Loader) error {
	var boots []*Device // of the clean run: a cut in the second boot need not play the first again
	dirty := map[int64]bool{}
	clean, err := x.play(s, l, y.Task.Seed, nil, func(d *Device) { boots = append(boots, d.fork()) },
		func(d *Device) { dirty[d.fork1().Ops()-d.base] = d.fork1().Dirty() })
	if err != nil {
		return err
	}
	y.Ops = clean.Op()
	trace := clean.W.Trace()[clean.base:]
	if y.judge(clean) && y.Task.Stop || len(clean.breaches) > 0 {
		return nil
	}
	for _, c := range everyCut(s, trace, dirty) {
		var d *Device
		for i := len(boots) - 1; i >= 0 && d == nil; i-- {
			if boots[i].Op() < c.Op {
				d = x.resume(boots[i], []Cut{c}, nil)
			}
		}
		if d == nil {
			if d, err = x.play(s, l, y.Task.Seed, []Cut{c}, nil, nil); err != nil {
				return err
			}
		}
		if d.done == 0 && d.brick == "" && !d.s.Endless {
			d.breach("lab", "the cut never happened")
		}
		y.Singles++
		if c.Fail || c.Full {
			y.Faults++
		}
		y.Kinds[trace[c.Op-1].Kind]++
		if failed := y.judge(d); y.Task.Stop && (failed || len(y.Weak) > 0) {
			break
		}
	}
	return nil
}

// everyCache are the cuts at an operation that leave different machines: where nothing is cached, one.
func everyCache(s *Scenario, op int64, m sim.Mode, dirty bool) []Cut {
	list := []Cut{{Op: op, Mode: m}}
	if !dirty {
		return list
	}
	list = append(list, Cut{Op: op, Mode: m, Cache: sim.Keep}, Cut{Op: op, Mode: m, Cache: sim.LoseAll})
	if s.Apart {
		list = append(list, Cut{Op: op, Mode: m, Cache: sim.LoseApart}, Cut{Op: op, Mode: m, Cache: sim.KeepApart})
	}
	for i := 1; i < parts && s.Deep; i++ { // other scenarios draw once: their pairs of cuts draw as often
		list = append(list, Cut{Op: op, Mode: m, Draw: i})
	}
	return list
}

// everyCut are all cuts of a story, the failure of each of its operations, and a full disk at each that needs room,
// once and from then on. Where somebody else reboots the machine again and again, the agent's own count is what bounds
// that, and without room it has none: nothing is said of those.
func everyCut(s *Scenario, story []sim.Op, dirty map[int64]bool) (list []Cut) {
	for i := range story {
		op := int64(i + 1)
		for _, m := range []sim.Mode{sim.Before, sim.Torn, sim.After} {
			list = append(list, everyCache(s, op, m, m != sim.After && dirty[op-1] || m != sim.Before && dirty[op])...)
		}
		list = append(list, Cut{Op: op, Fail: true})
		if needsRoom(story[i]) && !s.Endless {
			list = append(list, Cut{Op: op, Full: true}, Cut{Op: op, Full: true, Stays: true})
		}
	}
	return list
}

// judge books what a case broke. It returns true when that is a failure.
func (y *Tally) judge(d *Device) bool {
	if len(d.breaches) == 0 {
		return false
	}
	b := d.breaches[0]
	f := Failure{Case: d.Case().String(), What: b.What, Says: b.Says, Replay: d.Case().String()}
	if d.Failed() {
		if len(y.Fails) < errLimit {
			f.Story = d.Story()
			y.Fails = append(y.Fails, f)
		} else {
			y.Fails = append(y.Fails, Failure{Case: f.Case, What: f.What, Says: f.Says})
		}
		return true
	}
	what := b.What
	if d.brick != "" {
		what = "brick"
		f.Says = d.brick
	}
	f.What = what
	if y.Weak[what]++; y.Weak[what] == 1 {
		y.WeakAt = append(y.WeakAt, f)
	}
	return false
}

// Replay is the story of a case with its verdict.
func (x *Lab) Replay(c Case) (story string, failed bool, err error) {
	d, err := x.Play(c)
	if err != nil {
		return "", false, err
	}
	var b strings.Builder
	b.WriteString(d.Story())
	switch {
	case len(d.breaches) == 0:
		b.WriteString("all invariants hold\n")
	case !d.l.PowerSafe:
		b.WriteString("this layout is not power-safe: see docs/integration/bootloader.md\n")
	}
	return b.String(), len(d.breaches) > 0, nil
}
