package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_ARM
	mmap      = unix.SYS_MMAP2
	fcntl     = unix.SYS_FCNTL64
)

// machine are the rules of this architecture, with the calls for times beyond 2038.
func machine(p Policy) []rule {
	rs := append(direct(p), always(unix.SYS_FUTEX_TIME64, unix.SYS_CLOCK_GETTIME64, unix.SYS_CLOCK_GETRES_TIME64,
		unix.SYS_CLOCK_NANOSLEEP_TIME64, unix.SYS_SIGRETURN, unix.SYS_FSTAT64, unix.SYS_GETUID32, unix.SYS_GETEUID32,
		unix.SYS_GETGID32, unix.SYS_GETEGID32, unix.SYS_SEND, unix.SYS_RECV, unix.SYS_EPOLL_WAIT)...)
	if p.Read {
		rs = append(rs, always(unix.SYS_FSTATAT64, unix.SYS__LLSEEK)...)
	}
	return rs
}
