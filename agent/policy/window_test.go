package policy_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/policy"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Skipf("no time zone data: %v", err)
	}
	return z
}

func TestWindowOpen(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	at := func(s string) time.Time {
		v, err := time.Parse("2006-01-02 15:04:05 MST", s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	every := [7]bool{}
	var monday, weekend [7]bool
	monday[time.Monday] = true
	weekend[time.Saturday], weekend[time.Sunday] = true, true
	for _, c := range []struct {
		w    policy.Window
		at   string
		open bool
	}{
		{policy.Window{every, 120, 240, nil}, "2026-11-23 01:59:59 UTC", false},
		{policy.Window{every, 120, 240, nil}, "2026-11-23 02:00:00 UTC", true},
		{policy.Window{every, 120, 240, nil}, "2026-11-23 03:59:59 UTC", true},
		{policy.Window{every, 120, 240, nil}, "2026-11-23 04:00:00 UTC", false},
		{policy.Window{monday, 120, 240, nil}, "2026-11-24 02:00:00 UTC", false},
		// Over midnight: the day is that of the opening.
		{policy.Window{monday, 1320, 120, nil}, "2026-11-23 21:59:00 UTC", false},
		{policy.Window{monday, 1320, 120, nil}, "2026-11-23 22:00:00 UTC", true},
		{policy.Window{monday, 1320, 120, nil}, "2026-11-24 01:59:00 UTC", true},
		{policy.Window{monday, 1320, 120, nil}, "2026-11-24 02:00:00 UTC", false},
		{policy.Window{monday, 1320, 120, nil}, "2026-11-23 01:00:00 UTC", false},
		{policy.Window{weekend, 1320, 120, nil}, "2026-11-23 01:00:00 UTC", true},
		// A whole day, and to its very end.
		{policy.Window{monday, 0, 1440, nil}, "2026-11-23 23:59:59 UTC", true},
		{policy.Window{monday, 0, 1440, nil}, "2026-11-24 00:00:00 UTC", false},
		{policy.Window{monday, 600, 600, nil}, "2026-11-24 09:59:00 UTC", true},
		{policy.Window{monday, 600, 600, nil}, "2026-11-24 10:00:00 UTC", false},
		{policy.Window{monday, 600, 600, nil}, "2026-11-23 09:59:00 UTC", false},
		// The local clock, not UTC: 03:30 in Berlin is 02:30 in winter, 01:30 in summer.
		{policy.Window{every, 180, 240, berlin}, "2026-01-15 02:30:00 UTC", true},
		{policy.Window{every, 180, 240, berlin}, "2026-07-15 02:30:00 UTC", false},
		{policy.Window{every, 180, 240, berlin}, "2026-07-15 01:30:00 UTC", true},
		// The night of 2026-03-29 has no 02:30, that of 2026-10-25 has it twice.
		{policy.Window{every, 120, 180, berlin}, "2026-03-29 00:59:59 UTC", false},
		{policy.Window{every, 120, 180, berlin}, "2026-03-29 01:00:00 UTC", false},
		{policy.Window{every, 120, 180, berlin}, "2026-10-25 00:30:00 UTC", true},
		{policy.Window{every, 120, 180, berlin}, "2026-10-25 01:30:00 UTC", true},
		{policy.Window{every, 120, 180, berlin}, "2026-10-25 02:00:00 UTC", false},
	} {
		if got := c.w.OpenAt(at(c.at)); got != c.open {
			t.Errorf("%+v at %s: open %t", c.w, c.at, got)
		}
	}
}

// TestWindowNext compares with looking at every minute, mostly around changes of the clock.
func TestWindowNext(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	zones := []*time.Location{
		time.UTC, nil, zone(t, "Europe/Berlin"), zone(t, "America/New_York"), zone(t, "Australia/Lord_Howe"),
		zone(t, "America/Santiago"),
	}
	changes := []time.Time{ // within a day of a change in one of them
		time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC), time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC),
		time.Date(2026, 3, 8, 7, 0, 0, 0, time.UTC), time.Date(2026, 11, 1, 6, 0, 0, 0, time.UTC),
		time.Date(2026, 4, 4, 15, 0, 0, 0, time.UTC), time.Date(2026, 10, 3, 15, 30, 0, 0, time.UTC),
		time.Date(2026, 4, 5, 3, 0, 0, 0, time.UTC), time.Date(2026, 9, 6, 4, 0, 0, 0, time.UTC),
	}
	for range 3000 {
		var windows []policy.Window
		for range 1 + r.IntN(2) {
			w := policy.Window{From: r.IntN(1440), To: r.IntN(1440 + 1), Zone: zones[r.IntN(len(zones))]}
			if r.IntN(2) == 0 {
				w.From, w.To = r.IntN(4*60), r.IntN(4*60)
			}
			if r.IntN(3) == 0 {
				w.Days[r.IntN(7)] = true
			}
			windows = append(windows, w)
		}
		now := changes[r.IntN(len(changes))].Add(time.Duration(r.IntN(3*1440)-2*1440) * time.Minute)
		wait, open := policy.UntilOpen(windows, now)
		want, wantOpen := time.Duration(0), false
		for m := 0; m < 9*1440 && !wantOpen; m++ {
			want = time.Duration(m) * time.Minute
			for _, w := range windows {
				wantOpen = wantOpen || w.OpenAt(now.Add(want))
			}
		}
		if open != (want == 0) || !open && wait != want {
			t.Fatalf("seed %d: %+v at %s: open %t, wait %s, want %s", seed, windows, now, open, wait, want)
		}
	}
}

