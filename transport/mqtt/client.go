// Package mqtt is the control plane over MQTT 3.1.1: offers come in, status and evidence go out.
//
// The topics are those of package wire; root, plan and pulse are followed with Options.Root, and one version of the
// root at a time by itself (AskRoot).
//
// MQTT is a hint, never a queue: sessions are clean, documents are retained and come again at each
// connection, receivers are idempotent. Nothing is kept here over a power loss. The broker is not
// trusted: what it may send is checked and bounded before it is decoded, and what it says in
// messages is bytes until package manifest has verified them.
//
// At rest the client holds one connection, and wakes once per keep-alive.
package mqtt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

// askAgain is how often a subscription that the broker refused is asked for again on the same
// connection: an access list may have been put right.
const askAgain = time.Hour

// Client is a device's end of the control plane: transport.Inbox and transport.Outbox.
type Client struct {
	options   Options
	broker    endpoint
	keepAlive time.Duration
	backoff   transport.Backoff
	log       *slog.Logger
	topics    []string         // subscribed to
	kinds     []transport.Kind // of the message on each topic
	large     []atomic.Bool    // the last message on each topic was too large
	left      map[string]bool  // topics not subscribed to, where a retained message is far too large
	box       *mailbox
	connects  chan struct{}
	changes   chan struct{}
	root      atomic.Uint64 // version of the root that is asked for by itself, 0: none
	asks      chan struct{} // it is another one

	mu      sync.Mutex
	started bool
	now     *session // nil while offline
	since   time.Time
	trouble error // why there is no connection; nil while there is one, and before the first attempt
}

// New checks the options; nothing is dialled before Run.
func New(o Options) (*Client, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	broker, err := o.endpoint()
	if err != nil {
		return nil, err
	}
	c := &Client{
		options:   o,
		broker:    broker,
		keepAlive: cmp.Or(o.KeepAlive, DefaultKeepAlive),
		backoff:   cmp.Or(o.Backoff, transport.Backoff{Min: DefaultBackoffMin, Max: DefaultBackoffMax}),
		log:       cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
		connects:  make(chan struct{}, 1),
		changes:   make(chan struct{}, 1),
		asks:      make(chan struct{}, 1),
		since:     time.Now(),
	}
	// Documents stand before offers: the mailbox hands the oldest out first, and a broker sends retained
	// messages in the order of the subscriptions, so that an offer is decided by what came with it.
	if o.Root {
		c.follow(wire.RootTopic(), transport.Root)
		if o.Channel != "" {
			c.follow(wire.PlanTopic(o.Channel), transport.Plan)
			c.follow(wire.PulseTopic(o.Channel), transport.Pulse)
		}
	}
	if o.Channel != "" {
		c.follow(wire.ChannelTopic(o.Channel), transport.Offer)
	}
	c.follow(c.topic(wire.Offer), transport.Offer)
	c.follow(c.topic(wire.Resend), transport.Resend)
	places := len(c.topics) + 1 // the last one is for the root that is asked for by itself
	c.box = newMailbox(places)
	c.large, c.left = make([]atomic.Bool, places), map[string]bool{}
	return c, nil
}

//go:noinline
func (c *Client) follow(topic string, kind transport.Kind) {
	c.topics, c.kinds = append(c.topics, topic), append(c.kinds, kind)
}

// topic returns one of the device's own topics.
func (c *Client) topic(leaf string) string { return wire.DeviceTopic(c.options.DeviceID, leaf) }

// AskRoot has one version of the trust root delivered by itself, as soon as there is one, in the place of the one that
// was asked for before. It never waits.
func (c *Client) AskRoot(version uint64) {
	if c.root.Swap(version) == version {
		return
	}
	select {
	case c.asks <- struct{}{}:
	default:
	}
}

// asked is the topic of the root that is asked for by itself; none where there is none.
func (c *Client) asked() []string {
	if v := c.root.Load(); v > 0 {
		return []string{wire.RootVersionTopic(v)}
	}
	return nil
}

// Messages implements transport.Inbox. The channel is unbuffered and never closed. While nobody
// receives, the newest message of each topic waits and replaces the older one.
func (c *Client) Messages() <-chan transport.Message { return c.box.out }

// Online reports whether messages can be exchanged, and since when that has been so.
func (c *Client) Online() (online bool, since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now != nil, c.since
}

// Trouble is why the last attempt to connect failed or the last connection ended; nil while there is one.
func (c *Client) Trouble() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trouble
}

// Connects delivers a value after each new connection, so that what could not be sent is sent now
// without polling. It holds one value at most.
func (c *Client) Connects() <-chan struct{} { return c.connects }

// Changes delivers a value when Online or Trouble may say something else. It holds one value at most.
func (c *Client) Changes() <-chan struct{} { return c.changes }

func (c *Client) change() {
	select {
	case c.changes <- struct{}{}:
	default:
	}
}

