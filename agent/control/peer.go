package control

import (
	"net"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Access says who may do what. Root, and the user that the daemon runs as, may do everything. Whoever
// may write may read.
type Access struct {
	Read, Write           []uint32 // user ids
	ReadGroup, WriteGroup []uint32 // group ids, primary or supplementary
	// NoSocketGroup takes the read verbs away from the group of the socket file, which has them otherwise.
	NoSocketGroup bool
	// Report is told what went wrong with a connection (a panic of the handler is a *PanicError), so
	// that the caller can log it. It may be nil; calls are concurrent.
	Report func(error)
}

// right is the most that the peer may do.
func (a Access) right(p Peer) Right {
	has := func(uids, gids []uint32) bool {
		return slices.Contains(uids, uint32(p.UID)) || slices.ContainsFunc(gids, p.member)
	}
	switch {
	case p.UID == 0 || p.UID == os.Geteuid():
		return Write
	case has(a.Write, a.WriteGroup):
		return Write
	case has(a.Read, a.ReadGroup):
		return Read
	}
	return None
}

// member tells whether the peer is in the group.
func (p Peer) member(gid uint32) bool {
	return uint32(p.GID) == gid || slices.Contains(p.Groups, int(gid))
}

// withSocketGroup adds the group of the socket file to those that may read.
func (a Access) withSocketGroup(addr net.Addr) Access {
	if a.NoSocketGroup {
		return a
	}
	var st unix.Stat_t
	if err := unix.Lstat(addr.String(), &st); err == nil {
		a.ReadGroup = append(slices.Clone(a.ReadGroup), st.Gid)
	}
	return a
}

// peerOf asks the kernel who connected: the credentials are those at the time of connect(2).
func peerOf(conn *net.UnixConn) (Peer, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return Peer{}, errorf("cannot tell who connected: %w", err)
	}
	var p Peer
	var cred *unix.Ucred
	if e := raw.Control(func(fd uintptr) {
		if cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			p = Peer{UID: int(cred.Uid), GID: int(cred.Gid), PID: int(cred.Pid), Groups: peerGroups(fd)}
		}
	}); e != nil {
		err = e
	}
	if err != nil {
		return Peer{}, errorf("cannot tell who connected: %w", err)
	}
	return p, nil
}

// peerGroups are the supplementary groups of the peer at the time of connect(2); nil on a kernel
// before 4.13, where only the primary group counts. /proc/<pid>/status would say what the groups are
// now, and possibly of another process.
func peerGroups(fd uintptr) []int {
	buf := make([]uint32, 32)
	for range 2 {
		size := uint32(len(buf) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == unix.ERANGE && size <= 65536*4:
			buf = make([]uint32, size/4)
			continue
		case errno != 0:
			return nil
		}
		groups := make([]int, size/4)
		for i := range groups {
			groups[i] = int(buf[i])
		}
		return groups
	}
	return nil
}
