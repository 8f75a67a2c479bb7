package explorer

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/hal/sim"
)

// Task is one scenario on one loader, as a worker gets it.
type Task struct {
	Scenario, Loader string
	Seed             uint64
	// Pairs is how many second cuts are tried on each first: 0 none, -1 all, else seeded.
	Pairs int
	// Draw chooses other pairs of the same seed.
	Draw uint64
	// First and Of divide the first cuts between tasks: those whose index is First modulo Of.
	First, Of int
	// Stop ends the task with its first failure.
	Stop bool
}

// Tally is what became of a task.
type Tally struct {
	Task    Task
	Ops     int64          // operations of the clean run
	Singles int            // cases with one cut, or one failed operation
	States  int            // different states of the machine among them, at the power-on after the cut
	Faults  int            // of Singles: failed operations
	Pairs   int            // cases with two cuts that were played
	Same    int            // that were not played on: the same state of the machine was played before
	All     int            // pairs that there are
	Kinds   map[string]int // cases by the kind of the operation that was cut (the last)
	Weak    map[string]int // layouts that are not power-safe: breaches by kind
	Blamed  int            // images blamed after two cuts in two trials (loaders with one try)
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
	var boots []*Device // of the clean run: a cut in the second boot need not play the first again
	clean, err := x.play(&s, &l, task.Seed, nil, nil, func(d *Device) { boots = append(boots, d.fork()) })
	if err != nil {
		return y, err
	}
	y.Ops = clean.Op()
	trace := clean.W.Trace()[clean.base:]
	if y.judge(clean) && task.Stop || len(clean.breaches) > 0 {
		y.Seconds = time.Since(began).Seconds()
		return y, nil
	}
	seen := map[string]bool{}
	rng := rand.New(rand.NewPCG(task.Seed, task.Draw))
	for i, c := range firstCuts(y.Ops, task.Pairs != 0) {
		if task.Of > 1 && i%task.Of != task.First {
			continue
		}
		var at *Device
		first := true
		met := func(d *Device) bool {
			if !first || d.done < len(d.cuts) {
				return true // another reset of the machine than by the cut
			}
			first = false
			k := d.key()
			if seen[k] && len(d.breaches) == 0 {
				return false
			}
			seen[k] = true
			at = d.fork()
			return true
		}
		var d *Device
		for i := len(boots) - 1; i >= 0 && d == nil; i-- {
			if boots[i].Op() < c.Op {
				d = x.resume(boots[i], c, met)
			}
		}
		if d == nil {
			if d, err = x.play(&s, &l, task.Seed, []Cut{c}, met, nil); err != nil {
				return y, err
			}
		}
		if d.done == 0 && d.brick == "" && !d.s.Endless {
			d.breach("lab", "the cut never happened")
		}
		if task.Pairs == 0 {
			y.Singles++
			if c.Fail {
				y.Faults++
			}
			y.Kinds[trace[c.Op-1].Kind]++
			if y.judge(d) && task.Stop {
				break
			}
			continue
		}
		if at == nil || d.brick != "" {
			continue
		}
		if x.pairs(&y, at, d.Op(), rng) && task.Stop {
			break
		}
	}
	y.States = len(seen)
	y.Seconds = time.Since(began).Seconds()
	return y, nil
}

// pairs cuts once more behind a first cut. It returns true when it found a failure.
func (x *Lab) pairs(y *Tally, at *Device, end int64, rng *rand.Rand) (failed bool) {
	var list []Cut
	for op := at.Op() + 1; op <= end; op++ {
		// A cut before an operation leaves what a cut after the one before it leaves.
		for _, m := range []sim.Mode{sim.Torn, sim.After} {
			list = append(list, everyCache(op, m)...)
		}
	}
	y.All += len(list)
	if y.Task.Pairs > 0 && y.Task.Pairs < len(list) {
		rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		list = list[:y.Task.Pairs]
	}
	seen := map[string]bool{}
	for _, c := range list {
		first := true
		d := x.resume(at, c, func(d *Device) bool {
			if !first || d.done < len(d.cuts) {
				return true // another reset of the machine than by the cut
			}
			first = false
			k := d.key()
			if seen[k] && len(d.breaches) == 0 {
				y.Same++
				return false
			}
			seen[k] = true
			return true
		})
		if d.done < 2 && d.brick == "" && !d.s.Endless { // where somebody else cuts, too, chance makes other stories
			d.breach("lab", "the second cut never happened")
		}
		y.Pairs++
		if t := d.W.Trace(); d.base+c.Op <= int64(len(t)) {
			y.Kinds[t[d.base+c.Op-1].Kind]++
		}
		if d.blamedTwice() {
			y.Blamed++
		}
		if y.judge(d) {
			failed = true
			if y.Task.Stop {
				return true
			}
		}
	}
	return failed
}

func everyCache(op int64, m sim.Mode) []Cut {
	return []Cut{{Op: op, Mode: m}, {Op: op, Mode: m, Cache: sim.Keep}, {Op: op, Mode: m, Cache: sim.LoseAll}}
}

// firstCuts are all cuts of a story of n operations. For pairs those are left out that leave the same
// as another one: a cut before an operation, and a failed operation.
func firstCuts(n int64, pairs bool) (list []Cut) {
	for op := int64(1); op <= n; op++ {
		for _, m := range []sim.Mode{sim.Before, sim.Torn, sim.After} {
			if m != sim.Before || !pairs {
				list = append(list, everyCache(op, m)...)
			}
		}
		if !pairs {
			list = append(list, Cut{Op: op, Fail: true})
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
		b.WriteString("this layout is not power-safe: see INTEGRATION.md, section 2\n")
	}
	return b.String(), len(d.breaches) > 0, nil
}
