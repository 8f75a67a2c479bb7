package main

import (
	"os"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/transport/secure"
)

// TestLastGoodIsWrittenOnce: the copy of a configuration that worked is written when it changed, and not
// at each start: flash wears.
func TestLastGoodIsWrittenOnce(t *testing.T) {
	b := newBox(t)
	start := func() (os.FileInfo, string) {
		t.Helper()
		b.start()
		b.status()
		b.stop()
		st, err := os.Stat(b.path("state/last-good.toml"))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(b.path("state/last-good.toml"))
		if err != nil {
			t.Fatal(err)
		}
		return st, string(raw)
	}
	first, raw := start()
	if raw != b.config() {
		t.Errorf("the copy is %q", raw)
	}
	again, _ := start()
	if !os.SameFile(first, again) || !first.ModTime().Equal(again.ModTime()) {
		t.Error("the second start wrote the same configuration again")
	}
	changed := b.config() + "[log]\nlevel = \"debug\"\n"
	b.write("ratchet.toml", []byte(changed))
	if after, raw := start(); os.SameFile(first, after) || raw != changed {
		t.Errorf("a changed configuration was not kept: %q", raw)
	}
}

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
		"1970, nothing worked yet":         {time.Time{}, time.Unix(0, 0), builtAfter},
		"1970, it worked later":            {tomorrow, time.Unix(0, 0), tomorrow},
		"1970, it worked before the build": {time.Unix(1000, 0), time.Unix(0, 0), builtAfter},
		"set, later than all":              {tomorrow, tomorrow.Add(time.Hour), tomorrow.Add(time.Hour)},
		"set back below what worked":       {tomorrow, tomorrow.Add(-time.Hour), tomorrow},
	} {
		path := dir + "/last-good.toml"
		_ = os.Remove(path)
		if !tt.worked.IsZero() {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, tt.worked, tt.worked); err != nil {
				t.Fatal(err)
			}
		}
		if got := believable(dir, func() time.Time { return tt.clock })(); !got.Equal(tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	// Broker and image servers are checked by it.
	if err := os.WriteFile(dir+"/last-good.toml", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(dir+"/last-good.toml", tomorrow, tomorrow); err != nil {
		t.Fatal(err)
	}
	var c config.Config
	c.State.Directory = dir
	if conf, err := clientTLS(&c, secure.Files{}); err != nil || conf.Time == nil || !conf.Time().Equal(tomorrow) {
		t.Errorf("certificates are not checked as of %v: %v", tomorrow, err)
	}
}
