package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
)

// recover shows a challenge, or hands over the permit that answers it.
func (c *call) recover() func(context.Context, []string) error {
	permit := c.flags.String("permit", "", "`FILE` of the permit")
	return func(ctx context.Context, args []string) error {
		if err := none(args); err != nil {
			return err
		}
		if *permit == "" {
			var ch control.Challenge
			if _, err := c.ask(ctx, control.VerbRecover,
				map[string]string{"step": control.StepChallenge}, &ch); err != nil {
				return err
			}
			_, err := io.WriteString(c.stdout, screen.Plain(ch.Challenge)+"\n")
			fmt.Fprint(c.stderr, screen.Wrap("", "", "Give this to those who hold the recovery keys, "+
				"with the digest of the update that is to be installed and the rule that forbids it. "+
				"They answer with a permit file. The challenge before this one is void.", screen.Width(c.stderr)))
			return err
		}
		f, err := os.Open(*permit)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		client, err := control.Dial(c.socket)
		if err != nil {
			return err
		}
		defer func() { _ = client.Close() }()
		raw, err := client.Do(ctx, control.VerbRecover, map[string]string{"step": control.StepPermit},
			[]*os.File{f}, nil)
		if err != nil {
			return err
		}
		var d control.Done
		if err := understand(raw, &d); err != nil {
			return err
		}
		c.show(d)
		return nil
	}
}
