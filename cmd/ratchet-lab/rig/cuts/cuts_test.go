package cuts_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/image"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/board"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/cuts"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/disk"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/rig/look"
)

func uboot(t *testing.T) board.Kind {
	t.Helper()
	k, ok := board.Find("arm64-uboot")
	if !ok {
		t.Fatal("there is no arm64-uboot")
	}
	return k
}

// logOf is a log of n rounds: a write of the state, one of slot B, and a flush.
func logOf(n int) *disk.Log {
	l := &disk.Log{}
	for range n {
		l.Writes = append(l.Writes, disk.Write{At: board.StateAt, N: 2},
			disk.Write{At: board.SlotBytes("B") / image.Sector, N: 1}, disk.Write{Flags: disk.FlagFlush})
	}
	return l
}

// coverage is every cut of a log, each of another disk.
func coverage(k board.Kind, rec *disk.Recording, l *disk.Log) *cuts.Coverage {
	v := &cuts.Coverage{Rec: rec, Log: l}
	for i, x := range cuts.Every(l, 1) {
		v.Cuts = append(v.Cuts, cuts.NewResult(k, l, x, look.Finding{Sum: fmt.Sprint(i)}))
	}
	return v
}

// TestEvery: each moment of a log is cut whole, and lost and torn where there is something to lose.
func TestEvery(t *testing.T) {
	var got []string
	for _, x := range cuts.Every(logOf(1), 7) {
		if x.Seed != 7 {
			t.Errorf("%+v", x)
		}
		got = append(got, fmt.Sprint(x.Point, x.Variant))
	}
	if want := "0whole 1whole 1lost 1torn 2whole 2lost 2torn 3whole"; strings.ReplaceAll(strings.Join(got, ","), " ",
		"") != strings.ReplaceAll(want, " ", ",") {
		t.Errorf("%v, want %s", got, want)
	}
}

// TestSample: a sample has so many cuts in their order, a quarter of them right after a write of the image, and the
// same seed takes the same.
func TestSample(t *testing.T) {
	k, l := uboot(t), logOf(40)
	all := cuts.Every(l, 1)
	take := func(seed uint64) []disk.Cut { return cuts.Sample(k, rand.New(rand.NewPCG(seed, 1)), l, all, 20) }
	got, ofImage := take(1), 0
	for _, x := range got {
		if x.Point > 0 && k.Where(l.Writes[x.Point-1]) == "slot-b" {
			ofImage++
		}
	}
	if len(got) != 20 || ofImage != 5 || !slices.IsSortedFunc(got,
		func(a, b disk.Cut) int { return a.Point - b.Point }) {
		t.Errorf("%d cuts, %d of the image: %v", len(got), ofImage, got)
	}
	if !reflect.DeepEqual(got, take(1)) || reflect.DeepEqual(got, take(2)) {
		t.Error("the seed does not decide")
	}
}

// TestTail: of each write that no flush had covered, what is on the disk.
func TestTail(t *testing.T) {
	k, l := uboot(t), logOf(2)
	for _, c := range []struct {
		cut  disk.Cut
		want string
	}{
		{disk.Cut{Point: 0, Variant: disk.Whole}, "start []"},
		{disk.Cut{Point: 3, Variant: disk.Lost}, "flush []"},
		{disk.Cut{Point: 5, Variant: disk.Whole},
			"slot-b [4: state +0, 2 sectors: there 5: slot-b +0, 1 sectors: there]"},
		{disk.Cut{Point: 4, Variant: disk.Lost}, "state [4: state +0, 2 sectors: lost]"},
	} {
		r := cuts.NewResult(k, l, c.cut, look.Finding{})
		if got := fmt.Sprint(r.Where, " ", r.Tail); got != c.want {
			t.Errorf("%+v: %s, want %s", c.cut, got, c.want)
		}
	}
	parts := map[string]bool{}
	for seed := range int64(64) {
		r := cuts.NewResult(k, l, disk.Cut{Point: 4, Variant: disk.Torn, Seed: seed}, look.Finding{})
		parts[r.Tail[0]] = true
	}
	if !parts["4: state +0, 2 sectors: the first 1 sectors there"] {
		t.Errorf("no seed of 64 tears a write: %v", parts)
	}
}

