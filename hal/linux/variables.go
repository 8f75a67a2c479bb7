//go:build linux

package linux

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/hal"
)

// Variables are the UEFI variables as efivarfs shows them (Linux, Documentation/filesystems/efivarfs.rst):
// a file for each, of 4 bytes of attributes (little endian) and the data, written by one write(2).
type Variables struct {
	Dir string // "" for /sys/firmware/efi/efivars
}

var _ hal.Variables = Variables{}

// maxVariable bounds what is read of a variable, in bytes.
const maxVariable = 64 << 10

func (v Variables) dir() string {
	if v.Dir == "" {
		return "/sys/firmware/efi/efivars"
	}
	return v.Dir
}

// path refuses what is not the name of a file.
func (v Variables) path(name string) (string, error) {
	if name == "" || strings.ContainsAny(name, "/\x00") {
		return "", errorf("cannot use the variable %q: it is not a valid name", name)
	}
	return filepath.Join(v.dir(), name), nil
}

// Names implements hal.Variables.
func (v Variables) Names() ([]string, error) {
	names, err := FS{}.List(v.dir())
	if err != nil {
		return nil, errorf("cannot list the UEFI variables; was the machine started by UEFI, and "+
			"is efivarfs mounted? %w: %w", hal.ErrUnsupported, err)
	}
	if len(names) == 0 {
		return nil, errorf("cannot list the UEFI variables: %w: %s is empty; is efivarfs mounted?",
			hal.ErrUnsupported, v.dir())
	}
	return names, nil
}

// Get implements hal.Variables. The kernel limits how often a user may read, and says EINTR then.
func (v Variables) Get(name string) (uint32, []byte, error) {
	path, err := v.path(name)
	if err != nil {
		return 0, nil, err
	}
	var b []byte
	for range 5 {
		if b, err = os.ReadFile(path); !errors.Is(err, unix.EINTR) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	switch {
	case err != nil:
		return 0, nil, errorf("cannot read the variable: %w", err)
	case len(b) == 0:
		return 0, nil, errorf("cannot read the variable: %w",
			&fs.PathError{Op: "read", Path: path, Err: fs.ErrNotExist})
	case len(b) < 4 || len(b) > maxVariable:
		return 0, nil, errorf("cannot read the variable: %s has %d bytes", path, len(b))
	}
	return binary.LittleEndian.Uint32(b), b[4:], nil
}

// Set implements hal.Variables. Variables that are of no standard are made immutable by the kernel; the
// flag is taken off for the write and put back.
//
// Crash: before -> old; after -> new: SetVariable of the firmware is one step (UEFI 2.10, section 8.2).
func (v Variables) Set(name string, attributes uint32, data []byte) error {
	path, err := v.path(name)
	if err != nil {
		return err
	}
	restore, err := mutable(path)
	if err != nil {
		return err
	}
	if len(data) == 0 {
		if err := (FS{}).Remove(path); err != nil {
			return errorf("cannot delete the variable: %w", err)
		}
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return errorf("cannot open the variable: %w", errors.Join(err, restore()))
	}
	_, err = f.Write(append(binary.LittleEndian.AppendUint32(nil, attributes), data...))
	if err := errors.Join(err, f.Close(), restore()); err != nil {
		return errorf("cannot write the variable: %w", err)
	}
	return nil
}

const immutable = 0x10 // FS_IMMUTABLE_FL

// mutable takes the immutable flag off, and returns what puts it back. A file that is not there, or on
// a file system without flags, has none.
func mutable(path string) (restore func() error, err error) {
	none := func() error { return nil }
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return none, nil
	}
	if err != nil {
		return nil, errorf("cannot open the variable: %w", err)
	}
	defer f.Close()
	flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil || flags&immutable == 0 {
		return none, nil
	}
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags&^immutable)); err != nil {
		return nil, errorf("cannot take the immutable flag off %s (it needs CAP_LINUX_IMMUTABLE): %w", path, err)
	}
	return func() error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags))
	}, nil
}
