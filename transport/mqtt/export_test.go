package mqtt

import (
	"fmt"
	"net"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

// Announce opens the keep-alive of a CONNECT to tests.
func Announce(p []byte, keepAlive time.Duration) ([]byte, error) { return announce(p, keepAlive) }

// Mailbox opens the waiting messages to tests, step by step.
type Mailbox struct {
	b *mailbox
	i int
	w waiting
}

func NewMailbox() *Mailbox { return &Mailbox{b: newMailbox(2)} }

func (m *Mailbox) Put(topic int, body string) {
	m.b.put(topic, transport.Message{Body: []byte(body)})
}

// Oldest returns what is handed over next, Taken says that it has been.
func (m *Mailbox) Oldest() string {
	m.w, m.i = m.b.oldest()
	return string(m.w.m.Body)
}

func (m *Mailbox) Taken() { m.b.taken(m.i, m.w) }

// Times of the protocol, for tests that run on a fake clock.
const (
	PingWait = pingWait
	AckWait  = ackWait
	AskAgain = askAgain
)

// Follows are the topics that a device subscribes to, in this order, each with the kind of its messages.
func (c *Client) Follows() (list []string) {
	for i, topic := range c.topics {
		list = append(list, fmt.Sprintf("%v %s", c.kinds[i], topic))
	}
	return list
}

// Address is where the broker is dialled.
func (c *Client) Address() string { return c.broker.address }

// Refusal and Plain put ends of a connection into words.
func Refusal(err, cause error) error { return refusal(err, cause) }

func Plain(err error) error { return plain(err) }

// Link opens a connection to tests.
type Link struct{ *link }

// NewLink is a connection on which CONNECT has been written already, or not.
func NewLink(conn net.Conn, keepAlive time.Duration, connected bool) Link {
	l := newLink(conn, wire.MaxPacket, keepAlive)
	l.writing.Lock()
	l.started = connected
	l.writing.Unlock()
	return Link{l}
}

func (l Link) Arrived(typ int)       { l.arrived(typ) }
func (l Link) Err() error            { return l.err() }
func (l Link) Done() <-chan struct{} { return l.done }
