package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/wire"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/linux/tpm"
)

const defaultConfig = "/etc/ratchet/ratchet.toml"

func counterVerb() cli.Verb {
	return cli.Verb{
		Name: "counter", Args: "[--config FILE]",
		Short:    "the rollback counter that the configuration names",
		Long:     `Shows the rollback counter that the configuration names ([counter]). It needs no daemon.`,
		Examples: []string{"ratchet counter"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			path := fs.String("config", defaultConfig, "configuration `FILE`")
			return func(ctx context.Context, c cli.Console, args []string) error {
				if err := none(args); err != nil {
					return err
				}
				return runCounter(ctx, *path, nil, "", c.Out)
			}
		},
	}
}

func counterInitVerb() cli.Verb {
	return cli.Verb{
		Name: "counter init", Args: "[flags]",
		Short: "make the rollback counter in the TPM",
		Long: `
Makes the rollback counter in the TPM that the configuration names ([counter]). It is made once, in
the factory, by whoever has the password of the TPM's owner or platform hierarchy; the daemon never
makes one, because a new counter starts from zero. A counter that exists is left as it is, so the
command can be run again after a power cut.`,
		Examples: []string{"ratchet counter init --platform"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var how tpm.Provision
			path := fs.String("config", defaultConfig, "configuration `FILE`")
			auth := fs.String("auth-file", "",
				"`FILE` with the hierarchy's password, without a line break; none: it is empty")
			fs.BoolVar(&how.Platform, "platform", false,
				"let the platform hierarchy own it, so that no TPM owner and no TPM clear can delete it")
			fs.Uint64Var(&how.Version, "version", 0,
				"`NUMBER` to start from; on a board with a new TPM, the device's root version")
			fs.BoolVar(&how.Replace, "replace", false, "delete an existing counter first, which resets it")
			return func(ctx context.Context, c cli.Console, args []string) error {
				if err := none(args); err != nil {
					return err
				}
				return runCounter(ctx, *path, &how, *auth, c.Out)
			}
		},
	}
}

// runCounter makes the counter when how is not nil, and shows it. It works without the daemon: in a factory there
// is none yet.
func runCounter(ctx context.Context, path string, how *tpm.Provision, auth string, stdout io.Writer) error {
	c, _, err := config.Load(path)
	if err == nil && how != nil {
		err = makeCounter(ctx, &c, *how, auth, stdout)
	}
	if err == nil {
		err = showCounter(ctx, wire.Counter(&c), stdout)
	}
	return err
}

func makeCounter(ctx context.Context, c *config.Config, how tpm.Provision, auth string, stdout io.Writer) error {
	made, err := wire.MakeCounter(ctx, c, how, auth)
	switch {
	case err != nil:
		return err
	case made:
		fmt.Fprintln(stdout, "The counter was made.")
	default:
		fmt.Fprintln(stdout, "The counter is there already; it was left as it is.")
	}
	return nil
}

func showCounter(ctx context.Context, counter hal.Counter, stdout io.Writer) error {
	v, err := counter.Read(ctx)
	if err != nil {
		return err
	}
	origin, err := counter.Origin(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "counter %s is at %d", counter.Kind(), v)
	if origin != "" {
		fmt.Fprintf(stdout, "; %s", origin)
	}
	fmt.Fprintln(stdout)
	return nil
}
