package mqtt

import (
	"time"

	"github.com/ratchet-ota/ratchet/transport"
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
