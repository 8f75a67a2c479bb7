//go:build amd64 || arm64 || arm || riscv64

package sandbox

import "golang.org/x/sys/unix"

// talking are calls of sockets that are there, connecting those that need a network.
var (
	talking = []uint16{unix.SYS_RECVMSG, unix.SYS_SENDMSG, unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_SHUTDOWN,
		unix.SYS_GETSOCKOPT, unix.SYS_GETSOCKNAME}
	connecting = []uint16{unix.SYS_CONNECT, unix.SYS_GETPEERNAME, unix.SYS_SETSOCKOPT}
)

// ipOnly is what sockets there may be.
var ipOnly = rule{nr: unix.SYS_SOCKET, arg: 0, mask: anything, values: []uint32{unix.AF_INET, unix.AF_INET6},
	errno: unix.EAFNOSUPPORT}

// sockets appends rules where each call of sockets has its own number.
func sockets(rs []rule, p Policy) []rule {
	if rs = always(rs, talking); p.Network {
		rs = append(always(rs, connecting), ipOnly)
	}
	return rs
}
