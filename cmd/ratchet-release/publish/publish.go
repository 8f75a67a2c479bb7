// Package publish gives releases and documents to the broker: offers, trust roots, plans and pulses.
//
// Images are copied before an offer is made, so that no device is told of an image that is not there.
// What was published is read back, since a broker acknowledges what its access list forbids. An
// interruption leaves the offer before or the new one.
package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/broker"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/release"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
)

// Options say where to and what of a release is published.
type Options struct {
	Channel, Payloads, Images           string
	ImagesOnly, OfferOnly, Sever, Force bool
	Anchors                             trust.Keys
	Broker                              broker.Options
}

// Topics lists where to offer.
func (o Options) Topics(d workspace.Folder, devices []string) ([]string, error) {
	if o.ImagesOnly {
		return nil, nil
	}
	if len(devices) > 0 && o.Channel != "" {
		return nil, cli.Usage("--channel and --device cannot be used together")
	}
	if o.Channel == "" && len(devices) == 0 {
		o.Channel = d.Broker.Channel
	}
	if d.None() && o.Channel == "" && len(devices) == 0 {
		return nil, cli.Usage("no channel and no device: this is not a release directory (it has no %s); name one "+
			"with --dir, or give --channel NAME or --device ID", workspace.FileName)
	}
	if len(devices) == 0 {
		devices = []string{""}
	}
	var topics []string
	for _, id := range devices {
		t, err := offerTopic(o.Channel, id)
		if err != nil {
			return nil, err
		}
		topics = append(topics, t)
	}
	return topics, o.Broker.Validate()
}

// Run verifies everything before it changes anything, copies before it offers.
func Run(ctx context.Context, c cli.Console, files, topics []string, o Options) error {
	var all []manifest.Manifest
	for _, path := range files {
		m, err := release.ReadVerified(c, path, o.Anchors)
		if err != nil {
			return err
		}
		all = append(all, m)
	}
	for i, m := range all {
		if o.OfferOnly {
			break
		}
		from := o.Payloads
		if from == "" {
			from = filepath.Dir(files[i])
		}
		if err := release.CopyImages(ctx, c, m, from, o.Images); err != nil {
			return err
		}
	}
	if o.ImagesOnly {
		return nil
	}
	m := all[0]
	envelope := m.Envelope()
	if o.Sever {
		var err error
		if envelope, err = severed(envelope, o.Anchors); err != nil {
			return err
		}
	}
	b, err := broker.Connect(ctx, o.Broker)
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
func offer(ctx context.Context, c cli.Console, b *broker.Conn, topic string, m manifest.Manifest,
	envelope []byte, o Options) error {
	old, err := b.Retained(ctx, topic, broker.Settle)
	if err != nil {
		return err
	}
	if bytes.Equal(old, envelope) {
		c.Say("%s: sequence %d is offered there already.", topic, m.Sequence())
		return nil
	}
	if err := supersedes(m, old, o.Anchors); err != nil && !o.Force {
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
		return fmt.Errorf("the broker acknowledged the offer, but does not keep it on %s: its access list may not "+
			"let this desk write or read there, or it does not keep messages of %d bytes", topic, len(envelope))
	}
	c.Say("%s: offered, acknowledged and read back: sequence %d, %d bytes, %s",
		topic, m.Sequence(), len(envelope), m.Digest())
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
		return fmt.Errorf("sequence %d is offered there, which is newer than %d; devices that took it refuse this "+
			"one; build it with a higher sequence, or use --force", present.Sequence(), m.Sequence())
	case present.Sequence() == m.Sequence():
		return fmt.Errorf("another manifest with the same sequence %d is offered there (%s); devices that took it "+
			"refuse this one; build it with a higher sequence, or use --force", m.Sequence(), present.Digest())
	}
	return nil
}

// Withdraw clears retained offers.
func Withdraw(ctx context.Context, c cli.Console, o broker.Options, topics []string) error {
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
			return errors.New("the broker acknowledged, but still has the offer: its access list may not " +
				"let this desk write there")
		}
		c.Say("%s: cleared. Devices that have seen the offer may still install it.", topic)
	}
	return nil
}
