package wire

import (
	"bytes"
	"log/slog"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/cipher"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/linux"
	"github.com/ratchet-ota/ratchet/hal/textfile"
)

// wireKeys wires what the device trusts and what it signs with. Without a key to trust nothing is installed;
// without a key of its own nothing is sent.
func wireKeys(o *agent.Options, c *config.Config, fsys hal.FS, log *slog.Logger) {
	var err error
	if o.Decrypt, err = decryption(c); err != nil {
		log.Error("encrypted images cannot be installed", "error", err)
	}
	if o.Root, err = root(c); err != nil {
		log.Error("the trust root is bad", "error", err)
		o.Safe = append(o.Safe, err.Error())
	}
	if c.Trust.Root != "" {
		// Flat keys are refused once there is a root.
	} else if keys, err := anchors(c); err != nil {
		log.Error("trust anchors are bad", "error", err)
		o.Safe = append(o.Safe, err.Error())
	} else {
		o.Authority = keys
	}
	signer, err := deviceKey(c, fsys, log)
	if signer == nil {
		log.Error("there is no device key; evidence stays unsigned and is not sent", "error", err)
	} else if err != nil {
		log.Error("the device key is used, and not as it should be", "error", err)
	}
	o.Signer = signer
}

// root reads the trust root that the image brings; nil without one.
func root(c *config.Config) ([]byte, error) {
	if c.Trust.Root == "" {
		return nil, nil
	}
	b, err := hal.ReadFile(linux.FS{}, c.Trust.Root, trust.MaxBundle)
	if err != nil {
		return nil, c.Errorf("trust.root", "%v", err)
	}
	if bytes.HasPrefix(b, []byte("-----BEGIN ")) {
		return nil, c.Errorf("trust.root", "%s is in PEM, as keys are: name the bundle of roots, root-bundle.cbor",
			c.Trust.Root)
	}
	if _, err := trust.Anchor(b); err != nil {
		return nil, c.Errorf("trust.root", "%s: %v", c.Trust.Root, err)
	}
	return b, nil
}

// anchors reads the release keys of a device without a trust root.
func anchors(c *config.Config) (trust.Keys, error) {
	var keys []trust.Key
	for _, path := range c.Trust.Keys {
		b, err := textfile.Read(path, maxKey)
		if err != nil {
			return trust.Keys{}, c.Errorf("trust.keys", "%v", err)
		}
		k, err := trust.ParsePublic(withoutMark(b))
		if err != nil {
			return trust.Keys{}, c.Errorf("trust.keys", "%s: %v", path, err)
		}
		keys = append(keys, k)
	}
	all, err := trust.NewKeys(keys, c.Trust.Legacy)
	if err != nil {
		return all, c.Errorf("trust.keys", "%v", err)
	}
	return all, nil
}

// decryption reads the device's keys for encrypted images.
func decryption(c *config.Config) (cipher.Keys, error) {
	var keys []cipher.Key
	for _, path := range c.Trust.Decryption {
		b, err := textfile.Read(path, maxKey)
		if err != nil {
			return cipher.Keys{}, c.Errorf("trust.decryption-keys", "%v", err)
		}
		k, err := cipher.ParseKey(b)
		if err != nil {
			return cipher.Keys{}, c.Errorf("trust.decryption-keys", "%s: %v", path, err)
		}
		if !k.Opens() {
			return cipher.Keys{}, c.Errorf("trust.decryption-keys",
				"%s is a public key, which cannot decrypt: name the private key", path)
		}
		keys = append(keys, k)
	}
	all, err := cipher.NewKeys(keys...)
	if err != nil {
		return all, c.Errorf("trust.decryption-keys", "%v", err)
	}
	return all, nil
}
