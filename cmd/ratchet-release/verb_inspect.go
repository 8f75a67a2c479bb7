package main

import (
	"context"
	"flag"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/release"
)

func inspectVerb() cli.Verb {
	return cli.Verb{
		Name: "inspect", Args: "FILE",
		Short: "show what is in an envelope or a report, also in a refused one",
		Long: `
Writes an annotated dump of FILE ("-" is standard input), an envelope or a SUIT report: what each
item means, and what is wrong with it, and in the end what a device would say of its form.
Signatures are not checked; see verify for that. Other people's envelopes and damaged ones are
shown as far as they can be read.`,
		Examples: []string{
			"ratchet-release inspect release.suit",
			"curl -s https://updates.example.com/x.suit | ratchet-release inspect -",
		},
		Setup: func(*flag.FlagSet) cli.Action {
			return func(_ context.Context, c cli.Console, args []string) error {
				if len(args) != 1 {
					return cli.Usage("name one envelope file")
				}
				return release.Inspect(c, args[0])
			}
		},
	}
}
