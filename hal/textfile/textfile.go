// Package textfile reads the small files that a configuration names and that /proc and /sys show: keys, certificates,
// secrets, one word. What stands at such a path may be anything: a pipe that nobody writes to, a device without an end.
// A read never waits for it and never takes more memory than its caller allows, or a daemon could neither go on in
// boot-safe mode nor end. Nothing is written.
package textfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// patience is how long a pipe may take: what writes to it has begun already.
const patience = time.Second

// ErrLimit is returned for a file that has more bytes than its reader allows.
var ErrLimit = errors.New("so it is something else")

// Read returns the content of the file at path. The size that the file system tells is not asked: /proc and /sys tell
// none. More than limit bytes are ErrLimit; a file that is not there is io/fs.ErrNotExist; a pipe from which not
// everything has come within a second is os.ErrDeadlineExceeded.
func Read(path string, limit int) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return From(f, path, limit)
}

// Open opens the file at path for From, which another process may call. It waits for nothing.
func Open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // or opening a pipe waits for its writer
}

// From reads what Open opened, with the limits of Read; errors call it path.
func From(f *os.File, path string, limit int) ([]byte, error) {
	if st, err := f.Stat(); err == nil && st.Mode()&fs.ModeNamedPipe != 0 {
		if err := f.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return nil, fmt.Errorf("%s is a pipe, not a file: %w", path, err)
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		if named := (*fs.PathError)(nil); errors.As(err, &named) {
			named.Path = path // who was handed f does not know it
		}
		return nil, err
	}
	if len(b) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes, %w", path, limit, ErrLimit)
	}
	return b, nil
}
