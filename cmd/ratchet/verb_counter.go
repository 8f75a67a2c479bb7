package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/wire"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/linux/tpm"
)

const counterUsage = `Usage: ratchet counter [--config FILE]
       ratchet counter init [--platform] [--auth-file FILE] [--version N] [--replace]

Shows the rollback counter that the configuration names ([counter]), or makes it in the TPM. A TPM
counter is made once, in the factory, by whoever has the password of the TPM's owner or platform
hierarchy; the daemon never makes one, since a counter that is made again was turned back. What is
there already is left as it is, so that it may be run again after a power cut.

  --config FILE    configuration (default /etc/ratchet/ratchet.toml)
  --platform       let the platform hierarchy own it: then neither the TPM's owner nor a clear deletes it
  --auth-file FILE the hierarchy's password, without a line break; none: it is empty
  --version N      where it begins (default 0); on a board with a new TPM the device's root version
  --replace        delete the one that is there first, which turns it back

Exit codes: 0 done, 1 failed, 2 usage.
`

// runCounter works without the daemon: in a factory there is none yet.
func runCounter(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("counter", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	var how tpm.Provision
	path := f.String("config", "/etc/ratchet/ratchet.toml", "")
	auth := f.String("auth-file", "", "")
	f.BoolVar(&how.Platform, "platform", false, "")
	f.Uint64Var(&how.Version, "version", 0, "")
	f.BoolVar(&how.Replace, "replace", false, "")
	makes := len(args) > 0 && args[0] == "init"
	if makes {
		args = args[1:]
	}
	err := f.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, counterUsage)
		return 0
	}
	if err == nil {
		err = unexpected(f)
	}
	if err == nil && !makes && (how.Platform || how.Version > 0 || how.Replace || *auth != "") {
		err = errors.New("these flags are for: ratchet counter init")
	}
	if err != nil {
		fmt.Fprintf(stderr, "ratchet counter: %v\n%s", err, counterUsage)
		return 2
	}
	c, _, err := config.Load(*path)
	if err == nil && makes {
		err = makeCounter(ctx, &c, how, *auth, stdout)
	}
	if err == nil {
		err = showCounter(ctx, wire.Counter(&c), stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "ratchet: %v\n", err)
		return 1
	}
	return 0
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
	fmt.Fprintf(stdout, "counter %s stands at %d", counter.Kind(), v)
	if origin != "" {
		fmt.Fprintf(stdout, "; %s", origin)
	}
	fmt.Fprintln(stdout)
	return nil
}
