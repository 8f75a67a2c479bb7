package main

import (
	"context"
	"flag"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
)

func enrollVerb() cli.Verb {
	return cli.Verb{
		Name: "enroll", Args: "[flags] ID DEVICE.pem",
		Short: "note a device's public key, so that its status and evidence can be verified",
		Long: `
Stores the public key DEVICE.pem ("-" is standard input) as devices/ID.pem in the release
directory. From then on watch and evidence collect believe of the device ID only what this key has
signed. Get the key over a way that you trust: at provisioning, or from the console. Another key
for the same device is refused without --replace.`,
		Examples: []string{
			"ratchet-release enroll gw-0001 gw-0001.pub.pem",
			"ssh gw-0001 cat /var/lib/ratchet/device.pem | ratchet-release enroll gw-0001 -",
		},
		Setup: func(fs *flag.FlagSet) cli.Action {
			dir := dirFlag(fs)
			replace := fs.Bool("replace", false, "replace the device's key by this one")
			return func(_ context.Context, c cli.Console, args []string) error {
				if len(args) != 2 {
					return cli.Usage("name a device id, and the file with its public key")
				}
				d, err := workspace.Load(*dir)
				if err != nil {
					return err
				}
				return workspace.Enroll(c, d, args[0], args[1], *replace)
			}
		},
	}
}
