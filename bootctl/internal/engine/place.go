package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/ratchet-ota/ratchet/bootctl"
)

// Place is where one record lies: a file, a copy on a device, a firmware variable.
type Place interface {
	// Read returns the record as it stands; nil when it is not there.
	Read() ([]byte, error)
	// Write makes data durable, whole or not at all as far as the medium goes.
	Write(data []byte) error
	// String names the place in errors.
	String() string
}

// Replace puts data in place of what was read as old. The error wraps bootctl.ErrChanged when something
// else stands there now, bootctl.ErrNotVerified when data does not read back.
func Replace(p Place, old, data []byte) error {
	if err := Unchanged(p, old); err != nil {
		return err
	}
	return Put(p, data)
}

// Unchanged reads the place again. Programs that take the locks cannot have written since it was read as
// old; this is for those that do not.
func Unchanged(p Place, old []byte) error {
	now, err := p.Read()
	if errors.Is(err, fs.ErrNotExist) || err == nil && (!bytes.Equal(now, old) || (now == nil) != (old == nil)) {
		return fmt.Errorf("%w: %s", bootctl.ErrChanged, p)
	}
	return err
}

// Put writes data and reads it back.
//
// Crash: before -> old; after -> new; inside -> what Write says.
func Put(p Place, data []byte) error {
	if err := p.Write(data); err != nil {
		return fmt.Errorf("cannot write %s: %w", p, err)
	}
	back, err := p.Read()
	if err != nil {
		return fmt.Errorf("%w: %w", bootctl.ErrNotVerified, err)
	}
	if !bytes.Equal(back, data) {
		return fmt.Errorf("%w: %s", bootctl.ErrNotVerified, p)
	}
	return nil
}
