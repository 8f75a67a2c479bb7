package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// Deadlines of a connection. The handler's time stands in the verb table.
const (
	readWithin  = 5 * time.Second // for the whole request
	writeWithin = 5 * time.Second // for the result, after the handler
	rootOnly    = 2               // of MaxConnections, kept for root
	writersOnly = 2               // of the others, kept for those who may write
	maxProgress = 16 << 10        // bytes of one progress line; a longer one is dropped
)

// errGone ends a handler's context when its client has closed the connection.
var errGone = errors.New("the client has gone")

// Serve answers requests until ctx ends, then waits for the handlers and returns nil. It closes l. At
// most MaxConnections are served at a time; a further one is told so at once. What clients do wrong
// is answered and, where the daemon's owner should know, told to a.Report.
func Serve(ctx context.Context, l net.Listener, a Access, h Handler) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer func() { _ = l.Close() }()
	if a.Report == nil {
		a.Report = func(error) {}
	}
	s := server{access: a.withSocketGroup(l.Addr()), handler: h}
	defer s.wait.Wait()
	pause := 10 * time.Millisecond
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return errorf("cannot serve the control socket: %w", err)
		case err != nil: // out of descriptors or memory: others may give some back
			s.access.Report(errorf("cannot accept a connection: %w", err))
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, time.Second)
			continue
		}
		pause = 10 * time.Millisecond
		u, ok := conn.(*net.UnixConn)
		if !ok {
			_ = conn.Close()
			return errorf("internal error: control socket is a %T", conn)
		}
		s.accept(ctx, u)
	}
}

// server is the state of Serve.
type server struct {
	access  Access
	handler Handler
	wait    sync.WaitGroup

	mu     sync.Mutex
	places []*place // in the order in which they were taken
}

// place is one of MaxConnections.
type place struct {
	conn *net.UnixConn
	rank int  // of who has it: 0 may look, 1 may write, 2 is root
	idle bool // no whole request has arrived yet
	gone bool // it was given to somebody else
}

var errFull = &Error{Message: "the daemon serves as many clients as it can", Advice: "Try again in a moment.",
	Exit: ExitBusy}

// accept starts serving a connection, or turns it away. It does not block: the socket's buffer is empty.
func (s *server) accept(ctx context.Context, conn *net.UnixConn) {
	peer, err := peerOf(conn)
	if err != nil {
		s.access.Report(err)
		_ = conn.Close()
		return
	}
	right := s.access.right(peer)
	if right == None {
		turnAway(conn, notPermitted(peer, "use the control socket"))
		return
	}
	p := &place{conn: conn, rank: rank(peer, right), idle: true}
	if !s.enter(p) {
		turnAway(conn, errFull)
		return
	}
	s.wait.Go(func() {
		defer s.leave(p)
		s.exchange(ctx, p, peer, right)
	})
}

func rank(p Peer, r Right) int {
	switch {
	case r < Write:
		return 0
	case p.UID != 0 && os.Geteuid() == 0:
		return 1
	}
	return 2
}

func turnAway(conn *net.UnixConn, why *Error) {
	_ = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	_, _ = conn.Write(encode("error", why))
	_ = conn.Close()
}

// enter takes a place. The last ones are for root, and for those who may write, so that nobody who may only look locks
// them out. Where none is left, the longest idle connection of one who may do no more gives way: it costs nothing to
// hold, and who means to ask something has asked.
func (s *server) enter(p *place) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := [...]int{MaxConnections - rootOnly - writersOnly, MaxConnections - rootOnly, MaxConnections}[p.rank]
	if len(s.places) >= limit && !s.evict(p.rank) {
		return false
	}
	s.places = append(s.places, p)
	return true
}

// evict turns away the oldest idle connection of the lowest rank, at most that rank.
func (s *server) evict(most int) bool {
	var out *place
	for _, p := range s.places {
		if p.idle && p.rank <= most && (out == nil || p.rank < out.rank) {
			out = p
		}
	}
	if out == nil {
		return false
	}
	out.gone = true
	s.places = slices.DeleteFunc(s.places, func(p *place) bool { return p == out })
	turnAway(out.conn, errFull)
	return true
}

// begin says that a request has arrived; false when the place was given away before.
func (s *server) begin(p *place) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.idle = false
	return !p.gone
}

func (s *server) leave(p *place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.places = slices.DeleteFunc(s.places, func(q *place) bool { return p == q })
}

func notPermitted(p Peer, what string) *Error {
	return &Error{
		Message: fmt.Sprintf("uid %d may not %s", p.UID, what),
		Advice:  "Run it as root (sudo), or have the user or group added to the daemon's configuration.",
		Exit:    ExitNotPermitted,
	}
}

