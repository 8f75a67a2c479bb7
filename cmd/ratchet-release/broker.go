package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
	"github.com/ratchet-ota/ratchet/transport/mqtt"
	"github.com/ratchet-ota/ratchet/transport/secure"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

const (
	brokerWait   = 20 * time.Second       // for each answer of the broker
	settle       = 700 * time.Millisecond // without a message: all retained ones have come
	settleLong   = 2 * time.Second        // the same, where a message is expected
	settleAtMost = 15 * time.Second
	keepAlive    = 30 * time.Second
	maxSecret    = 4 << 10 // bytes of a password file
)

// brokerOptions say how to reach the broker as the desk.
type brokerOptions struct {
	url        string
	allowPlain bool
	ca         string // paths
	cert, key  string
	username   string
	password   string // path
	clientID   string
}

// brokerOptions are those of the configuration.
func (d desk) brokerOptions() brokerOptions {
	b := d.Broker
	return brokerOptions{url: b.URL, allowPlain: b.AllowPlain, ca: d.path(b.CA), cert: d.path(b.Certificate), key: d.path(b.Key),
		username: b.Username, password: d.path(b.PasswordFile), clientID: b.ClientID}
}

// brokerFlags defines the flags that replace the configuration's values.
func brokerFlags(fs *flag.FlagSet) func(brokerOptions) brokerOptions {
	var f brokerOptions
	fs.StringVar(&f.url, "broker", "", "broker `URL` (default: broker.url of ratchet-release.toml)")
	fs.BoolVar(&f.allowPlain, "allow-plain", false, "allow a broker without TLS")
	fs.StringVar(&f.ca, "ca", "", "`PEM` file of the CAs that the broker's certificate may come from")
	fs.StringVar(&f.cert, "cert", "", "client certificate `PEM`")
	fs.StringVar(&f.key, "cert-key", "", "key of the client certificate, `PEM`")
	fs.StringVar(&f.username, "username", "", "user `NAME` at the broker")
	fs.StringVar(&f.password, "password-file", "", "`FILE` that holds the password")
	return func(o brokerOptions) brokerOptions {
		for _, v := range []struct{ to, from *string }{
			{&o.url, &f.url}, {&o.ca, &f.ca}, {&o.cert, &f.cert}, {&o.key, &f.key}, {&o.username, &f.username}, {&o.password, &f.password},
		} {
			if *v.from != "" {
				*v.to = *v.from
			}
		}
		o.allowPlain = o.allowPlain || f.allowPlain
		return o
	}
}

// check finds what no connection could be made with.
func (o brokerOptions) check() error {
	if o.url == "" {
		return cli.Usage("no broker: give --broker URL, or name broker.url in %s", deskName)
	}
	if (o.cert == "") != (o.key == "") {
		return errors.New("a client certificate and its key go together")
	}
	if o.password != "" && o.username == "" {
		return errors.New("a password needs a user name")
	}
	if len(o.clientID) > wire.MaxID {
		return fmt.Errorf("a client id has at most %d bytes", wire.MaxID)
	}
	return mqtt.Options{Broker: o.url, AllowPlain: o.allowPlain, DeviceID: "desk"}.Validate()
}

// guarded is a connection whose packets are checked before the MQTT library sees them.
type guarded struct {
	net.Conn
	guard *wire.Guard
}

func newGuarded(conn net.Conn) *guarded {
	return &guarded{Conn: conn, guard: wire.NewGuard(conn, wire.Options{Limit: wire.MaxPacket, Cut: true})}
}

func (g *guarded) Read(p []byte) (int, error) { return g.guard.Read(p) }

