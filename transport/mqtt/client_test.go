package mqtt_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/mqtt"
	"github.com/ratchet-ota/ratchet/transport/secure"
	"github.com/ratchet-ota/ratchet/transport/transporttest"
)

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(context.WithoutCancel(t.Context()))
}

const (
	channelTopic  = "ratchet/v1/offer/stable"
	offerTopic    = "ratchet/v1/device/gateway-0001/offer"
	resendTopic   = "ratchet/v1/device/gateway-0001/resend"
	statusTopic   = "ratchet/v1/device/gateway-0001/status"
	evidenceTopic = "ratchet/v1/device/gateway-0001/evidence"
	presenceTopic = "ratchet/v1/device/gateway-0001/presence"
)

func TestConformance(t *testing.T) {
	transporttest.Link(t, func(t *testing.T) transporttest.LinkRig {
		b := newBroker(t, nil)
		c := run(t, b.options())
		return transporttest.LinkRig{
			Inbox: c, Outbox: c, Desk: b.desk, Online: online(c),
			Deliver: func(k transport.Kind, body []byte) {
				if k == transport.Resend {
					b.publish(t, resendTopic, body, false)
				} else {
					b.publish(t, channelTopic, body, true)
				}
			},
			Break: b.stop,
			Mend:  func() { b.start(t) },
		}
	})
}

func TestTopics(t *testing.T) {
	b := newBroker(t, nil)
	b.publish(t, channelTopic, []byte("for all"), true)
	b.publish(t, offerTopic, []byte("for one"), true)
	b.publish(t, "ratchet/v1/device/gateway-0002/offer", []byte("for another"), true)
	b.publish(t, "ratchet/v1/offer/beta", []byte("for others"), true)
	c := run(t, b.options())
	got := map[string]string{}
	for range 2 {
		m := <-c.Messages()
		got[m.Origin] = string(m.Body)
	}
	if got["mqtt:"+channelTopic] != "for all" || got["mqtt:"+offerTopic] != "for one" {
		t.Errorf("received %v", got)
	}
	select {
	case m := <-c.Messages():
		t.Errorf("received %q from %s", m.Body, m.Origin)
	case <-time.After(50 * time.Millisecond):
	}
	if err := c.Send(t.Context(), transport.Message{Kind: transport.Status, Body: []byte("fine")}); err != nil {
		t.Fatal(err)
	}
	if err := c.Send(t.Context(), transport.Message{Kind: transport.Evidence, Body: []byte("record")}); err != nil {
		t.Fatal(err)
	}
	if err := c.Send(t.Context(), transport.Message{Kind: transport.Report, Body: []byte("report")}); err != nil {
		t.Fatal(err)
	}
	if s := b.retained("ratchet/v1/device/gateway-0001/report"); s != "report" {
		t.Errorf("retained report is %q", s)
	}
	if s := b.retained(statusTopic); s != "fine" {
		t.Errorf("retained status is %q", s)
	}
	if s := b.retained(evidenceTopic); s != "" {
		t.Errorf("evidence is retained: %q", s)
	}
}

func TestDeviceWithoutChannel(t *testing.T) {
	b := newBroker(t, nil)
	o := b.options()
	o.Channel = ""
	c := run(t, o)
	until(t, "online", online(c))
	b.publish(t, channelTopic, []byte("for all"), true)
	b.publish(t, offerTopic, []byte("for one"), true)
	if m := <-c.Messages(); string(m.Body) != "for one" {
		t.Errorf("received %q from %s", m.Body, m.Origin)
	}
}

func TestPresence(t *testing.T) {
	b := newBroker(t, nil)
	c, err := mqtt.New(b.options())
	if err != nil {
		t.Fatal(err)
	}
	stop := start(t, c)
	until(t, "online is retained", func() bool { return b.retained(presenceTopic) == "online" })
	select {
	case <-c.Connects():
	case <-time.After(5 * time.Second):
		t.Error("Connects does not tell of the connection")
	}

	// A connection that is cut: the broker publishes the will, the client comes back.
	if _, ok := b.server.Clients.Get("gateway-0001"); !ok {
		t.Error("client id is not the device id")
	}
	b.cut()
	select {
	case <-c.Connects():
	case <-time.After(5 * time.Second):
		t.Fatal("client does not come back")
	}
	until(t, "online again", func() bool { return b.retained(presenceTopic) == "online" })

	stop()
	if s := b.retained(presenceTopic); s != "offline" {
		t.Errorf("presence is %q after Run ended", s)
	}
	if on, _ := c.Online(); on {
		t.Error("online after Run ended")
	}
	status := transport.Message{Kind: transport.Status, Body: []byte("x")}
	if err := c.Send(t.Context(), status); !errors.Is(err, transport.ErrOffline) {
		t.Errorf("send after Run ended: %v", err)
	}
}

