package transporttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
)

// patience is how long a message may take on one machine.
const patience = 10 * time.Second

// LinkRig is a device's end of a control plane and the desk at its other end.
type LinkRig struct {
	Inbox   transport.Inbox
	Outbox  transport.Outbox
	Online  func() bool                            // the device's own view
	Deliver func(kind transport.Kind, body []byte) // the desk sends; an Offer is retained
	Desk    <-chan transport.Message               // what the desk receives: Kind and Body
	Break   func()                                 // the other side goes away
	Mend    func()                                 // and comes back, retained documents included
}

// Link runs the suite; open makes a fresh rig whose device is online, or will be shortly.
func Link(t *testing.T, open func(t *testing.T) LinkRig) {
	t.Run("Offer", func(t *testing.T) {
		r := open(t)
		r.Deliver(transport.Offer, []byte("one"))
		m := receive(t, r.Inbox)
		if m.Kind != transport.Offer || string(m.Body) != "one" || m.Origin == "" {
			t.Errorf("received %v %q from %q", m.Kind, m.Body, m.Origin)
		}
	})
	t.Run("Resend", func(t *testing.T) {
		r := open(t)
		online(t, r, true)
		r.Deliver(transport.Resend, []byte{7})
		if m := receive(t, r.Inbox); m.Kind != transport.Resend || !bytes.Equal(m.Body, []byte{7}) {
			t.Errorf("received %v %x", m.Kind, m.Body)
		}
	})
	t.Run("NewestOfferWins", func(t *testing.T) {
		r := open(t)
		online(t, r, true)
		const last = 200
		for i := range last + 1 {
			r.Deliver(transport.Offer, fmt.Appendf(nil, "offer %d", i))
		}
		time.Sleep(300 * time.Millisecond) // all are on this side of the wire now
		// Nobody has received yet. The newest must come, few older ones may come before it.
		seen := 0
		for want := fmt.Sprintf("offer %d", last); string(receive(t, r.Inbox).Body) != want; {
			if seen++; seen > last/10 {
				t.Fatal("older offers are queued")
			}
		}
	})
	t.Run("EmptyOfferMeansNothing", func(t *testing.T) {
		r := open(t)
		online(t, r, true)
		r.Deliver(transport.Offer, nil)
		r.Deliver(transport.Resend, []byte{1})
		if m := receive(t, r.Inbox); m.Kind != transport.Resend {
			t.Errorf("received %v %q for an empty offer", m.Kind, m.Body)
		}
	})
	t.Run("Largest", func(t *testing.T) {
		r := open(t)
		online(t, r, true)
		big := bytes.Repeat([]byte{0xa5}, transport.MaxMessage)
		r.Deliver(transport.Offer, big)
		if m := receive(t, r.Inbox); !bytes.Equal(m.Body, big) {
			t.Errorf("received %d bytes, want %d", len(m.Body), len(big))
		}
		send(t, r.Outbox, transport.Message{Kind: transport.Evidence, Seq: 1, Body: big})
		if m := atDesk(t, r); !bytes.Equal(m.Body, big) {
			t.Errorf("desk received %d bytes, want %d", len(m.Body), len(big))
		}
	})
	t.Run("Send", func(t *testing.T) {
		r := open(t)
		online(t, r, true)
		for i := range uint64(20) {
			send(t, r.Outbox,
				transport.Message{Kind: transport.Evidence, Seq: i + 1, Body: fmt.Appendf(nil, "record %d", i)})
		}
		for i := range 20 { // one after the other: they arrive in order
			if m, want := atDesk(t, r), fmt.Sprintf("record %d", i); m.Kind != transport.Evidence ||
				string(m.Body) != want {
				t.Fatalf("desk received %v %q, want %q", m.Kind, m.Body, want)
			}
		}
		send(t, r.Outbox, transport.Message{Kind: transport.Status, Body: []byte("all is well")})
		if m := atDesk(t, r); m.Kind != transport.Status || string(m.Body) != "all is well" {
			t.Errorf("desk received %v %q", m.Kind, m.Body)
		}
	})
	t.Run("SendTogether", func(t *testing.T) {
		r := open(t)
		online(t, r, true)
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				send(t, r.Outbox, transport.Message{Kind: transport.Evidence, Body: fmt.Appendf(nil, "%d", i)})
			})
		}
		got := map[string]bool{}
		for range 50 {
			got[string(atDesk(t, r).Body)] = true
		}
		wg.Wait()
		if len(got) != 50 {
			t.Errorf("desk received %d different records, want 50", len(got))
		}
	})
	t.Run("CannotSend", func(t *testing.T) {
		r := open(t)
		online(t, r, true)
		for name, m := range map[string]transport.Message{
			"an offer":  {Kind: transport.Offer, Body: []byte("x")},
			"nothing":   {Kind: transport.Status},
			"too much":  {Kind: transport.Evidence, Body: make([]byte, transport.MaxMessage+1)},
			"no kind":   {Body: []byte("x")},
			"a request": {Kind: transport.Resend, Body: []byte("x")},
		} {
			if err := r.Outbox.Send(t.Context(), m); err == nil || errors.Is(err, transport.ErrOffline) {
				t.Errorf("send %s: %v, want an error that is final", name, err)
			}
		}
	})
	t.Run("BrokenAndMended", func(t *testing.T) {
		r := open(t)
		online(t, r, true)
		r.Deliver(transport.Offer, []byte("kept"))
		receive(t, r.Inbox)
		r.Break()
		online(t, r, false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		status := transport.Message{Kind: transport.Status, Body: []byte("x")}
		if err := r.Outbox.Send(ctx, status); !errors.Is(err, transport.ErrOffline) {
			t.Errorf("send while offline: %v, want ErrOffline", err)
		}
		r.Mend()
		online(t, r, true)
		if m := receive(t, r.Inbox); string(m.Body) != "kept" {
			t.Errorf("received %q after the connection came back, want the retained offer again", m.Body)
		}
		send(t, r.Outbox, transport.Message{Kind: transport.Evidence, Body: []byte("after")})
	})
	t.Run("SendCancelled", func(t *testing.T) {
		r := open(t)
		online(t, r, true)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := r.Outbox.Send(ctx, transport.Message{Kind: transport.Status, Body: []byte("x")})
		if err != nil && !errors.Is(err, transport.ErrOffline) {
			t.Errorf("send with a dead context: %v, want nil or ErrOffline", err)
		}
	})
}

func receive(t *testing.T, in transport.Inbox) transport.Message {
	t.Helper()
	select {
	case m := <-in.Messages():
		return m
	case <-time.After(patience):
		t.Fatal("no message came")
		panic("unreachable")
	}
}

func atDesk(t *testing.T, r LinkRig) transport.Message {
	t.Helper()
	select {
	case m := <-r.Desk:
		return m
	case <-time.After(patience):
		t.Fatal("nothing reached the desk")
		panic("unreachable")
	}
}

func send(t *testing.T, out transport.Outbox, m transport.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := out.Send(ctx, m); err != nil {
		t.Errorf("send %v: %v", m.Kind, err)
	}
}

// online waits until the device sees itself as it should.
func online(t *testing.T, r LinkRig, want bool) {
	t.Helper()
	for end := time.Now().Add(patience); r.Online() != want; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("device online: %v, want %v", !want, want)
		}
	}
}
