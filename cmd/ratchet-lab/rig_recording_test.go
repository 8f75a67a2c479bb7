package main

import "testing"

// TestRecordingEnds: what a device may end as after a cut, and after two with a loader that counts one try.
func TestRecordingEnds(t *testing.T) {
	healthy, sick := healthyRecording(), sickRecording()
	again := healthy.recovery(cut{Point: 7, Variant: whole})
	good, given := "updated/1; slot B runs, confirmed, B is next", "reverted/1/trial-boots-exhausted; slot A runs, confirmed, A is next"
	for _, c := range []struct {
		rec   *recording
		tries int
		ended string
		want  bool
	}{
		{healthy, 1, good, true}, {again, 3, good, true},
		{healthy, 1, given, false}, {again, 3, given, false}, {again, 1, given, true},
		{again, 1, "reverted/1/fell-back; slot A runs, confirmed, A is next", true},
		{again, 1, "reverted/1/health-failed; slot A runs, confirmed, A is next", false},
		{again, 1, "reverted/1/fell-back; slot A runs, not confirmed, A is next", false},
		{sick.recovery(cut{Point: 7, Variant: whole}), 1, given, false},
	} {
		if got := c.rec.ends(c.ended, c.tries); got != c.want {
			t.Errorf("%s, %d tries, %q: %v", c.rec.Name, c.tries, c.ended, got)
		}
	}
}
