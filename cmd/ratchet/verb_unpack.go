package main

import (
	"context"
	"flag"
	"os"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/unpack"
)

func unpackVerb() cli.Verb {
	return cli.Verb{
		Name: "unpack", Args: "[FEATURE...]",
		Short: "the daemon's decoder (the daemon starts it)",
		Long: `
Decodes the zstd payload of one image for the daemon, which starts it, from its standard input
to its standard output. It has no network, no files and no rights, as far as the kernel can see
to that; FEATURE is one that the configuration switches off. It is not for people.`,
		Setup: func(*flag.FlagSet) cli.Action {
			return func(_ context.Context, _ cli.Console, args []string) error {
				return unpack.Process(os.Stdin, os.Stdout, args)
			}
		},
	}
}
