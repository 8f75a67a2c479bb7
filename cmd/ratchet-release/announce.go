package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/broker"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

func announceVerb() cli.Verb {
	return cli.Verb{
		Name: "announce", Args: "[flags] FILE...",
		Short: "publish root bundles, campaign plans and pulses over MQTT",
		Long: `
Publishes signed documents, retained: a root bundle for all devices, a plan and a pulse for the
devices of a channel. What a file is, it says itself. Each is read back from the broker, because a
broker acknowledges what its access list forbids. Give root, plan and pulse in this order.

Devices verify them; this verb looks only at their form. A device keeps what it has taken: an older
document that is announced again changes nothing.`,
		Examples: []string{
			"ratchet-release announce root.bundle",
			"ratchet-release announce plan.cbor pulse.cbor",
		},
		Setup: func(fs *flag.FlagSet) cli.Action {
			dir := dirFlag(fs)
			channel := fs.String("channel", "", "channel `NAME` of pulses (default: broker.channel); a plan names its own")
			override := brokerFlags(fs)
			return func(ctx context.Context, c cli.Console, args []string) error {
				if len(args) == 0 {
					return cli.Usage("which document?")
				}
				d, err := findDesk(*dir)
				if err != nil {
					return err
				}
				if *channel == "" {
					*channel = d.Broker.Channel
				}
				var posts []broker.Post
				for _, name := range args {
					p, err := announcement(name, *channel)
					if err != nil {
						return err
					}
					posts = append(posts, p)
				}
				return announce(ctx, c, override(d.brokerOptions()), posts)
			}
		},
	}
}

// announcement reads a document and says where it belongs.
func announcement(name, channel string) (broker.Post, error) {
	f, err := os.Open(name)
	if err != nil {
		return broker.Post{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, transport.MaxMessage+1))
	if err != nil {
		return broker.Post{}, fmt.Errorf("cannot read %s: %w", name, err)
	}
	if len(b) > transport.MaxMessage {
		return broker.Post{}, fmt.Errorf("cannot announce %s: it has more than %d bytes, which devices take over MQTT; a larger root bundle travels with the image", name, transport.MaxMessage)
	}
	if _, err := trust.Anchor(b); err == nil {
		return broker.Post{Topic: wire.RootTopic(), Body: b}, nil
	}
	if spec, _, err := campaign.ReadPlan(b); err == nil {
		return broker.Post{Topic: wire.PlanTopic(spec.Channel), Body: b}, nil
	}
	if _, err := campaign.ReadPulse(b); err == nil {
		if err := wire.CheckID(channel); err != nil {
			return broker.Post{}, cli.Usage("a pulse needs a channel: give --channel, or name broker.channel in %s: it %v", deskName, err)
		}
		return broker.Post{Topic: wire.PulseTopic(channel), Body: b}, nil
	}
	return broker.Post{}, fmt.Errorf("cannot announce %s: it is neither a complete root bundle nor a signed plan or pulse", name)
}

func announce(ctx context.Context, c cli.Console, o broker.Options, posts []broker.Post) error {
	b, err := broker.Connect(ctx, o)
	if err != nil {
		return err
	}
	defer b.Close()
	for _, p := range posts {
		if err := b.Publish(ctx, drop, p.Topic, true, p.Body); err != nil {
			return err
		}
		now, err := b.Retained(ctx, p.Topic, broker.SettleLong)
		if err != nil {
			return fmt.Errorf("cannot read %s back: %w", p.Topic, err)
		}
		if !bytes.Equal(now, p.Body) {
			return fmt.Errorf("the broker acknowledged the document and does not keep it on %s: its access list may forbid this desk to write or to read there", p.Topic)
		}
		c.Say("%s: announced, acknowledged and read back, %d bytes", p.Topic, len(p.Body))
	}
	return nil
}
