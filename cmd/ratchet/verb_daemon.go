package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/daemon"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/wire"
)

func daemonVerb() cli.Verb {
	return cli.Verb{
		Name: "daemon", Args: "[flags]",
		Short: "run the agent",
		Long: `
Runs the agent in the foreground until SIGTERM; under systemd as Type=notify. It never exits by
itself: with a bad configuration, record or trust anchor it goes on in boot-safe mode, keeps the
running system bootable, and says so in "ratchet status". Only a second daemon on the same state
directory ends, with exit code 1.`,
		Examples: []string{"ratchet daemon", "ratchet daemon --check-config --config ratchet.toml"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			path := fs.String("config", "/etc/ratchet/ratchet.toml", "configuration `FILE`")
			state := fs.String("state", "/var/lib/ratchet",
				"`DIR` of the last good configuration, for when FILE is bad")
			check := fs.Bool("check-config", false,
				"check the configuration, and keys and certificates that it names; exit 0: good, 1: bad")
			return func(ctx context.Context, c cli.Console, args []string) error {
				if err := none(args); err != nil {
					return err
				}
				if *check {
					return cli.Exit(checkConfig(*path, c.Out, c.Err))
				}
				if err := daemon.Run(ctx, *path, *state, c.Err); err != nil {
					return cli.Exit(cli.ExitFailed) // it is in the log
				}
				return nil
			}
		},
	}
}

// checkConfig tells whether the daemon could work with a configuration.
func checkConfig(path string, stdout, stderr io.Writer) int {
	c, _, err := config.Load(path)
	if err == nil {
		err = wire.Check(&c)
	}
	if err != nil {
		fmt.Fprintf(stderr, "ratchet: %v\n", err)
		return 1
	}
	fmt.Fprintf(stdout, "%s is good: device %s, slots in %s\n", path, c.Device.ID, c.Boot.Backend)
	return 0
}
