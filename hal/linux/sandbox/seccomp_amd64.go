package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_X86_64
	mmap      = unix.SYS_MMAP
	fcntl     = unix.SYS_FCNTL
)

// machine are the rules of this architecture.
func machine(p Policy) []rule {
	rs := append(direct(p), always(unix.SYS_TIME, unix.SYS_EPOLL_WAIT)...)
	if p.Read {
		rs = append(rs, always(unix.SYS_NEWFSTATAT)...)
	}
	return rs
}
