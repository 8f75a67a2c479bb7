package wire

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

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
		log.Error("cannot remember that there is a device key", "error", err)
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

// deviceKey reads the key that signs evidence; it is made on the first start, and its public half is
// written beside it for enrollment.
func deviceKey(c *config.Config, fsys hal.FS, log *slog.Logger) (*trust.Signer, error) {
	s, err := readDeviceKey(c, fsys)
	if errors.Is(err, fs.ErrNotExist) {
		if err = mayMakeKey(c); err != nil {
			return nil, err
		}
		s, err = makeDeviceKey(c, fsys, log)
	}
	if err != nil {
		return nil, err
	}
	return s, markKey(c, fsys, s)
}

func makeDeviceKey(c *config.Config, fsys hal.FS, log *slog.Logger) (*trust.Signer, error) {
	path := keyPath(c)
	s, err := trust.Generate(trust.ESP256)
	if err != nil {
		return nil, err
	}
	priv, err := s.MarshalPEM()
	if err != nil {
		return nil, err
	}
	pub, err := s.Key().MarshalPEM()
	if err != nil {
		return nil, err
	}
	// Crash: public half first -> a private key that is there was announced; a public one alone is replaced.
	public := strings.TrimSuffix(path, ".key") + ".pem"
	if err := hal.ReplaceFile(fsys, public, pub); err != nil {
		return nil, err
	}
	if err := hal.ReplaceFile(fsys, path, priv); err != nil {
		return nil, err
	}
	log.Info("made the device key; enroll its public half", "key", path, "public", public, "id", s.Key().ID())
	return s, nil
}

// keyMark is the public half of a device key that lies elsewhere than in the state directory. It tells a first start
// from one at which the place of the key is not mounted yet: another key would be another device to the desk.
func keyMark(c *config.Config) string {
	return filepath.Join(c.State.Directory, "device-elsewhere.pem")
}

func keyElsewhere(c *config.Config) bool {
	return filepath.Dir(keyPath(c)) != filepath.Clean(c.State.Directory)
}

// mayMakeKey says why no key is made where none is.
func mayMakeKey(c *config.Config) error {
	if !keyElsewhere(c) {
		return nil
	}
	if _, err := os.Stat(filepath.Dir(keyPath(c))); err != nil {
		return c.Errorf("evidence.key", "%v", err)
	}
	if _, err := os.Stat(keyMark(c)); !errors.Is(err, fs.ErrNotExist) {
		return c.Errorf("evidence.key", "%s is not there, and this device has had a key there. Mount or restore it; "+
			"if it is lost, remove %s, and a new one is made, to be enrolled again", keyPath(c), keyMark(c))
	}
	return nil
}

// markKey remembers that there is a key elsewhere. Without it the key is good all the same.
//
// Crash: before -> the key is there, and marked at the next start; after -> it is not made again.
func markKey(c *config.Config, fsys hal.FS, s *trust.Signer) error {
	if !keyElsewhere(c) {
		return nil
	}
	pub, err := s.Key().MarshalPEM()
	if err != nil {
		return err
	}
	if old, err := hal.ReadFile(fsys, keyMark(c), 64<<10); err == nil && bytes.Equal(old, pub) {
		return nil
	}
	return hal.ReplaceFile(fsys, keyMark(c), pub)
}

//go:noinline
func keyPath(c *config.Config) string {
	if c.Evidence.Key != "" {
		return c.Evidence.Key
	}
	return filepath.Join(c.State.Directory, "device.key")
}

// readDeviceKey reads the key that is there; fs.ErrNotExist: there is none.
func readDeviceKey(c *config.Config, fsys hal.FS) (*trust.Signer, error) {
	b, err := hal.ReadFile(fsys, keyPath(c), 64<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, c.Errorf("evidence.key", "%v", err)
	}
	s, err := trust.ParsePrivate(b)
	if err != nil {
		return nil, c.Errorf("evidence.key", "%s: %v", keyPath(c), err)
	}
	return s, nil
}

// TryDeviceKey tells whether the device key, of which there was none at the start, is there now, or can be made.
func TryDeviceKey(c *config.Config, log *slog.Logger) error {
	_, err := deviceKey(c, linux.FS{}, log)
	return err
}
