//go:build linux

package linux

import (
	"errors"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Checkpoint makes what was flushed to the file system that holds path readable by one who does not replay its journal,
// as the ext4 drivers of U-Boot and GRUB. fsync of a file and of its folder is not enough: it leaves a new name, a new
// size and new blocks in the journal, until the kernel writes them where they belong, half a minute later or more; and
// with data=journal the bytes, too. syncfs(2) writes what is committed to its place, without a flush behind it;
// EXT4_IOC_CHECKPOINT (Linux 5.14) empties the journal and flushes. Freezing the file system would do it on every
// kernel, but who dies between freezing and thawing leaves a system that cannot write any more.
//
// Where the kernel has no such call, it is syncfs and fsync; a file system that has no journal needs no more.
func Checkpoint(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	fd := int(f.Fd())
	if err := unix.Syncfs(fd); err != nil {
		return errorf("cannot write the file system of %s: %w", path, err)
	}
	var fsys unix.Statfs_t
	if err := unix.Fstatfs(fd, &fsys); err != nil {
		return err
	}
	if fsys.Type == unix.EXT4_SUPER_MAGIC {
		switch err := unix.IoctlSetPointerInt(fd, checkpointCall(), 0); {
		case err == nil:
			return nil
		case errors.Is(err, unix.ENODEV): // no journal
			return nil
		case !errors.Is(err, unix.ENOTTY) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EOPNOTSUPP):
			return errorf("cannot empty the journal of the file system of %s: %w", path, err)
		}
	}
	return f.Sync() // a flush of the device
}

// checkpointCall is EXT4_IOC_CHECKPOINT, _IOW('f', 43, __u32).
func checkpointCall() uint {
	write := uint(1) << 30
	if a := runtime.GOARCH; strings.HasPrefix(a, "mips") || strings.HasPrefix(a, "ppc") || a == "sparc64" {
		write = 4 << 29
	}
	return write | 4<<16 | 'f'<<8 | 43
}
