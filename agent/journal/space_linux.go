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

// forget takes the pages of a shared file map out of this process; the kernel still caches them,
// and the next access maps them again. Without it every page of the journal that was ever read
// counts as memory of the agent.
func forget(addr uintptr, n int64) {
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, addr, uintptr(n), syscall.MADV_DONTNEED)
}
