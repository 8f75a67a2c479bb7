package life_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/bootctl"
)

var update = flag.Bool("update", false, "rewrite testdata and the table in docs")

// TestFlows keeps how the life of an update goes, step by step, in testdata/flows: what phase it is in, what has
// happened, what becomes durable, what is done next. They are there to be read.
func TestFlows(t *testing.T) {
	for _, f := range []struct {
		name, says string
		fault      string
		cuts       []life.Phase // the power is cut once after each of these phases became durable
	}{
		{"update", "a healthy image is installed and confirmed", "", nil},
		{"sick", "the new system fails its health check, is left and quarantined", "sick", nil},
		{"broker-away", "the new system does not reach the broker: it is tried again when the broker is there",
			"broker", nil},
		{"wrong-bytes", "the server sends other bytes: once more from zero", "write-corrupt", nil},
		{"read-back-differs", "the slot does not hold what was written: once more from zero", "check-mismatch", nil},
		{"source-gone", "the source does not have the image: the offer waits, and is tried again", "reach-gone", nil},
		{"not-armed", "the loader could not be told: the offer waits, and is tried again", "try", nil},
		{"counter-fails",
			"the counter cannot be raised: it is pending, and done by the next look in idle", "raise", nil},
		{"journal-full", "a commit fails: nothing was done, and it is tried again later", "commit", nil},
		{"cuts", "the power goes in every phase",
			"", []life.Phase{life.Preparing, life.Writing, life.Checking, life.Ready, life.Arming, life.Rebooting,
				life.Trial, life.Confirming, life.Sealing}},
	} {
		t.Run(f.name, func(t *testing.T) {
			w := newWorld()
			if f.fault != "" {
				w.fault = &fault{kind: f.fault}
			}
			got := f.says + "\n\n" + play(w, f.cuts)
			if len(w.bad) > 0 {
				t.Error(w.bad)
			}
			golden(t, filepath.Join("testdata", "flows", f.name+".txt"), got)
		})
	}
}

func play(w *world, cuts []life.Phase) string {
	var b strings.Builder
	for range 40 {
		cut := false
		w.log = func(l string) {
			if !cut {
				b.WriteString(strings.TrimRight(l, " ") + "\n")
			}
		}
		var left *world
		w.power(func(c *world) {
			if i := slices.Index(cuts, c.s.Rec.Phase); i >= 0 && !cut {
				cuts = slices.Delete(slices.Clone(cuts), i, i+1)
				cut, left = true, c
				fmt.Fprintf(&b, "-- the power goes in phase %s; %s\n", c.s.Rec.Phase, slotsOf(c))
			}
		})
		if !cut {
			fmt.Fprintf(&b, "-- at rest: slot %s runs, %s\n", w.run, slotsOf(w))
			return b.String()
		}
		left.fault = w.fault
		w = left
	}
	return b.String()
}

func slotsOf(w *world) string {
	var out []string
	for _, n := range []bootctl.Slot{"A", "B"} {
		s := w.boot[n]
		is := "disabled"
		switch {
		case s.Confirmed && s.Bootable:
			is = "confirmed"
		case s.Bootable:
			is = fmt.Sprintf("armed, %d tries left", s.Tries)
		}
		out = append(out, fmt.Sprintf("%s is %s and holds %s", n, is,
			[]string{"no whole image", "the old image", "the new image"}[w.holds[n]]))
	}
	return strings.Join(out, ", ")
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is another story now; -update rewrites it. It is\n%.4000s", path, got)
	}
}

// TestTable holds docs/life.md, which is made from the table and the budget's rules.
func TestTable(t *testing.T) {
	var b strings.Builder
	b.WriteString("# The life of an update\n\nThis page is made from `agent/life/table.go` and " +
		"`agent/life/budget.go` by `go test ./agent/life -run TestTable -update`.\n\n" +
		"In a phase, when something happens, the first row whose condition holds says what is done, and which phase " +
		"follows. \"begin\" takes a phase up: it was entered, the daemon has started, or a wait is over. A phase and " +
		"its evidence are durable before the action starts.\n")
	phase := life.Phase("?")
	for _, r := range life.Table() {
		if r.Phase != phase {
			phase = r.Phase
			name := string(phase)
			if phase == life.Any {
				name = "any phase"
			}
			fmt.Fprintf(&b, "\n## %s\n\n| when | if | then | next |\n|---|---|---|---|\n", name)
		}
		var next []string
		for _, p := range r.Next {
			next = append(next, string(p))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.On, r.If, r.Does, strings.Join(next, ", "))
	}
	b.WriteString("\n## How often anything is tried\n\nInvariant I8. The counters of one update are durable; they " +
		"are part of its record.\n\n| what | allowed | then |\n|---|---|---|\n")
	for _, r := range life.Rules() {
		allowed := "without limit"
		if n := r.Allowed(life.Limits{MaxBoots: 4}); n >= 0 {
			allowed = fmt.Sprint(n)
		}
		if r.Counter == life.Boots {
			allowed = "tries + 1"
		}
		if r.Counter == life.Reboots {
			allowed = "3; while reverting tries + 4"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.Name, allowed, r.Then)
	}
	golden(t, "../../docs/life.md", b.String())
}

// TestArchitecture: the short table in ARCHITECTURE.md names every phase in order, and only ways that there are.
func TestArchitecture(t *testing.T) {
	text, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	var seen []life.Phase
	for _, row := range strings.Split(string(text), "\n") {
		cells := strings.Split(strings.Trim(row, "| "), "|")
		p := life.Phase(strings.TrimSpace(cells[0]))
		if len(cells) != 4 || !p.Known() {
			continue
		}
		seen = append(seen, p)
		for _, cell := range cells[2:] {
			for _, next := range life.Phases() {
				if named(cell, next) && !p.May(next) {
					t.Errorf("ARCHITECTURE.md leads from %s to %s, and the table does not", p, next)
				}
			}
		}
	}
	if !slices.Equal(seen, life.Phases()) {
		t.Errorf("ARCHITECTURE.md has the phases %v", seen)
	}
}

func named(cell string, p life.Phase) bool {
	return slices.Contains(strings.FieldsFunc(cell, func(r rune) bool { return !('a' <= r && r <= 'z') }), string(p))
}
