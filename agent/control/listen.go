package control

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxPath is the longest path of a unix socket (sun_path of unix(7) without its zero byte).
const maxPath = 107

// Listen listens on the unix socket path, which gets mode. It removes the socket of a daemon that
// was killed, refuses one that somebody listens on (ErrInUse), and never removes anything else. A
// parent directory that is not there is made, mode 0755.
//
// Two daemons that start in the same instant are not told apart here: the journal's lock is for that.
func Listen(path string, mode os.FileMode) (net.Listener, error) {
	if err := CheckPath(path); err != nil {
		return nil, errorf("cannot listen on %q: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, errorf("cannot listen on %s: %w", path, err)
	}
	if err := removeStale(path); err != nil {
		return nil, errorf("cannot listen on %s: %w", path, err)
	}
	// The mode of the unbound socket bounds that of its file (unix(7)), so that the file is at no time
	// more open than it is meant to be; what the umask took away comes back after.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), uint32(mode.Perm())) }); e != nil {
			return e
		}
		return err
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, errorf("cannot listen on %s: %w", path, err)
	}
	if err := os.Chmod(path, mode.Perm()); err != nil {
		_ = l.Close()
		return nil, errorf("cannot listen on %s: %w", path, err)
	}
	return l, nil
}

// CheckPath says what is wrong with the path of a socket: an absolute one has room in a unix socket's name
// (sun_path of unix(7)).
func CheckPath(path string) error {
	switch {
	case !filepath.IsAbs(path):
		return errors.New("want an absolute path")
	case len(path) > maxPath:
		return errorf("the path has %d bytes, and that of a socket has at most %d: use a shorter one", len(path),
			maxPath)
	}
	return nil
}

// removeStale removes a socket that nobody listens on.
func removeStale(path string) error {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case st.Mode().Type() != fs.ModeSocket:
		return errorf("%s exists already and is not a socket", st.Mode().Type())
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close()
		return ErrInUse
	}
	if errors.Is(err, syscall.EAGAIN) {
		return ErrInUse // its queue is full
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}