func TestWill(t *testing.T) {
	b := newBroker(t, nil)
	o := b.options()
	c := run(t, o)
	until(t, "online", func() bool { return b.retained(presenceTopic) == "online" })
	b.access.mu.Lock()
	b.access.admit = func(string, string) bool { return false } // it cannot come back
	b.access.mu.Unlock()
	b.cut()
	until(t, "the will is retained", func() bool { return b.retained(presenceTopic) == "offline" })
	until(t, "client knows", func() bool { return !online(c)() })
	_, since := c.Online()
	if d := time.Since(since); d < 0 || d > 10*time.Second {
		t.Errorf("offline since %v ago", d)
	}
}

func TestCredentials(t *testing.T) {
	b := newBroker(t, nil)
	var log lines
	o := b.options()
	o.Logger = log.logger()
	o.Username = "gateway-0001"
	calls := 0
	o.Password = func() ([]byte, error) {
		calls++
		switch calls {
		case 1:
			return nil, errors.New("secret store is locked")
		case 2:
			return []byte("old"), nil
		}
		return []byte("new"), nil // rotated meanwhile
	}
	b.access.admit = func(u, p string) bool { return u == "gateway-0001" && p == "new" }
	c := run(t, o)
	until(t, "online with the rotated password", online(c))
	for _, want := range []string{"secret store is locked", "does not admit this device"} {
		if !log.has(want)() {
			t.Errorf("log does not say %q:\n%s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "old") {
		t.Error("the password is in the log")
	}
}

func TestSubscriptionRefused(t *testing.T) {
	b := newBroker(t, nil)
	b.access.set(func(topic string, write bool) bool { return !write && topic == channelTopic })
	var log lines
	o := b.options()
	o.Logger = log.logger()
	c := run(t, o)
	until(t, "the refusal is said", log.has("subscription refused"))
	if !log.has("topic="+channelTopic)() || log.has("topic="+offerTopic)() {
		t.Errorf("log names the wrong topic:\n%s", log.String())
	}
	until(t, "online all the same", online(c))
	if err := c.Send(t.Context(), transport.Message{Kind: transport.Status, Body: []byte("alive")}); err != nil {
		t.Error(err)
	}
	b.publish(t, offerTopic, []byte("for one"), true)
	if m := <-c.Messages(); string(m.Body) != "for one" {
		t.Errorf("received %q", m.Body)
	}
}

// A broker that is full of retained documents, and one that floods: what waits is one message per
// topic, however many came.
func TestFlood(t *testing.T) {
	b := newBroker(t, nil)
	c := run(t, b.options())
	until(t, "online", online(c))
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	body := make([]byte, transport.MaxMessage)
	const n = 500 // 32 MiB
	for i := range n {
		copy(body, fmt.Sprintf("%08d", i))
		for _, topic := range []string{channelTopic, offerTopic} {
			b.publish(t, topic, append([]byte(nil), body...), true)
		}
		for atomic.LoadInt64(&b.server.Info.MessagesSent) < int64(2*i-100) { // do not let the broker's own queue grow
			time.Sleep(time.Millisecond)
		}
	}
	// The router is never held up: a request that comes after the flood gets through.
	b.publish(t, resendTopic, []byte{1}, false)
	seen := map[string]string{}
	for seen["mqtt:"+resendTopic] == "" {
		m := <-c.Messages()
		seen[m.Origin] = string(m.Body[:min(8, len(m.Body))])
	}
	for _, topic := range []string{channelTopic, offerTopic} {
		if want := fmt.Sprintf("%08d", n-1); seen["mqtt:"+topic] != want {
			t.Errorf("%s: %q, want the newest %q", topic, seen["mqtt:"+topic], want)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("heap grew by %d KiB after %d MiB of offers", grown>>10, n*2*len(body)>>20)
	}
}

// Something newer that comes while the older is handed over stays.
func TestMailbox(t *testing.T) {
	m := mqtt.NewMailbox()
	for i, step := range []struct {
		put   int
		body  string
		taken bool
		want  string
	}{
		{0, "a1", false, "a1"},
		{1, "b1", false, "a1"},
		{0, "a2", true, "b1"}, // a1 has been taken, a2 stays; b1 has waited longer
		{1, "b2", false, "a2"},
		{1, "b3", true, "b3"},
		{0, "a3", true, "a3"},
		{0, "a4", true, "a4"},
	} {
		m.Put(step.put, step.body)
		if step.taken {
			m.Taken()
		}
		if got := m.Oldest(); got != step.want {
			t.Errorf("step %d: %q is next, want %q", i, got, step.want)
		}
	}
	if m.Taken(); m.Oldest() != "" {
		t.Error("something is left")
	}
}

func TestTooLarge(t *testing.T) {
	b := newBroker(t, nil)
	var log lines
	o := b.options()
	o.Logger = log.logger()
	c := run(t, o)
	until(t, "online", online(c))
	b.publish(t, channelTopic, make([]byte, transport.MaxMessage+1), true)
	b.publish(t, resendTopic, []byte{1}, false)
	if m := <-c.Messages(); m.Kind != transport.Resend {
		t.Errorf("received %d bytes", len(m.Body))
	}
	if !log.has("too large")() || !online(c)() {
		t.Errorf("online %v, log: %s", online(c)(), log.String())
	}
}

func TestRestarts(t *testing.T) {
	b := newBroker(t, nil)
	c := run(t, b.options())
	b.publish(t, channelTopic, []byte("kept"), true)
	goroutines := 0
	for i := range 5 {
		until(t, "online", online(c))
		if m := <-c.Messages(); string(m.Body) != "kept" {
			t.Errorf("received %q", m.Body)
		}
		if err := c.Send(t.Context(), transport.Message{Kind: transport.Evidence, Body: []byte("x")}); err != nil {
			t.Error(err)
		}
		if err := c.Trouble(); err != nil {
			t.Errorf("there is a connection, and trouble: %v", err)
		}
		b.stop()
		until(t, "offline, and it is known why", func() bool { return !online(c)() && c.Trouble() != nil })
		b.start(t)
		if n := runtime.NumGoroutine(); i == 0 {
			goroutines = n
		} else if i == 4 && n > goroutines+10 {
			t.Errorf("%d goroutines after five restarts, %d after one", n, goroutines)
		}
	}
}

func TestRunTwice(t *testing.T) {
	b := newBroker(t, nil)
	c := run(t, b.options())
	until(t, "online", online(c))
	if err := c.Run(t.Context()); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("second Run: %v", err)
	}
}

func TestTLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	server := &tls.Config{
		Certificates: []tls.Certificate{ca.issue(t, "broker")},
		ClientCAs:    ca.pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}
	b := newBroker(t, server)
	t.Run("Certificate", func(t *testing.T) {
		o := b.options()
		o.TLS = secure.Fixed(ca.client(t, "gateway-0001"))
		c := run(t, o)
		until(t, "online", online(c))
		b.publish(t, channelTopic, []byte("secret"), true)
		if m := <-c.Messages(); string(m.Body) != "secret" {
			t.Errorf("received %q", m.Body)
		}
	})
	t.Run("Renewed", func(t *testing.T) {
		o := b.options()
		var asked atomic.Int32
		o.TLS = func() (*tls.Config, error) {
			switch asked.Add(1) {
			case 1:
				return nil, errors.New("no certificate yet")
			case 2:
				return other.client(t, "gateway-0001"), nil
			}
			return ca.client(t, "gateway-0001"), nil
		}
		c := run(t, o)
		until(t, "online with the certificate of the third connection", online(c))
	})
	old := newBroker(t, &tls.Config{Certificates: server.Certificates, MaxVersion: tls.VersionTLS12})
	for name, tc := range map[string]struct {
		broker *broker
		config *tls.Config
		want   string
	}{
		"NoCertificate": {b, ca.client(t, ""), "certificate required"},
		"WrongCertificate": {b, &tls.Config{RootCAs: ca.pool,
			Certificates: []tls.Certificate{other.issue(t, "gateway-0001")}}, "connection ended before"},
		"WrongServer": {b, other.client(t, "gateway-0001"), "unknown authority"},
		"WrongName":   {b, &tls.Config{RootCAs: ca.pool, ServerName: "broker.example.com"}, "valid for"},
		"Insecure":    {b, &tls.Config{InsecureSkipVerify: true}, "without verifying"},
		"TLS12":       {old, ca.client(t, ""), "protocol version"},
		"Expired": {b, &tls.Config{RootCAs: ca.pool, Time: func() time.Time { return time.Unix(0, 0) }},
			"not yet valid"},
	} {
		t.Run(name, func(t *testing.T) {
			var log lines
			o := tc.broker.options()
			o.TLS, o.Logger = secure.Fixed(tc.config), log.logger()
			c := run(t, o)
			until(t, "the log says "+tc.want, log.has(tc.want))
			if online(c)() {
				t.Error("online")
			}
		})
	}
}
