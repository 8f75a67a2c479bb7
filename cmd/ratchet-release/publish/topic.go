package publish

import (
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

// offerTopic is where a release is offered: to one device, or to everybody on a channel.
func offerTopic(channel, device string) (string, error) {
	if device != "" {
		if err := wire.CheckID(device); err != nil {
			return "", cli.Usage("device id %q %v", manifest.Printable(device), err)
		}
		return wire.DeviceTopic(device, wire.Offer), nil
	}
	if channel == "" {
		return "",
			cli.Usage("no channel and no device: give --channel NAME or --device ID, or set broker.channel in %s",
				workspace.FileName)
	}
	if err := wire.CheckID(channel); err != nil {
		return "", cli.Usage("channel %q %v", manifest.Printable(channel), err)
	}
	return wire.ChannelTopic(channel), nil
}
