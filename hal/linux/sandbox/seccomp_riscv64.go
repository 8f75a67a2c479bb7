package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_RISCV64
	mmap      = unix.SYS_MMAP
	fcntl     = unix.SYS_FCNTL
)

// machine are the rules of this architecture. Its runtime sleeps by pselect6.
func machine(p Policy) []rule {
	rs := append(direct(p), always(unix.SYS_PSELECT6, unix.SYS_RISCV_HWPROBE, unix.SYS_RISCV_FLUSH_ICACHE)...)
	if p.Read {
		rs = append(rs, always(unix.SYS_FSTATAT)...)
	}
	return rs
}
