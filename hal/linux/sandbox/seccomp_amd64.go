package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_X86_64
	mmap      = unix.SYS_MMAP
	fcntl     = unix.SYS_FCNTL
)

// own are further calls of this architecture, ownFiles those of a process that opens files.
var (
	own      = []uint16{unix.SYS_TIME, unix.SYS_EPOLL_WAIT}
	ownFiles = []uint16{unix.SYS_NEWFSTATAT}
)

// machine appends the rules of this architecture.
func machine(rs []rule, p Policy) []rule {
	if rs = always(sockets(rs, p), own); p.Read {
		rs = always(rs, ownFiles)
	}
	return rs
}
