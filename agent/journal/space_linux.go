package journal

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// reserve asks the file system for the blocks in one piece, and leaves the length of the file: that
// grows with the zeros, so that no room counts as there before it was written. One that cannot is no
// error: writing the zeros allocates them too.
func reserve(f *os.File, off, n int64) error {
	for {
		err := syscall.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, off, n)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
			return nil
		}
		return err
	}
}

// syncData makes the bytes of a file durable, and not when it was changed.
func syncData(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// forget takes the pages of a shared file map out of this process; the kernel still caches them,
// and the next access maps them again. Without it every page of the journal that was ever read
// counts as memory of the agent.
func forget(addr uintptr, n int64) {
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, addr, uintptr(n), syscall.MADV_DONTNEED)
}
