package main

import (
	"context"
	"flag"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/watch"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
)

func watchVerb() cli.Verb {
	return cli.Verb{
		Name: "watch", Args: "[flags]",
		Short: "show devices and their updates as they report them",
		Long: `
Shows what devices report over MQTT, until interrupted: a live table on a terminal, otherwise one
line for each change. With --once what the broker knows now, as one table. With --json one JSON
object for each change, or with --once one object with all devices and totals.

SIGNED says who vouches for a row: "verified" is signed by the key that is enrolled for the device;
"unverified" is of a device without an enrolled key, and could come from anybody who may publish
there; "bad-signature" is not signed by the enrolled key and is not shown. ONLINE is what the broker
says, and is never signed. A silent device is one that is not online.`,
		Examples: []string{
			"ratchet-release watch",
			"ratchet-release watch --once --json | jq .totals",
		},
		Setup: func(fs *flag.FlagSet) cli.Action {
			dir := dirFlag(fs)
			once := fs.Bool("once", false, "show what is known now, and exit")
			asJSON := fs.Bool("json", false, "write JSON")
			override := brokerFlags(fs)
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) != 0 {
					return cli.Usage("watch takes no arguments")
				}
				d, err := workspace.Find(*dir)
				if err != nil {
					return err
				}
				return watch.Run(ctx, c,
					watch.Options{Broker: override(d.BrokerOptions()), Keys: d.DeviceKeys, Once: *once, Json: *asJSON})
			}
		},
	}
}
