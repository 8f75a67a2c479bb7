package linux

import (
	"os"

	"golang.org/x/sys/unix"
)

// pipeSize is how much a large pipe holds, in bytes (the kernel's own is 64 KiB).
const pipeSize = 512 << 10

// LargePipe lets the pipe that f is an end of hold 512 KiB. Where the kernel does not let it (F_SETPIPE_SZ,
// fs.pipe-max-size, a limit for users) it stays as it is.
func LargePipe(f *os.File) {
	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
	}
}
