package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/explorer"
)

func exploreVerb() cli.Verb {
	return cli.Verb{
		Name: "explore", Args: "[flags]",
		Short: "cut the power of a simulated device everywhere",
		Long: `
Cuts the power of a simulated device at every operation of every scenario, on every bootloader, and again
during the recovery. First every single cut of every scenario on the main loaders, and of the main scenarios
on the others, is played. Then every pair of cuts, as far as the time goes.
With --full, whatever it takes: every single cut, all pairs of all scenarios on all power-safe loaders, all
triples of the main scenarios; and then any number of cuts of the main scenarios, as far as the time goes.
Each failure is told operation by operation, with the command that replays it.`,
		Examples: []string{"ratchet-lab explore --time 4m", "ratchet-lab explore --full", "ratchet-lab explore --list"},
		Exits:    "1 also when something differs from what is expected",
		Setup: func(fs *flag.FlagSet) cli.Action {
			var o exploreOptions
			fs.DurationVar(&o.limit, "time", 5*time.Minute, "begin nothing new after this `TIME`, but single cuts; with --full: but singles, pairs and triples")
			fs.BoolVar(&o.full, "full", false, "all pairs, and all triples of the main scenarios, whatever it takes")
			fs.StringVar(&o.scenarios, "scenario", "", "only these `NAMES`, separated by commas")
			fs.StringVar(&o.loaders, "loader", "", "only these `NAMES`, separated by commas")
			fs.Uint64Var(&o.seed, "seed", 1, "`NUMBER` of everything random")
			fs.BoolVar(&o.stop, "stop", false, "stop at the first failure")
			fs.IntVar(&o.workers, "workers", 0, "`NUMBER` of processes (default: one for each processor)")
			fs.BoolVar(&o.list, "list", false, "list scenarios and loaders")
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) > 0 {
					return cli.Usage("unexpected arguments %q", args)
				}
				return cli.Exit(runExplore(ctx, o, c.Out, c.Err))
			}
		},
	}
}

// exploreOptions are the flags of explore.
type exploreOptions struct {
	limit              time.Duration
	full, stop, list   bool
	scenarios, loaders string
	seed               uint64
	workers            int
}

// workVerb is what explore starts itself with.
const workVerb = "explore-worker"

// progressEvery is how often the exploration says how far it is; such lines begin with blanks.
const progressEvery = 15 * time.Second

// rowTime bounds a row whose end is not known.
const rowTime = 4 * time.Minute

