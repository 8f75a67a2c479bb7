// Package networktest is a network process without a process: its ends speak in memory, so that tests may run in
// virtual time, play what was taken over, and end it at any of its messages.
package networktest

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ratchet-ota/ratchet/transport/network"
	"github.com/ratchet-ota/ratchet/transport/wire/pair"
)

// Pipe is what payloads come through, as os.Pipe.
func Pipe() (r, w pair.File, err error) {
	from, to := io.Pipe()
	return &reader{PipeReader: from}, &handle{of: &counted{w: to, refs: 1}}, nil
}

// reader ends for good at its deadline.
type reader struct {
	*io.PipeReader
	late *time.Timer
	over atomic.Bool
}

func (r *reader) Read(b []byte) (int, error) {
	n, err := r.PipeReader.Read(b)
	if err != nil && r.over.Load() {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

func (*reader) Write([]byte) (int, error) { return 0, os.ErrInvalid }

func (r *reader) SetReadDeadline(t time.Time) error {
	if r.late != nil {
		r.late.Stop()
	}
	r.late = time.AfterFunc(time.Until(t), func() {
		r.over.Store(true)
		_ = r.PipeReader.Close()
	})
	return nil
}

func (r *reader) Close() error {
	if r.late != nil {
		r.late.Stop()
	}
	return r.PipeReader.Close()
}

// counted is the end of a pipe that bytes go into: it ends when all of its handles are closed.
type counted struct {
	w *io.PipeWriter

	mu   sync.Mutex
	refs int
}

// handle is one descriptor of it.
type handle struct {
	of   *counted
	once sync.Once
	gone atomic.Bool
}

func (h *handle) duplicate() *handle {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	h.of.refs++
	return &handle{of: h.of}
}

func (*handle) Read([]byte) (int, error) { return 0, os.ErrInvalid }

func (h *handle) Write(b []byte) (int, error) {
	if h.gone.Load() {
		return 0, os.ErrClosed
	}
	return h.of.w.Write(b)
}

func (h *handle) Close() (err error) {
	h.once.Do(func() {
		h.gone.Store(true)
		h.of.mu.Lock()
		defer h.of.mu.Unlock()
		if h.of.refs--; h.of.refs == 0 {
			err = h.of.w.Close()
		}
	})
	return err
}

type packet struct {
	b []byte
	f pair.File
}

// patience is how long a message may lie.
const patience = 30 * time.Second

// end is one end of a connection in memory.
type end struct {
	in, out chan packet
	gone    chan struct{} // one of the two has closed
	close   *sync.Once

	mu    sync.Mutex
	given []*handle // that came with messages: they go with the process
}

// room is how many messages may lie.
const room = 16

// Conns are two connected ends.
func Conns() (a, b pair.Conn) { return conns() }

func conns() (a, b *end) {
	x, y, gone, once := make(chan packet, room), make(chan packet, room), make(chan struct{}), &sync.Once{}
	return &end{in: x, out: y, gone: gone, close: once}, &end{in: y, out: x, gone: gone, close: once}
}

func (e *end) Send(b []byte, f pair.File) error {
	p := packet{b: append([]byte(nil), b...), f: f}
	if h, ok := f.(*handle); ok {
		p.f = h.duplicate()
	}
	select {
	case <-e.gone:
		return io.ErrClosedPipe
	default:
	}
	if file, ok := f.(*os.File); ok {
		fd, err := syscall.Dup(int(file.Fd()))
		if err != nil {
			return err
		}
		p.f = os.NewFile(uintptr(fd), file.Name())
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case e.out <- p:
		return nil
	case <-e.gone:
		return io.ErrClosedPipe
	case <-late.C:
		return os.ErrDeadlineExceeded
	}
}

func (e *end) Receive(b []byte) (int, pair.File, error) {
	select {
	case p := <-e.in:
		if h, ok := p.f.(*handle); ok {
			e.mu.Lock()
			e.given = append(e.given, h)
			e.mu.Unlock()
		}
		return copy(b, p.b), p.f, nil
	case <-e.gone:
		return 0, nil, io.EOF
	}
}

func (e *end) Close() error {
	e.close.Do(func() { close(e.gone) })
	return nil
}

// Child is a process that is goroutines: play, at the other end of conn.
type Child struct {
	conn  pair.Conn
	far   *end
	ended chan error
}

// Start starts one.
func Start(play func(conn pair.Conn) error) network.Child {
	near, far := conns()
	c := &Child{conn: near, far: far, ended: make(chan error, 1)}
	go func() {
		err := play(far)
		_ = far.Close()
		c.ended <- err
	}()
	return c
}

// Conn implements network.Child.
func (c *Child) Conn() pair.Conn { return c.conn }

// Pid implements network.Child.
func (*Child) Pid() int { return 1 }

// Features implements network.Child.
func (*Child) Features() []pair.Feature { return nil }

// Kill implements network.Child: nothing more comes of it.
func (c *Child) Kill() error {
	err := c.far.Close()
	c.far.mu.Lock()
	defer c.far.mu.Unlock()
	for _, h := range c.far.given {
		_ = h.Close()
	}
	return err
}

// Wait implements network.Child.
func (c *Child) Wait() error { return <-c.ended }
