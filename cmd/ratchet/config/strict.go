package config

import (
	"log/slog"
	"path/filepath"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
)

// leastEvidence is room for a handful of records.
const leastEvidence = 4096

// Strict finds what a device goes on with all the same, and nobody can have meant: a daemon that is updated must not
// stop at a configuration that it took before. A person who checks a configuration wants to know.
func (c *Config) Strict() error {
	if err := c.strictIDs(); err != nil {
		return err
	}
	for _, k := range c.privateKeys()[1:] {
		if k.Value != "" && filepath.Clean(k.Value) == filepath.Clean(c.DeviceKey()) {
			return c.Errorf(k.Name, sameKey)
		}
	}
	tries := c.Boot.Tries
	if tries == 0 {
		tries = 3
	}
	switch {
	case c.Boot.MaxBoots < 0 || c.Boot.MaxBoots > 0 && c.Boot.MaxBoots < tries:
		return c.Errorf("boot.max-trial-boots",
			"%d is less than boot.tries (%d): a trial would end before the bootloader gives up", c.Boot.MaxBoots, tries)
	case tries > bootctl.MaxTries || tries < 0:
		return c.Errorf("boot.tries", "%d is not 1 to %d", tries, bootctl.MaxTries)
	case c.Evidence.Bytes != 0 && c.Evidence.Bytes < leastEvidence:
		return c.Errorf("evidence.bytes", "%d is less than %d", c.Evidence.Bytes, leastEvidence)
	}
	var level slog.Level
	if c.Log.Level != "" && level.UnmarshalText([]byte(c.Log.Level)) != nil {
		return c.Errorf("log.level", "%q is not one of debug, info, warn, error", c.Log.Level)
	}
	return nil
}

// strictIDs holds vendor and class against what the release desk takes: a name that it refuses is one that no
// update will ever be for.
func (c *Config) strictIDs() error {
	var first manifest.UUID
	for i, v := range c.Device.Vendor {
		u, err := conf.VendorUUID(v)
		if err != nil {
			return c.Errorf("device.vendor", "%v", err)
		}
		if i == 0 {
			first = u
		}
	}
	for _, v := range c.Device.Class {
		if _, err := conf.ClassUUID(first, v); err != nil {
			return c.Errorf("device.class", "%v", err)
		}
	}
	return nil
}
