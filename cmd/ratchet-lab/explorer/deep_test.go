package explorer_test

import (
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/explorer"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// TestStatesGoOnAlike: states that differ only in what the key leaves out go on alike.
func TestStatesGoOnAlike(t *testing.T) {
	lab, err := explorer.NewLab(t)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range [][2]string{{"update", "uboot-files"}, {"sick", "grub"}, {"panic", "uefi"},
		{"window", "sdboot"}, {"journal-lost", "grub-4k"}} {
		y, err := lab.Explore(explorer.Task{Scenario: row[0], Loader: row[1], Seed: 1,
			Deep: &explorer.Depth{Cuts: 2, Limit: 200, Twice: 7}})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s on %s: states %v, stories %v, %d plays, %d again, %.1f s",
			row[0], row[1], y.Deep.States, y.Deep.Stories, y.Deep.Plays, y.Deep.Again, y.Seconds)
		for _, f := range y.Fails {
			t.Errorf("%s: %s\n%s", f.What, f.Says, f.Replay)
		}
		if y.Deep.Whole > 2 && !y.Deep.Fixed {
			t.Errorf("stories with %d cuts are said to be covered, and two were allowed", y.Deep.Whole)
		}
		if y.Deep.Again == 0 {
			t.Error("no state was played a second time")
		}
	}
}

// TestTrialsCutOffBeforeTheyAreOnRecord: the power goes behind each start of a slot that is armed, three times, while
// the record still says arming. The loader gives the slot up, and it is true to say so.
func TestTrialsCutOffBeforeTheyAreOnRecord(t *testing.T) {
	lab, err := explorer.NewLab(t)
	if err != nil {
		t.Fatal(err)
	}
	c := explorer.Case{Scenario: "update", Loader: "uboot-files", Seed: 1}
	for _, op := range []int64{47, 48, 54, 60} {
		c.Cuts = append(c.Cuts, explorer.Cut{Op: op, Mode: sim.After, Cache: sim.Keep})
	}
	story, failed, err := lab.Replay(c)
	if err != nil || failed || !strings.Contains(story, "trial-boots-exhausted") {
		t.Errorf("failed %v, %v\n%s", failed, err, story)
	}
}
