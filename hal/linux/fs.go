//go:build linux

package linux

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/hal"
)

// lockPoll is how often a lock held by somebody else is tried again.
const lockPoll = 20 * time.Millisecond

// FS is the file system as processes see it. Access is through the page cache.
type FS struct{}

var _ hal.Tree = FS{}

// Open opens a regular file, or a block or character device (boot environments), for boot metadata.
// ReadOnly drops what the page cache holds of the file, so that what is read is what is stored.
func (FS) Open(path string, a hal.Access) (hal.Medium, error) {
	flags := os.O_RDONLY
	switch a {
	case hal.InPlace:
		flags = os.O_RDWR
	case hal.Create:
		flags = os.O_RDWR | os.O_CREATE | os.O_TRUNC
	}
	// O_NONBLOCK: a FIFO left at a configured path must not hang the daemon.
	f, err := os.OpenFile(path, flags|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	size, err := sizeOf(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	if a == hal.ReadOnly {
		// Advice only: an error here means that the file has no page cache.
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	}
	return &file{File: f, size: size, sync: f.Sync}, nil
}

// sizeOf returns the length of a file or a device; anything else is refused.
func sizeOf(f *os.File) (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if m := st.Mode(); !m.IsRegular() && m&fs.ModeDevice == 0 {
		return 0, errorf("%s is neither a file nor a device", f.Name())
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, errorf("cannot find the size of %s: %w", f.Name(), err)
	}
	return size, nil
}

// file is a Medium in the page cache.
type file struct {
	*os.File
	size int64
	sync func() error

	mu     sync.Mutex
	failed error
}

func (f *file) Size() int64 { return f.size }

// Sync is sticky: see the package comment.
func (f *file) Sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed == nil {
		f.failed = f.sync()
	}
	return f.failed
}

// Rename implements hal.FS.
func (FS) Rename(from, to string) error { return os.Rename(from, to) }

// SyncDir implements hal.FS.
func (FS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	// VFAT and some network file systems have no fsync of directories; they commit in Rename.
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// Remove implements hal.FS.
func (FS) Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// List implements hal.Tree.
func (FS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// Lock implements hal.FS with flock(2).
func (FS) Lock(ctx context.Context, path string) (func(), error) {
	f, anybodys, err := openLock(path)
	if err != nil {
		return nil, errorf("cannot open lock %s: %w", path, err)
	}
	for {
		err := flock(f)
		if err == nil {
			var once sync.Once
			return func() { once.Do(func() { f.Close() }) }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			f.Close()
			return nil, errorf("cannot lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			err := errorf("cannot lock %s, held by another program: %w", path, ctx.Err())
			if anybodys {
				err = errorf("%w: %w", hal.ErrAnybodys, err)
			}
			return nil, err
		case <-time.After(lockPoll):
		}
	}
}

// openLock opens a file to lock. A lock may lie where anybody may write (/run/lock): what is there is never followed,
// created through, truncated or waited for. O_CREAT comes second and alone: the kernel refuses it even to root on a
// file of another user in such a folder (fs.protected_regular). anybodys: others than this user can open it, too.
func openLock(path string) (f *os.File, anybodys bool, err error) {
	const flags = os.O_RDWR | unix.O_NOFOLLOW | unix.O_NONBLOCK
	for range 10 { // somebody may create and remove it meanwhile
		if f, err = os.OpenFile(path, flags, 0); errors.Is(err, fs.ErrNotExist) {
			f, err = os.OpenFile(path, flags|os.O_CREATE|os.O_EXCL, 0o600)
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	switch {
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.EISDIR), errors.Is(err, unix.ENXIO),
		errors.Is(err, fs.ErrExist):
		return nil, true, errorf("%w: it is not a file: %w", hal.ErrAnybodys, err)
	case err != nil:
		return nil, false, err
	}
	st, err := f.Stat()
	switch {
	case err != nil:
		f.Close()
		return nil, false, err
	case !st.Mode().IsRegular():
		f.Close()
		return nil, true, errorf("%w: it is not a file", hal.ErrAnybodys)
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	return f, !ok || int(sys.Uid) != os.Geteuid() || st.Mode().Perm()&0o077 != 0, nil
}

// PrivateDir makes a folder that this user alone can enter, for locks, and the folders above it. It refuses one of
// another user, and what is not a folder.
func PrivateDir(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	st, err := os.Lstat(path)
	if err != nil {
		return err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	switch {
	case !st.IsDir():
		return errorf("%s is not a folder: remove it", path)
	case !ok || int(sys.Uid) != os.Geteuid():
		return errorf("%s belongs to another user: remove it", path)
	case st.Mode().Perm() == 0o700:
		return nil
	}
	return os.Chmod(path, 0o700)
}

// flock takes the exclusive lock without waiting.
func flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EINTR {
			return err
		}
	}
}
