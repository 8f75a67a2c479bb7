package connect

import (
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/transport/secure"
)

// Certificates are judged by the clock, and by the time at which this program was made where the clock stands
// before that: a device without a battery begins in 1970 and could reach nobody. The time of a file, which a clock in
// the future may have left, is never a floor; it tells only that the clock may be behind, so that a certificate that
// has not begun is looked at again.
func TestClockForCertificates(t *testing.T) {
	tomorrow := time.Now().Add(24 * time.Hour).Truncate(time.Second)
	future := time.Date(2037, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		worked time.Time // when the configuration worked last; zero: never
		clock  time.Time
		want   time.Time
		behind bool
	}{
		"1970, nothing worked yet":             {time.Time{}, time.Unix(0, 0), BuiltAfter, true},
		"1970, it worked later":                {tomorrow, time.Unix(0, 0), BuiltAfter, true},
		"1970, it worked before the build":     {time.Unix(1000, 0), time.Unix(0, 0), BuiltAfter, true},
		"1970, it worked in the future":        {future, time.Unix(0, 0), BuiltAfter, true},
		"set, later than all":                  {tomorrow, tomorrow.Add(time.Hour), tomorrow.Add(time.Hour), false},
		"set back below what worked":           {tomorrow, tomorrow.Add(-time.Hour), tomorrow.Add(-time.Hour), true},
		"right, it worked in the future":       {future, tomorrow, tomorrow, true},
		"right, nothing worked yet":            {time.Time{}, tomorrow, tomorrow, false},
		"in the future, it worked in the past": {tomorrow, future, future, false},
	} {
		clock := func() time.Time { return tt.clock }
		if got := believable(clock)(); !got.Equal(tt.want) {
			t.Errorf("%s: judged at %v, want %v", name, got, tt.want)
		}
		if got := behind(tt.worked, clock)(); got != tt.behind {
			t.Errorf("%s: behind %v, want %v", name, got, tt.behind)
		}
	}
	// Broker and image servers are checked by it.
	conf, err := (&material{}).tls("mqtt.", secure.Files{})()
	if err != nil || conf.Time == nil || time.Since(conf.Time()).Abs() > time.Hour {
		t.Errorf("certificates are judged at another time than the clock's: %v", err)
	}
}
