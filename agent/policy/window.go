package policy

import (
	"fmt"
	"slices"
	"time"
)

// Window is a time of the day in which updates are allowed, read off the local clock: in a night
// that has an hour twice it is open in both, in one that lacks an hour it is not open in that one.
type Window struct {
	Days     [7]bool        // by time.Weekday of the day in which the window opens; none set = every day
	From, To int            // minutes of the day, 0..1440; To <= From ends on the next day
	Zone     *time.Location // nil: that of the device at the time of the decision
}

const dayMinutes = 24 * 60

// Validate checks the window.
func (w Window) Validate() error {
	if w.From < 0 || w.From >= dayMinutes || w.To < 0 || w.To > dayMinutes {
		return fmt.Errorf("from %d to %d: want minutes of the day, 0 to %d", w.From, w.To, dayMinutes)
	}
	return nil
}

func (w Window) zone() *time.Location {
	if w.Zone == nil {
		return time.UTC
	}
	return w.Zone
}

// open tells whether t lies in the window.
func (w Window) open(t time.Time) bool {
	t = t.In(w.zone())
	at, today := t.Hour()*60+t.Minute(), t.Weekday()
	if w.From < w.To {
		return w.on(today) && w.From <= at && at < w.To
	}
	return w.on(today) && at >= w.From || w.on((today+6)%7) && at < w.To
}

func (w Window) on(d time.Weekday) bool { return w.Days == [7]bool{} || w.Days[d] }

// next returns the first instant after t at which the window is open, zero when there is none
// within some weeks. t lies outside of the window.
//
// It opens when the local clock reads From, or when the clock is set over From. The clock may read
// From twice, or differently than time.Date takes it: so the hour on either side is tried too.
func (w Window) next(t time.Time) time.Time {
	t = t.In(w.zone())
	var first time.Time
	try := func(c time.Time) {
		if c.After(t) && w.open(c) && (first.IsZero() || c.Before(first)) {
			first = c
		}
	}
	for day := -1; day <= 15 && (first.IsZero() || day < 8); day++ {
		c := time.Date(t.Year(), t.Month(), t.Day()+day, 0, w.From, 0, 0, t.Location())
		for _, shift := range []time.Duration{-time.Hour, -30 * time.Minute, 0, 30 * time.Minute, time.Hour} {
			try(c.Add(shift))
		}
	}
	for c, n := t, 0; n < 8; n++ {
		_, end := c.ZoneBounds()
		if end.IsZero() || end.Sub(t) > 16*24*time.Hour {
			break
		}
		try(end)
		c = end
	}
	return first
}

// placed are the windows with the device's zone in those that name none.
func placed(windows []Window, zone *time.Location) []Window {
	windows = slices.Clone(windows)
	for i := range windows {
		if windows[i].Zone == nil {
			windows[i].Zone = zone
		}
	}
	return windows
}

// untilOpen tells whether one of the windows is open, and else how long until one opens.
func untilOpen(windows []Window, now time.Time) (wait time.Duration, open bool) {
	now = now.Round(0)
	wait = 24 * time.Hour // a window that never opens is looked at daily
	for found, i := false, 0; i < len(windows); i++ {
		if windows[i].open(now) {
			return 0, true
		}
		if t := windows[i].next(now); !t.IsZero() && (!found || t.Sub(now) < wait) {
			wait, found = t.Sub(now), true
		}
	}
	return wait, false
}
