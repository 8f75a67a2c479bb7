package mqtt_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/mqtt"
)

// script is the broker's side of a connection in a bubble of fake time: it answers CONNECT and
// SUBSCRIBE as a broker does unless told otherwise, and notes what comes.
type script struct {
	mu       sync.Mutex
	dials    []time.Time
	got      []packets.ControlPacket
	greeting []byte // after SUBACK
	codes    func(topics []string) []byte
	hangs    bool // closes after CONNACK
	mute     bool // no PUBACK
	deaf     bool // no PINGRESP
	refuse   func(n int) error
}

func (s *script) dial(context.Context, string, string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials = append(s.dials, time.Now())
	if s.refuse != nil {
		if err := s.refuse(len(s.dials)); err != nil {
			return nil, err
		}
	}
	client, server := net.Pipe()
	go s.serve(server)
	return client, nil
}

func (s *script) serve(c net.Conn) {
	defer c.Close()
	out := make(chan []byte, 64)
	defer close(out)
	go func() { // the client writes while it is written to
		for b := range out {
			if _, err := c.Write(b); err != nil {
				c.Close()
			}
		}
	}()
	for {
		p, err := packets.ReadPacket(c)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.got = append(s.got, p)
		mute, deaf := s.mute, s.deaf
		s.mu.Unlock()
		switch p := p.(type) {
		case *packets.ConnectPacket:
			out <- []byte{0x20, 2, 0, 0}
			if s.hangs {
				time.Sleep(time.Millisecond)
				return
			}
		case *packets.SubscribePacket:
			codes := make([]byte, len(p.Topics))
			if s.codes != nil {
				s.mu.Lock()
				codes = s.codes(p.Topics)
				s.mu.Unlock()
			}
			out <- append([]byte{0x90, byte(2 + len(codes)), byte(p.MessageID >> 8), byte(p.MessageID)}, codes...)
			if s.greeting != nil {
				out <- s.greeting
			}
		case *packets.PublishPacket:
			if !mute {
				out <- []byte{0x40, 2, byte(p.MessageID >> 8), byte(p.MessageID)}
			}
		case *packets.PingreqPacket:
			if !deaf {
				out <- []byte{0xd0, 0}
			}
		}
	}
}

func count[P packets.ControlPacket](s *script) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.got {
		if _, ok := p.(P); ok {
			n++
		}
	}
	return n
}

func (s *script) connections() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.dials)
}

func (s *script) options() mqtt.Options {
	return mqtt.Options{Broker: "mqtt://broker", AllowPlain: true, DeviceID: "gateway-0001",
		Channel: "stable", Dial: s.dial}
}

// bubble runs a client against a script until f returns; synctest then demands that nothing of
// either is left running.
func bubble(t *testing.T, s *script, o mqtt.Options, f func(t *testing.T, c *mqtt.Client)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c, err := mqtt.New(o)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { _ = c.Run(ctx) })
		time.Sleep(mqtt.DefaultBackoffMin) // the first pause, at most
		synctest.Wait()
		f(t, c)
		cancel()
		cancelled := time.Now()
		wg.Wait()
		if d := time.Since(cancelled); d > 3*time.Second {
			t.Errorf("Run ended %v after its context", d)
		}
		time.Sleep(time.Minute) // paho's last timers
	})
}

