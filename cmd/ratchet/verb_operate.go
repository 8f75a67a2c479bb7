package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/render"
)

func (c *call) confirm() func(context.Context, []string) error {
	note := c.flags.String("note", "", "reason for the evidence, a `TEXT` of at most 200 bytes")
	return func(ctx context.Context, args []string) error {
		if err := none(args); err != nil {
			return err
		}
		return c.operate(ctx, control.VerbConfirm, *note, nil)
	}
}

func (c *call) revert() func(context.Context, []string) error {
	note := c.flags.String("note", "", "reason for the evidence, a `TEXT` of at most 200 bytes")
	yes := c.flags.Bool("yes", false, "do not ask for confirmation")
	return func(ctx context.Context, args []string) error {
		if err := none(args); err != nil {
			return err
		}
		if !*yes && c.interactive() {
			var s control.Status
			if _, err := c.ask(ctx, control.VerbStatus, nil, &s); err != nil {
				return err
			}
			fmt.Fprint(c.stderr, screen.Wrap("", "", render.Revert(s), screen.Width(c.stderr)))
			if err := c.agree(ctx, "Do it?"); err != nil {
				return err
			}
		}
		return c.operate(ctx, control.VerbRevert, *note, nil)
	}
}

func (c *call) approve() func(context.Context, []string) error {
	note := c.flags.String("note", "", "reason for the evidence, a `TEXT` of at most 200 bytes")
	yes := c.flags.Bool("yes", false, "do not ask for confirmation")
	return func(ctx context.Context, args []string) error {
		if len(args) > 1 {
			return none(args[1:])
		}
		if len(args) == 1 {
			return c.operate(ctx, control.VerbApprove, *note, map[string]string{"manifest": args[0]})
		}
		// The digest goes along, so that what is approved is what was shown, not what came meanwhile.
		var s control.Status
		if _, err := c.ask(ctx, control.VerbStatus, nil, &s); err != nil {
			return err
		}
		u := s.Update
		switch s.Phase {
		case "arming", "rebooting", "trial", "confirming", "sealing", "reverting":
			u = nil // it has been agreed to, and waits no more
		}
		if u == nil || u.Manifest == "" {
			return &control.Error{Reason: "nothing-to-do", Message: "no update waits for approval",
				Advice: "See `ratchet status` for what the device does.", Exit: control.ExitRefused}
		}
		fmt.Fprint(c.stderr, screen.Wrap("", "", render.Approve(*u, s.Other.Name), screen.Width(c.stderr)))
		if !*yes && c.interactive() {
			if err := c.agree(ctx, "Approve it?"); err != nil {
				return err
			}
		}
		return c.operate(ctx, control.VerbApprove, *note, map[string]string{"manifest": u.Manifest})
	}
}

func (c *call) retry() func(context.Context, []string) error {
	note := c.flags.String("note", "", "reason for the evidence, a `TEXT` of at most 200 bytes")
	yes := c.flags.Bool("yes", false, "also what is quarantined or was given up, without asking")
	return func(ctx context.Context, args []string) error {
		if len(args) > 1 {
			return none(args[1:])
		}
		send := map[string]string{}
		if len(args) == 1 {
			send["manifest"] = args[0]
		}
		if *yes {
			send["sure"] = "yes"
		}
		err := c.operate(ctx, control.VerbRetry, *note, send)
		var refused *control.Error
		if *yes || !errors.As(err, &refused) || refused.Exit != control.ExitRefused ||
			refused.Reason == "nothing-to-do" {
			return err
		}
		if !c.interactive() {
			refused.Advice = "If it is to be tried again all the same: `ratchet retry --yes`."
			return err
		}
		fmt.Fprint(c.stderr, screen.Wrap("", "", screen.Plain(refused.Message), screen.Width(c.stderr)))
		if err := c.agree(ctx, "Try it again all the same?"); err != nil {
			return err
		}
		send["sure"] = "yes"
		return c.operate(ctx, control.VerbRetry, *note, send)
	}
}

// operate sends a verb that changes something and shows its result.
func (c *call) operate(ctx context.Context, verb control.Verb, note string, args map[string]string) error {
	if len(note) > control.MaxNote {
		return cli.Usage("the note has %d bytes, at most %d are kept", len(note), control.MaxNote)
	}
	if args == nil {
		args = map[string]string{}
	}
	if note != "" {
		args["note"] = note
	}
	var d control.Done
	if _, err := c.ask(ctx, verb, args, &d); err != nil {
		return err
	}
	c.show(d)
	return nil
}

func (c *call) show(d control.Done) {
	_, _ = io.WriteString(c.stdout, render.Done(d, screen.Width(c.stdout)))
}

// interactive tells whether a person can be asked.
func (c *call) interactive() bool { return screen.Terminal(c.stdin) && screen.Terminal(c.stderr) }

// agree asks a person. Anything but yes ends the verb, with exit code 1.
func (c *call) agree(ctx context.Context, question string) error {
	fmt.Fprintf(c.stderr, "%s [y/N] ", question)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(io.LimitReader(c.stdin, 256)).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case a := <-answer:
		if a == "y" || a == "yes" {
			return nil
		}
		fmt.Fprintln(c.stderr, "Nothing was done.")
	case <-ctx.Done():
		fmt.Fprintln(c.stderr, "\nNothing was done.")
	}
	return errShown{control.ExitFailed}
}
