package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_I386
	mmap      = unix.SYS_MMAP2
	fcntl     = unix.SYS_FCNTL64
)

// own are further calls of this architecture, with those for times beyond 2038, ownFiles those of a process that
// opens files. The runtime gives each thread its own segment.
var (
	own = []uint16{unix.SYS_FUTEX_TIME64, unix.SYS_CLOCK_GETTIME64, unix.SYS_CLOCK_GETRES_TIME64,
		unix.SYS_CLOCK_NANOSLEEP_TIME64, unix.SYS_SIGRETURN, unix.SYS_FSTAT64, unix.SYS_GETUID32, unix.SYS_GETEUID32,
		unix.SYS_GETGID32, unix.SYS_GETEGID32, unix.SYS_SET_THREAD_AREA, unix.SYS_TIME,
		unix.SYS_EPOLL_WAIT}
	ownFiles = []uint16{unix.SYS_FSTATAT64, unix.SYS__LLSEEK}
)

// machine appends the rules of this architecture.
func machine(rs []rule, p Policy) []rule {
	if rs = always(sockets(rs, p), own); p.Read {
		rs = always(rs, ownFiles)
	}
	return rs
}

// sockets appends the rule of sockets. Go calls them by one number for all, with the arguments in memory: which call it
// is can be seen, of which family a socket is cannot.
func sockets(rs []rule, p Policy) []rule {
	const socket, connect, getsockname, getpeername, send, recv, sendto, recvfrom, shutdown, setsockopt, getsockopt,
		sendmsg, recvmsg = 1, 3, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17 // include/uapi/linux/net.h
	calls := []uint32{recvmsg, sendmsg, send, recv, sendto, recvfrom, shutdown, getsockopt, getsockname}
	if p.Network {
		calls = append(calls, socket, connect, getpeername, setsockopt)
	}
	return append(rs, rule{nr: unix.SYS_SOCKETCALL, arg: 0, mask: anything, values: calls, errno: unix.EPERM})
}
