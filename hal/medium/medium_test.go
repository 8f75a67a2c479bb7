package medium_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/ratchet-ota/ratchet/hal/medium"
)

// TestFlushed: the first flush after a write decides.
func TestFlushed(t *testing.T) {
	write, flush := medium.Event{Write: true}, medium.Event{Flush: true}
	fua := medium.Event{Write: true, Flush: true}
	badWrite, badFlush := medium.Event{Write: true, Failed: true}, medium.Event{Flush: true, Failed: true}
	for _, c := range []struct {
		name   string
		events []medium.Event
		want   []bool
	}{
		{"nothing", nil, []bool{}},
		{"pending", []medium.Event{write}, []bool{false}},
		{"flushed, and one pending", []medium.Event{write, flush, write}, []bool{true, false, false}},
		{"a write that flushes", []medium.Event{write, fua, write}, []bool{true, true, false}},
		{"no later flush covers it", []medium.Event{write, badFlush, write, flush}, []bool{false, false, true, false}},
		{"a failed write", []medium.Event{badWrite, write, flush}, []bool{false, true, false}},
	} {
		if got := medium.Flushed(c.events); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// kinds tells which forms seeds give to a write of 4 sectors.
func kinds(f func(r *rand.Rand) medium.Part) map[string]bool {
	seen := map[string]bool{}
	for seed := range uint64(400) {
		kind := ""
		for _, there := range f(rand.New(rand.NewPCG(seed, 0))) {
			switch {
			case there == medium.Lost:
				kind += "-"
			case there == medium.Sector:
				kind += "X"
			case there == medium.Garbage:
				kind += "g"
			default:
				kind += "t"
			}
		}
		seen[kind] = true
	}
	return seen
}

// TestSpoiled: what is spoiled beside a write lies in its erase blocks, and all of one block or nothing of it.
func TestSpoiled(t *testing.T) {
	seen := map[int]bool{}
	for seed := range uint64(200) {
		list := medium.Spoiling.Spoiled(rand.New(rand.NewPCG(seed, 0)), 4096+512, 4096) // sectors 9 to 16
		seen[len(list)] = true
		for _, n := range list {
			if n < 8 || n > 23 || n >= 9 && n <= 16 {
				t.Errorf("sector %d is spoiled", n)
			}
		}
	}
	for _, n := range []int{0, 1, 7, 8} {
		if !seen[n] {
			t.Errorf("%d sectors beside are never spoiled", n)
		}
	}
	if len(seen) != 4 || len(medium.Torn.Spoiled(rand.New(rand.NewPCG(1, 1)), 0, 512)) > 0 {
		t.Errorf("sectors beside that are spoiled: %v", seen)
	}
}

// TestForms: what is named kept, lost and torn comes, and nothing else.
func TestForms(t *testing.T) {
	for _, c := range []struct {
		name       string
		part       func(r *rand.Rand) medium.Part
		some, none []string
	}{
		{"any sectors", func(r *rand.Rand) medium.Part { return medium.Any(r, 4) },
			[]string{"----", "XXXX", "XX--", "X---", "--X-", "-X-X"}, []string{"t---", "XXXt"}},
		{"sectors", func(r *rand.Rand) medium.Part { return medium.Grain{Unit: 512}.Part(r, 512, 4*512) },
			[]string{"----", "XXXX", "X-X-", "---X"}, []string{"t---", "XXXt"}},
		{"units of two", func(r *rand.Rand) medium.Part { return medium.Grain{Unit: 1024}.Part(r, 512, 4*512) },
			[]string{"----", "XXXX", "X---", "-XX-", "---X"}, []string{"-X--", "X-X-", "XX--"}},
		{"torn sectors",
			func(r *rand.Rand) medium.Part { return medium.Grain{Unit: 1024, Tears: true}.Part(r, 0, 4*512) },
			[]string{"----", "XXXX", "t---", "Xt--", "--t-"}, []string{"tX--", "tt--", "-X--"}},
		{"garbage", func(r *rand.Rand) medium.Part {
			return medium.Grain{Unit: 1024, Garbage: true}.Part(r, 0, 4*512)
		}, []string{"----", "XXXX", "gg--", "ggXX", "gggg"}, []string{"g---", "-g--", "XXXg"}},
		{"the same medium while the power stays", func(r *rand.Rand) medium.Part {
			return medium.Spoiling.Failing().Part(r, 0, 4*512)
		}, []string{"----", "XXXX", "t---"}, []string{"g---", "gggg"}},
		{"the first", func(*rand.Rand) medium.Part { return medium.First(4, 3) }, []string{"XXX-"}, []string{"XXXX"}},
		{"all", func(*rand.Rand) medium.Part { return medium.All(4) }, []string{"XXXX"}, []string{"XXX-"}},
		{"none", func(*rand.Rand) medium.Part { return medium.None(4) }, []string{"----"}, []string{"X---"}},
	} {
		seen := kinds(c.part)
		for _, k := range c.some {
			if !seen[k] {
				t.Errorf("%s: %s never comes", c.name, k)
			}
		}
		for _, k := range c.none {
			if seen[k] {
				t.Errorf("%s: %s comes", c.name, k)
			}
		}
	}
	counts := map[int64]bool{}
	for seed := range uint64(100) {
		counts[medium.Begun(rand.New(rand.NewPCG(seed, 0)), 3)] = true
	}
	if len(counts) != 4 || !counts[0] || !counts[3] {
		t.Errorf("of 3 sectors written in order there are %v", counts)
	}
	if n := len(medium.Grain{Unit: 512}.Part(rand.New(rand.NewPCG(1, 1)), 500, 30)); n != 2 {
		t.Errorf("30 bytes at 500 are in %d sectors", n)
	}
}