// dial opens the connection, TLS included.
func (o brokerOptions) dial(ctx context.Context) (*guarded, error) {
	u, err := url.Parse(o.url)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	secure := u.Scheme == "mqtts"
	if port == "" && secure {
		port = "8883"
	} else if port == "" {
		port = "1883"
	}
	ctx, cancel := context.WithTimeout(ctx, brokerWait)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, fmt.Errorf("cannot reach the broker: %w", err)
	}
	if !secure {
		return newGuarded(conn), nil
	}
	config, err := o.tls(u.Hostname())
	if err != nil {
		conn.Close()
		return nil, err
	}
	t := tls.Client(conn, config)
	if err := t.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("cannot establish TLS 1.3 with the broker: %w", err)
	}
	return newGuarded(t), nil
}

func (o brokerOptions) tls(host string) (*tls.Config, error) {
	c, err := secure.Files{CA: o.ca, Certificate: o.cert, Key: o.key}.Config()
	if err != nil {
		return nil, err
	}
	c = secure.Client(c, tls.VersionTLS13)
	c.ServerName = host
	return c, nil
}

// post is a message from the broker.
type post struct {
	topic    string
	body     []byte
	retained bool // it was there before the subscription
}

// broker is one connection, from connect to its end. It is not restored.
type broker struct {
	conn  *guarded
	paho  paho.Client
	posts chan post     // unbuffered: a slow reader slows the broker down, nothing piles up
	done  chan struct{} // closed by end
	once  sync.Once
	cause error // why; set before done is closed
}

// end marks the connection as over, once.
func (b *broker) end(cause error) {
	b.once.Do(func() {
		b.cause = cause
		close(b.done)
	})
}

// connect opens an MQTT 3.1.1 session that is clean and leaves nothing behind.
func connect(ctx context.Context, o brokerOptions) (*broker, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	conn, err := o.dial(ctx)
	if err != nil {
		return nil, err
	}
	b := &broker{conn: conn, posts: make(chan post), done: make(chan struct{})}
	p := paho.NewClientOptions()
	p.Servers = []*url.URL{{Scheme: "tcp", Host: conn.RemoteAddr().String()}}
	p.CustomOpenConnectionFn = func(*url.URL, paho.ClientOptions) (net.Conn, error) { return conn, nil }
	id := o.clientID
	if id == "" {
		id = "desk-" + strings.ToLower(rand.Text()[:16]) // 23 bytes at most work everywhere (section 3.1.3.1)
	}
	p.SetClientID(id).SetUsername(o.username).SetProtocolVersion(4).SetCleanSession(true)
	p.SetAutoReconnect(false).SetConnectRetry(false).SetConnectTimeout(brokerWait).SetKeepAlive(keepAlive)
	p.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
		select {
		case b.posts <- post{m.Topic(), m.Payload(), m.Retained()}:
		case <-b.done:
		}
	})
	p.SetConnectionLostHandler(func(_ paho.Client, err error) {
		b.end(fmt.Errorf("the broker ended the connection: %w", err))
	})
	if o.password != "" {
		secret, err := files.Read(o.password, maxSecret, "password")
		if err != nil {
			conn.Close()
			return nil, err
		}
		p.SetPassword(strings.TrimRight(string(secret), "\r\n"))
	}
	b.paho = paho.NewClient(p)
	if err := b.wait(ctx, b.paho.Connect(), "connection"); err != nil {
		conn.Close()
		return nil, fmt.Errorf("cannot connect to %s: %w", o.url, admission(err))
	}
	return b, nil
}

// admission says what a refused connection means.
func admission(err error) error {
	switch {
	case errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword), errors.Is(err, packets.ErrorRefusedNotAuthorised):
		return errors.New("the broker does not admit this desk; check certificate, user name and password, and the broker's access list")
	case errors.Is(err, packets.ErrorRefusedIDRejected):
		return errors.New("the broker rejects the client id; set broker.client-id")
	}
	return err
}

