package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_ARM
	mmap      = unix.SYS_MMAP2
	fcntl     = unix.SYS_FCNTL64
)

// own are further calls of this architecture, with those for times beyond 2038, ownFiles those of a process that
// opens files.
var (
	own = []uint16{unix.SYS_FUTEX_TIME64, unix.SYS_CLOCK_GETTIME64, unix.SYS_CLOCK_GETRES_TIME64,
		unix.SYS_CLOCK_NANOSLEEP_TIME64, unix.SYS_SIGRETURN, unix.SYS_FSTAT64, unix.SYS_GETUID32, unix.SYS_GETEUID32,
		unix.SYS_GETGID32, unix.SYS_GETEGID32, unix.SYS_SEND, unix.SYS_RECV, unix.SYS_EPOLL_WAIT}
	ownFiles = []uint16{unix.SYS_FSTATAT64, unix.SYS__LLSEEK}
)

// machine appends the rules of this architecture.
func machine(rs []rule, p Policy) []rule {
	if rs = always(sockets(rs, p), own); p.Read {
		rs = always(rs, ownFiles)
	}
	return rs
}
