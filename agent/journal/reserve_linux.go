package journal

import (
	"errors"
	"os"
	"syscall"
)

// reserve asks the file system for the blocks in one piece. One that cannot is no error: writing
// the zeros allocates them too.
func reserve(f *os.File, off, n int64) error {
	for {
		err := syscall.Fallocate(int(f.Fd()), 0, off, n)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
			return nil
		}
		return err
	}
}