// exchange serves one connection: a request, progress, an answer.
func (s *server) exchange(ctx context.Context, p *place, peer Peer, right Right) {
	conn := p.conn
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	_ = conn.SetReadDeadline(time.Now().Add(readWithin))
	req, row, err := s.request(conn, peer, right)
	stop()
	if here := s.begin(p); err != nil || ctx.Err() != nil || !here {
		closeAll(req.Files)
		if err != nil && !gone(err) && here {
			answer(conn, nil, err)
		}
		return
	}

	cancel := func() {}
	if row.within > 0 {
		ctx, cancel = context.WithTimeout(ctx, row.within)
	}
	defer cancel()
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	_ = conn.SetReadDeadline(time.Time{})
	s.wait.Go(func() {
		// Nothing more is expected. A read that ends, ends the request; descriptors that are sent now
		// have no room to arrive in, and the kernel drops them.
		_, _ = conn.Read(make([]byte, 1))
		leave(errGone)
	})
	// Whoever waits on a pipe of the client's is woken when the context ends.
	files := append([]*os.File(nil), req.Files...)
	unhang := context.AfterFunc(ctx, func() {
		for _, f := range files {
			_ = f.SetDeadline(time.Unix(1, 0))
		}
	})

	feed := newFeed(conn)
	result, err := s.call(ctx, req, feed.send)
	unhang()
	closeAll(req.Files)
	_ = conn.SetWriteDeadline(time.Now().Add(writeWithin))
	feed.end()
	answer(conn, result, err)
}

// request reads a request and holds it against the verb table and the peer's right.
func (s *server) request(conn *net.UnixConn, peer Peer, right Right) (Request, rule, error) {
	usage := func(err error) *Error {
		return &Error{Message: err.Error(),
			Advice: "Use the command line of the same version as the daemon.", Exit: ExitUsage}
	}
	line, files, err := receive(conn)
	req := Request{Files: files, Peer: peer}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return req, rule{}, usage(errorf("the request did not arrive within %v", readWithin))
	case gone(err):
		return req, rule{}, err
	case err != nil:
		return req, rule{}, usage(err)
	}
	w, err := decode(line)
	if err != nil {
		return req, rule{}, usage(err)
	}
	req.Verb, req.Args = w.Verb, w.Args
	if w.Files != len(files) {
		return req, rule{}, usage(errorf("%d descriptors were announced and %d arrived", w.Files, len(files)))
	}
	row, err := req.check()
	if err != nil {
		return req, rule{}, usage(err)
	}
	if right < row.right {
		return req, rule{}, notPermitted(peer, string(req.Verb))
	}
	if err := row.checkFiles(files); err != nil {
		return req, rule{}, usage(err)
	}
	return req, row, nil
}

// gone tells whether the other side is not there to be answered.
func gone(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) || isEOF(err)
}

// call calls the handler. A panic is an internal error of this one request: it is reported with its
// stack, and the daemon, which may be in the middle of an update, goes on.
func (s *server) call(ctx context.Context, r Request, progress func(any)) (result any, err error) {
	defer func() {
		if v := recover(); v != nil {
			s.access.Report(&PanicError{Verb: r.Verb, Value: v, Stack: debug.Stack()})
			result, err = nil, &Error{
				Message: fmt.Sprintf("internal error while serving %s", r.Verb),
				Advice:  "See the daemon's log (journalctl -u ratchet) and report it.",
				Exit:    ExitFailed,
			}
		}
	}()
	return s.handler(ctx, r, progress)
}

// answer writes the last line of an exchange.
func answer(conn *net.UnixConn, result any, err error) {
	var line []byte
	var e *Error
	switch {
	case errors.As(err, &e) && e != nil:
		out := *e
		if out.Exit < ExitFailed || out.Exit > ExitBusy {
			out.Exit = ExitFailed
		}
		line = encode("error", out)
	case err != nil:
		line = encode("error", Error{Message: err.Error(), Exit: ExitFailed})
	default:
		if line = encode("result", result); line == nil {
			line = encode("error",
				Error{Message: fmt.Sprintf("internal error: result %T cannot be sent", result), Exit: ExitFailed})
		}
	}
	_ = conn.SetWriteDeadline(time.Now().Add(writeWithin))
	_, _ = conn.Write(line)
}

// encode makes a response line, nil when it cannot be made or is too long.
func encode(member string, v any) []byte {
	b, err := json.Marshal(map[string]any{member: v})
	if err != nil || len(b) >= MaxResponse {
		return nil
	}
	return append(b, '\n')
}

// feed writes progress lines from a goroutine of its own. It holds one line that is not written yet,
// the newest.
type feed struct {
	next chan []byte
	done chan struct{}
	wait sync.WaitGroup
}

func newFeed(conn *net.UnixConn) *feed {
	f := &feed{next: make(chan []byte, 1), done: make(chan struct{})}
	f.wait.Go(func() {
		for {
			select {
			case line := <-f.next:
				_, _ = conn.Write(line)
			case <-f.done:
				select {
				case line := <-f.next:
					_, _ = conn.Write(line)
				default:
				}
				return
			}
		}
	})
	return f
}

// send replaces what has not been written yet. It never blocks.
func (f *feed) send(v any) {
	line := encode("progress", v)
	if line == nil || len(line) > maxProgress {
		return
	}
	select {
	case <-f.next:
	default:
	}
	select {
	case f.next <- line:
	default:
	}
}

// end writes the last line and waits for the writer, as long as the connection's write deadline allows.
func (f *feed) end() {
	close(f.done)
	f.wait.Wait()
}
