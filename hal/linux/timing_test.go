//go:build linux

package linux_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/hal/linux"
)

// The zone is read when it is asked for: one that is set while the process runs counts, and one that cannot be read is
// UTC.
func TestZone(t *testing.T) {
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for tz, want := range map[string]int{"": 0, "UTC": 0, ":UTC": 0, "No/Such": 0, "/no/such": 0,
		"Europe/Berlin": 7200, ":Asia/Tokyo": 32400} {
		if _, err := time.LoadLocation("Europe/Berlin"); err != nil && want != 0 {
			continue // no time zone data
		}
		t.Setenv("TZ", tz)
		if _, got := at.In(linux.Zone()).Zone(); got != want {
			t.Errorf("TZ=%s: %d seconds east, want %d", tz, got, want)
		}
	}
	data, err := os.ReadFile("/usr/share/zoneinfo/Asia/Tokyo")
	if err != nil {
		return
	}
	path := filepath.Join(t.TempDir(), "zone")
	t.Setenv("TZ", path)
	for _, step := range []struct {
		data []byte
		want int
	}{{nil, 0}, {data, 32400}, {[]byte("text"), 0}, {data, 32400}} {
		if step.data != nil {
			if err := os.WriteFile(path, step.data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, got := at.In(linux.Zone()).Zone(); got != step.want {
			t.Errorf("with %.4q in the file: %d seconds east, want %d", step.data, got, step.want)
		}
	}
}

// Setting the clock, even to what it says, wakes whoever waits for a time; the watch ends with its context.
func TestWatchClock(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stepped, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() { ended <- linux.WatchClock(ctx, stepped) }()
	time.Sleep(50 * time.Millisecond)
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
		t.Fatal(err)
	}
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != nil {
		t.Logf("the clock cannot be set here (%v): only the end is tested", err)
	} else {
		select {
		case <-stepped:
		case <-time.After(10 * time.Second):
			t.Error("nobody is told that the clock was set")
		}
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the watch does not end")
	}
}
