package choice_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/choice"
)

var known = []bootctl.Slot{"A", "B"}

// each calls f with every choice of two slots: every order, with a name that is not ours and without,
// tries 0 to 2, and what may be said of each.
func each(f func(c choice.Choice)) {
	orders := [][]string{nil, {"A"}, {"B"}, {"A", "B"}, {"B", "A"}, {"R", "A", "B"}, {"B", "R", "A"}, {"R"}}
	var entries []choice.Entry
	for tries := range 3 {
		for _, good := range []choice.Good{choice.Unknown, choice.Trial, choice.Confirmed} {
			entries = append(entries, choice.Entry{Tries: tries, Good: good})
		}
	}
	for _, o := range orders {
		for _, a := range entries {
			for _, b := range entries {
				for _, r := range []int{0, 1} {
					f(choice.Choice{Known: known, Order: o,
						Entries: map[string]choice.Entry{"A": a, "B": b, "R": {Tries: r}}})
				}
			}
		}
	}
}

func proven(c choice.Choice) (names []string) {
	for _, s := range known {
		if c.Bootable(string(s)) && c.Confirmed(string(s)) {
			names = append(names, string(s))
		}
	}
	return names
}

// TestEveryChoice holds every operation to its contract in every state (invariant I1).
func TestEveryChoice(t *testing.T) {
	const full = 2
	n := 0
	each(func(c choice.Choice) {
		n++
		say := fmt.Sprintf("%v", c)
		for i, s := range known {
			name, other := string(s), known[1-i]
			before := fmt.Sprintf("%v", c)
			if d, err := c.Try(s, 1, full); err == nil {
				if d.Next() != name || d.Confirmed(name) || d.Entries[name].Tries != 1 {
					t.Errorf("%s: Try(%s) makes %v", say, s, d)
				}
				if !slices.Contains(proven(d), string(other)) || d.Entries[string(other)].Tries < full {
					t.Errorf("%s: Try(%s) leaves the fallback in %v", say, s, d)
				}
				again(t, d, func(c choice.Choice) (choice.Choice, error) { return c.Try(s, 1, full) })
			} else if slices.Contains(proven(c), string(other)) || !errors.Is(err, bootctl.ErrNoFallback) {
				t.Errorf("%s: Try(%s): %v", say, s, err)
			}
			if d, err := c.Disable(s); err == nil {
				if d.Bootable(name) || slices.Contains(d.Order, name) || !d.Bootable(string(other)) {
					t.Errorf("%s: Disable(%s) makes %v", say, s, d)
				}
				if len(proven(c)) > 0 && len(proven(d)) == 0 {
					t.Errorf("%s: Disable(%s) leaves nothing confirmed: %v", say, s, d)
				}
				again(t, d, func(c choice.Choice) (choice.Choice, error) { return c.Disable(s) })
			} else if !errors.Is(err, bootctl.ErrNoFallback) {
				t.Errorf("%s: Disable(%s): %v", say, s, err)
			}
			if d, err := c.Confirm(s, full); err != nil || d.Next() != name || !d.Confirmed(name) ||
				d.Entries[name].Tries != full {
				t.Errorf("%s: Confirm(%s) makes %v, %v", say, s, d, err)
			} else {
				again(t, d, func(c choice.Choice) (choice.Choice, error) { return c.Confirm(s, full) })
			}
			d, err := c.Refresh(s, full)
			switch {
			case err != nil:
				t.Errorf("%s: Refresh(%s): %v", say, s, err)
			case c.Entries[name].Good == choice.Trial && !d.Equal(c):
				t.Errorf("%s: Refresh(%s) of a trial makes %v", say, s, d)
			case c.Entries[name].Good != choice.Trial &&
				(!slices.Contains(proven(d), name) || d.Entries[name].Tries != full):
				t.Errorf("%s: Refresh(%s) makes %v", say, s, d)
			case d.Entries[string(other)] != c.Entries[string(other)]:
				t.Errorf("%s: Refresh(%s) changes the other slot: %v", say, s, d)
			}
			if after := fmt.Sprintf("%v", c); after != before {
				t.Errorf("an operation changed its input from %s to %s", before, after)
			}
		}
	})
	if n < 1000 {
		t.Errorf("only %d states", n)
	}
}

func again(t *testing.T, d choice.Choice, f func(choice.Choice) (choice.Choice, error)) {
	t.Helper()
	if e, err := f(d); err != nil || !e.Equal(d) {
		t.Errorf("made again from %v: %v, %v", d, e, err)
	}
}

// TestInference: of slots about which nothing is said one at most counts as confirmed.
func TestInference(t *testing.T) {
	for _, c := range []struct {
		order []string
		a, b  choice.Entry
		next  string
		sure  []string
	}{
		{[]string{"A", "B"}, choice.Entry{Tries: 3}, choice.Entry{Tries: 3}, "A", []string{"A"}},
		{[]string{"A", "B"}, choice.Entry{Tries: 0}, choice.Entry{Tries: 3}, "B", []string{"B"}},
		{[]string{"B", "A"}, choice.Entry{Tries: 3}, choice.Entry{Tries: 1, Good: choice.Trial}, "B", nil},
		{[]string{"B", "A"}, choice.Entry{Tries: 3},
			choice.Entry{Tries: 1, Good: choice.Confirmed}, "B", []string{"B"}},
		{[]string{"B"}, choice.Entry{Tries: 3}, choice.Entry{Tries: 0}, "", nil},
	} {
		got := choice.Choice{Known: known, Order: c.order, Entries: map[string]choice.Entry{"A": c.a, "B": c.b}}
		if got.Next() != c.next || !slices.Equal(proven(got), c.sure) {
			t.Errorf("%v: next %q, confirmed %v, want %q, %v", got, got.Next(), proven(got), c.next, c.sure)
		}
	}
}

func TestParseOrder(t *testing.T) {
	for in, want := range map[string][]string{"": nil, " A\tB \nA": {"A", "B"}, "A\vB": {"A\vB"}} {
		if got := choice.ParseOrder(in); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
