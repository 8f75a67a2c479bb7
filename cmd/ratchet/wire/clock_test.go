package wire_test

import (
	"os"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/wire"
	"github.com/ratchet-ota/ratchet/transport/secure"
)

// TestClockForCertificates: certificates are checked as of the time at which this program was made, or the
// configuration worked last, where the clock stands before: a device without a battery begins in 1970 and
// could reach nobody.
func TestClockForCertificates(t *testing.T) {
	dir := t.TempDir()
	tomorrow := time.Now().Add(24 * time.Hour).Truncate(time.Second)
	for name, tt := range map[string]struct {
		worked time.Time // when the configuration worked last; zero: never
		clock  time.Time
		want   time.Time
	}{
		"1970, nothing worked yet":         {time.Time{}, time.Unix(0, 0), wire.BuiltAfter},
		"1970, it worked later":            {tomorrow, time.Unix(0, 0), tomorrow},
		"1970, it worked before the build": {time.Unix(1000, 0), time.Unix(0, 0), wire.BuiltAfter},
		"set, later than all":              {tomorrow, tomorrow.Add(time.Hour), tomorrow.Add(time.Hour)},
		"set back below what worked":       {tomorrow, tomorrow.Add(-time.Hour), tomorrow},
	} {
		path := wire.LastGood(dir)
		_ = os.Remove(path)
		if !tt.worked.IsZero() {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, tt.worked, tt.worked); err != nil {
				t.Fatal(err)
			}
		}
		if got := wire.Believable(dir, func() time.Time { return tt.clock })(); !got.Equal(tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	// Broker and image servers are checked by it.
	if err := os.WriteFile(wire.LastGood(dir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(wire.LastGood(dir), tomorrow, tomorrow); err != nil {
		t.Fatal(err)
	}
	var c config.Config
	c.State.Directory = dir
	conf, err := wire.ClientTLS(&c, "mqtt.", secure.Files{})
	if err != nil || conf.Time == nil || !conf.Time().Equal(tomorrow) {
		t.Errorf("certificates are not checked as of %v: %v", tomorrow, err)
	}
}
