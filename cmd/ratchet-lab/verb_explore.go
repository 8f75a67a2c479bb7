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
during the recovery. These are always played: all pairs of cuts of the main scenarios on the main loaders;
every single cut, every failed operation and every write without room, of all scenarios on the main loaders
(of some on three of them) and of the main scenarios on the other power-safe ones. The other pairs are played
as far as the time goes.
With --full these are always played: all pairs of cuts of all scenarios on all power-safe loaders, all triples
of the main scenarios, and single cuts on the loaders that are not power-safe. Any number of cuts of the main
scenarios is played as far as the time goes.
Each failure is told operation by operation, with the command that replays it.`,
		Examples: []string{"ratchet-lab explore --time 4m", "ratchet-lab explore --full", "ratchet-lab explore --list"},
		Exits:    "1 also when something differs from what is expected",
		Setup: func(fs *flag.FlagSet) cli.Action {
			var o exploreOptions
			fs.DurationVar(&o.Time, "time", 5*time.Minute, "after this `TIME` play only what is always played")
			fs.BoolVar(&o.Full, "full", false, "all pairs of cuts, and all triples of the main scenarios")
			fs.StringVar(&o.Scenarios, "scenario", "", "only these `NAMES`, separated by commas")
			fs.StringVar(&o.Loaders, "loader", "", "only these `NAMES`, separated by commas")
			fs.IntVar(&o.Lies, "lies", 0, "the media of the boot metadata may lose their last `NUMBER` of flushes, "+
				"which they say are done: what breaks is counted, and no failure")
			fs.Uint64Var(&o.Seed, "seed", 1, "`NUMBER` that seeds everything random")
			fs.BoolVar(&o.Stop, "stop", false, "stop at the first failure")
			fs.IntVar(&o.workers, "workers", 0, "`NUMBER` of processes (default: one for each processor)")
			fs.BoolVar(&o.list, "list", false, "list scenarios and loaders")
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) > 0 {
					return cli.Usage("unexpected arguments %q", args)
				}
				return explore(ctx, o, c)
			}
		},
	}
}

// exploreOptions are the flags of explore.
type exploreOptions struct {
	explorer.Choice
	list    bool
	workers int
}

// workVerb is what explore starts itself with.
const workVerb = "explore-worker"

// progressEvery is how often the exploration says how far it is; such lines begin with blanks.
const progressEvery = 15 * time.Second

func explore(ctx context.Context, o exploreOptions, c cli.Console) error {
	if o.list {
		printLists(c.Out)
		return nil
	}
	plan, err := explorer.NewPlan(o.Choice)
	if err != nil {
		return cli.Usage("%v", err)
	}
	dir, err := os.MkdirTemp("", "ratchet-explore-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	pool := explorer.Pool{Command: []string{self, workVerb}, Workers: processes(o.workers), Dir: dir,
		Limit: 15 * time.Minute}
	began, told := time.Now(), time.Now()
	var report explorer.Report
	err = pool.Run(ctx, plan.Next, func(y explorer.Tally) {
		report.Add(y)
		plan.Done(y)
		if time.Since(told) > progressEvery {
			told = time.Now()
			begun, must := plan.Begun()
			fmt.Fprintf(c.Err, "  %4.0f s: %d of %d rows begun, %d failures\n",
				told.Sub(began).Seconds(), begun, must, len(report.Fails))
		}
		if len(y.Fails) > 0 {
			fmt.Fprintf(c.Err, "%s on %s: %s: %s\n", y.Task.Scenario, y.Task.Loader, y.Fails[0].What, y.Fails[0].Says)
		}
	})
	report.Wall = time.Since(began)
	report.Print(c.Out)
	if err != nil {
		return err
	}
	if len(report.Fails) > 0 {
		return cli.Exit(1)
	}
	return nil
}

// processes is how many there are: as many as were asked for, or one for each processor.
func processes(n int) int {
	if n < 1 {
		return runtime.NumCPU()
	}
	return n
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
