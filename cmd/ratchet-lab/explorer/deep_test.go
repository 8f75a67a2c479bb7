package explorer_test

import (
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/explorer"
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
