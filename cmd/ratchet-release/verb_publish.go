package main

import (
	"context"
	"flag"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/publish"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
)

func publishVerb() cli.Verb {
	return cli.Verb{
		Name: "publish", Args: "[flags] FILE...",
		Short: "copy payloads to the image directory and offer a release over MQTT",
		Long: `
Verifies the signed envelope FILE with the anchors, checks its payloads, copies them into the image
directory, and then offers the envelope: retained, on the channel or to single devices. In the end
the offer is read back from the broker, because a broker acknowledges even what its access list forbids.
Images come first, so that no device is told of an image that is not there.

A channel or device has one offer; a newer one replaces it. An offer of a lower sequence number, or
of the same one with another manifest, is not made without --force: devices that took the present
one refuse it. With --images-only several envelopes can be given.

--withdraw clears the offer. Devices ignore that: one that has taken the offer goes on with it, one
that has not seen it never will.`,
		Examples: []string{
			"ratchet-release publish release.suit",
			"ratchet-release publish --device gw-0001 --device gw-0002 release.suit",
			"ratchet-release publish --images-only *.suit",
			"ratchet-release publish --withdraw --channel beta",
		},
		Exits: "3 an envelope or a payload is refused; nothing was offered",
		Setup: publishFlags,
	}
}

func publishFlags(fs *flag.FlagSet) cli.Action {
	var o publish.Options
	dir := dirFlag(fs)
	names := cli.Repeated(fs, "key", "public key `PEM` to verify with (default: keys.anchors)")
	devices := cli.Repeated(fs, "device", "offer to the device `ID` only; may be repeated")
	fs.StringVar(&o.Channel, "channel", "", "offer on the channel `NAME` (default: broker.channel)")
	fs.StringVar(&o.Payloads, "payloads", "", "payloads are in `DIR` (default: beside each envelope)")
	fs.StringVar(&o.Images, "images", "", "image directory `DIR` (default: images.directory)")
	fs.BoolVar(&o.ImagesOnly, "images-only", false, "copy images, offer nothing")
	fs.BoolVar(&o.OfferOnly, "offer-only", false,
		"copy nothing: the images are already where the manifest says")
	fs.BoolVar(&o.Sever, "sever-text", false, "leave the texts out of what is sent")
	fs.BoolVar(&o.Force, "force", false, "replace a newer offer")
	withdraw := fs.Bool("withdraw", false, "clear the offer of the channel or device")
	override := brokerFlags(fs)
	return func(ctx context.Context, c cli.Console, args []string) error {
		switch {
		case *withdraw && len(args) > 0:
			return cli.Usage("--withdraw clears whatever is offered and takes no file")
		case !*withdraw && len(args) == 0:
			return cli.Usage("name at least one envelope file")
		case o.ImagesOnly && o.OfferOnly:
			return cli.Usage("--images-only and --offer-only leave nothing to do")
		case len(args) > 1 && !o.ImagesOnly:
			return cli.Usage("a topic holds one offer: publish one envelope at a time, or give --images-only")
		}
		d, err := workspace.Find(*dir)
		if err != nil {
			return err
		}
		o.Broker = override(d.BrokerOptions())
		topics, err := o.Topics(d, *devices)
		if err != nil {
			return err
		}
		if *withdraw {
			return publish.Withdraw(ctx, c, o.Broker, topics)
		}
		if o.Anchors, err = d.Anchors(); len(*names) > 0 {
			o.Anchors, err = keys.Anchors(*names, d.Keys.Legacy)
		}
		if err != nil {
			return err
		}
		if o.Images == "" {
			o.Images = d.ImageDir()
		}
		return publish.Run(ctx, c, args, topics, o)
	}
}
