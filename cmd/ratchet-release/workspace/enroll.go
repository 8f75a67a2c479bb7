package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

// Enroll takes a device's public key into the folder; replace admits another key than the one that is there.
func Enroll(c cli.Console, d Folder, id, path string, replace bool) error {
	if err := wire.CheckID(id); err != nil {
		return cli.Usage("device id %q %v", manifest.Printable(id), err)
	}
	b, err := files.ReadInput(c.In, path, trust.MaxPEM, "public key")
	if err != nil {
		return err
	}
	key, err := trust.ParsePublic(b)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	to := d.Path(filepath.Join(devicesDir, id+".pem"))
	old, err := keys.Public(to)
	switch {
	case err == nil && old.ID() == key.ID():
		c.Say("%s is enrolled with this key already (%s).", id, keys.Short(key.ID()))
		return nil
	case err == nil && !replace:
		return fmt.Errorf("cannot enroll %s: it is enrolled with another key (%s); if the device really "+
			"has a new one, use --replace", id, keys.Short(old.ID()))
	case err != nil && !errors.Is(err, fs.ErrNotExist) && !replace:
		return fmt.Errorf("cannot enroll %s: %w; use --replace", id, err)
	}
	pem, err := key.MarshalPEM()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return fmt.Errorf("cannot enroll %s: %w", id, err)
	}
	if err := files.Write(to, pem, 0o644); err != nil {
		return err
	}
	c.Say("%s: enrolled with key %s (%s).", id, key.ID(), keys.Algorithm(key.Alg()))
	return nil
}
