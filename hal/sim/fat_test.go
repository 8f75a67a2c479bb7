package sim_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/medium"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// TestFAT: what a cut leaves of a rename. In one sector it is one name or the other; in several also
// both, which share their content, or none.
func TestFAT(t *testing.T) {
	for _, apart := range []bool{false, true} {
		seen := map[string]bool{}
		for seed := range uint64(200) {
			w := sim.New(seed)
			w.SetFAT("/esp", apart)
			w.PutFile("/esp/a", []byte("x"))
			if err := w.FS().Rename("/esp/a", "/esp/b"); err != nil {
				t.Fatal(err)
			}
			w.Cut()
			w.PowerOn()
			names, err := w.FS().List("/esp")
			if err != nil {
				t.Fatal(err)
			}
			left := ""
			for _, n := range names {
				left += n
			}
			seen[left] = true
			if left == "ab" {
				f, err := w.FS().Open("/esp/a", hal.InPlace)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := f.WriteAt([]byte("y"), 0); err != nil {
					t.Fatal(err)
				}
				if b, _ := w.File("/esp/b"); string(b) != "y" {
					t.Errorf("two names of one chain hold %q and y", b)
				}
				if w.FS().Remove("/esp/b") == nil {
					t.Error("clusters that another name needs are freed")
				}
			}
		}
		var got []string
		for k := range seen {
			got = append(got, k)
		}
		slices.Sort(got)
		want := []string{"a", "b"}
		if apart {
			want = []string{"", "a", "ab", "b"}
		}
		if !slices.Equal(got, want) {
			t.Errorf("apart %v: a cut leaves %q, want %q", apart, got, want)
		}
	}
}

// TestVariableCut: a variable is old or new.
func TestVariableCut(t *testing.T) {
	for _, m := range []sim.Mode{sim.Before, sim.Torn, sim.After} {
		seen := map[string]bool{}
		for seed := range uint64(50) {
			w := sim.New(seed)
			w.PutVariable("BootNext", 7, []byte("old"))
			w.CutAt(1, m)
			if err := w.Variables().Set("BootNext", 7, []byte("new")); err == nil {
				t.Fatal("no cut")
			}
			w.PowerOn()
			_, data, err := w.Variables().Get("BootNext")
			if err != nil {
				t.Fatal(err)
			}
			seen[string(data)] = true
		}
		if seen["old"] != (m != sim.After) || seen["new"] != (m != sim.Before) || len(seen) > 2 {
			t.Errorf("%v: %v", m, seen)
		}
	}
}

// TestTornFolder: a medium that tears the folder's sector leaves of a rename in one sector what others leave of one in
// several; one that leaves garbage may take every entry, those of others, too.
func TestTornFolder(t *testing.T) {
	for _, c := range []struct {
		g    medium.Grain
		want []string
	}{
		{medium.Whole, []string{"ac", "bc"}},
		{medium.Torn, []string{"abc", "ac", "bc", "c"}},
		{medium.Spoiling, []string{"", "abc", "ac", "bc", "c"}},
	} {
		seen := map[string]bool{}
		for seed := range uint64(200) {
			w := sim.New(seed)
			w.SetGrain(c.g)
			w.SetFAT("/esp", false)
			w.PutFile("/esp/a", []byte("x"))
			w.PutFile("/esp/c", []byte("x"))
			if err := w.FS().Rename("/esp/a", "/esp/b"); err != nil {
				t.Fatal(err)
			}
			w.PowerOn()
			names, err := w.FS().List("/esp")
			if err != nil {
				t.Fatal(err)
			}
			seen[strings.Join(names, "")] = true
		}
		if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.g, got, c.want)
		}
	}
}
