package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/cmd/internal/fleet"
	"github.com/ratchet-ota/ratchet/cmd/internal/fleet/fleettest"
)

// town is a fleet of enrolled gadgets and strangers.
func town(t *testing.T, dir string) (good, busy, stranger, liar *fleettest.Device,
	say func(f func(topic string, body []byte))) {
	good, busy, stranger, liar = fleettest.New(t, "gw-good"), fleettest.New(t, "gw-busy"),
		fleettest.New(t, "gw-stranger"), fleettest.New(t, "gw-liar")
	enroll(t, good, dir)
	enroll(t, busy, dir)
	enroll(t, fleettest.New(t, "gw-liar"), dir) // another key
	good.Live(t, 4)
	return good, busy, stranger, liar, func(f func(string, []byte)) {
		f(good.Topic("presence"), []byte("online"))
		f(good.Topic("status"), good.Status(t, func(s *evidence.Status) {
			s.Last = evidence.Outcome{Result: "updated", Sequence: 14, Time: s.Wall}
		}))
		f(busy.Topic("presence"), []byte("offline"))
		f(busy.Topic("status"), busy.Status(t, func(s *evidence.Status) {
			s.Phase, s.Progress, s.Sequence, s.Target = "writing", 40, 15, "b"
			s.Last = evidence.Outcome{Result: "reverted", Reason: "health-failed", Sequence: 13}
		}))
		f(stranger.Topic("status"), stranger.Status(t, nil))
		f(liar.Topic("status"), liar.Status(t, nil))
		// Longer than any document, too: it must not keep the others from being seen.
		f("ratchet/v1/device/gw-garbage/status", append([]byte("\x1b[2Jgarbage"), make([]byte, 1<<20)...))
		f("ratchet/v1/device/gw-garbage/presence", []byte("\x1b]0;owned\x07"))
	}
}

func TestWatchOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t, "", nil)
	dir := newDesk(t, s.url())
	_, _, _, _, say := town(t, dir)
	say(func(topic string, body []byte) { s.put(t, topic, body, true) })
	out, _ := do(t, 0, "watch", "--dir", dir, "--once")
	want := `DEVICE       SLOT  VERSION  PHASE             LAST UPDATE                 ONLINE  EVIDENCE  SIGNED
gw-busy      a     1.3.0    writing 40% (15)  reverted 13: health-failed  no      1         verified
gw-garbage   -     -        -                 -                           -       -         no-status
gw-good      a     1.3.0    idle              updated 14                  yes     5         verified
gw-liar      -     -        -                 -                           -       -         bad-signature
gw-stranger  a     1.3.0    idle              -                           -       1         unverified
5 devices: 1 updated, 0 failed, 0 reverted, 1 in progress, 0 waiting; 4 silent, 3 unverified; 3 messages ignored
`
	if out != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
	if strings.ContainsAny(out, "\x1b\x07") {
		t.Errorf("escape sequences reach the terminal: %q", out)
	}
	out, _ = do(t, 0, "watch", "--dir", dir, "--once", "--json")
	var all struct {
		Schema  int
		Devices []fleet.View
		Totals  fleet.Totals
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil || all.Schema != 1 || len(all.Devices) != 5 ||
		all.Totals.InProgress != 1 {
		t.Errorf("JSON: %v\n%s", err, out)
	}
	if v := all.Devices[2]; v.Device != "gw-good" || v.Last.Sequence != 14 || v.Trust != fleet.TrustVerified ||
		v.Evidence != 5 || v.Presence != "online" {
		t.Errorf("gw-good is %+v", v)
	}
}

// output collects what a verb writes while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// background runs a verb until the test stops it.
func background(t *testing.T, args ...string) (out *output, stop func() int) {
	t.Helper()
	out = &output{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int, 1)
	go func() { done <- run(ctx, args, strings.NewReader(""), out, out) }()
	var once sync.Once
	code := 0
	stop = func() int {
		once.Do(func() {
			cancel()
			select {
			case code = <-done:
			case <-time.After(20 * time.Second):
				t.Errorf("%v does not end", args)
			}
		})
		return code
	}
	t.Cleanup(func() { stop() })
	return out, stop
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func TestWatchFollows(t *testing.T) {
	t.Parallel()
	s := newServer(t, "", nil)
	dir := newDesk(t, s.url())
	good, _, _, _, say := town(t, dir)
	plain, stopPlain := background(t, "watch", "--dir", dir)
	lines, stopJSON := background(t, "watch", "--dir", dir, "--json")
	for _, o := range []*output{plain, lines} {
		until(t, "subscriptions", func() bool { return strings.Contains(o.String(), "connected to") })
	}
	say(func(topic string, body []byte) { s.put(t, topic, body, false) })
	s.put(t, good.Topic("evidence"), good.Records[4], false)
	until(t, "plain lines", func() bool { return strings.Count(plain.String(), "\n") >= 5 })
	until(t, "JSON lines", func() bool {
		return strings.Contains(lines.String(), "phase idle") || strings.Count(lines.String(), "\n") >= 5
	})
	if code := stopPlain(); code != 0 {
		t.Errorf("interrupted: exit %d", code)
	}
	stopJSON()
	contains(t, plain.String(), "gw-good  slot a  1.3.0  idle  last updated 14  online yes  evidence 5  verified")
	for _, l := range strings.Split(strings.TrimSpace(lines.String()), "\n")[1:] {
		var v struct {
			Schema int
			fleet.View
		}
		if err := json.Unmarshal([]byte(l), &v); err != nil || v.Schema != 1 || v.Device == "" {
			t.Errorf("line %q: %v", l, err)
		}
	}
}
