package mqtt

import (
	"context"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
)

// Client is a device's end of the control plane: transport.Inbox and transport.Outbox.
type Client struct {
	options Options
	out     chan transport.Message
}

// New checks the options; nothing is dialled before Run.
func New(o Options) (*Client, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return &Client{options: o, out: make(chan transport.Message)}, nil
}

// Run holds a connection to the broker until ctx ends.
func (c *Client) Run(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// Messages implements transport.Inbox.
func (c *Client) Messages() <-chan transport.Message { return c.out }

// Send implements transport.Outbox.
func (c *Client) Send(ctx context.Context, m transport.Message) error { return transport.ErrOffline }

// Online reports whether offers can arrive, and since when that has been so.
func (c *Client) Online() (online bool, since time.Time) { return false, time.Time{} }
