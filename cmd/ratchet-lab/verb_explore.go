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

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/explorer"
)

const exploreUsage = `usage: ratchet-lab explore [--time 4m | --full] [--scenario A,B] [--loader A,B] [--seed N] [--stop] [--list]

Cuts the power of a simulated device at every operation of every scenario, on every bootloader, and again
during the recovery. Without --full: every single cut of every scenario on the main loaders, and of the main scenarios on the others,
then seeded pairs of cuts until the time is up.
Each failure is told operation by operation, with the command that replays it.
`

// workVerb is what explore starts itself with.
const workVerb = "explore-worker"

// progressEvery is how often the exploration says how far it is; such lines begin with blanks.
const progressEvery = 15 * time.Second

// pairsPerCut is how many second cuts a seeded round tries on each first.
const pairsPerCut = 4

func runExplore(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fl := flag.NewFlagSet("explore", flag.ContinueOnError)
	fl.SetOutput(stderr)
	fl.Usage = func() { fmt.Fprint(stderr, exploreUsage); fl.PrintDefaults() }
	limit := fl.Duration("time", 4*time.Minute, "end after this time; every single cut is played whatever it takes")
	full := fl.Bool("full", false, "all pairs of cuts of the scenarios marked deep, seeded pairs of the others")
	scenarios := fl.String("scenario", "", "only these, separated by commas")
	loaders := fl.String("loader", "", "only these, separated by commas")
	seed := fl.Uint64("seed", 1, "of everything random")
	stop := fl.Bool("stop", false, "stop at the first failure")
	workers := fl.Int("workers", runtime.NumCPU(), "processes")
	list := fl.Bool("list", false, "list scenarios and loaders")
	switch err := fl.Parse(args); {
	case err == flag.ErrHelp:
		return 0
	case err != nil || fl.NArg() > 0:
		return 2
	}
	if *list {
		printLists(stdout)
		return 0
	}
	plan, err := newPlan(*scenarios, *loaders, *seed, *stop, *full)
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
	plan.full, plan.end = *full, time.Now().Add(*limit)
	pool := explorer.Pool{Command: []string{self, workVerb}, Workers: max(*workers, 1), Dir: dir, Limit: 10 * time.Minute}
	began := time.Now()
	var report explorer.Report
	cases, told := 0, began
	err = pool.Run(ctx, plan.next, func(y explorer.Tally) {
		report.Add(y)
		if cases += y.Singles + y.Pairs; time.Since(told) > progressEvery {
			told = time.Now()
			fmt.Fprintf(stderr, "  %4.0f s: %d cases, %d of %d rows with every single cut, %d failures\n", told.Sub(began).Seconds(), cases, plan.at, len(plan.rows), len(report.Fails))
		}
		if len(y.Fails) > 0 {
			fmt.Fprintf(stderr, "%s on %s: %s: %s\n", y.Task.Scenario, y.Task.Loader, y.Fails[0].What, y.Fails[0].Says)
			plan.failed = plan.failed || *stop
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

// plan says what is played in which order: every single cut of everything first.
type plan struct {
	rows   []explorer.Task
	at     int // next row of single cuts
	full   bool
	end    time.Time
	failed bool
	queue  []explorer.Task // of full pairs
	filled bool
	round  uint64 // of seeded pairs
	row    int
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
	return p, nil
}

func (p *plan) next() (explorer.Task, bool) {
	if p.failed {
		return explorer.Task{}, false
	}
	if p.at < len(p.rows) {
		p.at++
		return p.rows[p.at-1], true
	}
	if p.full {
		return p.nextFull()
	}
	if time.Now().After(p.end) || len(p.rows) == 0 {
		return explorer.Task{}, false
	}
	return p.draw(), true
}

// draw is a round of seeded pairs of the next row. A part of the first cuts at once, so that the end
// of the time is not far from the end of a task.
func (p *plan) draw() explorer.Task {
	t := p.rows[p.row]
	t.Pairs, t.Draw = pairsPerCut, p.round
	t.First, t.Of = int(p.round%8), 8
	if p.row++; p.row == len(p.rows) {
		p.row, p.round = 0, p.round+1
	}
	return t
}

// fullParts divides the first cuts of a row, so that workers share it.
const fullParts = 16

func (p *plan) nextFull() (explorer.Task, bool) {
	if !p.filled {
		p.filled = true
		for _, t := range p.rows {
			s, _ := explorer.FindScenario(t.Scenario)
			l, _ := explorer.FindLoader(t.Loader)
			t.Pairs, t.Of = -1, fullParts
			if !s.Deep || !l.PowerSafe {
				t.Pairs = pairsPerCut
			}
			for t.First = range t.Of {
				p.queue = append(p.queue, t)
			}
		}
	}
	if len(p.queue) == 0 {
		return explorer.Task{}, false
	}
	t := p.queue[0]
	p.queue = p.queue[1:]
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