// wait waits for an answer.
func (b *broker) wait(ctx context.Context, t paho.Token, what string) error {
	timer := time.NewTimer(brokerWait)
	defer timer.Stop()
	select {
	case <-t.Done():
		return t.Error()
	case <-b.done:
		return b.cause
	case <-timer.C:
		return fmt.Errorf("the broker does not answer a %s within %v", what, brokerWait)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// subscribe asks for topics at QoS 1; retained messages follow, also for a topic that was asked for
// before (MQTT 3.1.1 section 3.8.4). One subscription may be under way at a time. Messages must be
// received meanwhile: they are handed to got.
func (b *broker) subscribe(ctx context.Context, got func(post), topics ...string) error {
	filters := map[string]byte{}
	for _, t := range topics {
		filters[t] = 1
	}
	b.conn.guard.AwaitSuback(len(filters))
	t, ok := b.paho.SubscribeMultiple(filters, nil).(*paho.SubscribeToken)
	if !ok {
		return errors.New("internal error: subscription without a subscribe token")
	}
	if err := b.serve(ctx, got, func() error { return b.wait(ctx, t, "subscription") }); err != nil {
		return fmt.Errorf("cannot subscribe: %w", err)
	}
	for topic, code := range t.Result() {
		if code > 1 {
			return fmt.Errorf("cannot subscribe to %s: the broker's access list forbids this desk to read there; allow it (publish reads offers back, watch and collect read what devices send)", topic)
		}
	}
	return nil
}

// publish sends a message at QoS 1 and returns when the broker has acknowledged it. That says
// nothing of the access list: a broker may acknowledge and drop what it forbids.
func (b *broker) publish(ctx context.Context, got func(post), topic string, retain bool, body []byte) error {
	err := b.serve(ctx, got, func() error { return b.wait(ctx, b.paho.Publish(topic, 1, retain, body), "message") })
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("cannot publish on %s: %w; some brokers end the connection when their access list forbids a message", topic, err)
	}
	return err
}

// serve receives messages while act runs.
func (b *broker) serve(ctx context.Context, got func(post), act func() error) error {
	result := make(chan error, 1)
	go func() { result <- act() }()
	for {
		select {
		case err := <-result:
			return err
		case p := <-b.posts:
			got(p)
		}
	}
}

// settled receives messages until none has come for a while: then all retained ones are there.
// MQTT has no sign for their end. enough may end it earlier.
func (b *broker) settled(ctx context.Context, pause time.Duration, got func(post), enough func() bool) error {
	end := time.NewTimer(settleAtMost)
	defer end.Stop()
	quiet := time.NewTimer(pause)
	defer quiet.Stop()
	for !enough() {
		select {
		case p := <-b.posts:
			got(p)
			quiet.Reset(pause)
		case <-quiet.C:
			return nil
		case <-end.C:
			return nil
		case <-b.done:
			return b.cause
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// close ends the connection.
func (b *broker) close() {
	b.end(net.ErrClosed)   // what still comes is not wanted
	b.paho.Disconnect(250) // ms
	b.conn.Close()
}

// retainedOn reads the message that the broker keeps for a topic; nil when none comes in time.
func (b *broker) retainedOn(ctx context.Context, topic string, pause time.Duration) ([]byte, error) {
	var body []byte
	got := func(p post) {
		if p.topic == topic && p.retained {
			body = p.body
		}
	}
	if err := b.subscribe(ctx, got, topic); err != nil {
		return nil, err
	}
	err := b.settled(ctx, pause, got, func() bool { return body != nil })
	return body, err
}

// offerTopic is where a release is offered: to one device, or to everybody on a channel.
func offerTopic(channel, device string) (string, error) {
	if device != "" {
		if err := wire.CheckID(device); err != nil {
			return "", cli.Usage("device id %q %v", manifest.Printable(device), err)
		}
		return wire.DeviceTopic(device, wire.Offer), nil
	}
	if channel == "" {
		return "", cli.Usage("where to? give --channel NAME or --device ID, or name broker.channel in %s", deskName)
	}
	if err := wire.CheckID(channel); err != nil {
		return "", cli.Usage("channel %q %v", manifest.Printable(channel), err)
	}
	return wire.ChannelTopic(channel), nil
}

// send publishes without waiting: a loss is found out in other ways.
func (b *broker) send(topic string, body []byte) { b.paho.Publish(topic, 1, false, body) }