func runExplore(ctx context.Context, o exploreOptions, stdout, stderr io.Writer) int {
	if o.list {
		printLists(stdout)
		return 0
	}
	plan, err := newPlan(o.scenarios, o.loaders, o.seed, o.stop, o.full)
	if err != nil {
		fmt.Fprintln(stderr, "ratchet-lab explore:", err)
		return 2
	}
	dir, err := os.MkdirTemp("", "ratchet-explore-")
	if err != nil {
		fmt.Fprintln(stderr, "ratchet-lab explore:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(stderr, "ratchet-lab explore:", err)
		return 1
	}
	plan.end = time.Now().Add(o.limit)
	pool := explorer.Pool{Command: []string{self, workVerb}, Workers: processes(o.workers), Dir: dir, Limit: 15 * time.Minute}
	began := time.Now()
	var report explorer.Report
	cases, told := 0, began
	err = pool.Run(ctx, plan.next, func(y explorer.Tally) {
		report.Add(y)
		if cases += y.Singles; time.Since(told) > progressEvery {
			told = time.Now()
			fmt.Fprintf(stderr, "  %4.0f s: %d cases with one cut, %d of %d rows begun, %d failures\n", told.Sub(began).Seconds(), cases, plan.at, len(plan.rows), len(report.Fails))
		}
		if len(y.Fails) > 0 {
			fmt.Fprintf(stderr, "%s on %s: %s: %s\n", y.Task.Scenario, y.Task.Loader, y.Fails[0].What, y.Fails[0].Says)
			plan.failed = plan.failed || o.stop
		}
	})
	report.Wall = time.Since(began)
	report.Print(stdout)
	if err != nil {
		fmt.Fprintln(stderr, "ratchet-lab explore:", err)
		return 1
	}
	if len(report.Fails) > 0 {
		return 1
	}
	return 0
}

// processes is how many there are: as many as were asked for, or one for each processor.
func processes(n int) int {
	if n < 1 {
		return runtime.NumCPU()
	}
	return n
}

// plan says what is played in which order.
type plan struct {
	rows   []explorer.Task
	must   int // rows that are played whatever time it takes
	at     int // next row
	end    time.Time
	failed bool
}

func newPlan(scenarios, loaders string, seed uint64, stop, full bool) (*plan, error) {
	p := &plan{}
	names := func(list string, known func(string) bool) (map[string]bool, error) {
		if list == "" {
			return nil, nil
		}
		m := map[string]bool{}
		for _, n := range strings.Split(list, ",") {
			if !known(n) {
				return nil, fmt.Errorf("%q is not known; --list shows what is", n)
			}
			m[n] = true
		}
		return m, nil
	}
	onlyS, err := names(scenarios, func(n string) bool { s, ok := explorer.FindScenario(n); return ok && s.Needs == "" })
	if err != nil {
		return nil, err
	}
	onlyL, err := names(loaders, func(n string) bool { _, ok := explorer.FindLoader(n); return ok })
	if err != nil {
		return nil, err
	}
	for _, s := range explorer.Scenarios() {
		for _, l := range explorer.Loaders() {
			if !full && onlyS == nil && onlyL == nil && !l.Main && !s.Deep {
				continue // other geometries, and weak layouts: the main scenarios
			}
			if s.Needs == "" && (onlyS == nil || onlyS[s.Name]) && (onlyL == nil || onlyL[l.Name]) {
				p.rows = append(p.rows, explorer.Task{Scenario: s.Name, Loader: l.Name, Seed: seed, Stop: stop})
			}
		}
	}
	singles := p.rows
	p.must = len(singles)
	p.deep(singles, explorer.Depth{Cuts: 2, Twice: 50}, false)
	if full {
		p.deep(singles, explorer.Depth{Cuts: 3}, true)
		p.must = len(p.rows)
	}
	p.deep(singles, explorer.Depth{Time: rowTime}, true)
	return p, nil
}

// deep adds rows that are cut again and again: all, or those of the main scenarios.
func (p *plan) deep(rows []explorer.Task, depth explorer.Depth, main bool) {
	for _, t := range rows {
		s, _ := explorer.FindScenario(t.Scenario)
		l, _ := explorer.FindLoader(t.Loader)
		if !l.PowerSafe || main && !s.Deep {
			continue
		}
		own := depth
		t.Deep = &own
		p.rows = append(p.rows, t)
	}
}

func (p *plan) next() (explorer.Task, bool) {
	late := p.at >= p.must && time.Now().After(p.end)
	if p.failed || p.at == len(p.rows) || late {
		return explorer.Task{}, false
	}
	p.at++
	t := p.rows[p.at-1]
	if t.Deep != nil && t.Deep.Time > 0 {
		t.Deep.Time = min(t.Deep.Time, max(time.Until(p.end), time.Second))
	}
	return t, true
}

func printLists(w io.Writer) {
	fmt.Fprintln(w, "scenarios:")
	for _, s := range explorer.Scenarios() {
		says := s.Says
		if s.Needs != "" {
			says += "  [not yet: needs " + s.Needs + "]"
		}
		if len(s.Bricks) > 0 {
			says += fmt.Sprintf("  (hazard %s)", strings.Trim(fmt.Sprint(s.Bricks), "[]"))
		}
		fmt.Fprintf(w, "  %-22s %s\n", s.Name, says)
	}
	fmt.Fprintln(w, "loaders:")
	for _, l := range explorer.Loaders() {
		safe := "power-safe"
		if !l.PowerSafe {
			safe = "not power-safe"
		}
		fmt.Fprintf(w, "  %-22s %s  [%s]\n", l.Name, l.Layout, safe)
	}
}
