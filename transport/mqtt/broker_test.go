package mqtt_test

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/mqtt"
)

// fast is a back-off for tests.
var fast = transport.Backoff{Min: 2 * time.Millisecond, Max: 20 * time.Millisecond}

// broker is an embedded MQTT broker on 127.0.0.1 that keeps its retained messages over a restart.
type broker struct {
	address  string
	tls      *tls.Config
	listener net.Listener
	server   *mochi.Server
	access   *access
	desk     chan transport.Message

	serving sync.WaitGroup
	mu      sync.Mutex
	stopped bool
	conns   []net.Conn
}

// access is the broker's access list.
type access struct {
	mochi.HookBase
	mu     sync.Mutex
	refuse func(topic string, write bool) bool
	admit  func(user, password string) bool
}

func (a *access) ID() string { return "access" }
func (a *access) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}
func (a *access) OnConnectAuthenticate(_ *mochi.Client, p packets.Packet) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.admit == nil || a.admit(string(p.Connect.Username), string(p.Connect.Password))
}
func (a *access) OnACLCheck(_ *mochi.Client, topic string, write bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.refuse == nil || !a.refuse(topic, write)
}
func (a *access) set(refuse func(topic string, write bool) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refuse = refuse
}

func newBroker(t *testing.T, config *tls.Config) *broker {
	t.Helper()
	b := &broker{address: "127.0.0.1:0", tls: config, access: &access{}, desk: make(chan transport.Message, 1000)}
	b.start(t)
	t.Cleanup(b.stop)
	return b
}

func (b *broker) start(t *testing.T) {
	t.Helper()
	s := mochi.New(&mochi.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
	if err := s.AddHook(b.access, nil); err != nil {
		t.Fatal(err)
	}
	// The desk subscribes and the retained messages are put back before a client can disturb.
	err := s.Subscribe("ratchet/v1/device/#", 1, func(_ *mochi.Client, _ packets.Subscription, p packets.Packet) {
		m := transport.Message{Origin: p.TopicName, Body: bytes.Clone(p.Payload)}
		switch {
		case strings.HasSuffix(p.TopicName, "/status"):
			m.Kind = transport.Status
		case strings.HasSuffix(p.TopicName, "/evidence"):
			m.Kind = transport.Evidence
		default:
			return
		}
		b.desk <- m
	})
	if err != nil {
		t.Fatal(err)
	}
	if b.server != nil {
		for _, p := range b.server.Topics.Retained.GetAll() {
			s.Topics.RetainMessage(p)
		}
	}
	if err := s.Serve(); err != nil {
		t.Fatal(err)
	}
	b.server = s
	for range 100 { // the port of the broker that was stopped may take a moment
		if b.listener, err = net.Listen("tcp", b.address); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.address, b.stopped = b.listener.Addr().String(), false
	b.serving.Go(b.accept)
}

// accept runs the connections. The broker's own listener would race with its Close.
func (b *broker) accept() {
	for {
		c, err := b.listener.Accept()
		if err != nil {
			return
		}
		if b.tls != nil {
			c = tls.Server(c, b.tls)
		}
		b.mu.Lock()
		if b.stopped {
			c.Close()
		} else {
			b.conns = append(b.conns, c)
			b.serving.Go(func() { _ = b.server.EstablishConnection("tcp", c) })
		}
		b.mu.Unlock()
	}
}

// cut ends all connections, as a network does.
func (b *broker) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.conns {
		c.Close()
	}
	b.conns = nil
}

// stop ends the broker. A second stop does nothing.
func (b *broker) stop() {
	b.mu.Lock()
	again := b.stopped
	b.stopped = true
	b.mu.Unlock()
	if again {
		return
	}
	b.listener.Close()
	b.cut()
	b.serving.Wait()
	_ = b.server.Close()
}

func (b *broker) url() string {
	if b.tls != nil {
		return "mqtts://" + b.address
	}
	return "mqtt://" + b.address
}

func (b *broker) publish(t *testing.T, topic string, body []byte, retain bool) {
	t.Helper()
	if err := b.server.Publish(topic, body, retain, 1); err != nil {
		t.Fatal(err)
	}
}

// retained returns what the broker keeps for a topic.
func (b *broker) retained(topic string) string {
	p, _ := b.server.Topics.Retained.Get(topic)
	return string(p.Payload)
}

// options are those of a device that finds the broker at once.
func (b *broker) options() mqtt.Options {
	return mqtt.Options{Broker: b.url(), AllowPlain: true, DeviceID: "gateway-0001", Channel: "stable", Backoff: fast}
}

// run starts a client and stops it with the test.
func run(t *testing.T, o mqtt.Options) *mqtt.Client {
	t.Helper()
	c, err := mqtt.New(o)
	if err != nil {
		t.Fatal(err)
	}
	start(t, c)
	return c
}

// start runs a client; the function it returns ends it and waits.
func start(t *testing.T, c *mqtt.Client) (stop func()) {
	t.Helper()
	ctx, cancel := contextOf(t)
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err == nil {
					t.Error("Run returned nil, want the context's error")
				}
			case <-time.After(10 * time.Second):
				t.Error("Run does not end with its context")
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func online(c *mqtt.Client) func() bool {
	return func() bool { on, _ := c.Online(); return on }
}

// lines collects a client's log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *lines) has(s string) func() bool {
	return func() bool { return strings.Contains(l.String(), s) }
}
