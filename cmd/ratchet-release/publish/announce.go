package publish

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/broker"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

// Document reads a document and says where it belongs.
func Document(name, channel string) (broker.Post, error) {
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
		return broker.Post{}, fmt.Errorf("cannot announce %s: it has more than %d bytes, which devices take over "+
			"MQTT; a larger root bundle travels with the image", name, transport.MaxMessage)
	}
	if _, err := trust.Anchor(b); err == nil {
		return broker.Post{Topic: wire.RootTopic(), Body: b}, nil
	}
	if spec, _, err := campaign.ReadPlan(b); err == nil {
		return broker.Post{Topic: wire.PlanTopic(spec.Channel), Body: b}, nil
	}
	if _, err := campaign.ReadPulse(b); err == nil {
		if err := wire.CheckID(channel); err != nil {
			return broker.Post{}, cli.Usage("a pulse needs a channel: give --channel, or name broker.channel in "+
				"%s: it %v", workspace.FileName, err)
		}
		return broker.Post{Topic: wire.PulseTopic(channel), Body: b}, nil
	}
	return broker.Post{},
		fmt.Errorf("cannot announce %s: it is neither a complete root bundle nor a signed plan or pulse", name)
}

// Announce publishes documents, retained, and reads each back.
func Announce(ctx context.Context, c cli.Console, o broker.Options, posts []broker.Post) error {
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
			return fmt.Errorf("the broker acknowledged the document, but does not keep it on %s: its access list may "+
				"not let this desk write or read there", p.Topic)
		}
		c.Say("%s: announced, acknowledged and read back, %d bytes", p.Topic, len(p.Body))
	}
	return nil
}
