//go:build linux

package linux

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ratchet-ota/ratchet/hal"
)

// sector is the unit in which the size of a slot is counted: what lies behind its last multiple is
// not used, because direct I/O cannot reach it without growing a file.
const sector = 512

// Blocks opens slots: block devices, or regular files that stand for them.
//
// Access is with O_DIRECT. Where the file system of a regular file refuses that (some network and
// memory file systems), it goes through the page cache instead: Sync is then followed by
// posix_fadvise(DONTNEED), so that what is read back later comes from the medium, except where the
// page cache is the medium (tmpfs).
//
// A block device is opened with O_EXCL: the kernel refuses it while it, its disk or one of its
// partitions is mounted, swapped on or held by the device mapper. A regular file is locked with
// flock, and refused while a loop device is set up on it.
type Blocks struct {
	// SysPath is where sysfs is mounted; "" is /sys.
	SysPath string
	// ProcPath is where procfs is mounted; "" is /proc. Opening needs it.
	ProcPath string
}

var _ hal.Blocks = Blocks{}

// Identify implements hal.Blocks.
func (Blocks) Identify(path string) (hal.DeviceID, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return hal.DeviceID{}, errorf("cannot identify %s: %w", path, err)
	}
	return identify(path, &st)
}

func identify(path string, st *unix.Stat_t) (hal.DeviceID, error) {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFBLK:
		return hal.DeviceID{Block: true, Major: uint64(st.Rdev)}, nil
	case unix.S_IFREG:
		return hal.DeviceID{Major: uint64(st.Dev), Minor: st.Ino}, nil
	}
	return hal.DeviceID{}, errorf("cannot use %s: neither a block device nor a regular file", path)
}

// OpenTarget implements hal.Blocks. Besides the running device itself it refuses what shares its
// bytes, with ErrRunning: the disk that running is a partition of, a partition of it, the devices
// below a device-mapper or loop device that runs.
func (b Blocks) OpenTarget(path string, running hal.DeviceID) (hal.Medium, error) {
	if !running.Known() {
		return nil, errorf("cannot open %s for writing: it is not known which slot runs: %w", path, hal.ErrRunning)
	}
	// I3: the inode is held by an O_PATH descriptor, which opens nothing, and compared; only then
	// is that same inode opened for writing. No change of links or device nodes comes in between.
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, errorf("cannot open %s: %w", path, err)
	}
	defer unix.Close(fd)
	id, err := fdIdentity(path, fd)
	if err != nil {
		return nil, err
	}
	if err := b.topology().apart(id, running); err != nil {
		return nil, errorf("cannot open %s for writing: %w", path, err)
	}
	m, err := b.open(fmt.Sprintf("%s/self/fd/%d", orDefault(b.ProcPath, "/proc"), fd), path, unix.O_RDWR, id, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errorf("%w (is %s mounted?)", err, orDefault(b.ProcPath, "/proc"))
	}
	return m, err
}

// OpenMedium implements hal.Blocks. WriteAt fails on what it returns.
func (b Blocks) OpenMedium(path string) (hal.Medium, error) {
	id, err := b.Identify(path) // first, so that a FIFO or a tape is not opened at all
	if err != nil {
		return nil, err
	}
	return b.open(path, path, unix.O_RDONLY, id, true)
}

// OpenRunning implements hal.Blocks. WriteAt fails on what it returns. The device may be mounted, a file
// locked, or a loop device set up on it: it is the running system's.
func (b Blocks) OpenRunning(path string) (hal.Medium, error) {
	id, err := b.Identify(path)
	if err != nil {
		return nil, err
	}
	return b.open(path, path, unix.O_RDONLY, id, false)
}

// open opens the inode at via, shown to people as path, and insists that it is id.
func (b Blocks) open(via, path string, mode int, id hal.DeviceID, exclusive bool) (hal.Medium, error) {
	if id.Block && exclusive {
		mode |= unix.O_EXCL
	}
	direct := true
	fd, err := openRetry(via, mode|unix.O_DIRECT|unix.O_NONBLOCK)
	if errors.Is(err, unix.EINVAL) {
		direct = false
		fd, err = openRetry(via, mode|unix.O_NONBLOCK)
	}
	switch {
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.ETXTBSY):
		return nil, errorf("cannot open %s: %w", path, hal.ErrBusy)
	case errors.Is(err, unix.EPERM) && id.Block: // not EACCES: a list of devices of the control group
		return nil, errorf("cannot open %s: %w: is it among DeviceAllow= of the daemon's unit?", path, err)
	case err != nil:
		return nil, errorf("cannot open %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	m, err := b.medium(f, direct, id, exclusive)
	if err != nil {
		f.Close()
		return nil, err
	}
	return m, nil
}

func (b Blocks) medium(f *os.File, direct bool, id hal.DeviceID, exclusive bool) (hal.Medium, error) {
	path := f.Name()
	if now, err := fdIdentity(path, int(f.Fd())); err != nil {
		return nil, err
	} else if now != id {
		return nil, errorf("cannot open %s: another device has taken its place in the meantime", path)
	}
	if !id.Block && exclusive {
		if err := flock(f); errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errorf("cannot open %s: %w", path, hal.ErrBusy)
		} else if err != nil {
			return nil, errorf("cannot lock %s: %w", path, err)
		}
		if dev := b.topology().loopOn(id); dev != "" {
			return nil, errorf("cannot open %s: loop device %s is set up on it (losetup -d /dev/%s): %w",
				path, dev, dev, hal.ErrBusy)
		}
	}
	size, err := sizeOf(f)
	if err != nil {
		return nil, err
	}
	size -= size % sector
	if size == 0 {
		return nil, errorf("cannot use %s as a slot: it is empty; give it its full size first", path)
	}
	m := &slot{file: file{File: f, size: size}, direct: direct}
	m.sync = m.flush
	if !direct {
		if err := m.flush(); err != nil {
			return nil, errorf("cannot drop the page cache of %s: %w", path, err)
		}
	}
	return m, nil
}

// slot is a Medium past the page cache.
type slot struct {
	file
	direct bool
	once   sync.Once
	closed error
}

func (s *slot) flush() error {
	fd := int(s.Fd())
	var err error
	for {
		if err = unix.Fdatasync(fd); err != unix.EINTR {
			break
		}
	}
	if err == nil && !s.direct {
		err = unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED)
	}
	if err != nil {
		return &fs.PathError{Op: "fdatasync", Path: s.Name(), Err: err}
	}
	return nil
}

func (s *slot) ReadAt(p []byte, off int64) (int, error) {
	if err := hal.CheckAccess(s.size, off, p); err != nil {
		return 0, err
	}
	return s.file.ReadAt(p, off)
}

func (s *slot) WriteAt(p []byte, off int64) (int, error) {
	if err := hal.CheckAccess(s.size, off, p); err != nil {
		return 0, err
	}
	return s.file.WriteAt(p, off)
}

// Close may be called twice: the lock and the exclusive claim end with the first.
func (s *slot) Close() error {
	s.once.Do(func() { s.closed = s.file.Close() })
	return s.closed
}

func fdIdentity(path string, fd int) (hal.DeviceID, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return hal.DeviceID{}, errorf("cannot identify %s: %w", path, err)
	}
	return identify(path, &st)
}

func openRetry(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

func orDefault(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
