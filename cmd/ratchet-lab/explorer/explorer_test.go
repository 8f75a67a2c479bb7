package explorer_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/explorer"
)

// TestDefectTexts: every planted defect still finds the text that it breaks, exactly once.
func TestDefectTexts(t *testing.T) {
	defects := explorer.Defects()
	if len(defects) < 60 {
		t.Errorf("%d planted defects, at least 60 are promised", len(defects))
	}
	for _, f := range defects {
		if err := f.Check("../../.."); err != nil {
			t.Error(err)
		}
		if f.Test != "" {
			if !hasTest(t, "../../../"+f.Package, f.Test) || f.Scenario+f.Loader != "" {
				t.Errorf("%s: no test %s in %s", f.Name, f.Test, f.Package)
			}
			continue
		}
		if s, ok := explorer.FindScenario(f.Scenario); !ok || s.Needs != "" {
			t.Errorf("%s: no scenario %q", f.Name, f.Scenario)
		}
		if _, ok := explorer.FindLoader(f.Loader); !ok {
			t.Errorf("%s: no loader %q", f.Name, f.Loader)
		}
	}
}

// hasTest tells whether a test of that name stands in a folder.
func hasTest(t *testing.T, dir, name string) bool {
	files, err := filepath.Glob(dir + "/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(file string) bool {
		b, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(b), "\nfunc "+name+"(t *testing.T)")
	})
}

// TestDangers: each of the 27 hazards (docs/hazards.md) has its scenario.
func TestDangers(t *testing.T) {
	names := map[string]bool{}
	var played []int
	for _, s := range explorer.Scenarios() {
		if names[s.Name] || s.Says == "" {
			t.Errorf("scenario %q stands twice, or says nothing", s.Name)
		}
		names[s.Name] = true
		if s.Needs == "" {
			played = append(played, s.Bricks...)
			if len(s.Ends) == 0 {
				t.Errorf("scenario %s has no end", s.Name)
			}
		}
	}
	for n := 1; n <= 27; n++ {
		if !slices.Contains(played, n) {
			t.Errorf("hazard %d is not played", n)
		}
	}
}

