package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/broker"
	"github.com/ratchet-ota/ratchet/cmd/internal/fleet"
)

// town is a fleet of enrolled gadgets and strangers.
func town(t *testing.T, dir string) (good, busy, stranger, liar *gadget, say func(f func(topic string, body []byte))) {
	good, busy, stranger, liar = newGadget(t, "gw-good"), newGadget(t, "gw-busy"), newGadget(t, "gw-stranger"), newGadget(t, "gw-liar")
	good.enroll(t, dir)
	busy.enroll(t, dir)
	newGadget(t, "gw-liar").enroll(t, dir) // another key
	good.live(t, 4)
	return good, busy, stranger, liar, func(f func(string, []byte)) {
		f(good.topic("presence"), []byte("online"))
		f(good.topic("status"), good.status(t, func(s *evidence.Status) {
			s.Last = evidence.Outcome{Result: "updated", Sequence: 14, Time: s.Wall}
		}))
		f(busy.topic("presence"), []byte("offline"))
		f(busy.topic("status"), busy.status(t, func(s *evidence.Status) {
			s.Phase, s.Progress, s.Sequence, s.Target = "writing", 40, 15, "b"
			s.Last = evidence.Outcome{Result: "reverted", Reason: "health-failed", Sequence: 13}
		}))
		f(stranger.topic("status"), stranger.status(t, nil))
		f(liar.topic("status"), liar.status(t, nil))
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
	if err := json.Unmarshal([]byte(out), &all); err != nil || all.Schema != 1 || len(all.Devices) != 5 || all.Totals.InProgress != 1 {
		t.Errorf("JSON: %v\n%s", err, out)
	}
	if v := all.Devices[2]; v.Device != "gw-good" || v.Last.Sequence != 14 || v.Trust != fleet.TrustVerified || v.Evidence != 5 || v.Presence != "online" {
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
	s.put(t, good.topic("evidence"), good.records[4], false)
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

func TestFleetKeepsTheNewest(t *testing.T) {
	g := newGadget(t, "gw-1")
	keys, err := trust.NewKeys([]trust.Key{g.signer.Key()}, false)
	if err != nil {
		t.Fatal(err)
	}
	known := false
	f := fleet.New(func(string) (trust.Keys, bool, error) { return keys, known, nil })
	old := g.status(t, func(s *evidence.Status) { s.Version = "1.0.0" })
	f.Take(broker.Post{Topic: g.topic("status"), Body: old})
	if v := f.Views()[0]; v.Trust != fleet.TrustUnverified || v.Version != "1.0.0" {
		t.Errorf("before it is enrolled: %+v", v)
	}
	known = true
	f.Take(broker.Post{Topic: g.topic("status"), Body: old})
	g.live(t, 3)
	f.Take(broker.Post{Topic: g.topic("status"), Body: g.status(t, nil)})
	f.Take(broker.Post{Topic: g.topic("status"), Body: old}) // replayed
	f.Take(broker.Post{Topic: g.topic("status"), Body: g.status(t, func(s *evidence.Status) { s.Uptime, s.Version = time.Second, "0.1.0" })})
	// Of another device, which has the same key.
	f.Take(broker.Post{Topic: "ratchet/v1/device/gw-2/status", Body: old})
	f.Take(broker.Post{Topic: "ratchet/v1/device/gw-2/evidence", Body: g.records[1]})
	liar := newGadget(t, "gw-1")
	liar.live(t, 9)
	f.Take(broker.Post{Topic: g.topic("status"), Body: liar.status(t, nil)})
	f.Take(broker.Post{Topic: g.topic("evidence"), Body: liar.records[5]})
	v := f.Views()[0]
	if v.Version != "1.3.0" || v.Trust != fleet.TrustVerified || v.Evidence != 4 || v.Rejected != 4 {
		t.Errorf("%+v", v)
	}
	if v := f.Views()[1]; v.Trust != fleet.TrustBad || v.Version != "" || v.Evidence != 0 || v.Rejected != 2 {
		t.Errorf("messages of gw-1 on the topic of gw-2: %+v", v)
	}
	f.Take(broker.Post{Topic: g.topic("evidence"), Body: g.records[2]})
	g.live(t, 2)
	f.Take(broker.Post{Topic: g.topic("evidence"), Body: g.records[5]})
	if v := f.Views()[0]; v.Evidence != 6 || !strings.Contains(v.Event, "idle -> preparing slot=b") {
		t.Errorf("%+v", v)
	}
}

// forged is a status with hostile texts that nobody signed.
func forged(t testing.TB, id string) []byte {
	t.Helper()
	const evil = "\x1b]0;owned\x07\x1b[2J\u202e\u0085\u009b2J"
	payload, err := cbor.Marshal(map[int]any{1: 1, 2: id, 3: evil, 4: evil, 5: evil, 6: evil, 7: evil, 8: 7,
		10: []any{evil, evil, 1, uint64(1) << 60}, 11: evil, 12: []any{make([]byte, 16), 3, make([]byte, 32)}, 13: uint64(1) << 63, 14: evil, 17: evil})
	if err != nil {
		t.Fatal(err)
	}
	msg, err := cbor.Marshal(cbor.Tag{Number: 18, Content: []any{[]byte{}, map[int]any{}, payload, []byte{1}}})
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

func TestUnverifiedTextIsHarmless(t *testing.T) {
	f := fleet.New(func(string) (trust.Keys, bool, error) { return trust.Keys{}, false, nil })
	f.Take(broker.Post{Topic: "ratchet/v1/device/gw-1/status", Body: forged(t, "gw-1")})
	v := f.Views()[0]
	if v.Trust != fleet.TrustUnverified || v.Evidence != 3 || v.Sequence != 7 || v.Time != nil {
		t.Fatalf("%+v", v)
	}
	shown, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(shown)} {
		for _, r := range text {
			if !quiet(r) {
				t.Errorf("%q reaches the terminal in %q", r, text)
			}
		}
	}
	if strings.Contains(string(shown), "u001b") {
		t.Errorf("escape sequences are kept in JSON: %s", shown)
	}
}

func FuzzFleet(f *testing.F) {
	signer, err := trust.Generate(trust.Ed25519)
	if err != nil {
		f.Fatal(err)
	}
	st, err := evidence.SignStatus(evidence.Status{Device: "gw-1", Phase: "idle", Last: evidence.Outcome{Result: "updated"}, Head: evidence.Head{Seq: 3}}, signer)
	if err != nil {
		f.Fatal(err)
	}
	rec, _, err := evidence.Begin("gw-1", [16]byte{1}, "", nil, evidence.Stamp{})
	if err != nil {
		f.Fatal(err)
	}
	msg, err := evidence.Sign(rec, signer)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("ratchet/v1/device/gw-1/status", st)
	f.Add("ratchet/v1/device/gw-1/evidence", msg)
	f.Add("ratchet/v1/device/gw-1/presence", []byte("online"))
	f.Add("ratchet/v1/device/\x1b[2J/status", []byte("\x1b[2J"))
	f.Add("ratchet/v1/device/gw-1/status", forged(f, "gw-1"))
	keys, err := trust.NewKeys([]trust.Key{signer.Key()}, false)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, topic string, body []byte) {
		for _, known := range []bool{true, false} {
			fl := fleet.New(func(string) (trust.Keys, bool, error) { return keys, known, nil })
			fl.Take(broker.Post{Topic: topic, Body: body})
			fl.Take(broker.Post{Topic: topic, Body: body})
			shown, err := json.Marshal(fl.News())
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range string(shown) {
				if !quiet(r) {
					t.Fatalf("%q reaches the terminal in %s", r, shown)
				}
			}
		}
	})
}
