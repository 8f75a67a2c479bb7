package explorer

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"time"
)

// Report is a whole exploration.
type Report struct {
	Rows   []*Row
	Wall   time.Duration
	Fails  []Failure
	byName map[string]*Row
}

// Row is one scenario on one loader.
type Row struct{ Tally }

// Add books a tally.
func (r *Report) Add(y Tally) {
	if r.byName == nil {
		r.byName = map[string]*Row{}
	}
	key := y.Task.Scenario + " " + y.Task.Loader
	row := r.byName[key]
	if row == nil {
		row = &Row{Tally: Tally{Task: y.Task, Kinds: map[string]int{}, Weak: map[string]int{}}}
		r.byName[key], r.Rows = row, append(r.Rows, row)
	}
	row.Ops = max(row.Ops, y.Ops)
	row.Singles += y.Singles
	row.Faults += y.Faults
	row.Seconds += y.Seconds
	if y.Deep != nil && (row.Deep == nil || y.Deep.Fixed || y.Deep.Whole > row.Deep.Whole) {
		row.Deep = y.Deep
	}
	for k, n := range y.Kinds {
		row.Kinds[k] += n
	}
	for k, n := range y.Weak {
		row.Weak[k] += n
	}
	for _, f := range y.WeakAt {
		if len(row.WeakAt) < 4 {
			row.WeakAt = append(row.WeakAt, f)
		}
	}
	row.Fails = append(row.Fails, y.Fails...)
	r.Fails = append(r.Fails, y.Fails...)
}

// covers is how many cuts a row covers, for the table.
func (y *Tally) covers() string {
	switch {
	case y.Deep == nil && y.Singles > 0:
		return "1"
	case y.Deep == nil:
		return "-"
	case y.Deep.Fixed:
		return "any"
	}
	return fmt.Sprint(y.Deep.Whole)
}

func sum(n []int) (total int) {
	for _, x := range n {
		total += x
	}
	return total
}

func at(n []uint64, i int) uint64 {
	if i < len(n) {
		return n[i]
	}
	return 0
}

// Print writes the tables.
func (r *Report) Print(w io.Writer) {
	sort.SliceStable(r.Rows, func(i, j int) bool { return order(r.Rows[i]) < order(r.Rows[j]) })
	fmt.Fprintf(w, "%-22s %-17s %5s %7s %7s %6s %8s %12s %15s %7s\n", "scenario", "loader", "ops", "1 cut", "faults",
		"cuts", "states", "pairs", "triples", "seconds")
	var total Tally
	var deep totals
	kinds, weak := map[string]int{}, 0
	for _, row := range r.Rows {
		note := ""
		if len(row.Fails) > 0 {
			note = fmt.Sprintf("  %d FAILED", len(row.Fails))
		}
		if len(row.Weak) > 0 {
			note += "  not power-safe: " + count(row.Weak)
			weak += row.Weak["brick"]
		}
		var states int
		var pairs, triples uint64
		if row.Deep != nil {
			states, pairs, triples = sum(row.Deep.States), at(row.Deep.Stories, 2), at(row.Deep.Stories, 3)
		}
		fmt.Fprintf(w, "%-22s %-17s %5d %7d %7d %6s %8d %12d %15d %7.1f%s\n", row.Task.Scenario, row.Task.Loader,
			row.Ops, row.Singles-row.Faults, row.Faults, row.covers(), states, pairs, triples, row.Seconds, note)
		deep.add(row.Deep, states, pairs, triples)
		total.Singles += row.Singles
		total.Faults += row.Faults
		total.Seconds += row.Seconds
		for k, n := range row.Kinds {
			kinds[k] += n
		}
	}
	fmt.Fprintf(w, "\n%d cases in %.0f s (%.0f s of processor time): %d with one cut, %d with one failed operation\n",
		total.Singles, r.Wall.Seconds(), total.Seconds, total.Singles-total.Faults, total.Faults)
	fmt.Fprintf(w, "by the kind of the operation: %s\n", count(kinds))
	fmt.Fprintf(w, "one cut: every operation x {before, torn, after} x {cache kept, lost, %d seeded parts of "+
		"it (one outside of the main scenarios) lost} where something is cached; its failure; no room for it, once "+
		"and from then on\n", parts)
	deep.print(w)
	r.printWeak(w, weak)
	for _, s := range Scenarios() {
		if s.Needs != "" {
			fmt.Fprintf(w, "not yet: %s (%s) needs %s\n", s.Name, s.Says, s.Needs)
		}
	}
	r.printFails(w)
}