func TestWindowSubMinute(t *testing.T) {
	w := []policy.Window{{From: 120, To: 121}}
	now := time.Date(2026, 11, 23, 1, 59, 59, 5e8, time.UTC)
	if wait, open := policy.UntilOpen(w, now); open || wait != 5e8 {
		t.Errorf("open %t, wait %s", open, wait)
	}
}

// TestWindowNever: a window that only exists in hours that the clock skips still gives an answer.
func TestWindowNever(t *testing.T) {
	w := policy.Window{From: 150, To: 151, Zone: zone(t, "Europe/Berlin")}
	w.Days[time.Sunday] = true
	wait, open := policy.UntilOpen([]policy.Window{w}, time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC))
	if open || wait != 7*24*time.Hour+30*time.Minute {
		t.Errorf("open %t, wait %s, want the Sunday after the change", open, wait)
	}
}

// TestWindowSkippedDay: Samoa had no Friday on 2011-12-30. A window of Fridays opens a week later.
func TestWindowSkippedDay(t *testing.T) {
	w := policy.Window{From: 60, To: 120, Zone: zone(t, "Pacific/Apia")}
	w.Days[time.Friday] = true
	now := time.Date(2011, 12, 29, 12, 0, 0, 0, w.Zone)
	want := time.Date(2012, 1, 6, 1, 0, 0, 0, w.Zone).Sub(now)
	if wait, open := policy.UntilOpen([]policy.Window{w}, now); open || wait != want {
		t.Errorf("open %t, wait %s, want %s", open, wait, want)
	}
}

// TestWindowEndlessZone: Go gives Cairo's change of the clock of 2040 as the end of the zone that begins there;
// the search ends all the same.
func TestWindowEndlessZone(t *testing.T) {
	w := policy.Window{From: 60, To: 120, Zone: zone(t, "Africa/Cairo")}
	now := time.Date(2040, 12, 31, 12, 0, 0, 0, w.Zone)
	wait, open := policy.UntilOpen([]policy.Window{w}, now)
	if want := 13 * time.Hour; open || wait != want {
		t.Errorf("open %t, wait %s, want %s", open, wait, want)
	}
}

// TestWindowWait: an open window is not waited for; where none will open, one looks again in a day.
func TestWindowWait(t *testing.T) {
	now := time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)
	if wait, open := policy.UntilOpen([]policy.Window{{From: 0, To: 1}, {From: 120, To: 121}}, now); !open ||
		wait != 0 {
		t.Errorf("open %t, wait %s", open, wait)
	}
	if wait, open := policy.UntilOpen(nil, now); open || wait != 24*time.Hour {
		t.Errorf("no window: open %t, wait %s", open, wait)
	}
}
