package wire

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/linux"
)

// deviceKey is the key that signs evidence. In a file it is made on the first start; in the TPM only ratchet key init
// makes it. Its public half is written for enrollment. With an error the key, if there is one, is of use all the same.
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
	path := c.DeviceKey()
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

func keyElsewhere(c *config.Config) bool {
	return config.InTPM(c.DeviceKey()) || filepath.Dir(c.DeviceKey()) != filepath.Clean(c.State.Directory)
}

// keyMark is the public half, in the state directory, of a device key that lies elsewhere. It tells a first start from
// one at which the place of the key is not mounted yet, or whose TPM was cleared: another key would be another device
// to the desk.
func keyMark(c *config.Config) string {
	if config.InTPM(c.DeviceKey()) {
		return filepath.Join(c.State.Directory, "device.pem") // where it is enrolled from
	}
	return filepath.Join(c.State.Directory, "device-elsewhere.pem")
}

// keyMarks are the marks that this device may have, of the place where its key is and of those where it was.
func keyMarks(c *config.Config) []string {
	return []string{filepath.Join(c.State.Directory, "device-elsewhere.pem"),
		filepath.Join(c.State.Directory, "device.pem")}
}

// mayMakeKey says why no key is made where none is: in a file by the daemon, in the TPM by whoever provisions it.
func mayMakeKey(c *config.Config) error {
	if !keyElsewhere(c) {
		return nil
	}
	key, inTPM := c.DeviceKey(), config.InTPM(c.DeviceKey())
	if _, err := os.Stat(filepath.Dir(key)); err != nil && !inTPM {
		return c.Errorf("evidence.key", "%v", err)
	}
	for _, mark := range keyMarks(c) {
		if _, err := os.Stat(mark); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if inTPM {
			return c.Errorf("evidence.key", "the TPM has no key at %s, and this device has had a key. If the TPM was "+
				"cleared or replaced, or the key was in a file until now: remove %s, run ratchet key init, and enroll "+
				"the new key", key, mark)
		}
		return c.Errorf("evidence.key", "%s is not there, and this device has had a key. Mount or restore it; "+
			"if it is lost, remove %s, and a new one is made, to be enrolled again", key, mark)
	}
	return nil
}

// markKey remembers which key there is elsewhere. Without it the key is good all the same.
//
// Crash: before -> the key is there, and marked at the next start; after -> it is not made again.
func markKey(c *config.Config, fsys hal.FS, s *trust.Signer) error {
	if !keyElsewhere(c) {
		return nil
	}
	if err := otherKey(c, fsys, s); err != nil {
		return err
	}
	pub, err := s.Key().MarshalPEM()
	if err != nil {
		return err
	}
	if old, err := hal.ReadFile(fsys, keyMark(c), maxKey); err == nil && bytes.Equal(old, pub) {
		return nil // flash wears
	}
	return hal.ReplaceFile(fsys, keyMark(c), pub)
}

// otherKey says that the key elsewhere is another one than this device had. It is used: the desk does not believe it
// before it is enrolled.
func otherKey(c *config.Config, fsys hal.FS, s *trust.Signer) error {
	for _, mark := range append([]string{keyMark(c)}, keyMarks(c)...) {
		b, err := hal.ReadFile(fsys, mark, maxKey)
		if err != nil {
			continue
		}
		old, err := trust.ParsePublic(b)
		switch {
		case err != nil: // it is written anew
		case old.ID() == s.Key().ID():
			return nil
		default:
			return c.Errorf("evidence.key", "%s is another key (%.16s) than this device had (%.16s): to the desk it "+
				"is another device. If it is meant so, remove %s, and enroll it again", c.DeviceKey(), s.Key().ID(),
				old.ID(), mark)
		}
	}
	return nil
}

// readDeviceKey reads the key that is there; fs.ErrNotExist: there is none, in a file.
func readDeviceKey(c *config.Config, fsys hal.FS) (*trust.Signer, error) {
	if config.InTPM(c.DeviceKey()) {
		return deviceKeyInTPM(c)
	}
	b, err := hal.ReadFile(fsys, c.DeviceKey(), maxKey)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, c.Errorf("evidence.key", "%v", err)
	}
	s, err := trust.ParsePrivate(b)
	if err != nil {
		return nil, c.Errorf("evidence.key", "%s: %v", c.DeviceKey(), err)
	}
	return s, nil
}

// lacksDeviceKey says why there is no device key now, or not the one that was there. It makes none.
func lacksDeviceKey(c *config.Config, fsys hal.FS) error {
	s, err := readDeviceKey(c, fsys)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return mayMakeKey(c)
	case err != nil || !keyElsewhere(c):
		return err
	}
	return otherKey(c, fsys, s)
}

// TryDeviceKey tells whether the device key, of which there was none at the start, is there now, or can be made.
func TryDeviceKey(c *config.Config, log *slog.Logger) error {
	s, err := deviceKey(c, linux.FS{}, log)
	if s != nil {
		return nil
	}
	return err
}
