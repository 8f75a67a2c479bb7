package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/daemon"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/wire"
)

const daemonUsage = `ratchet daemon [--config FILE] [--state DIR] [--check-config]

Runs the agent in the foreground until SIGTERM; under systemd as Type=notify. It never exits by
itself: with a bad configuration, record or trust anchor it goes on in boot-safe mode, keeps the
running system bootable, and says so in "ratchet status". Only a second daemon on the same state
directory ends, with exit code 1.

  --config FILE    configuration (default /etc/ratchet/ratchet.toml)
  --state DIR      where to look for the last good configuration when FILE is bad (default /var/lib/ratchet)
  --check-config   check the configuration and the files that it names, and exit: 0 good, 1 bad
`

// runDaemon is "ratchet daemon".
func runDaemon(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("daemon", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	path := f.String("config", "/etc/ratchet/ratchet.toml", "")
	state := f.String("state", "/var/lib/ratchet", "")
	check := f.Bool("check-config", false, "")
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, daemonUsage)
		return 0
	} else if err != nil || f.NArg() > 0 {
		fmt.Fprintf(stderr, "ratchet daemon: %v\n%s", errors.Join(err, unexpected(f)), daemonUsage)
		return 2
	}
	if *check {
		return checkConfig(*path, stdout, stderr)
	}
	if err := daemon.Run(ctx, *path, *state, stderr); err != nil {
		return 1 // it is in the log
	}
	return 0
}

// unexpected refuses arguments after the flags.
func unexpected(f *flag.FlagSet) error {
	if f.NArg() == 0 {
		return nil
	}
	return fmt.Errorf("unexpected argument %q", f.Arg(0))
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