func TestCutNames(t *testing.T) {
	for _, s := range []string{"17:torn", "1:before", "31:after:kept", "31:torn:lost", "12:fails", "9:after:part:2",
		"12:full", "12:full:stays",
		"3:after:apart-lost", "3:torn:apart-kept"} {
		c, err := explorer.ParseCut(s)
		if err != nil || c.String() != s {
			t.Errorf("%s: %v, %v", s, c, err)
		}
	}
	for _, s := range []string{"", "17", "0:torn", "x:torn", "17:half", "17:torn:", "17:fails:kept", "1:torn:kept:kept",
		"1:torn:kept:2", "1:torn:part:x",
		"1:full:kept", "1:full:stays:2"} {
		if _, err := explorer.ParseCut(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
}

// TestCases plays some scenarios with every single cut on one loader of each kind. The whole is make crash.
func TestCases(t *testing.T) {
	lab, err := explorer.NewLab(t)
	if err != nil {
		t.Fatal(err)
	}
	scenarios := []string{"update", "sick", "revert-into-nothing"}
	if testing.Short() {
		scenarios = scenarios[:1]
	}
	for _, s := range scenarios {
		for _, l := range []string{"uboot-files", "grub"} {
			y, err := lab.Explore(explorer.Task{Scenario: s, Loader: l, Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range y.Fails {
				t.Errorf("%s: %s\n%s\n%s", f.What, f.Says, f.Replay, f.Story)
			}
			if y.Singles < 100 {
				t.Errorf("%s on %s: only %d cases", s, l, y.Singles)
			}
		}
	}
}

// TestLies: on a medium that loses what it said was flushed every layout counts what breaks, and fails nothing; such a
// case can be played again by its name.
func TestLies(t *testing.T) {
	lab, err := explorer.NewLab(t)
	if err != nil {
		t.Fatal(err)
	}
	y, err := lab.Explore(explorer.Task{Scenario: "first-update", Loader: "uboot-files~2", Seed: 1,
		Stop: true})
	if err != nil || len(y.Weak) == 0 || len(y.Fails) > 0 {
		t.Errorf("%d cases, breaches %v, failures %v, %v", y.Singles, y.Weak, y.Fails, err)
	}
	for _, f := range y.WeakAt {
		if !strings.Contains(f.Replay, "--loader uboot-files~2 ") {
			t.Errorf("%s", f.Replay)
		}
	}
	for _, name := range []string{"uboot-files~", "uboot-files~0", "uboot-files~x", "uboot-files~100", "toast~2"} {
		if _, ok := explorer.FindLoader(name); ok {
			t.Errorf("%q is a loader", name)
		}
	}
}

// TestWeakLayouts: layouts that are not power-safe by themselves are shown to lose a device, the
// system that is to boot when the others fail (I1), or the truth; the report ends with a case to replay for each.
func TestWeakLayouts(t *testing.T) {
	lab, err := explorer.NewLab(t)
	if err != nil {
		t.Fatal(err)
	}
	played := 0
	for _, l := range explorer.Loaders() {
		if l.PowerSafe || testing.Short() && played == 3 {
			continue
		}
		played++
		y, err := lab.Explore(explorer.Task{Scenario: l.Breaks, Loader: l.Name, Seed: 1, Stop: true})
		if err != nil {
			t.Fatalf("%s: %v", l.Name, err)
		}
		if len(y.Weak) == 0 {
			t.Errorf("%s is said to be not power-safe, and no cut of %s shows it", l.Name, l.Breaks)
		}
		var r explorer.Report
		var text strings.Builder
		r.Add(y)
		r.Print(&text)
		if !strings.Contains(text.String(), "ratchet-lab replay --scenario "+l.Breaks+" --loader "+l.Name) {
			t.Errorf("%s: the report tells no case:\n%s", l.Name, text.String())
		}
	}
}

// TestIntegration: each layout stands in docs/integration/bootloader.md where it belongs, with the scenario that breaks
// it.
func TestIntegration(t *testing.T) {
	b, err := os.ReadFile("../../../docs/integration/bootloader.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(b), "**Power-safe**")
	safe, weak, found := strings.Cut(text, "**Not power-safe**")
	weak, _, end := strings.Cut(weak, "\n## ")
	if !found || !end {
		t.Fatal("the two lists of docs/integration/bootloader.md are not there")
	}
	for _, l := range explorer.Loaders() {
		switch {
		case l.PowerSafe && !strings.Contains(safe, "`"+l.Name+"`"):
			t.Errorf("%s is not in the list of power-safe layouts", l.Name)
		case !l.PowerSafe && !strings.Contains(weak, "| `"+l.Name+"` | `"+l.Breaks+"` |"):
			t.Errorf("%s with scenario %s is not in the list of layouts that are not power-safe", l.Name, l.Breaks)
		}
	}
}

// TestReplay: a case is the same story each time.
func TestReplay(t *testing.T) {
	lab, err := explorer.NewLab(t)
	if err != nil {
		t.Fatal(err)
	}
	for _, cuts := range []string{"", "44:torn", "44:torn 58:after", "58:torn:kept 60:torn"} {
		c := explorer.Case{Scenario: "update", Loader: "uboot-files", Seed: 7}
		for _, s := range strings.Fields(cuts) {
			cut, err := explorer.ParseCut(s)
			if err != nil {
				t.Fatal(err)
			}
			c.Cuts = append(c.Cuts, cut)
		}
		one, _, err := lab.Replay(c)
		if err != nil {
			t.Fatal(err)
		}
		two, _, err := lab.Replay(c)
		if err != nil {
			t.Fatal(err)
		}
		if one != two {
			t.Errorf("%v: two stories:\n%s\n%s", c, one, two)
		}
	}
}
