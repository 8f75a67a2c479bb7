package pair

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// File is a descriptor that goes from the daemon to the network process.
type File = io.ReadWriteCloser

// Conn carries whole messages. Send may be called by several goroutines, Receive by one.
type Conn interface {
	// Send sends a message, with a descriptor where f is not nil: that stays the caller's to close. It fails
	// where the other end takes nothing for a while.
	Send(b []byte, f File) error
	// Receive waits for the next message, of at most len(b) bytes; a longer one is cut. The descriptor is nil, or the
	// caller's to close. io.EOF: the other end is gone.
	Receive(b []byte) (n int, f File, err error)
	// Close ends both ends' Receive.
	Close() error
}

// sendWait is how long the other end may leave messages lying.
const sendWait = 30 * time.Second

// Sockets makes two connected sockets: the daemon's end, and the descriptor of the other one.
func Sockets() (Conn, *os.File, error) {
	const whole = syscall.SOCK_SEQPACKET | syscall.SOCK_CLOEXEC | syscall.SOCK_NONBLOCK
	fds, err := syscall.Socketpair(syscall.AF_UNIX, whole, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a pair of sockets: %w", err)
	}
	for _, fd := range fds {
		large(fd)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "daemon"), os.NewFile(uintptr(fds[1]), "network")
	c, err := Socket(ours, false)
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return c, theirs, nil
}

// large gives a socket room for messages of any length that is allowed, whatever the system gives to all
// (net.core.wmem_default): what does not fit can never be sent. A lower limit of the system (wmem_max) is for root to
// pass.
func large(fd int) {
	const room = 4 * Max
	if syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUFFORCE, room) != nil {
		_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, room)
	}
}

// Socket is the connection whose descriptor f is; f is closed. Descriptors are taken only where takes says so: the
// kernel closes all others.
func Socket(f *os.File, takes bool) (Conn, error) {
	c, err := net.FileConn(f)
	err = errors.Join(err, f.Close())
	u, ok := c.(*net.UnixConn)
	if err == nil && (!ok || u.LocalAddr().Network() != "unixpacket") {
		err = errors.New("not a socket of the daemon")
	}
	if err != nil {
		if c != nil {
			_ = c.Close()
		}
		return nil, err
	}
	return &socket{UnixConn: u, takes: takes}, nil
}

type socket struct {
	*net.UnixConn
	takes bool
}

func (s *socket) Send(b []byte, f File) error {
	if err := s.SetWriteDeadline(time.Now().Add(sendWait)); err != nil {
		return err
	}
	if f == nil {
		_, err := s.Write(b)
		return err
	}
	file, ok := f.(*os.File)
	if !ok {
		return errors.New("internal error: no descriptor")
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	// The descriptor stays what it is while it is sent; Fd would make it block.
	if err := raw.Control(func(fd uintptr) {
		_, _, sent = s.WriteMsgUnix(b, syscall.UnixRights(int(fd)), nil)
	}); err != nil {
		return err
	}
	return sent
}

func (s *socket) Receive(b []byte) (int, File, error) {
	if !s.takes {
		n, err := s.Read(b)
		return n, nil, err
	}
	oob := make([]byte, syscall.CmsgSpace(4))
	n, k, _, _, err := s.ReadMsgUnix(b, oob)
	if err == nil && n == 0 {
		err = io.EOF
	}
	f := descriptor(oob[:k])
	if err != nil && f != nil {
		_ = f.Close()
	}
	if err != nil || f == nil {
		return n, nil, err
	}
	return n, f, nil
}

// descriptor is the one that came with a message, nil without one. All others are closed.
func descriptor(oob []byte) (f *os.File) {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for i := range messages {
		fds, err := syscall.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if f != nil {
				_ = syscall.Close(fd)
				continue
			}
			_ = syscall.SetNonblock(fd, true)
			f = os.NewFile(uintptr(fd), "descriptor")
		}
	}
	return f
}
