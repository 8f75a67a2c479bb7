package explorer

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// Choice is what is asked of an exploration.
type Choice struct {
	Scenarios, Loaders string // names, separated by commas; "" is all
	Seed               uint64
	Stop               bool // end with the first failure
	Full               bool // all pairs and triples that NewPlan names, whatever it takes
	Lies               int  // flushes that the media of the boot metadata may lose; then only single cuts are played
	Time               time.Duration
}

// rowTime bounds a row whose end is not known: any number of cuts.
const rowTime = 4 * time.Minute

// Plan says what is played, in which order, and what is left out when the time is over.
type Plan struct {
	mu     sync.Mutex
	tasks  []Task
	must   int // tasks that are played whatever time it takes
	at     int // next task
	end    time.Time
	failed bool
}

// NewPlan plans an exploration that begins now.
//
// Without Full these are played whatever time it takes: all pairs of cuts of the main scenarios on the main
// loaders, then every single cut and every failed operation of all scenarios on the main loaders (of those that
// are about the agent alone on three of them), and of the main scenarios on the others that are power-safe. What is
// left of the time goes to the other pairs.
//
// With Full: all pairs of cuts of all scenarios on all power-safe loaders, of the main scenarios all triples as
// well; then every single cut and every failed operation on the layouts that are not power-safe, where no pairs
// are played. What is left of the time goes to any number of cuts of the main scenarios. A cut on a power-safe
// layout is a pair whose second cut never came; failed operations are played without Full.
//
// With Lies every layout is one that is not power-safe: what breaks there is counted.
//
// Names that are not known are an error.
func NewPlan(c Choice) (*Plan, error) {
	rows, err := choose(c)
	if err != nil {
		return nil, err
	}
	p := &Plan{end: time.Now().Add(c.Time)}
	if c.Full {
		p.add(rows, c, &Depth{Cuts: 3, Twice: 50}, func(r row) bool { return r.l.PowerSafe && r.s.Deep })
		p.add(rows, c, &Depth{Cuts: 2, Twice: 50}, func(r row) bool { return r.l.PowerSafe && !r.s.Deep })
		p.add(rows, c, nil, func(r row) bool { return !r.l.PowerSafe })
		p.must = len(p.tasks)
	} else {
		first := func(r row) bool { return r.l.PowerSafe && r.s.Deep && r.l.Main }
		pairs := &Depth{Cuts: 2, Twice: 50}
		p.add(rows, c, pairs, first)
		p.add(rows, c, nil, func(r row) bool {
			return r.chosen || r.l.Main && (!r.s.Few || r.l.Few) || r.s.Deep && r.l.PowerSafe
		})
		p.must = len(p.tasks)
		p.add(rows, c, pairs, func(r row) bool { return r.l.PowerSafe && !first(r) })
	}
	p.add(rows, c, &Depth{Time: rowTime}, func(r row) bool { return r.l.PowerSafe && r.s.Deep })
	return p, nil
}

// row is a scenario on a loader.
type row struct {
	s      Scenario
	l      Loader
	chosen bool // by name
}

// choose returns the rows whose names were asked for.
func choose(c Choice) (rows []row, err error) {
	names := func(list string, known func(string) bool) (map[string]bool, error) {
		if list == "" {
			return nil, nil
		}
		m := map[string]bool{}
		for n := range strings.SplitSeq(list, ",") {
			if !known(n) {
				return nil, fmt.Errorf("%q is not known; --list shows what is", n)
			}
			m[n] = true
		}
		return m, nil
	}
	scenarios, err := names(c.Scenarios, func(n string) bool { s, ok := FindScenario(n); return ok && s.Needs == "" })
	if err != nil {
		return nil, err
	}
	loaders, err := names(c.Loaders, func(n string) bool { _, ok := FindLoader(n); return ok })
	if err != nil {
		return nil, err
	}
	if c.Lies < 0 || c.Lies > maxLies {
		return nil, fmt.Errorf("a medium that loses %d flushes is not known: it may lose up to %d", c.Lies, maxLies)
	}
	for _, s := range Scenarios() {
		for _, l := range Loaders() {
			if s.Needs == "" && (scenarios == nil || scenarios[s.Name]) && (loaders == nil || loaders[l.Name]) {
				if c.Lies > 0 {
					l = l.lying(c.Lies)
				}
				rows = append(rows, row{s, l, scenarios != nil || loaders != nil})
			}
		}
	}
	return rows, nil
}

func (p *Plan) add(rows []row, c Choice, depth *Depth, want func(row) bool) {
	for _, r := range rows {
		if want(r) {
			p.tasks = append(p.tasks,
				Task{Scenario: r.s.Name, Loader: r.l.Name, Seed: c.Seed, Stop: c.Stop, Deep: depth})
		}
	}
}

// Next is the next task; false when there is none, or the time is over.
func (p *Plan) Next() (Task, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	late := p.at >= p.must && time.Now().After(p.end)
	if p.failed || p.at == len(p.tasks) || late {
		return Task{}, false
	}
	p.at++
	t := p.tasks[p.at-1]
	if t.Deep != nil && t.Deep.Time > 0 {
		own := *t.Deep
		own.Time = min(own.Time, max(time.Until(p.end), time.Second))
		t.Deep = &own
	}
	return t, true
}

// Done hears of a task that was played; of one that must be the last there is no next one.
func (p *Plan) Done(y Tally) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = p.failed || y.Task.Stop && len(y.Fails) > 0
}

// Begun is how many tasks were begun, of how many that are played whatever time it takes.
func (p *Plan) Begun() (n, must int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at, p.must
}
