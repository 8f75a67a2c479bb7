//go:build linux

package linux

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/hal"
)

// Dir is the file system for whoever keeps files in one directory that belong together. When another directory is in
// its place, after a mount or because it was made anew, nothing is read or written any more: the other one's files may
// know more. The zero value is never moved.
type Dir struct {
	FS
	path string
	was  place // the zero value: not known
}

// place is which directory a path leads to.
type place struct{ dev, ino uint64 }

var errMoved = errors.New("another directory is in its place than before")

var _ hal.FS = Dir{}

// OpenDir remembers the directory that is at path now.
func OpenDir(path string) Dir { return Dir{path: path, was: placeOf(path)} }

func placeOf(path string) place {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return place{}
	}
	return place{uint64(st.Dev), uint64(st.Ino)}
}

// Moved tells whether another directory is at the path now, or none.
func (d Dir) Moved() bool { return d.was != place{} && placeOf(d.path) != d.was }

func (d Dir) usable(op, path string) error {
	if d.Moved() {
		return &os.PathError{Op: op, Path: path, Err: errMoved}
	}
	return nil
}

// Open implements hal.FS.
func (d Dir) Open(path string, a hal.Access) (hal.Medium, error) {
	if err := d.usable("open", path); err != nil {
		return nil, err
	}
	return d.FS.Open(path, a)
}

// Rename implements hal.FS.
func (d Dir) Rename(from, to string) error {
	if err := d.usable("rename", from); err != nil {
		return err
	}
	return d.FS.Rename(from, to)
}

// Remove implements hal.FS.
func (d Dir) Remove(path string) error {
	if err := d.usable("remove", path); err != nil {
		return err
	}
	return d.FS.Remove(path)
}
