package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_AARCH64
	mmap      = unix.SYS_MMAP
	fcntl     = unix.SYS_FCNTL
)

// own are further calls of this architecture, ownFiles those of a process that opens files.
var (
	own      = []uint16{}
	ownFiles = []uint16{unix.SYS_FSTATAT}
)

// machine appends the rules of this architecture.
func machine(rs []rule, p Policy) []rule {
	if rs = always(sockets(rs, p), own); p.Read {
		rs = always(rs, ownFiles)
	}
	return rs
}
