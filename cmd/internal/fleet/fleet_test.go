package fleet_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ratchet-ota/ratchet/cmd/internal/screen"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/broker"
	"github.com/ratchet-ota/ratchet/cmd/internal/fleet"
	"github.com/ratchet-ota/ratchet/cmd/internal/fleet/fleettest"
)

func TestFleetKeepsTheNewest(t *testing.T) {
	g := fleettest.New(t, "gw-1")
	keys, err := trust.NewKeys([]trust.Key{g.Signer.Key()}, false)
	if err != nil {
		t.Fatal(err)
	}
	known := false
	f := fleet.New(func(string) (trust.Keys, bool, error) { return keys, known, nil })
	old := g.Status(t, func(s *evidence.Status) { s.Version = "1.0.0" })
	f.Take(broker.Post{Topic: g.Topic("status"), Body: old})
	if v := f.Views()[0]; v.Trust != fleet.TrustUnverified || v.Version != "1.0.0" {
		t.Errorf("before it is enrolled: %+v", v)
	}
	known = true
	f.Take(broker.Post{Topic: g.Topic("status"), Body: old})
	g.Live(t, 3)
	f.Take(broker.Post{Topic: g.Topic("status"), Body: g.Status(t, nil)})
	f.Take(broker.Post{Topic: g.Topic("status"), Body: old}) // replayed
	f.Take(broker.Post{Topic: g.Topic("status"),
		Body: g.Status(t, func(s *evidence.Status) { s.Uptime, s.Version = time.Second, "0.1.0" })})
	// Of another device, which has the same key.
	f.Take(broker.Post{Topic: "ratchet/v1/device/gw-2/status", Body: old})
	f.Take(broker.Post{Topic: "ratchet/v1/device/gw-2/evidence", Body: g.Records[1]})
	liar := fleettest.New(t, "gw-1")
	liar.Live(t, 9)
	f.Take(broker.Post{Topic: g.Topic("status"), Body: liar.Status(t, nil)})
	f.Take(broker.Post{Topic: g.Topic("evidence"), Body: liar.Records[5]})
	v := f.Views()[0]
	if v.Version != "1.3.0" || v.Trust != fleet.TrustVerified || v.Evidence != 4 || v.Rejected != 4 {
		t.Errorf("%+v", v)
	}
	if v := f.Views()[1]; v.Trust != fleet.TrustBad || v.Version != "" || v.Evidence != 0 || v.Rejected != 2 {
		t.Errorf("messages of gw-1 on the topic of gw-2: %+v", v)
	}
	f.Take(broker.Post{Topic: g.Topic("evidence"), Body: g.Records[2]})
	g.Live(t, 2)
	f.Take(broker.Post{Topic: g.Topic("evidence"), Body: g.Records[5]})
	if v := f.Views()[0]; v.Evidence != 6 || !strings.Contains(v.Event, "idle -> preparing slot=b") {
		t.Errorf("%+v", v)
	}
}

func TestUnverifiedTextIsHarmless(t *testing.T) {
	f := fleet.New(func(string) (trust.Keys, bool, error) { return trust.Keys{}, false, nil })
	f.Take(broker.Post{Topic: "ratchet/v1/device/gw-1/status", Body: fleettest.Forged(t, "gw-1")})
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
			if r != utf8.RuneError && !screen.Harmless(r) {
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
	st, err := evidence.SignStatus(evidence.Status{Device: "gw-1", Phase: "idle",
		Last: evidence.Outcome{Result: "updated"}, Head: evidence.Head{Seq: 3}}, signer)
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
	f.Add("ratchet/v1/device/gw-1/status", fleettest.Forged(f, "gw-1"))
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
				if r != utf8.RuneError && !screen.Harmless(r) {
					t.Fatalf("%q reaches the terminal in %s", r, shown)
				}
			}
		}
	})
}
