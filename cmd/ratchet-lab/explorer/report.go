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
	Full   bool // pairs were enumerated where a row says so
	byName map[string]*Row
}

// Row is one scenario on one loader.
type Row struct {
	Tally
	Enumerated bool // all pairs were played
	Drawn      int  // rounds of seeded pairs
}

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
	if y.Task.Pairs == 0 {
		row.States = y.States
	}
	row.Pairs += y.Pairs
	row.Same += y.Same
	row.Blamed += y.Blamed
	row.Seconds += y.Seconds
	switch {
	case y.Task.Pairs < 0:
		row.All += y.All
		row.Enumerated = true
	case y.Task.Pairs > 0:
		row.All = max(row.All, y.All)
		row.Drawn++
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

// Print writes the tables.
func (r *Report) Print(w io.Writer) {
	sort.SliceStable(r.Rows, func(i, j int) bool { return order(r.Rows[i]) < order(r.Rows[j]) })
	fmt.Fprintf(w, "%-22s %-17s %5s %7s %7s %8s %9s %9s %7s\n", "scenario", "loader", "ops", "1 cut", "faults", "states", "2 cuts", "of", "seconds")
	var total Tally
	kinds, weak := map[string]int{}, 0
	for _, row := range r.Rows {
		of := "-"
		switch {
		case row.Enumerated:
			of = "all"
		case row.Drawn > 0:
			of = fmt.Sprint(row.All)
		}
		note := ""
		if len(row.Fails) > 0 {
			note = fmt.Sprintf("  %d FAILED", len(row.Fails))
		}
		if row.Blamed > 0 {
			note += fmt.Sprintf("  (%d blamed)", row.Blamed)
		}
		if len(row.Weak) > 0 {
			note += "  not power-safe: " + count(row.Weak)
			weak += row.Weak["brick"]
		}
		fmt.Fprintf(w, "%-22s %-17s %5d %7d %7d %8d %9d %9s %7.1f%s\n", row.Task.Scenario, row.Task.Loader, row.Ops, row.Singles-row.Faults, row.Faults, row.States, row.Pairs, of, row.Seconds, note)
		total.Singles += row.Singles
		total.Faults += row.Faults
		total.Pairs += row.Pairs
		total.Same += row.Same
		total.Blamed += row.Blamed
		total.Seconds += row.Seconds
		for k, n := range row.Kinds {
			kinds[k] += n
		}
	}
	fmt.Fprintf(w, "\n%d cases in %.0f s (%.0f s of processor time): %d with one cut, %d with one failed operation, %d with two cuts\n",
		total.Singles+total.Pairs, r.Wall.Seconds(), total.Seconds, total.Singles-total.Faults, total.Faults, total.Pairs)
	fmt.Fprintf(w, "by the kind of the operation: %s\n", count(kinds))
	fmt.Fprintf(w, `enumerated: every operation x {before, torn, after} x {cache kept, lost, a seeded part of it lost}, and its failure
`)
	var all, drawn, none []string
	for _, row := range r.Rows {
		name := row.Task.Scenario + "/" + row.Task.Loader
		switch {
		case row.Enumerated:
			all = append(all, name)
		case row.Drawn > 0:
			drawn = append(drawn, name)
		default:
			none = append(none, name)
		}
	}
	fmt.Fprintf(w, `two cuts: {torn, after} x {kept, lost, in part} for both, the second at every operation behind each different state that the first leaves
  in full on %d rows, seeded on %d, none on %d. What a lost cache loses is one seeded part in each case, not every subset.
  %d of the cases with two cuts met a machine state that had been played before from the same first cut, and were ended there.
`, len(all), len(drawn), len(none), total.Same)
	if total.Blamed > 0 {
		fmt.Fprintf(w, "known limit: %d images were quarantined after two power cuts in their two only trial boots (loaders with one try)\n", total.Blamed)
	}
	if weak > 0 {
		fmt.Fprintf(w, "layouts that are not power-safe: %d bricks, as INTEGRATION.md says; for example\n", weak)
		seen := map[string]bool{}
		for _, row := range r.Rows {
			for _, f := range row.WeakAt {
				if f.What == "brick" && !seen[row.Task.Loader] {
					seen[row.Task.Loader] = true
					fmt.Fprintf(w, "  %s: %s\n    %s\n", row.Task.Loader, f.Says, f.Replay)
				}
			}
		}
	}
	for _, s := range Scenarios() {
		if s.Needs != "" {
			fmt.Fprintf(w, "not yet: %s (%s) needs %s\n", s.Name, s.Says, s.Needs)
		}
	}
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
