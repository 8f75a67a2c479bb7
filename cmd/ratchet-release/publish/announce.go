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
	b, err := io.ReadAll(io.LimitReader(f, trust.MaxBundle+1))
	if err != nil {
		return broker.Post{}, fmt.Errorf("cannot read %s: %w", name, err)
	}
	if _, err := trust.Anchor(b); err == nil {
		return broker.Post{Topic: wire.RootTopic(), Body: b}, nil
	}
	if len(b) > transport.MaxMessage {
		return broker.Post{}, fmt.Errorf("cannot announce %s: it is no complete root bundle and has more than %d bytes",
			name, transport.MaxMessage)
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

// roots are the messages that bring a root bundle to devices: each version by itself, from the second on, for a
// device asks for the one after its own; and the bundle where it fits a message, for devices of version 0.1.
func roots(c cli.Console, bundle []byte) []broker.Post {
	all, err := trust.SplitBundle(bundle)
	if err != nil {
		return []broker.Post{{Topic: wire.RootTopic(), Body: bundle}} // a single root: the first one
	}
	var posts []broker.Post
	for i, one := range all[1:] {
		posts = append(posts, broker.Post{Topic: wire.RootVersionTopic(uint64(i) + 2), Body: one})
	}
	if len(bundle) > transport.MaxMessage {
		c.Warn("the bundle has %d bytes, more than the %d of a message: devices of version 0.1 cannot take it and "+
			"get their roots with an image; the others take its versions one by one", len(bundle), transport.MaxMessage)
		return posts
	}
	return append(posts, broker.Post{Topic: wire.RootTopic(), Body: bundle})
}

// Announce publishes documents, retained, and reads each back. A root bundle goes out version by version too.
func Announce(ctx context.Context, c cli.Console, o broker.Options, posts []broker.Post) error {
	b, err := broker.Connect(ctx, o)
	if err != nil {
		return err
	}
	defer b.Close()
	var all []broker.Post
	for _, p := range posts {
		if p.Topic == wire.RootTopic() {
			all = append(all, roots(c, p.Body)...)
		} else {
			all = append(all, p)
		}
	}
	for _, p := range all {
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
