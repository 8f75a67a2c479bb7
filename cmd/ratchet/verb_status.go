package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/render"
)

// watchEvery is how often "status --watch" looks.
const watchEvery = time.Second

func (c *call) status() func(context.Context, []string) error {
	asJSON := c.flags.Bool("json", false, "print JSON, for programs (/usr/share/doc/ratchet/formats/control.md)")
	watch := c.flags.Bool("watch", false, "refresh until Ctrl-C; with --json print one line for each change")
	return func(ctx context.Context, args []string) error {
		if err := none(args); err != nil {
			return err
		}
		if *watch {
			return c.watch(ctx, *asJSON)
		}
		var s control.Status
		raw, err := c.ask(ctx, control.VerbStatus, nil, &s)
		if err != nil {
			return err
		}
		if *asJSON {
			return c.printJSON(raw, "  ")
		}
		_, err = io.WriteString(c.stdout, render.Status(s, screen.Width(c.stdout)))
		return err
	}
}

// watch shows the status until ctx ends: redrawn on a terminal, else what has changed. A daemon that
// goes away, as it does when the machine reboots, is waited for.
func (c *call) watch(ctx context.Context, asJSON bool) error {
	tty := screen.Terminal(c.stdout) && !asJSON
	before := ""
	for {
		var s control.Status
		var now string
		raw, err := c.ask(ctx, control.VerbStatus, nil, &s)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, control.ErrUnreachable) || errors.Is(err, control.ErrLost):
			now = "the daemon does not answer; waiting for it"
		case err != nil:
			return err
		case asJSON:
			now = string(raw)
		case tty:
			now = render.Status(s, screen.Width(c.stdout))
		default:
			now = render.Line(s)
		}
		switch {
		case tty:
			_, err = fmt.Fprintf(c.stdout, "%s%s\n(Ctrl-C ends)\n", screen.EscHome, now)
		case now == before || asJSON && raw == nil:
			err = nil
		case asJSON:
			err = c.printJSON(bytes.Clone(raw), "")
		default:
			_, err = fmt.Fprintln(c.stdout, now)
		}
		if err != nil {
			return err
		}
		before = now
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchEvery):
		}
	}
}

func (c *call) slots() func(context.Context, []string) error {
	asJSON := c.flags.Bool("json", false, "print JSON, for programs (/usr/share/doc/ratchet/formats/control.md)")
	return func(ctx context.Context, args []string) error {
		if err := none(args); err != nil {
			return err
		}
		var s control.Slots
		raw, err := c.ask(ctx, control.VerbSlots, nil, &s)
		if err != nil {
			return err
		}
		if *asJSON {
			return c.printJSON(raw, "  ")
		}
		_, err = io.WriteString(c.stdout, render.Slots(s, screen.Width(c.stdout)))
		return err
	}
}

func (c *call) history() func(context.Context, []string) error {
	asJSON := c.flags.Bool("json", false, "print JSON, for programs (/usr/share/doc/ratchet/formats/control.md)")
	n := c.flags.Int("n", 20, "`NUMBER` of records, 1 to 1000")
	return func(ctx context.Context, args []string) error {
		if err := none(args); err != nil {
			return err
		}
		if *n < 1 || *n > control.MaxHistory {
			return cli.Usage("-n must be 1 to %d", control.MaxHistory)
		}
		var h control.History
		raw, err := c.ask(ctx, control.VerbHistory, map[string]string{"n": strconv.Itoa(*n)}, &h)
		if err != nil {
			return err
		}
		if *asJSON {
			return c.printJSON(raw, "  ")
		}
		_, err = io.WriteString(c.stdout, render.History(h, screen.Width(c.stdout)))
		return err
	}
}
