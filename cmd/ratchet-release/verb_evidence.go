package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/evidence"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
)

func evidenceCollectVerb() cli.Verb {
	return cli.Verb{
		Name: "evidence collect", Args: "[flags]",
		Short: "collect the evidence that devices send, and ask for what is missing",
		Long: `
Receives evidence over MQTT until interrupted and stores it, one file for each enrolled device:
DIR/ID.evidence, sorted, each record once, ready for evidence verify. A record is stored only when
it is signed by the device's enrolled key. It can be stopped and started at any time: what a status
or the numbering shows to be missing is asked for again. What a device no longer has is said.

Two different records with one number are kept apart, in DIR/ID.forked: such a device has been
restored from a copy, or its key is used elsewhere.`,
		Examples: []string{
			"ratchet-release evidence collect -o evidence",
			"ratchet-release evidence collect --for 1m -o evidence   # for a timer",
		},
		Setup: func(fs *flag.FlagSet) cli.Action {
			dir := dirFlag(fs)
			out := fs.String("o", "evidence", "store in `DIR`")
			limit := fs.Duration("for", 0, "end after this `TIME`, such as 1m (0: when interrupted)")
			override := brokerFlags(fs)
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) != 0 {
					return cli.Usage("collect takes no arguments")
				}
				d, err := workspace.Load(*dir)
				if err != nil {
					return err
				}
				return evidence.Collect(ctx, c,
					evidence.Options{Broker: override(d.BrokerOptions()), Keys: d.DeviceKeys, Dir: *out, Limit: *limit})
			}
		},
	}
}

func evidenceVerifyVerb() cli.Verb {
	return cli.Verb{
		Name: "evidence verify", Args: "[flags] FILE",
		Short: "check an export of a device's evidence, offline",
		Long: `
Checks FILE ("-" is standard input), an export of ` + "`ratchet evidence export`" + ` or a file of evidence
collect: that every record is signed by the device's key, is of one device, and continues the chain
of the record before it. Says what the file holds, how many records are missing and where, and how
often each reason occurs. What is missing is never passed over in silence, but it is no forgery.`,
		Examples: []string{
			"ratchet-release evidence verify gw-0001.evidence --key devices/gw-0001.pem",
			"ratchet-release evidence verify --history --key gw-0001.pem export.cbor | less",
		},
		Exits: "3 a record is forged, altered, out of order or unreadable; what stands before it is good;\n" +
			"8 all records are genuine, and some are missing",
		Setup: func(fs *flag.FlagSet) cli.Action {
			names := cli.Repeated(fs, "key", "public key `PEM` of the device; may be repeated")
			history := fs.Bool("history", false, "print every record")
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) != 1 {
					return cli.Usage("name one file")
				}
				if len(*names) == 0 {
					return cli.Usage("give the device's public key with --key")
				}
				anchors, err := keys.Anchors(*names, false)
				if err != nil {
					return err
				}
				in := c.In
				if args[0] != "-" {
					f, err := os.Open(args[0])
					if err != nil {
						return fmt.Errorf("cannot read evidence: %w", err)
					}
					defer f.Close()
					in = f
				}
				return evidence.Verify(ctx, c, args[0], in, anchors, *history)
			}
		},
	}
}
