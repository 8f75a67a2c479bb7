package main

import (
	"context"
	"flag"

	"github.com/ratchet-ota/ratchet/cmd/internal/broker"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/publish"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
)

func announceVerb() cli.Verb {
	return cli.Verb{
		Name: "announce", Args: "[flags] FILE...",
		Short: "publish root bundles, campaign plans and pulses over MQTT",
		Long: `
Publishes signed documents, retained: a root bundle for all devices, a plan and a pulse for the
devices of a channel. The file says what it is. Each is read back from the broker, because a
broker acknowledges what its access list forbids. Give root, plan and pulse in this order. Of a root
bundle each version is published by itself too: devices take them one by one, whatever size the
bundle has.

Devices verify them; this verb looks only at their form. A device keeps what it has taken: an older
document that is announced again changes nothing.`,
		Examples: []string{
			"ratchet-release announce root-bundle.cbor",
			"ratchet-release announce plan.cbor pulse.cbor",
		},
		Setup: func(fs *flag.FlagSet) cli.Action {
			dir := dirFlag(fs)
			channel := fs.String("channel", "",
				"channel `NAME` of pulses (default: broker.channel); a plan names its own")
			override := brokerFlags(fs)
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) == 0 {
					return cli.Usage("name at least one document: a root bundle, a plan or a pulse")
				}
				d, err := workspace.Find(*dir)
				if err != nil {
					return err
				}
				if *channel == "" {
					*channel = d.Broker.Channel
				}
				var posts []broker.Post
				for _, name := range args {
					p, err := publish.Document(name, *channel)
					if err != nil {
						return err
					}
					posts = append(posts, p)
				}
				return publish.Announce(ctx, c, override(d.BrokerOptions()), posts)
			}
		},
	}
}
