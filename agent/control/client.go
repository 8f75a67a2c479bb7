package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Client asks the daemon. Requests are sent one after another, each on a connection of its own.
type Client struct {
	path string
	conn *net.UnixConn // for the next request; nil: connect again
}

// Dial connects to the daemon that listens on path. Errors wrap ErrUnreachable or ErrNotPermitted.
func Dial(path string) (*Client, error) {
	if len(path) > maxPath {
		return nil, errorf("cannot reach the daemon at %s: %w", path, CheckPath(path))
	}
	c := &Client{path: path}
	return c, c.connect()
}

func (c *Client) connect() error {
	conn, err := net.DialTimeout("unix", c.path, 5*time.Second)
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrPermission):
		return errorf("cannot open %s: %w", c.path, ErrNotPermitted)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return errorf("cannot reach the daemon at %s: %w", c.path, ErrUnreachable)
	default:
		return errorf("cannot reach the daemon at %s: %w: %w", c.path, ErrUnreachable, err)
	}
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return errorf("internal error: unix connection is a %T", conn)
	}
	c.conn = u
	return nil
}

// Close ends the connection, if one is open.
func (c *Client) Close() error {
	if c.conn == nil {
		return nil
	}
	err := c.conn.Close()
	c.conn = nil
	return err
}

// Do sends one request with files, which stay the caller's, and waits for its result, the JSON of
// the verb's result type. onProgress may be nil; it is called between reads. An error of the daemon
// is an *Error; ErrLost says that the connection ended before the result; when ctx ends, its cause is
// returned.
func (c *Client) Do(ctx context.Context, verb Verb, args map[string]string, files []*os.File,
	onProgress func(json.RawMessage)) (json.RawMessage, error) {
	if c.conn == nil {
		if err := c.connect(); err != nil {
			return nil, err
		}
	}
	conn := c.conn
	c.conn = nil
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()

	sent := send(conn, wire{V: protocol, Verb: verb, Args: args, Files: len(files)}, files)
	// The daemon may have answered and closed before it read everything; its answer counts.
	result, err := await(conn, onProgress)
	var e *Error
	switch {
	case err == nil || errors.As(err, &e):
		return result, err
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case sent != nil && !errors.Is(sent, syscall.EPIPE) && !errors.Is(sent, syscall.ECONNRESET):
		return nil, errorf("cannot send the request: %w", sent)
	}
	return nil, err
}

// send writes the request line; the descriptors travel with its first byte.
func send(conn *net.UnixConn, w wire, files []*os.File) error {
	line, err := json.Marshal(w)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if len(line) > MaxRequest || len(files) > MaxFiles {
		return errorf("a request has at most %d bytes and %d descriptors", MaxRequest, MaxFiles)
	}
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			raw, err := f.SyscallConn()
			if err == nil {
				err = raw.Control(func(fd uintptr) { fds[i] = int(fd) })
			}
			if err != nil {
				return errorf("cannot hand over %s: %w", f.Name(), err)
			}
		}
		oob = unix.UnixRights(fds...)
	}
	n, _, err := conn.WriteMsgUnix(line, oob, nil)
	runtime.KeepAlive(files)
	if err == nil && n < len(line) {
		_, err = conn.Write(line[n:])
	}
	return err
}

// await reads response lines until the result.
func await(conn io.Reader, onProgress func(json.RawMessage)) (json.RawMessage, error) {
	r := bufio.NewReader(conn)
	for {
		line, err := readLine(r)
		if err != nil {
			return nil, err
		}
		var m struct {
			Progress, Result json.RawMessage
			Error            *Error
		}
		switch err := json.Unmarshal(line, &m); {
		case err != nil:
			return nil, errorf("cannot understand the daemon: %w", err)
		case m.Error != nil:
			return nil, m.Error
		case m.Result != nil:
			return m.Result, nil
		case m.Progress != nil && onProgress != nil:
			onProgress(m.Progress)
		}
	}
}

// readLine reads one line of at most MaxResponse bytes.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(line, []byte("\n")), nil
		case isEOF(err):
			return nil, ErrLost
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, errorf("%w: %w", ErrLost, err)
		case len(line) > MaxResponse:
			return nil, errorf("cannot understand the daemon: its answer is longer than %d bytes", MaxResponse)
		}
	}
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// Exit is the exit code that tells of err.
func Exit(err error) int {
	var e *Error
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &e):
		return max(min(e.Exit, ExitBusy), ExitFailed)
	case errors.Is(err, ErrNotPermitted):
		return ExitNotPermitted
	case errors.Is(err, ErrUnreachable):
		return ExitUnreachable
	}
	return ExitFailed
}
