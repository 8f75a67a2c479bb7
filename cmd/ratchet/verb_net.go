package main

import (
	"context"
	"flag"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/connect"
)

func netVerb() cli.Verb {
	return cli.Verb{
		Name:  "net",
		Short: "the daemon's connections (the daemon starts it)",
		Long: `
Holds all connections of the daemon: to the broker, to image servers, through a proxy. The daemon
starts it, as a user of its own and confined as far as the kernel can ("ratchet status" says how),
and speaks with it over a pair of sockets. It has no access to slots, boot metadata or the state
directory. It is not for people: without the daemon it ends at once.`,
		Setup: func(*flag.FlagSet) cli.Action {
			return func(ctx context.Context, c cli.Console, args []string) error {
				if err := none(args); err != nil {
					return err
				}
				return connect.Process(ctx)
			}
		},
	}
}