// TestPlan: how many cuts are booted, how many go to the end and how many recoveries are cut again.
func TestPlan(t *testing.T) {
	k := uboot(t)
	for _, c := range []struct {
		name                string
		rec                 *disk.Recording
		scope               cuts.Scope
		list, finish, again int
	}{
		{"smoke", disk.Healthy(), cuts.Scope{Smoke: true, Every: 1, SmokeBoots: 7}, 5, 5, 1},
		{"smoke, slow board", disk.Healthy(), cuts.Scope{Smoke: true, Every: 1, SmokeBoots: 3}, 1, 1, 1},
		{"smoke, sick", disk.Sick(), cuts.Scope{Smoke: true, Every: 1, SmokeBoots: 7}, 1, 1, 0},
		{"whole, sick", disk.Sick(), cuts.Scope{Every: 1}, 12, 12, 2},
		{"a third, sick", disk.Sick(), cuts.Scope{Every: 3}, 4, 4, 1},
		// The start, each of 40 flushes, which the end is too, and 24 torn tails.
		{"whole", disk.Healthy(), cuts.Scope{Every: 1}, 41 + 24, -1, 6},
	} {
		v := coverage(k, c.rec, logOf(40))
		p := v.Plan(rand.New(rand.NewPCG(1, 1)), c.scope)
		finish := 0
		for _, i := range p.List {
			if p.Finish[i] {
				finish++
			}
		}
		if len(p.List) != c.list || finish != c.finish && c.finish >= 0 || len(p.Again) != c.again ||
			!slices.IsSorted(p.List) {
			t.Errorf("%s: %d booted, %d to the end, %d again", c.name, len(p.List), finish, len(p.Again))
		}
		for i := range p.Again {
			if !p.Finish[i] {
				t.Errorf("%s: recovery of cut %d is cut again and does not go to the end", c.name, i)
			}
		}
	}
	if (cuts.Scope{}).Looks("healthy") != 0 ||
		(cuts.Scope{Smoke: true}).Looks("sick") >= (cuts.Scope{Smoke: true}).Looks("healthy") {
		t.Error("a whole run looks at all cuts, a smoke test at fewer of the sick update")
	}
}

// TestTallies: each cut is counted where it belongs, and all recoveries together.
func TestTallies(t *testing.T) {
	k, l := uboot(t), logOf(1)
	healthy, recovery := coverage(k, disk.Healthy(), l), coverage(k, disk.Healthy().Recovery(disk.Cut{Point: 1}), l)
	c := healthy.Cuts
	c[0].Equal = true
	c[1].Wrong = "broken"
	c[2].Booted, c[2].Loads, c[2].Loaded, c[2].Bad = true, "A", []string{"B"}, "another slot"
	c[3].Booted, c[3].Loads, c[3].Loaded = true, "B", []string{"B"}
	c[3].Ended, c[3].Offered.Boots, c[3].Offered.Ended = "updated/1; "+cuts.AllThere, []string{"B"}, "updated/1"
	all := cuts.Tallies([]*cuts.Coverage{healthy, recovery, recovery})
	if len(all) != 2 {
		t.Fatalf("%d tallies", len(all))
	}
	if got, want := *all[0], (cuts.Tally{What: "healthy update", Entries: 3, Flushes: 1, Looked: 8, Different: 7,
		Wrong: 1, Failed: 2, Booted: 2, Finished: 1, Bad: 1,
		Known: 2, Agreed: 1, Ends: 1, Alike: 1, Whole: 4, Lost: 2, Torn: 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := *all[1]; got.What != "recoveries" || got.Recovered != 2 || got.Looked != 16 || got.Failed != 0 {
		t.Errorf("%+v", got)
	}
	if said := strings.Join(c[1].Tells(), "\n"); !strings.Contains(said, "WRONG: broken") ||
		!strings.Contains(said, "1: state +0, 2 sectors: there") {
		t.Errorf("%s", said)
	}
}
