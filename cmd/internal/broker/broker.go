// Package broker is one connection to an MQTT broker as the desk: publish, subscribe, and wait until the
// retained messages have come.
//
// Every packet passes the check of transport/wire before the MQTT library sees it. A connection is not
// restored; Follow opens another one. Nothing of a session is left at the broker, so that an interruption
// loses only what was under way: a caller that must know reads back what it has published.
package broker

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
	"github.com/ratchet-ota/ratchet/transport/mqtt"
	"github.com/ratchet-ota/ratchet/transport/secure"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

// Pauses after which no retained message is waited for any longer.
const (
	Settle     = 700 * time.Millisecond // without a message: all retained ones have come
	SettleLong = 2 * time.Second        // the same, where a message is expected
)

const (
	brokerWait   = 20 * time.Second // for each answer of the broker
	settleAtMost = 15 * time.Second
	keepAlive    = 30 * time.Second
	maxSecret    = 4 << 10 // bytes of a password file
)

// Options say how to reach the broker as the desk.
type Options struct {
	URL        string // mqtts://HOST, or mqtt://HOST
	AllowPlain bool   // admit mqtt://, which is not encrypted
	CA         string // path of the CAs, PEM; "" = those of the system
	Cert, Key  string // paths of a client certificate and its key, PEM; "" = none
	Username   string
	Password   string // path of the file that holds it
	ClientID   string // "" = one is made up
	Fallback   string // file that may name the broker, for the error when nothing does
}

// Validate finds what no connection could be made with.
func (o Options) Validate() error {
	if o.URL == "" {
		return cli.Usage("no broker: give --broker URL, or name broker.url in %s", o.Fallback)
	}
	if (o.Cert == "") != (o.Key == "") {
		return errors.New("set both the client certificate and its key, or neither")
	}
	if o.Password != "" && o.Username == "" {
		return errors.New("a password needs a user name")
	}
	if len(o.ClientID) > wire.MaxID {
		return fmt.Errorf("a client id has at most %d bytes", wire.MaxID)
	}
	return mqtt.Options{Broker: o.URL, AllowPlain: o.AllowPlain, DeviceID: "desk"}.Validate()
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
func (o Options) dial(ctx context.Context) (*guarded, error) {
	u, err := url.Parse(o.URL)
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
		from := "--broker"
		if o.Fallback != "" {
			from = "broker.url of " + o.Fallback
		}
		return nil, fmt.Errorf("cannot reach the broker %s (%s): %w", o.URL, from, err)
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
		return nil, fmt.Errorf("cannot establish TLS 1.3 with the broker: %w%s", err, o.authority(err))
	}
	return newGuarded(t), nil
}

// authority says what to do about a broker whose certificate nobody vouches for.
func (o Options) authority(err error) string {
	var unknown x509.UnknownAuthorityError
	switch {
	case !errors.As(err, &unknown):
		return ""
	case o.CA == "":
		return "; name the authority that signed its certificate as broker.ca, or with --ca"
	}
	return "; " + o.CA + " is not the authority that signed its certificate"
}

func (o Options) tls(host string) (*tls.Config, error) {
	c, err := secure.Files{CA: o.CA, Certificate: o.Cert, Key: o.Key}.Config()
	if err != nil {
		return nil, err
	}
	c = secure.Client(c, tls.VersionTLS13)
	c.ServerName = host
	return c, nil
}

// Post is a message: one that came from the broker, or one to publish.
type Post struct {
	Topic    string
	Body     []byte
	retained bool // it was there before the subscription
}

// Conn is one connection, from connect to its end. It is not restored.
type Conn struct {
	conn  *guarded
	paho  paho.Client
	posts chan Post     // unbuffered: a slow reader slows the broker down, nothing piles up
	done  chan struct{} // closed by end
	once  sync.Once
	cause error // why; set before done is closed
}

// end marks the connection as over, once.
func (b *Conn) end(cause error) {
	b.once.Do(func() {
		b.cause = cause
		close(b.done)
	})
}

