package explorer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/explorer"
)

// drain takes the tasks of a plan, as far as there are any.
func drain(t *testing.T, c explorer.Choice) (tasks []explorer.Task, must int) {
	t.Helper()
	p, err := explorer.NewPlan(c)
	if err != nil {
		t.Fatal(err)
	}
	for {
		task, ok := p.Next()
		if !ok {
			_, must = p.Begun()
			return tasks, must
		}
		tasks = append(tasks, task)
	}
}

// Pairs of cuts are played however slow the machine is: an exploration whose time is over at once plays
// those of the main scenarios, and every single cut.
func TestPlanPlaysPairsWithoutTime(t *testing.T) {
	tasks, must := drain(t, explorer.Choice{Seed: 1})
	if len(tasks) != must {
		t.Errorf("%d tasks were begun after the time was over, want the %d that are always played", len(tasks), must)
	}
	single, pair := map[string]bool{}, map[string]bool{}
	for _, x := range tasks {
		switch row := x.Scenario + " on " + x.Loader; {
		case x.Deep == nil:
			single[row] = true
		case x.Deep.Cuts == 2 && x.Deep.Time == 0:
			pair[row] = true
		default:
			t.Errorf("%s: depth %+v, want pairs to the end", row, *x.Deep)
		}
	}
	for _, s := range explorer.Scenarios() {
		for _, l := range explorer.Loaders() {
			row := s.Name + " on " + l.Name
			if want := s.Needs == "" && (l.Main && (!s.Few || l.Few) || s.Deep && l.PowerSafe); single[row] != want {
				t.Errorf("single cuts of %s: %v, want %v", row, single[row], want)
			}
			if want := s.Needs == "" && s.Deep && l.Main && l.PowerSafe; pair[row] != want {
				t.Errorf("pairs of %s: %v, want %v", row, pair[row], want)
			}
		}
	}
}

// The full exploration leaves out no scenario and no loader.
func TestPlanFull(t *testing.T) {
	tasks, _ := drain(t, explorer.Choice{Full: true})
	cuts := map[string]int{}
	for _, x := range tasks {
		n := 1
		if x.Deep != nil {
			n = x.Deep.Cuts
		}
		cuts[x.Scenario+" on "+x.Loader] = n
	}
	for _, s := range explorer.Scenarios() {
		for _, l := range explorer.Loaders() {
			want := 1
			switch {
			case s.Needs != "":
				want = 0
			case l.PowerSafe && s.Deep:
				want = 3
			case l.PowerSafe:
				want = 2
			}
			if got := cuts[s.Name+" on "+l.Name]; got != want {
				t.Errorf("%s on %s is cut %d times, want %d", s.Name, l.Name, got, want)
			}
		}
	}
}

func TestPlanTime(t *testing.T) {
	tasks, must := drain(t, explorer.Choice{Scenarios: "update", Loaders: "uboot-files,grub-torn", Time: time.Minute})
	var depths []int
	for _, x := range tasks {
		depth := 1
		if x.Deep != nil {
			if depth = x.Deep.Cuts; depth == 0 && (x.Deep.Time <= 0 || x.Deep.Time > time.Minute) {
				t.Errorf("any number of cuts for %v, want the minute that is left", x.Deep.Time)
			}
		}
		depths = append(depths, depth)
	}
	// Pairs, single cuts on both loaders, and then any number of cuts on the one that is power-safe.
	if want := []int{2, 1, 1, 0}; must != 3 || len(depths) != 4 || [4]int(depths) != [4]int(want) {
		t.Errorf("depths %v with %d always played, want %v with 3", depths, must, want)
	}
}

func TestPlanStops(t *testing.T) {
	p, err := explorer.NewPlan(explorer.Choice{Stop: true})
	if err != nil {
		t.Fatal(err)
	}
	task, _ := p.Next()
	p.Done(explorer.Tally{Task: task})
	if _, ok := p.Next(); !ok {
		t.Error("the plan ended without a failure")
	}
	p.Done(explorer.Tally{Task: task, Fails: []explorer.Failure{{What: "brick"}}})
	if _, ok := p.Next(); ok {
		t.Error("the plan goes on after a failure, with Stop")
	}
}

func TestPlanUnknownName(t *testing.T) {
	for _, c := range []explorer.Choice{{Scenarios: "update,no-such"}, {Loaders: "no-such"}, {Scenarios: "delta"}} {
		if _, err := explorer.NewPlan(c); err == nil || !strings.Contains(err.Error(), "--list") {
			t.Errorf("%+v: %v, want an error that names --list", c, err)
		}
	}
}
