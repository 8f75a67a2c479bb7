package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_AARCH64
	mmap      = unix.SYS_MMAP
	fcntl     = unix.SYS_FCNTL
)

// machine are the rules of this architecture.
func machine(p Policy) []rule {
	rs := direct(p)
	if p.Read {
		rs = append(rs, always(unix.SYS_FSTATAT)...)
	}
	return rs
}
