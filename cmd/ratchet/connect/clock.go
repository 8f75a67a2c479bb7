package connect

import "time"

// BuiltAfter is the earliest believable time: a clock that stands before it is not set.
var BuiltAfter = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// believable is the clock for checking certificates: never before this program was made. A device whose clock stands
// at 1970 could reach nobody otherwise. No file's time is a floor: it may come from a clock that stood in the future.
func believable(clock func() time.Time) func() time.Time {
	return func() time.Time {
		if now := clock(); now.After(BuiltAfter) {
			return now
		}
		return BuiltAfter
	}
}

// behind tells whether the clock cannot say that a certificate has begun: it stands before this program was
// made, or before floor, the time at which the configuration worked last, so that one of the two was wrong. What has
// ended by the clock has ended all the same (secure.Dial), and a clock that is right takes what is valid.
func behind(floor time.Time, clock func() time.Time) func() bool {
	return func() bool {
		now := clock()
		return now.Before(BuiltAfter) || !floor.IsZero() && now.Before(floor)
	}
}
