package intake_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/intake"
	"github.com/ratchet-ota/ratchet/transport"
)

// TestKeptMessages: what cannot be read now is kept, one message of an origin, the newest, and so many in all. Roots
// come one by one: of them only the same again takes the place of another.
func TestKeptMessages(t *testing.T) {
	d := newDevice(t)
	keep := func(kind transport.Kind, origin string, n int) {
		d.in.Keep(transport.Message{Kind: kind, Origin: origin, Body: fmt.Append(nil, n)})
	}
	for n := range 1000 {
		keep(transport.Offer, "one topic", n)
		keep(transport.Plan, "plan", n)
		keep(transport.Root, "roots", n%3)
	}
	d.in.Keep(transport.Message{Kind: transport.Offer, Origin: "emptied"})
	docs := d.in.MissedDocuments()
	plan := slices.IndexFunc(docs, func(m transport.Message) bool { return m.Kind == transport.Plan })
	if len(docs) != 4 || plan < 0 || string(docs[plan].Body) != "999" {
		t.Errorf("documents: %+v", docs)
	}
	if m, ok := d.in.Missed(); !ok || string(m.Body) != "999" || m.Kind != transport.Offer {
		t.Errorf("the offer: %+v, %v", m, ok)
	}
	if m, ok := d.in.Missed(); ok {
		t.Errorf("something else: %+v", m)
	}
	for n := range 100 {
		keep(transport.Offer, fmt.Sprint(n), n)
	}
	n := 0
	for m, ok := d.in.Missed(); ok; m, ok = d.in.Missed() {
		if n++; string(m.Body) != fmt.Sprint(100-intake.MaxMissed+n-1) {
			t.Errorf("offer %d: %s", n, m.Body)
		}
	}
	if n != intake.MaxMissed {
		t.Errorf("%d offers are kept, want %d", n, intake.MaxMissed)
	}
}
