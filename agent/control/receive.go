package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// wire is the request line.
type wire struct {
	V     int               `json:"v"`
	Verb  Verb              `json:"verb"`
	Args  map[string]string `json:"args,omitempty"`
	Files int               `json:"files,omitempty"`
}

// decode reads a request line without its newline: one JSON object, no unknown member, nothing after it.
func decode(line []byte) (wire, error) {
	var w wire
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&w); err != nil {
		return wire{}, errorf("the request is not understood: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return wire{}, errors.New("the request is not understood: something follows the object")
	}
	if w.V != protocol {
		return wire{}, errorf("the request is of protocol version %d, this daemon speaks %d", w.V, protocol)
	}
	return w, nil
}

// receive reads one request line and the descriptors that came with it. Every descriptor that
// arrives is either in the returned files or closed, also on errors; all are close-on-exec.
func receive(conn *net.UnixConn) (line []byte, files []*os.File, err error) {
	var fds []int
	defer func() {
		if err == nil {
			files, err = adopt(fds)
			return
		}
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}()
	oob := make([]byte, unix.CmsgSpace(MaxFiles*4))
	buf := make([]byte, 0, 4096)
	for {
		if len(buf) == cap(buf) {
			if len(buf) >= MaxRequest {
				return nil, nil, errorf("the request is longer than %d bytes", MaxRequest)
			}
			buf = append(make([]byte, 0, min(4*cap(buf), MaxRequest)), buf...)
		}
		// The net package receives with MSG_CMSG_CLOEXEC. More than fit oob, the kernel closes itself.
		n, oobn, flags, _, e := conn.ReadMsgUnix(buf[len(buf):cap(buf)], oob)
		more, bad := rights(oob[:oobn])
		fds = append(fds, more...)
		switch {
		case bad != nil:
			return nil, nil, bad
		case e != nil:
			return nil, nil, e
		case flags&unix.MSG_CTRUNC != 0 || len(fds) > MaxFiles:
			return nil, nil, errorf("the request has more than %d descriptors, or they did not arrive", MaxFiles)
		}
		fresh := buf[len(buf) : len(buf)+n]
		buf = buf[:len(buf)+n]
		if i := bytes.IndexByte(fresh, '\n'); i >= 0 {
			if i != len(fresh)-1 {
				return nil, nil, errors.New("something follows the request")
			}
			return buf[:len(buf)-1], nil, nil
		}
	}
}

// rights takes the descriptors out of control messages.
func rights(oob []byte) ([]int, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, errorf("cannot read the control message: %w", err)
	}
	var fds []int
	for i := range msgs {
		if msgs[i].Header.Level != unix.SOL_SOCKET || msgs[i].Header.Type != unix.SCM_RIGHTS {
			continue
		}
		got, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			return fds, errorf("cannot read the control message: %w", err)
		}
		fds = append(fds, got...)
	}
	return fds, nil
}

// adopt makes files of descriptors. Only regular files and pipes are let in: a pipe is switched to
// non-blocking, so that a deadline ends a wait on it, which nothing does on a device or a socket.
func adopt(fds []int) (files []*os.File, err error) {
	for i, fd := range fds {
		var st unix.Stat_t
		err = unix.Fstat(fd, &st)
		if kind := st.Mode & unix.S_IFMT; err == nil && kind == unix.S_IFIFO {
			err = unix.SetNonblock(fd, true)
		} else if err == nil && kind != unix.S_IFREG {
			err = errorf("it is neither a regular file nor a pipe")
		}
		if err != nil {
			for _, rest := range fds[i:] {
				_ = unix.Close(rest)
			}
			closeAll(files)
			return nil, errorf("descriptor %d is not accepted: %w", i, err)
		}
		files = append(files, os.NewFile(uintptr(fd), fmt.Sprintf("descriptor %d of the client", i)))
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}
