package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/broker"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
)

func publishVerb() cli.Verb {
	return cli.Verb{
		Name: "publish", Args: "[flags] FILE...",
		Short: "copy payloads to the image directory and offer a release over MQTT",
		Long: `
Verifies the signed envelope FILE with the anchors, checks its payloads, copies them into the image
directory, and then offers the envelope: retained, on the channel or to single devices. In the end
the offer is read back from the broker, because a broker acknowledges what its access list forbids.
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
		Exits: "2 an envelope or a payload is refused; nothing was offered",
		Setup: func(fs *flag.FlagSet) cli.Action {
			var o publishOptions
			dir := dirFlag(fs)
			names := cli.Repeated(fs, "key", "public key `PEM` to verify with (default: keys.anchors)")
			devices := cli.Repeated(fs, "device", "offer to the device `ID` only; may be repeated")
			fs.StringVar(&o.channel, "channel", "", "offer on the channel `NAME` (default: broker.channel)")
			fs.StringVar(&o.payloads, "payloads", "", "payloads are in `DIR` (default: beside each envelope)")
			fs.StringVar(&o.images, "images", "", "image directory `DIR` (default: images.directory)")
			fs.BoolVar(&o.imagesOnly, "images-only", false, "copy images, offer nothing")
			fs.BoolVar(&o.offerOnly, "offer-only", false, "copy nothing: the images are where the manifest says already")
			fs.BoolVar(&o.sever, "sever-text", false, "leave the texts out of what is sent")
			fs.BoolVar(&o.force, "force", false, "replace a newer offer")
			withdraw := fs.Bool("withdraw", false, "clear the offer of the channel or device")
			override := brokerFlags(fs)
			return func(ctx context.Context, c cli.Console, args []string) error {
				switch {
				case *withdraw && len(args) > 0:
					return cli.Usage("--withdraw clears whatever is offered and takes no file")
				case !*withdraw && len(args) == 0:
					return cli.Usage("which envelope?")
				case o.imagesOnly && o.offerOnly:
					return cli.Usage("--images-only and --offer-only leave nothing to do")
				case len(args) > 1 && !o.imagesOnly:
					return cli.Usage("a topic holds one offer: publish one envelope at a time, or give --images-only")
				}
				d, err := findDesk(*dir)
				if err != nil {
					return err
				}
				o.broker = override(d.brokerOptions())
				topics, err := o.topics(d, *devices)
				if err != nil {
					return err
				}
				if *withdraw {
					return withdrawOffers(ctx, c, o.broker, topics)
				}
				if o.anchors, err = d.anchors(); len(*names) > 0 {
					o.anchors, err = keys.Anchors(*names, d.Keys.Legacy)
				}
				if err != nil {
					return err
				}
				if o.images == "" {
					o.images = d.images()
				}
				return publish(ctx, c, args, topics, o)
			}
		},
	}
}

type publishOptions struct {
	channel, payloads, images           string
	imagesOnly, offerOnly, sever, force bool
	anchors                             trust.Keys
	broker                              broker.Options
}

// topics lists where to offer.
func (o publishOptions) topics(d desk, devices []string) ([]string, error) {
	if o.imagesOnly {
		return nil, nil
	}
	if len(devices) > 0 && o.channel != "" {
		return nil, cli.Usage("--channel and --device exclude each other")
	}
	if o.channel == "" && len(devices) == 0 {
		o.channel = d.Broker.Channel
	}
	if len(devices) == 0 {
		devices = []string{""}
	}
	var topics []string
	for _, id := range devices {
		t, err := offerTopic(o.channel, id)
		if err != nil {
			return nil, err
		}
		topics = append(topics, t)
	}
	return topics, o.broker.Validate()
}

// publish verifies everything before it changes anything, copies before it offers.
func publish(ctx context.Context, c cli.Console, files, topics []string, o publishOptions) error {
	var all []manifest.Manifest
	for _, path := range files {
		m, err := verified(c, path, o.anchors)
		if err != nil {
			return err
		}
		all = append(all, m)
	}
	for i, m := range all {
		if o.offerOnly {
			break
		}
		from := o.payloads
		if from == "" {
			from = filepath.Dir(files[i])
		}
		if err := copyImages(ctx, c, m, from, o.images); err != nil {
			return err
		}
	}
	if o.imagesOnly {
		return nil
	}
	m := all[0]
	envelope := m.Envelope()
	if o.sever {
		var err error
		if envelope, err = severed(envelope, o.anchors); err != nil {
			return err
		}
	}
	b, err := broker.Connect(ctx, o.broker)
	if err != nil {
		return err
	}
	defer b.Close()
	for _, topic := range topics {
		if err := offer(ctx, c, b, topic, m, envelope, o); err != nil {
			return err
		}
	}
	return nil
}

// severed drops the texts and proves that the rest still verifies.
func severed(envelope []byte, anchors trust.Keys) ([]byte, error) {
	b, err := author.Sever(envelope)
	if err != nil {
		return nil, err
	}
	e, err := manifest.Parse(b)
	if err == nil {
		_, err = manifest.Verify(e, anchors)
	}
	return b, err
}

// offer publishes one envelope on one topic and proves that it is there.
func offer(ctx context.Context, c cli.Console, b *broker.Conn, topic string, m manifest.Manifest, envelope []byte, o publishOptions) error {
	old, err := b.Retained(ctx, topic, broker.Settle)
	if err != nil {
		return err
	}
	if bytes.Equal(old, envelope) {
		c.Say("%s: sequence %d is offered there already.", topic, m.Sequence())
		return nil
	}
	if err := supersedes(m, old, o.anchors); err != nil && !o.force {
		return fmt.Errorf("cannot offer %s on %s: %w", m.Digest(), topic, err)
	}
	if err := b.Publish(ctx, drop, topic, true, envelope); err != nil {
		return err
	}
	now, err := b.Retained(ctx, topic, broker.SettleLong)
	if err != nil {
		return fmt.Errorf("cannot read the offer back: %w", err)
	}
	if !bytes.Equal(now, envelope) {
		return fmt.Errorf("the broker acknowledged the offer and does not keep it on %s: its access list may forbid this desk to write or to read there, or it does not keep messages of %d bytes", topic, len(envelope))
	}
	c.Say("%s: offered, acknowledged and read back: sequence %d, %d bytes, %s", topic, m.Sequence(), len(envelope), m.Digest())
	return nil
}

// drop is for messages that are not waited for.
func drop(broker.Post) {}

// supersedes says why m should not replace what is offered now.
func supersedes(m manifest.Manifest, old []byte, anchors trust.Keys) error {
	e, err := manifest.Parse(old)
	if err != nil {
		return nil // nothing, or nothing that a device would take
	}
	present, err := manifest.Verify(e, anchors)
	switch {
	case err != nil || present.Digest() == m.Digest():
		return nil
	case present.Sequence() > m.Sequence():
		return fmt.Errorf("sequence %d is offered there, which is newer than %d; devices that took it refuse this one; build it with a higher sequence, or use --force", present.Sequence(), m.Sequence())
	case present.Sequence() == m.Sequence():
		return fmt.Errorf("another manifest with the same sequence %d is offered there (%s); devices that took it refuse this one; build it with a higher sequence, or use --force", m.Sequence(), present.Digest())
	}
	return nil
}

// withdrawOffers clears retained offers.
func withdrawOffers(ctx context.Context, c cli.Console, o broker.Options, topics []string) error {
	b, err := broker.Connect(ctx, o)
	if err != nil {
		return err
	}
	defer b.Close()
	for _, topic := range topics {
		old, err := b.Retained(ctx, topic, broker.Settle)
		if err != nil {
			return err
		}
		if len(old) == 0 {
			c.Say("%s: nothing is offered there.", topic)
			continue
		}
		if err := b.Publish(ctx, drop, topic, true, nil); err != nil {
			return err
		}
		now, err := b.Retained(ctx, topic, broker.Settle)
		if err != nil {
			return fmt.Errorf("cannot read back: %w", err)
		}
		if len(now) > 0 {
			return errors.New("the broker acknowledged and still keeps the offer: its access list may forbid this desk to write there")
		}
		c.Say("%s: cleared. Devices that have seen the offer keep to it.", topic)
	}
	return nil
}
