package explorer

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/network"
	"github.com/ratchet-ota/ratchet/transport/network/networktest"
	"github.com/ratchet-ota/ratchet/transport/wire/pair"
)

// divide has the device's connections held by a network process, both ends as they are, which speak in memory. Each
// process dies at one message later than the one before it.
func (d *Device) divide(ctx context.Context, o *agent.Options) error {
	fetch := o.Fetch
	retained, err := d.messages()
	if err != nil {
		return err
	}
	begin := func([]byte, *network.Daemon) (network.Parts, error) {
		source := func(urls []string, size int64) transport.Source {
			src, err := fetch(urls, size)
			if err != nil {
				d.breach("panic", "internal error: %v", err)
			}
			return src
		}
		return network.Parts{Fleet: broker{d, make(chan transport.Message), retained}, Source: source}, nil
	}
	p, err := network.New(network.Options{
		Start: func() (network.Child, error) {
			return d.mortal(networktest.Start(func(conn pair.Conn) error {
				return network.Serve(ctx, conn, begin)
			})), nil
		},
		Settings: func() ([]byte, error) { return nil, nil },
		Admit:    func([]string, int64) error { return nil },
		Open:     func(string) (pair.File, error) { return nil, errBroken },
		Sign:     func(context.Context, string, uint, []byte) ([]byte, error) { return nil, errBroken },
		Pipe:     networktest.Pipe, Backoff: transport.Backoff{Min: time.Second, Max: 2 * time.Second},
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	go func() { _ = p.Run(ctx) }()
	d.network = p
	o.Inbox = p
	o.Fetch = func(urls []string, size int64) (slots.Source, error) { return p.Source(urls, size), nil }
	return nil
}

// broker is what a network process is connected to: it hands over what it retains to each, and then what comes.
type broker struct {
	d        *Device
	out      chan transport.Message
	retained []transport.Message
}

func (b broker) Messages() <-chan transport.Message { return b.out }

func (b broker) Run(ctx context.Context) error {
	for _, m := range b.retained {
		select {
		case b.out <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		select {
		case m := <-b.d.inbox:
			select {
			case b.out <- m:
			case <-ctx.Done():
				return ctx.Err()
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (broker) Send(context.Context, transport.Message) error { return errBroken }
func (b broker) Online() (bool, time.Time)                   { return b.d.Online, time.Time{} }
func (broker) Trouble() error                                { return nil }
func (broker) Connects() <-chan struct{}                     { return nil }
func (broker) Changes() <-chan struct{}                      { return nil }
func (broker) AskRoot(uint64)                                {}

// mortal is a process that dies at a message, for as long as there is one more to die at.
func (d *Device) mortal(c network.Child) network.Child {
	if d.kills >= maxKills {
		return c
	}
	d.kills++
	m := &mortal{Child: c}
	m.left.Store(int32(d.kills))
	return m
}

// maxKills is how many messages there are to die at: as many as a process that fetches one image has.
const maxKills = 7

type mortal struct {
	network.Child
	left atomic.Int32
}

func (m *mortal) Conn() pair.Conn { return dying{m.Child.Conn(), m} }

// dying is the daemon's end of the connection.
type dying struct {
	pair.Conn
	of *mortal
}

var errKilled = errors.New("killed")

// The messages that are counted, by their numbers: they follow each other in the same order in each run.
const (
	sentOpen                                  = 2
	cameDocument, cameStarted, cameEnded byte = 2, 3, 4
)

// ends tells whether the process dies at a message.
func (c dying) ends(counts bool) bool {
	if !counts || c.of.left.Add(-1) > 0 {
		return false
	}
	_ = c.of.Kill()
	return true
}

func (c dying) Send(b []byte, f pair.File) error {
	if c.ends(b[0] == sentOpen) {
		return errKilled
	}
	return c.Conn.Send(b, f)
}

func (c dying) Receive(b []byte) (int, pair.File, error) {
	n, f, err := c.Conn.Receive(b)
	if n > 0 && c.ends(b[0] == cameDocument || b[0] == cameStarted || b[0] == cameEnded) {
		return 0, nil, errKilled
	}
	return n, f, err
}
