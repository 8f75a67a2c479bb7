package choice_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/internal/choice"
)

var three = []bootctl.Slot{"A", "B", "C"}

// read makes a choice of "ORDER | ENTRIES": names in their order, and of each its tries, what is said
// of it (+ confirmed, - on trial or disabled, ? nothing) and ! where the loader used them up.
func read(s string) choice.Choice {
	order, entries, _ := strings.Cut(s, "|")
	c := choice.Choice{Known: three, Order: strings.Fields(order), Entries: map[string]choice.Entry{}}
	for _, f := range strings.Fields(entries) {
		e := choice.Entry{Tries: int(f[1] - '0'), Spent: strings.HasSuffix(f, "!")}
		e.Good = map[byte]choice.Good{'+': choice.Confirmed, '-': choice.Trial, '?': choice.Unknown}[f[2]]
		c.Entries[f[:1]] = e
	}
	return c
}

func show(c choice.Choice) string {
	parts := append(slices.Clone(c.Order), "|")
	for _, name := range []string{"A", "B", "C", "R"} {
		e, ok := c.Entries[name]
		if !ok {
			continue
		}
		part := fmt.Sprintf("%s%d%c", name, e.Tries, "?-+"[e.Good])
		if e.Spent {
			part += "!"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " ")
}

// TestRecords: what each verb makes of the metadata, whole: what it does not name stays as it was.
func TestRecords(t *testing.T) {
	const full = 3
	for _, c := range []struct {
		what, from, verb string
		slot             bootctl.Slot
		tries            int
		want             string // "": ErrNoFallback
	}{
		{"arm, the fallback is low", "A B | A1+ B0- C0-", "try", "B", 2, "B A | A3+ B2- C0-"},
		{"arm, the fallback is full", "A B | A3+ B0- C0-", "try", "B", 2, "B A | A3+ B2- C0-"},
		{"arm, the fallback has more than is full", "A B | A5+ B0- C0-", "try", "B", 2, "B A | A5+ B2- C0-"},
		{"arm what was used up", "A B | A3+ B0-! C0-", "try", "B", 2, "B A | A3+ B2- C0-"},
		{"arm what is confirmed", "A B | A3+ B1+ C0-", "try", "B", 2, "B A | A3+ B2- C0-"},
		{"every fallback is refilled", "A B C | A1+ B0- C2+", "try", "B", 1, "B A C | A3+ B1- C3+"},
		{"a confirmed slot without tries is not revived", "A B C | A3+ B0- C0+", "try", "B", 1, "B A C | A3+ B1- C0+"},
		{"a confirmed slot out of order is not put back", "A B | A3+ B0- C1+", "try", "B", 1, "B A | A3+ B1- C1+"},
		{"another trial is not refilled", "A B C | A3+ B0- C1-", "try", "B", 1, "B A C | A3+ B1- C1-"},
		{"a foreign system keeps its place", "R A B | A3+ B0- C0- R0?", "try", "B", 9, "B R A | A3+ B9- C0- R0?"},
		{"what was inferred is written down", "A B C | A2? B2? C2?", "try", "B", 1, "B A C | A3+ B1- C2?"},
		{"a trial is no fallback", "A B | A3- B0- C0-", "try", "B", 1, ""},
		{"nothing is said and another boots first", "B A | A3? B1- C0-", "try", "C", 1, ""},
		{"the only confirmed slot", "A B | A3+ B1- C0-", "try", "A", 1, ""},

		{"disable what is on trial", "B A | A3+ B2- C0-", "disable", "B", 0, "A | A3+ B0- C0-"},
		{"disable what was used up", "B A | A3+ B0-! C0-", "disable", "B", 0, "A | A3+ B0- C0-"},
		{"disable one of two confirmed", "B A | A3+ B3+ C0-", "disable", "B", 0, "A | A3+ B0- C0-"},
		{"disable again", "A | A3+ B0- C0-", "disable", "B", 0, "A | A3+ B0- C0-"},
		{"a trial goes where only a trial stays", "B A | A3- B2- C0-", "disable", "B", 0, "A | A3- B0- C0-"},
		{"a confirmed slot that does not boot goes, too", "B A | A3- B0+ C0-", "disable", "B", 0, "A | A3- B0- C0-"},
		{"a confirmed slot out of order goes, too", "A | A3- B3+ C0-", "disable", "B", 0, "A | A3- B0- C0-"},
		{"what now boots is confirmed by inference, and written down",
			"B A | A3? B3- C0-", "disable", "B", 0, "A | A3+ B0- C0-"},
		{"the last confirmed one stays", "A B | A3+ B2- C0-", "disable", "A", 0, ""},
		{"the last that boots stays", "B A | A0+ B2- C0-", "disable", "B", 0, ""},
		{"a foreign system is no fallback", "A R | A3+ B0- C0- R3+", "disable", "A", 0, ""},

		{"confirm a trial", "B A | A3+ B1- C0-", "confirm", "B", 0, "B A | A3+ B3+ C0-"},
		{"confirm what nothing is said of", "A B | A3? B1? C0-", "confirm", "B", 0, "B A | A3? B3+ C0-"},
		{"confirm what is out of order", "A | A3+ B0-! C0-", "confirm", "B", 0, "B A | A3+ B3+ C0-"},

		{"refill the running slot", "A B | A1+ B0- C0-", "refresh", "A", 0, "A B | A3+ B0- C0-"},
		{"nothing is wrong", "A B | A3+ B0- C0-", "refresh", "A", 0, "A B | A3+ B0- C0-"},
		{"more than full is left", "A B | A7+ B0- C0-", "refresh", "A", 0, "A B | A7+ B0- C0-"},
		{"somebody took it out", "B | A3+ B2- C0-", "refresh", "A", 0, "B A | A3+ B2- C0-"},
		{"a trial is not refilled", "B A | A3+ B1- C0-", "refresh", "B", 0, "B A | A3+ B1- C0-"},
		{"nothing is said of what runs", "B A | A1? B3? C0-", "refresh", "A", 0, "B A | A3+ B3? C0-"},
	} {
		from := read(c.from)
		var got choice.Choice
		var err error
		switch c.verb {
		case "try":
			got, err = from.Try(c.slot, c.tries, full)
		case "disable":
			got, err = from.Disable(c.slot)
		case "confirm":
			got, err = from.Confirm(c.slot, full)
		case "refresh":
			got, err = from.Refresh(c.slot, full)
		}
		switch {
		case c.want == "" && !errors.Is(err, bootctl.ErrNoFallback):
			t.Errorf("%s: %s %s %s makes %s, %v", c.what, c.from, c.verb, c.slot, show(got), err)
		case c.want != "" && (err != nil || show(got) != c.want):
			t.Errorf("%s: %s %s %s makes %s, %v; want %s", c.what, c.from, c.verb, c.slot, show(got), err, c.want)
		case show(from) != show(read(c.from)):
			t.Errorf("%s: what was read became %s", c.what, show(from))
		}
	}
}

// TestRefusedArguments: a slot in no table, and tries that the loaders' digit does not hold.
func TestRefusedArguments(t *testing.T) {
	c := read("A B | A3+ B0- C0-")
	for what, f := range map[string]func(bootctl.Slot) (choice.Choice, error){
		"Try":     func(s bootctl.Slot) (choice.Choice, error) { return c.Try(s, 1, 3) },
		"Disable": c.Disable,
		"Confirm": func(s bootctl.Slot) (choice.Choice, error) { return c.Confirm(s, 3) },
		"Refresh": func(s bootctl.Slot) (choice.Choice, error) { return c.Refresh(s, 3) },
		"Restore": func(s bootctl.Slot) (choice.Choice, error) { return choice.Restore(three, s, 3) },
	} {
		if _, err := f("X"); err == nil || !strings.Contains(err.Error(), `"X" in the slot table`) {
			t.Errorf("%s of a slot in no table: %v", what, err)
		}
		if _, err := f("R"); err == nil {
			t.Errorf("%s of a foreign system", what)
		}
	}
	for tries, ok := range map[int]bool{-1: false, 0: false, 1: true, bootctl.MaxTries: true,
		bootctl.MaxTries + 1: false} {
		if _, err := c.Try("B", tries, 3); (err == nil) != ok {
			t.Errorf("%d tries: %v", tries, err)
		}
	}
}

// TestRestore: the running slot boots, and no other.
func TestRestore(t *testing.T) {
	c, err := choice.Restore(three, "B", 3)
	if err != nil || show(c) != "B | A0- B3+ C0-" || !slices.Equal(c.Known, three) {
		t.Errorf("%s of %v, %v", show(c), c.Known, err)
	}
}

// TestSlots: the choice as the agent is told it.
func TestSlots(t *testing.T) {
	c := read("A B R | A3+ B0-! C3+ R3+")
	c.Entries["A"] = choice.Entry{Tries: 15, Good: choice.Confirmed} // a hexadecimal digit of RAUC's
	want := map[bootctl.Slot]bootctl.SlotState{
		"A": {Bootable: true, Confirmed: true, Tries: bootctl.MaxTries},
		"B": {Exhausted: true},
		"C": {Confirmed: true, Tries: 3}, // not in the order
	}
	got := c.Slots()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	c = read("B A | A3+ B2- C0-")
	c.Uncounted = true
	want = map[bootctl.Slot]bootctl.SlotState{
		"A": {Bootable: true, Confirmed: true, Tries: -1},
		"B": {Bootable: true, Tries: 2},
		"C": {},
	}
	if got := c.Slots(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("no counter for confirmed slots: %+v, want %+v", got, want)
	}
}

// TestEqual: another order is another choice, and so is another entry.
func TestEqual(t *testing.T) {
	a := read("A B | A3+ B2-")
	for other, equal := range map[string]bool{"A B | A3+ B2-": true, "B A | A3+ B2-": false, "A B | A3+ B1-": false,
		"A | A3+ B2-": false} {
		if a.Equal(read(other)) != equal {
			t.Errorf("%s and %s: equal is %v", show(a), other, !equal)
		}
	}
}

// TestCheckSlots: names that U-Boot, GRUB and the kernel's command line all take, once each.
func TestCheckSlots(t *testing.T) {
	for _, c := range []struct {
		slots []bootctl.Slot
		says  string // "": accepted
	}{
		{[]bootctl.Slot{"A"}, ""},
		{[]bootctl.Slot{"A", "B"}, ""},
		{[]bootctl.Slot{"system_0", "zZ9"}, ""},
		{[]bootctl.Slot{bootctl.Slot(strings.Repeat("a", 32))}, ""},
		{nil, "no slots"},
		{[]bootctl.Slot{bootctl.Slot(strings.Repeat("a", 33))}, "1 to 32"},
		{[]bootctl.Slot{"A", ""}, `""`},
		{[]bootctl.Slot{"A", "B C"}, `"B C"`},
		{[]bootctl.Slot{"A", " B"}, `" B"`},
		{[]bootctl.Slot{"A", "B-1"}, `"B-1"`},
		{[]bootctl.Slot{"A", "B", "A"}, "A is configured twice"},
	} {
		err := choice.CheckSlots(c.slots)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v, want %q", c.slots, err, c.says)
		}
	}
}
