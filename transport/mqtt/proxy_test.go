package mqtt_test

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/ratchet-ota/ratchet/transport/mqtt"
	"github.com/ratchet-ota/ratchet/transport/proxy"
	"github.com/ratchet-ota/ratchet/transport/secure"
	"github.com/ratchet-ota/ratchet/transport/transporttest"
)

// said collects a log, written while it is read.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// The broker is reached through the proxy, whose name it resolves; TLS is with the broker. What the proxy says instead
// of making a tunnel is logged, and tried again until it makes one.
func TestProxy(t *testing.T) {
	ca := newAuthority(t)
	b := newBroker(t, &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "broker")}})
	through := transporttest.NewProxy(t, false)
	through.Hosts["broker.example:8883"], through.User = b.address, "gateway:first"
	var mu sync.Mutex
	password := "late"
	p, err := proxy.New(proxy.Options{URL: through.URL, Username: "gateway", Password: func() ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		return []byte(password), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	o := b.options()
	var log said
	o.Broker, o.Proxy, o.Logger = "mqtts://broker.example", p, slog.New(slog.NewTextHandler(&log, nil))
	config := ca.client(t, "gateway-0001")
	config.ServerName = "127.0.0.1"
	o.TLS = secure.Fixed(config)
	c := run(t, o)
	until(t, "the refusal is logged", func() bool { return strings.Contains(log.String(), "password (407)") })
	mu.Lock()
	password = "first"
	mu.Unlock()
	until(t, "online", online(c))
	b.publish(t, channelTopic, []byte("for all"), true)
	if m := <-c.Messages(); string(m.Body) != "for all" {
		t.Errorf("received %q", m.Body)
	}
	for _, target := range through.Seen() {
		if target != "broker.example:8883" {
			t.Errorf("a tunnel to %s", target)
		}
	}
}

// Without TLS too, and past the proxy where the list says so.
func TestNoProxy(t *testing.T) {
	b := newBroker(t, nil)
	through := transporttest.NewProxy(t, false)
	through.Hosts["broker.example:1883"] = b.address
	for broker, want := range map[string]int{"mqtt://broker.example": 1, "mqtt://" + b.address: 0} {
		p, err := proxy.New(proxy.Options{URL: through.URL}) // this machine's addresses never go through it
		if err != nil {
			t.Fatal(err)
		}
		o := b.options()
		o.Broker, o.Proxy = broker, p
		before := len(through.Seen())
		c, err := mqtt.New(o)
		if err != nil {
			t.Fatal(err)
		}
		stop := start(t, c)
		until(t, "online", online(c))
		stop()
		if got := len(through.Seen()) - before; got != want {
			t.Errorf("%s: %d tunnels, want %d", broker, got, want)
		}
	}
}