func TestKeepAlive(t *testing.T) {
	s := &script{}
	bubble(t, s, s.options(), func(t *testing.T, c *mqtt.Client) {
		s.mu.Lock()
		k := s.got[0].(*packets.ConnectPacket).Keepalive
		s.mu.Unlock()
		if k != 300 {
			t.Errorf("CONNECT announces a keep-alive of %d s, want 300", k)
		}
		if !online(c)() {
			t.Fatal("not online")
		}
		time.Sleep(time.Hour)
		if n := count[*packets.PingreqPacket](s); n < 11 || n > 12 {
			t.Errorf("%d pings in an hour, want 12", n)
		}
		// What is sent counts as a sign of life.
		before := count[*packets.PingreqPacket](s)
		for range 15 {
			time.Sleep(4 * time.Minute)
			if err := c.Send(t.Context(), transport.Message{Kind: transport.Status, Body: []byte("x")}); err != nil {
				t.Error(err)
			}
		}
		if n := count[*packets.PingreqPacket](s) - before; n > 1 {
			t.Errorf("%d pings in an hour with a message every four minutes", n)
		}
		before = count[*packets.PingreqPacket](s)
		time.Sleep(time.Hour)
		if n := count[*packets.PingreqPacket](s) - before; n < 11 || n > 12 {
			t.Errorf("%d pings in the hour after, want 12", n)
		}
		if n := len(s.connections()); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

func TestPingUnanswered(t *testing.T) {
	s := &script{deaf: true}
	var log lines
	o := s.options()
	o.Logger = log.logger()
	bubble(t, s, o, func(t *testing.T, c *mqtt.Client) {
		time.Sleep(mqtt.DefaultKeepAlive + mqtt.PingWait + time.Second)
		if !log.has("no answer to a ping")() {
			t.Errorf("log: %s", log.String())
		}
		time.Sleep(2 * mqtt.DefaultBackoffMin)
		if n := len(s.connections()); n != 2 {
			t.Errorf("%d connections, want a second one", n)
		}
	})
}

// A broker that takes messages and never acknowledges them: Send comes back in time, no more than
// a handful of messages wait, and the connection is given up.
func TestUnacknowledged(t *testing.T) {
	s := &script{}
	var log lines
	o := s.options()
	o.Logger = log.logger()
	bubble(t, s, o, func(t *testing.T, c *mqtt.Client) {
		s.mu.Lock()
		s.mute = true
		s.mu.Unlock()
		before := count[*packets.PublishPacket](s)
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			began := time.Now()
			err := c.Send(ctx, transport.Message{Kind: transport.Evidence, Body: []byte("x")})
			cancel()
			if !errors.Is(err, transport.ErrOffline) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("send: %v", err)
			}
			if d := time.Since(began); d != time.Second {
				t.Errorf("send took %v", d)
			}
		}
		if n := count[*packets.PublishPacket](s) - before; n > 8 {
			t.Errorf("%d messages in flight, at most 8 are allowed", n)
		}
		time.Sleep(mqtt.AckWait)
		if !log.has("does not acknowledge")() || len(s.connections()) < 2 {
			t.Errorf("%d connections, log: %s", len(s.connections()), log.String())
		}
	})
}

func TestHostileBroker(t *testing.T) {
	for name, tc := range map[string]struct {
		greeting []byte
		want     string
	}{
		"Huge": {[]byte("\x30\xff\xff\xff\x7f\x00\x01tx"), "a message of 268435455 bytes on topic \\\"t\\\""},
		"HugeWithoutTopic": {[]byte("\x30\xff\xff\xff\x7f\xff\xff" + strings.Repeat("t", 3000)),
			"a message of 268435455 bytes on topic"},
		"Varint":       {[]byte{0x30, 0xff, 0xff, 0xff, 0xff}, "more than four bytes"},
		"QoS2":         {[]byte{0x34, 5, 0, 1, 't', 0, 1}, "QoS 2"},
		"Type":         {[]byte{0x82, 5}, "does not send type 8"},
		"SubackOfMany": {[]byte{0x90, 9, 0, 1, 1, 1, 1, 1, 1, 1, 1}, "9 bytes announced for type 9, expected 5"},
		"ShortPublish": {[]byte{0x30, 3, 0xff, 0xff, 't'}, "broker not connected"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{greeting: tc.greeting}
			var log lines
			o := s.options()
			o.Logger = log.logger()
			bubble(t, s, o, func(t *testing.T, c *mqtt.Client) {
				if !log.has(tc.want)() {
					t.Errorf("log does not say %q:\n%s", tc.want, log.String())
				}
				if online(c)() {
					t.Error("still online")
				}
				time.Sleep(time.Hour) // it keeps trying, ever more slowly
				if n := len(s.connections()); n < 10 || n > 40 {
					t.Errorf("%d connections in an hour", n)
				}
				if n := strings.Count(log.String(), "broker not connected"); n > 2*len(s.connections()) {
					t.Errorf("%d log lines", n)
				}
			})
		})
	}
}

// A broker that hangs up at once, when another client has the same id for example: paho would wait
// 30 s to hand over the subscription.
func TestHangsUp(t *testing.T) {
	s := &script{hangs: true}
	bubble(t, s, s.options(), func(t *testing.T, c *mqtt.Client) {
		before := len(s.connections())
		time.Sleep(4 * mqtt.DefaultBackoffMin) // three attempts at most so far: the longest pause that may come
		if n := len(s.connections()) - before; n == 0 {
			t.Error("no second attempt in time")
		}
	})
}

// Messages on topics that nobody subscribed to are nobody's.
func TestUnaskedTopic(t *testing.T) {
	s := &script{greeting: []byte("\x30\x27\x00\x22ratchet/v1/device/gateway-0002/xxxabc")}
	bubble(t, s, s.options(), func(t *testing.T, c *mqtt.Client) {
		select {
		case m := <-c.Messages():
			t.Errorf("received %q from %s", m.Body, m.Origin)
		case <-time.After(time.Minute):
		}
		if !online(c)() || len(s.connections()) != 1 {
			t.Error("lost the connection")
		}
	})
}