// totals are what the rows that were cut again and again come to.
type totals struct {
	rows, fixed, states, plays, again, blamed int
	whole                                     [4]int // rows in which all stories with so many cuts are covered
	pairs, triples                            uint64
}

func (t *totals) add(y *DeepTally, states int, pairs, triples uint64) {
	if y == nil {
		return
	}
	t.rows++
	for n := range t.whole {
		if y.Fixed || y.Whole >= n {
			t.whole[n]++
		}
	}
	if y.Fixed {
		t.fixed++
	}
	t.states += states
	t.plays += y.Plays
	t.again += y.Again
	t.blamed += y.Blamed
	t.pairs += pairs
	t.triples += triples
}

func (t *totals) print(w io.Writer) {
	if t.rows == 0 {
		return
	}
	fmt.Fprintf(w, "cut again and again: behind every operation x {cache kept, lost, %d seeded parts of it lost}, "+
		"and so again in the recovery, on %d rows\n", parts, t.rows)
	fmt.Fprintf(w, "  all pairs of cuts on %d rows, all triples on %d, any number of cuts on %d\n",
		t.whole[2], t.whole[3], t.fixed)
	fmt.Fprintf(w, "  %d states, %d plays; they stand for %d pairs and %d triples; "+
		"what a state leaves out is said in cmd/ratchet-lab/explorer/state.go\n",
		t.states, t.plays, t.pairs, t.triples)
	if t.again > 0 {
		fmt.Fprintf(w, "  %d states that were met again were played again, and went on alike\n", t.again)
	}
	if t.blamed > 0 {
		fmt.Fprintf(w, "  in %d plays the power had gone in every trial boot that the loader counts, or each time "+
			"that the slot was armed: that looks like a sick image\n", t.blamed)
	}
}

func (r *Report) printWeak(w io.Writer, bricks int) {
	worst, loaders := map[string]Failure{}, []string(nil)
	for _, row := range r.Rows {
		for _, f := range row.WeakAt {
			old, seen := worst[row.Task.Loader]
			if !seen {
				loaders = append(loaders, row.Task.Loader)
			}
			if !seen || f.What == "brick" && old.What != "brick" {
				worst[row.Task.Loader] = f
			}
		}
	}
	if len(loaders) == 0 {
		return
	}
	fmt.Fprintf(w, "layouts that are not power-safe (docs/integration/bootloader.md): %d bricks; for example\n", bricks)
	for _, l := range loaders {
		f := worst[l]
		fmt.Fprintf(w, "  %s: %s: %s\n    %s\n", l, f.What, f.Says, f.Replay)
	}
}

func (r *Report) printFails(w io.Writer) {
	if len(r.Fails) == 0 {
		fmt.Fprintln(w, "0 bricks and 0 broken invariants on the power-safe layouts")
		return
	}
	fmt.Fprintf(w, "\n%d FAILURES\n", len(r.Fails))
	for i, f := range r.Fails {
		if i == 5 {
			fmt.Fprintf(w, "and %d more\n", len(r.Fails)-i)
			break
		}
		fmt.Fprintf(w, "\n%s\n%s: %s\nreplay: %s\n", f.Story, f.What, f.Says, f.Replay)
	}
}

// order sorts rows by the tables of scenarios and loaders.
func order(r *Row) int {
	n := 0
	for i, s := range Scenarios() {
		if s.Name == r.Task.Scenario {
			n = i * 100
		}
	}
	for i, l := range Loaders() {
		if l.Name == r.Task.Loader {
			n += i
		}
	}
	return n
}

func count(m map[string]int) string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	var out []string
	for _, k := range keys {
		out = append(out, fmt.Sprintf("%s %d", k, m[k]))
	}
	return strings.Join(out, ", ")
}
