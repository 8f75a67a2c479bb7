package main

import (
	"context"
	"flag"
	"os"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/probe"
)

func probeVerb() cli.Verb {
	return cli.Verb{
		Name:  "probe",
		Short: "the daemon's checks that connect (the daemon starts it)",
		Long: `
Makes one health check by HTTP or TCP for the daemon, which starts it, asks by its standard input
and reads the answer from its standard output. It is confined as "ratchet net" is. It is not for
people.`,
		Setup: func(*flag.FlagSet) cli.Action {
			return func(ctx context.Context, _ cli.Console, args []string) error {
				if err := none(args); err != nil {
					return err
				}
				return probe.Process(ctx, os.Stdin, os.Stdout)
			}
		},
	}
}
