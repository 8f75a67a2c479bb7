package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/secure"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

const (
	connectWait = 30 * time.Second // TCP and TLS; as long again for CONNACK, and for SUBACK
	ackWait     = 60 * time.Second // for a PUBACK, before the broker counts as broken
	farewell    = 2 * time.Second  // to say goodbye when Run ends
	inFlight    = 8                // messages sent and not yet acknowledged
)

// session is one connection, from CONNECT to its end. Nothing of it outlives the connection: the
// MQTT session is clean, and paho gets a store that keeps nothing.
type session struct {
	link *link
	paho paho.Client
	slot chan struct{} // one per message in flight
}

// dial opens the network connection, TLS included.
func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	dial := c.options.Dial
	if dial == nil {
		// MQTT has its own keep-alive: TCP's probes every 15 s would keep a radio awake.
		dial = (&net.Dialer{KeepAlive: -1}).DialContext
	}
	open := func(ctx context.Context) (net.Conn, error) {
		return c.options.Proxy.Dial(ctx, dial, c.broker.address, true)
	}
	if !c.broker.tls {
		return open(ctx)
	}
	var config *tls.Config
	if c.options.TLS != nil {
		var err error
		if config, err = c.options.TLS(); err != nil {
			return nil, err
		}
	}
	if err := secure.Check(config, "the broker's"); err != nil {
		return nil, err
	}
	config = secure.Client(config, tls.VersionTLS13)
	if config.ServerName == "" {
		config.ServerName = c.broker.host
	}
	conn, err := secure.Dial(ctx, open, config, c.options.ClockUnset)
	if err != nil {
		return nil, err // not the nil of another type
	}
	return conn, nil
}

// connect opens a session. ctx ends it only while connect runs.
func (c *Client) connect(ctx context.Context) (*session, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	l := newLink(conn, wire.MaxPacket, c.keepAlive)
	stop := context.AfterFunc(ctx, func() { l.fail(context.Cause(ctx)) })
	defer stop()

	o := paho.NewClientOptions()
	o.Servers = []*url.URL{{Scheme: "tcp", Host: c.broker.address}}
	o.CustomOpenConnectionFn = func(*url.URL, paho.ClientOptions) (net.Conn, error) { return l, nil }
	o.SetClientID(c.options.DeviceID).SetUsername(c.options.Username)
	o.SetProtocolVersion(4).SetCleanSession(true).SetAutoReconnect(false).SetConnectRetry(false)
	o.SetKeepAlive(0).SetConnectTimeout(connectWait).SetStore(noStore{})
	o.SetBinaryWill(c.topic(wire.Presence), []byte("offline"), 1, true)
	o.SetConnectionLostHandler(nil)
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { c.receive(m.Topic(), m.Payload()) })
	if c.options.Password != nil {
		secret, err := c.options.Password()
		if err != nil {
			l.fail(net.ErrClosed)
			return nil, fmt.Errorf("cannot read the broker password: %w", err)
		}
		o.SetPassword(string(secret))
	}
	s := &session{link: l, paho: paho.NewClient(o), slot: make(chan struct{}, inFlight)}
	t := s.paho.Connect()
	err = errors.New("no answer")
	if t.WaitTimeout(connectWait + time.Second) { // paho has set a deadline of connectWait
		err = t.Error()
	}
	if err != nil {
		cause := l.err()
		l.fail(err)
		return nil, refusal(err, cause)
	}
	return s, nil
}

// refusal says what a failed CONNECT means and what to do about it.
func refusal(err, cause error) error {
	switch {
	case errors.Is(err, packets.ErrorRefusedIDRejected):
		return errors.New("broker rejects the device id; check that its certificate or account belongs to this id")
	case errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword), errors.Is(err, packets.ErrorRefusedNotAuthorised):
		return errors.New("broker does not admit this device; check certificate, user name and password, " +
			"and the broker's access list")
	case errors.Is(err, packets.ErrorRefusedServerUnavailable):
		return errors.New("broker says that it is unavailable")
	case errors.Is(err, packets.ErrorRefusedBadProtocolVersion):
		return errors.New("broker does not speak MQTT 3.1.1")
	case cause != nil && !errors.Is(cause, net.ErrClosed):
		return fmt.Errorf("connection ended before the broker accepted it: %w", cause)
	}
	return fmt.Errorf("broker does not accept the connection: %w", err)
}