// More return codes than topics: paho would index past the end of its list.
func TestSubackOfWrongLength(t *testing.T) {
	for _, n := range []int{0, 2, 4, 120} {
		s := &script{codes: func([]string) []byte { return make([]byte, n) }}
		var log lines
		o := s.options()
		o.Logger = log.logger()
		bubble(t, s, o, func(t *testing.T, c *mqtt.Client) {
			if online(c)() || !log.has("announced for type 9, expected 5")() {
				t.Errorf("%d codes: online %v, log: %s", n, online(c)(), log.String())
			}
		})
	}
}

// A refused subscription is asked for again on the same connection, for that topic only.
func TestSubscriptionAskedAgain(t *testing.T) {
	var asked [][]string
	s := &script{}
	s.codes = func(topics []string) []byte {
		asked = append(asked, slices.Clone(topics))
		codes := make([]byte, len(topics))
		for i, topic := range topics {
			if topic == channelTopic && len(asked) < 3 {
				codes[i] = 0x80
			}
		}
		return codes
	}
	bubble(t, s, s.options(), func(t *testing.T, c *mqtt.Client) {
		time.Sleep(4 * mqtt.AskAgain)
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(asked) != 3 || len(asked[0]) != 3 || !slices.Equal(asked[1], []string{channelTopic}) ||
			len(asked[2]) != 1 {
			t.Errorf("asked for %v", asked)
		}
		if len(s.dials) != 1 || !online(c)() {
			t.Errorf("%d connections", len(s.dials))
		}
	})
}

// The pauses grow, are jittered, never exceed the maximum, and start over after a connection that
// held.
func TestBackoff(t *testing.T) {
	s := &script{}
	s.refuse = func(n int) error {
		if n == 30 {
			return nil
		}
		return errors.New("connection refused")
	}
	var log lines
	o := s.options()
	o.Logger = log.logger()
	bubble(t, s, o, func(t *testing.T, c *mqtt.Client) {
		time.Sleep(3 * time.Hour)
		if n := strings.Count(log.String(), "connection refused"); n != 1 {
			t.Errorf("the same error is logged %d times", n)
		}
		dials := s.connections()
		if len(dials) != 30 {
			t.Fatalf("%d attempts in three hours, want 30: the last one connects", len(dials))
		}
		var pauses []time.Duration
		for i := 1; i < len(dials); i++ {
			pauses = append(pauses, dials[i].Sub(dials[i-1]))
		}
		b := transport.Backoff{Min: mqtt.DefaultBackoffMin, Max: mqtt.DefaultBackoffMax}
		for i, p := range pauses {
			if p < b.Delay(i, 0) || p > b.Delay(i, 1) {
				t.Errorf("pause %d is %v, want %v to %v", i, p, b.Delay(i, 0), b.Delay(i, 1))
			}
		}
		slices.Sort(pauses)
		if u := slices.Compact(pauses); len(u) < 20 {
			t.Errorf("no jitter: %v", pauses)
		}
		// Up for long: the next loss is retried soon.
		if !online(c)() {
			t.Fatal("not online")
		}
		s.mu.Lock()
		s.deaf = true
		s.mu.Unlock()
		lost := time.Now()
		for online(c)() {
			time.Sleep(time.Second)
		}
		time.Sleep(mqtt.DefaultBackoffMin + time.Second)
		if n := len(s.connections()); n != 31 {
			t.Errorf("%d attempts %v after the loss, want 31", n, time.Since(lost))
		}
	})
}

// A peer that is no broker at all, over real TCP.
func TestNoBroker(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"Silent": func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"Closes": func(c net.Conn) {},
		"HTTP":   func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") },
		"Huge": func(c net.Conn) {
			_, _ = c.Write([]byte("\x20\x02\x00\x00\x30\xff\xff\xff\x7f\x00\x01tx"))
			_, _ = io.Copy(io.Discard, c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			dialled := make(chan struct{}, 100)
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					select {
					case dialled <- struct{}{}:
					default:
					}
					go func() { serve(c); c.Close() }()
				}
			}()
			c := run(t,
				mqtt.Options{Broker: "tcp://" + l.Addr().String(), AllowPlain: true, DeviceID: "d", Backoff: fast})
			n := 2
			if name == "Silent" {
				n = 1 // it waits for CONNACK
			}
			for range n {
				<-dialled
			}
			if online(c)() {
				t.Error("online")
			}
		})
	}
}