// Run holds a connection to the broker until ctx ends, and returns ctx's error; a lost or refused
// connection is tried again with back-off, for ever. It may be called once.
func (c *Client) Run(ctx context.Context) error {
	c.mu.Lock()
	again := c.started
	c.started = true
	c.mu.Unlock()
	if again {
		return errors.New("internal error: mqtt client is already running")
	}
	var pump sync.WaitGroup
	pump.Go(func() { c.box.run(ctx) })
	defer pump.Wait()

	// A building that gets its power back is a fleet that connects at one instant: spread it.
	pause := time.Duration(rand.Float64() * float64(c.backoff.Min))
	said := ""
	for attempt := 0; ; attempt++ {
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
		up, err := c.hold(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.mu.Lock()
		c.trouble = err
		c.mu.Unlock()
		c.change()
		if up > 0 {
			said = ""
		}
		if up > c.backoff.Max {
			attempt = 0
		}
		pause = c.backoff.Delay(attempt, rand.Float64())
		var long *wire.TooLong
		if errors.As(err, &long) && !c.isPast(long.Topic) && !c.left[long.Topic] {
			// It is retained, and would end every connection until somebody clears it.
			c.left[long.Topic] = true
			c.log.Error("a message on this topic is far too large; the topic is left out for a while",
				"topic", long.Topic, "bytes", long.Bytes, "limit", transport.MaxMessage, "retry", askAgain)
			continue
		}
		level := slog.LevelDebug // a device may be out of reach for weeks: say it once
		if err.Error() != said {
			level, said = slog.LevelWarn, err.Error()
		}
		c.log.Log(ctx, level, "broker not connected", "broker", c.broker.address, "error", err, "retry",
			pause.Round(time.Millisecond))
	}
}

// hold keeps one connection for as long as it lasts and returns how long it was of use, and why it
// ended.
func (c *Client) hold(ctx context.Context) (up time.Duration, err error) {
	s, err := c.connect(ctx)
	if err != nil {
		return 0, err
	}
	defer s.link.fail(errors.New("session ended"))
	topics := append(slices.Clone(c.topics), c.asked()...)
	refused, err := c.subscribe(ctx, s, slices.DeleteFunc(topics, func(t string) bool { return c.left[t] }))
	if err != nil {
		return 0, err
	}
	refused = slices.AppendSeq(refused, maps.Keys(c.left))
	began := time.Now()
	c.set(s)
	defer c.set(nil)
	// The will covers any end from here on, so presence may be late but does not lie for long.
	if err := s.publish(ctx, c.topic(wire.Presence), true, []byte("online")); err != nil && ctx.Err() == nil {
		return time.Since(began), err
	}
	select {
	case c.connects <- struct{}{}:
	default:
	}
	c.log.Info("broker connected", "broker", c.broker.address, "device", c.options.DeviceID)
	for {
		var retry <-chan time.Time
		if len(refused) > 0 {
			retry = time.After(askAgain)
		}
		select {
		case <-s.link.done:
			return time.Since(began), s.link.err()
		case <-ctx.Done():
			s.goodbye(c.topic(wire.Presence))
			return time.Since(began), ctx.Err()
		case <-c.asks: // once more when it was asked for with the others: what is retained comes again, and is known
			more, err := c.subscribe(ctx, s, c.asked())
			if err != nil {
				return time.Since(began), err
			}
			refused = append(slices.DeleteFunc(refused, c.isPast), more...)
		case <-retry:
			clear(c.left)
			if refused, err = c.subscribe(ctx, s, slices.DeleteFunc(refused, c.isPast)); err != nil {
				return time.Since(began), err
			}
		}
	}
}

// isPast tells whether a topic is that of a root that is not asked for any more.
func (c *Client) isPast(topic string) bool {
	return !slices.Contains(c.topics, topic) && !slices.Contains(c.asked(), topic)
}

// subscribe says which topics the broker refuses. A refusal does not end the connection: status
// and evidence still go out, and that is how the fleet's operator sees the device.
func (c *Client) subscribe(ctx context.Context, s *session, topics []string) (refused []string, err error) {
	if len(topics) == 0 {
		return nil, nil
	}
	refused, err = s.subscribe(ctx, topics)
	if err != nil {
		return nil, fmt.Errorf("cannot subscribe: %w", err)
	}
	for _, topic := range refused {
		c.log.Error("subscription refused by the broker: nothing will come on this topic; "+
			"check the broker's access list",
			"topic", topic, "retry", askAgain)
	}
	return refused, nil
}

func (c *Client) set(s *session) {
	c.mu.Lock()
	c.now, c.since, c.trouble = s, time.Now(), nil
	c.mu.Unlock()
	c.change()
}

// Send implements transport.Outbox for Status and Evidence: nil once the broker has acknowledged
// the message. Otherwise the error wraps transport.ErrOffline (not connected, connection lost, or
// ctx ended; the message may have arrived all the same), save for a message that can never be sent.
func (c *Client) Send(ctx context.Context, m transport.Message) error {
	var topic string
	switch m.Kind {
	case transport.Status:
		topic = c.topic(wire.Status)
	case transport.Evidence:
		topic = c.topic(wire.Evidence)
	case transport.Report:
		topic = c.topic(wire.Report)
	default:
		return fmt.Errorf("cannot send %v: a device sends only status, evidence and reports", m.Kind)
	}
	if n := len(m.Body); n == 0 || n > transport.MaxMessage {
		return fmt.Errorf("cannot send %v: body of %d bytes, need 1 to %d", m.Kind, n, transport.MaxMessage)
	}
	c.mu.Lock()
	s := c.now
	c.mu.Unlock()
	if s == nil {
		return fmt.Errorf("cannot send %v: %w", m.Kind, transport.ErrOffline)
	}
	if err := s.publish(ctx, topic, m.Kind != transport.Evidence, m.Body); err != nil {
		return fmt.Errorf("cannot send %v: %w: %w", m.Kind, transport.ErrOffline, err)
	}
	return nil
}

// sleep reports whether d passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
