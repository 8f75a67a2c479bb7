package health_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ratchet-ota/ratchet/agent/health"
)

// TestRemote: which checks somebody on the network can make fail.
func TestRemote(t *testing.T) {
	for _, c := range []struct {
		check health.Remote
		want  bool
	}{
		{&health.Broker{}, true},
		{health.HTTP{URL: "http://127.0.0.1:8080/health"}, false},
		{health.HTTP{URL: "http://127.9.0.1/"}, false},
		{health.HTTP{URL: "http://[::1]:80/"}, false},
		{health.HTTP{URL: "https://LocalHost./"}, false},
		{health.HTTP{URL: "https://localhost.example.com/"}, true},
		{health.HTTP{URL: "https://192.0.2.1/"}, true},
		{health.HTTP{URL: "https://cloud.example.com/"}, true},
		{health.HTTP{URL: "http://[::1"}, true},
		{health.TCP{Addr: "localhost:22"}, false},
		{health.TCP{Addr: ":22"}, false},
		{health.TCP{Addr: "0.0.0.0:22"}, false},
		{health.TCP{Addr: "[fe80::1%eth0]:22"}, true},
		{health.TCP{Addr: "db.example.com:5432"}, true},
		{health.TCP{Addr: "nonsense"}, true},
		{health.Command{Argv: []string{"/bin/true"}}, false},
		{health.Command{Argv: []string{"/bin/true"}, Network: true}, true},
		{health.Unit{Units: []string{"app.service"}}, false},
		{health.Unit{Units: []string{"vpn.service"}, Network: true}, true},
		{health.Unit{NoneFailed: true}, true},
	} {
		if got := c.check.Remote(); got != c.want {
			t.Errorf("%+v: remote %v", c.check, got)
		}
	}
}

// elsewhere is a check of something beyond the device.
type elsewhere struct{ health.Check }

func (elsewhere) Remote() bool { return true }

// TestLocal: a trial that fails is the network's to blame where the checks that no network can make fail held for the
// whole soak, up to the end; and nobody else's, whatever the others did meanwhile.
func TestLocal(t *testing.T) {
	const minute = time.Minute
	always, late := [2]time.Duration{0, 9 * minute}, [2]time.Duration{110 * time.Second, 9 * minute}
	until := func(seconds time.Duration) [2]time.Duration { return [2]time.Duration{0, seconds * time.Second} }
	for name, c := range map[string]struct {
		local, remote [2]time.Duration // fails within
		hangs         bool
		minUptime     time.Duration
		want          bool
	}{
		"remote fails":                          {remote: always, want: true},
		"remote hangs":                          {hangs: true, want: true},
		"remote fails at the end":               {remote: [2]time.Duration{20 * time.Second, 9 * minute}, want: true},
		"both fail":                             {local: always, remote: always},
		"local fails at the end":                {local: late, remote: always},
		"local recovers too late":               {local: until(100), remote: always},
		"only local recovers, in time":          {local: until(80), remote: always, want: true},
		"the machine is not up for long enough": {remote: always, minUptime: 9 * minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBubble()
			far := at(b, "cloud", c.remote[0], c.remote[1])
			if c.hangs {
				far = check{"cloud", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
			}
			p := health.Plan{Soak: 30 * time.Second, Deadline: 2 * minute, MinUptime: c.minUptime,
				Checks: []health.Check{at(b, "app", c.local[0], c.local[1]), elsewhere{far}}}
			if v := health.Run(t.Context(), b, p, 0, nil); v.Healthy || v.Local != c.want {
				t.Errorf("%s: healthy %v, local %v, want %v", name, v.Healthy, v.Local, c.want)
			}
		})
	}
}