// subscribe asks for topics at QoS 1 and returns those that the broker refused (SUBACK return
// code 0x80, MQTT 3.1.1, section 3.9.3).
func (s *session) subscribe(ctx context.Context, topics []string) (refused []string, err error) {
	filters := make(map[string]byte, len(topics))
	for _, t := range topics {
		filters[t] = 1
	}
	s.link.guard.AwaitSuback(len(topics))
	t, err := s.ask(ctx, "subscription", connectWait, func() paho.Token {
		return s.paho.SubscribeMultiple(filters, nil)
	})
	if err != nil {
		return nil, err
	}
	var codes map[string]byte
	if t, ok := t.(*paho.SubscribeToken); ok {
		codes = t.Result()
	}
	for _, topic := range topics {
		if code, ok := codes[topic]; !ok || code > 1 {
			refused = append(refused, topic)
		}
	}
	return refused, nil
}

// publish sends one message at QoS 1 and waits for its PUBACK. When ctx ends first, the message
// stays in flight and nothing is known of it.
func (s *session) publish(ctx context.Context, topic string, retained bool, body []byte) error {
	select {
	case s.slot <- struct{}{}:
	case <-s.link.done:
		return s.link.err()
	case <-ctx.Done():
		return ctx.Err()
	}
	result := make(chan error, 1)
	go func() { // it goes on when ctx ends: the slot is free again once the fate is known
		defer func() { <-s.slot }()
		_, err := s.ask(context.Background(), "message", ackWait, func() paho.Token {
			return s.paho.Publish(topic, 1, retained, body)
		})
		if err != nil {
			s.link.fail(err) // a broker that swallows messages is worth a new connection
		}
		result <- err
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask makes a request and waits for its acknowledgement. The request runs in a goroutine of its
// own: paho waits up to 30 s to hand it over when the connection goes at that moment.
func (s *session) ask(ctx context.Context, what string, limit time.Duration,
	request func() paho.Token) (paho.Token, error) {
	result := make(chan paho.Token, 1)
	go func() {
		t := request()
		select {
		case <-t.Done():
			result <- t
		case <-s.link.done:
		}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case t := <-result:
			err := t.Error()
			if cause := s.link.err(); err != nil && cause != nil {
				err = cause
			}
			return t, err
		case <-s.link.done:
			return nil, s.link.err()
		case <-timer.C:
			if s.link.busy() {
				timer.Reset(pingWait)
				continue
			}
			return nil, fmt.Errorf("broker does not acknowledge a %s within %v", what, limit)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// goodbye tells the fleet that this device leaves on purpose, as far as the time allows.
func (s *session) goodbye(topic string) {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	if s.publish(ctx, topic, true, []byte("offline")) == nil {
		s.paho.Disconnect(uint(250)) // ms
	}
	s.link.fail(net.ErrClosed)
}

// receive takes a message from paho's router. It never waits.
func (c *Client) receive(topic string, body []byte) {
	i, kind := slices.Index(c.topics, topic), transport.Root
	switch {
	case len(body) == 0:
		return // an empty retained message clears a topic and means nothing
	case i >= 0:
		kind = c.kinds[i]
	case slices.Contains(c.asked(), topic):
		i = len(c.topics)
	default:
		return
	}
	large := len(body) > transport.MaxMessage
	if large && !c.large[i].Load() {
		c.log.Warn("message ignored: too large, and so are those that follow it on this topic", "topic", topic,
			"limit", transport.MaxMessage)
	}
	if c.large[i].Store(large); large {
		return
	}
	c.box.put(i, transport.Message{Kind: kind, Origin: "mqtt:" + topic, Body: body})
}

// noStore is a paho.Store that keeps nothing: sessions are clean, so nothing is ever resumed.
type noStore struct{}

func (noStore) Open()                             {}
func (noStore) Put(string, packets.ControlPacket) {}
func (noStore) Get(string) packets.ControlPacket  { return nil }
func (noStore) All() []string                     { return nil }
func (noStore) Del(string)                        {}
func (noStore) Close()                            {}
func (noStore) Reset()                            {}
