package broker

import (
	"context"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
	"github.com/ratchet-ota/ratchet/transport"
)

// Follow keeps a connection to the broker, hands messages to take, and calls tick in between. It
// connects again when the connection is lost; the first connection must succeed. An end of ctx is
// the normal end.
func Follow(ctx context.Context, c cli.Console, o Options, topics []string, every time.Duration, take func(Post),
	tick func(*Conn) error) error {
	backoff := transport.Backoff{Min: time.Second, Max: 30 * time.Second}
	for attempt, first := 0, true; ; attempt++ {
		err := hold(ctx, o, topics, every, take, tick, func() {
			attempt, first = 0, false
			if !screen.Drawable(c.Out) {
				c.Warn("connected to %s", o.URL)
			}
		})
		switch {
		case isFinal(err):
			return err
		case ctx.Err() != nil:
			return nil
		case first:
			return err
		}
		pause := backoff.Delay(attempt, 0.5)
		c.Warn("%s; trying again in %v", screen.Lines(err.Error()), pause.Round(time.Second))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// finalError ends follow.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

func isFinal(err error) bool {
	_, ok := err.(finalError)
	return ok
}

// hold is one connection of follow.
func hold(ctx context.Context, o Options, topics []string, every time.Duration, take func(Post),
	tick func(*Conn) error, up func()) error {
	b, err := Connect(ctx, o)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := b.Subscribe(ctx, take, topics...); err != nil {
		return err
	}
	up()
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case p := <-b.posts:
			take(p)
		case <-t.C:
			if err := tick(b); err != nil {
				return finalError{err}
			}
		case <-b.done:
			return b.cause
		case <-ctx.Done():
			if err := tick(b); err != nil {
				return finalError{err}
			}
			return ctx.Err()
		}
	}
}
