package wire

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/linux"
	"github.com/ratchet-ota/ratchet/hal/linux/tpm"
)

// maxPassword is the longest of a TPM's hierarchy, in bytes: a digest of SHA-512 (TPM 2.0 Library, part 2, section
// 10.4.5).
const maxPassword = 64

// tpmCounter is the TPM counter of the configuration, nil where it names none.
func tpmCounter(c *config.Config) *tpm.Counter {
	if c.Counter.Kind != "tpm2" {
		return nil
	}
	return tpm.New(cmp.Or(c.Counter.Device, tpmDevice(c)), cmp.Or(c.Counter.Index, tpm.DefaultIndex))
}

// Counter is the rollback counter of the configuration. Nothing is opened before it is used.
func Counter(c *config.Config) hal.Counter {
	if t := tpmCounter(c); t != nil {
		return t
	}
	return linux.NewFileCounter(linux.FS{}, filepath.Join(c.State.Directory, "counter"))
}

// MakeCounter makes the counter that the configuration names in the TPM. auth is a file that holds the
// hierarchy's password, "" for an empty one. A counter that is there already is left as it is: made is false.
func MakeCounter(ctx context.Context, c *config.Config, how tpm.Provision, auth string) (made bool, err error) {
	t := tpmCounter(c)
	if t == nil {
		return false, errors.New("the configuration has no counter in a TPM: " +
			"set counter.kind = \"tpm2\"; a counter in a file does not have to be made")
	}
	if how.Password, err = hierarchyPassword(auth); err != nil {
		return false, err
	}
	return t.Make(ctx, how)
}

// hierarchyPassword reads the password of a TPM's hierarchy from a file, "" for an empty one.
func hierarchyPassword(auth string) ([]byte, error) {
	if auth == "" {
		return nil, nil
	}
	b, err := os.ReadFile(auth)
	if err != nil {
		return nil, err
	}
	if b = bytes.TrimRight(b, "\n"); len(b) > maxPassword {
		return nil, fmt.Errorf("the password in %s has more than %d bytes", auth, maxPassword)
	}
	return b, nil
}
