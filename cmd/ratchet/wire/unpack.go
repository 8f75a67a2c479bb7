package wire

import (
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/unpack"
	"github.com/ratchet-ota/ratchet/slots"
)

// startUnpack starts the process that decodes zstd. Where that cannot be, the daemon does not decode in its place:
// what strangers send would then be decoded by root just where a device is in trouble. The image is tried again.
func startUnpack(c *config.Config) (slots.Unpacker, error) {
	child, err := unpack.Start(netUser(c), c.Sandbox.Without)
	if err != nil {
		return nil, err // and not a nil *Child in an interface
	}
	return child, nil
}