// Connect opens an MQTT 3.1.1 session that is clean and leaves nothing behind.
func Connect(ctx context.Context, o Options) (*Conn, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	conn, err := o.dial(ctx)
	if err != nil {
		return nil, err
	}
	b := &Conn{conn: conn, posts: make(chan Post), done: make(chan struct{})}
	p := paho.NewClientOptions()
	p.Servers = []*url.URL{{Scheme: "tcp", Host: conn.RemoteAddr().String()}}
	p.CustomOpenConnectionFn = func(*url.URL, paho.ClientOptions) (net.Conn, error) { return conn, nil }
	id := o.ClientID
	if id == "" {
		id = "desk-" + strings.ToLower(rand.Text()[:16]) // 23 bytes at most work everywhere (section 3.1.3.1)
	}
	p.SetClientID(id).SetUsername(o.Username).SetProtocolVersion(4).SetCleanSession(true)
	p.SetAutoReconnect(false).SetConnectRetry(false).SetConnectTimeout(brokerWait).SetKeepAlive(keepAlive)
	p.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
		select {
		case b.posts <- Post{m.Topic(), m.Payload(), m.Retained()}:
		case <-b.done:
		}
	})
	p.SetConnectionLostHandler(func(_ paho.Client, err error) {
		b.end(fmt.Errorf("the broker ended the connection: %w", err))
	})
	if o.Password != "" {
		secret, err := files.Read(o.Password, maxSecret, "password")
		if err != nil {
			conn.Close()
			return nil, err
		}
		p.SetPassword(strings.TrimRight(string(secret), "\r\n"))
	}
	b.paho = paho.NewClient(p)
	if err := b.wait(ctx, b.paho.Connect(), "connection"); err != nil {
		conn.Close()
		return nil, fmt.Errorf("cannot connect to %s: %w", o.URL, o.admission(err))
	}
	return b, nil
}

// admission says what a refused connection means.
func (o Options) admission(err error) error {
	switch {
	case o.Cert == "" && strings.Contains(err.Error(), "certificate required"):
		return fmt.Errorf("%w: the broker asks for a certificate of this desk; name it as broker.certificate and "+
			"broker.key, or with --cert and --cert-key", err)
	case errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword), errors.Is(err, packets.ErrorRefusedNotAuthorised):
		return errors.New("the broker refuses this desk; check certificate, user name and password, " +
			"and the broker's access list")
	case errors.Is(err, packets.ErrorRefusedIDRejected):
		return errors.New("the broker rejects the client id; set broker.client-id")
	}
	return err
}

// wait waits for an answer.
func (b *Conn) wait(ctx context.Context, t paho.Token, what string) error {
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

// Subscribe asks for topics at QoS 1; retained messages follow, also for a topic that was asked for
// before (MQTT 3.1.1 section 3.8.4). One subscription may be under way at a time. Messages must be
// received meanwhile: they are handed to got.
func (b *Conn) Subscribe(ctx context.Context, got func(Post), topics ...string) error {
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
			return fmt.Errorf("cannot subscribe to %s: the broker's access list does not let this desk read there; "+
				"allow it (publish reads offers back, watch and collect read what devices send)", topic)
		}
	}
	return nil
}

// Publish sends a message at QoS 1 and returns when the broker has acknowledged it. That says
// nothing of the access list: a broker may acknowledge and drop what it forbids.
func (b *Conn) Publish(ctx context.Context, got func(Post), topic string, retain bool, body []byte) error {
	err := b.serve(ctx, got, func() error { return b.wait(ctx, b.paho.Publish(topic, 1, retain, body), "message") })
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("cannot publish on %s: %w; some brokers close the connection when their "+
			"access list forbids a message", topic, err)
	}
	return err
}

// serve receives messages while act runs.
func (b *Conn) serve(ctx context.Context, got func(Post), act func() error) error {
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

// Settled receives messages until none has come for a while: then all retained ones are there.
// MQTT has no sign for their end. enough may end it earlier.
func (b *Conn) Settled(ctx context.Context, pause time.Duration, got func(Post), enough func() bool) error {
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

// Close ends the connection.
func (b *Conn) Close() {
	b.end(net.ErrClosed)   // what still comes is not wanted
	b.paho.Disconnect(250) // ms
	b.conn.Close()
}

// Retained reads the message that the broker keeps for a topic; nil when none comes in time.
func (b *Conn) Retained(ctx context.Context, topic string, pause time.Duration) ([]byte, error) {
	var body []byte
	got := func(p Post) {
		if p.Topic == topic && p.retained {
			body = p.Body
		}
	}
	if err := b.Subscribe(ctx, got, topic); err != nil {
		return nil, err
	}
	err := b.Settled(ctx, pause, got, func() bool { return body != nil })
	return body, err
}

// Send publishes without waiting: a loss is found out in other ways.
func (b *Conn) Send(topic string, body []byte) { b.paho.Publish(topic, 1, false, body) }
