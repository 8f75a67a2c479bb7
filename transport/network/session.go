package network

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/wire/pair"
)

// What the process may say without having been asked: its state, lines for the log, wishes, and answers that come late.
const (
	burst  = 256
	perSec = 16
	queue  = 16 // wishes that wait
)

// session is one process, from its start to its end.
type session struct {
	p        *Process
	child    Child
	conn     pair.Conn
	began    time.Time
	features []pair.Feature
	done     chan struct{}
	files    chan pair.Want
	signs    chan pair.Sign
	box      chan transport.Message // a document that nobody has taken yet

	// Of the goroutine that receives.
	tokens float64
	filled time.Time

	mu      sync.Mutex
	why     error // why it ended; nil while it has not
	last    uint32
	asks    map[uint32]chan pair.Message
	allowed bool // one more document
}

func newSession(p *Process, child Child) *session {
	now := time.Now()
	return &session{p: p, child: child, conn: child.Conn(), began: now, features: child.Features(),
		done: make(chan struct{}), files: make(chan pair.Want, queue), signs: make(chan pair.Sign, queue),
		box: make(chan transport.Message, 1), tokens: burst, filled: now, asks: map[uint32]chan pair.Message{}}
}

// end ends the session; the first cause stands.
func (s *session) end(why error) {
	s.mu.Lock()
	first := s.why == nil
	if first {
		s.why = why
		close(s.done)
	}
	s.mu.Unlock()
	if first {
		_ = s.conn.Close()
	}
}

// cause is why it ended.
func (s *session) cause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

// breach ends a process that breaks the rules.
func (s *session) breach(format string, args ...any) error {
	err := errorf("the network process breaks the rules, and is killed: "+format, args...)
	s.end(err)
	return err
}

// run speaks with the process until one of the two has enough.
func (s *session) run() {
	var parts sync.WaitGroup
	defer parts.Wait()
	defer s.end(errors.New("it ended"))
	buf := make([]byte, pair.Max+1)
	if err := s.begin(buf); err != nil {
		s.end(err)
		return
	}
	s.p.set(s, nil)
	parts.Go(s.deliver)
	parts.Go(s.lend)
	parts.Go(s.sign)
	s.allow()
	if v := s.p.asked.Load(); v > 0 {
		_ = s.send(pair.AskRoot{Version: v}, nil)
	}
	for {
		m, err := s.receive(buf)
		if err == nil {
			err = s.handle(m)
		}
		if err != nil {
			s.end(err)
			return
		}
	}
}

// begin tells the process what it is to do, and waits until it has confined itself.
func (s *session) begin(buf []byte) error {
	settings, err := s.p.o.Settings()
	if err != nil {
		return err
	}
	if err := s.send(pair.Setup{Version: pair.Version, Settings: settings}, nil); err != nil {
		return err
	}
	late := time.AfterFunc(readyWait, func() { s.end(errorf("it was not ready within %v", readyWait)) })
	defer late.Stop()
	for {
		m, err := s.receive(buf)
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case pair.Ready:
			if m.Version != pair.Version {
				return s.breach("it speaks version %d, not %d", m.Version, pair.Version)
			}
			s.features = append(s.features, m.Features...)
			return nil
		case pair.Log:
			s.log(m)
		default:
			return s.breach("%T comes before Ready", m)
		}
	}
}

// receive waits for one message. buf is used again.
func (s *session) receive(buf []byte) (pair.Message, error) {
	n, f, err := s.conn.Receive(buf)
	if f != nil {
		_ = f.Close() // nothing of its is taken
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return nil, errors.New("it ended")
	}
	if err != nil {
		return nil, err
	}
	m, err := s.p.codec.Decode(buf[:n])
	if err != nil {
		return nil, s.breach("%w", err)
	}
	return m, nil
}

// send sends a message; what cannot be sent ends the session.
func (s *session) send(m pair.Message, f pair.File) error {
	b, err := s.p.codec.Encode(m)
	if err != nil {
		return err // ours, and not the process' fault
	}
	if err := s.conn.Send(b, f); err != nil {
		err = errorf("it takes no messages: %w", err)
		s.end(err)
		return err
	}
	return nil
}

// ask sends what of makes, and waits for the answer: until ctx ends, or for as long as limit, which then is a sign that
// the process is of no use.
func (s *session) ask(ctx context.Context, of func(id uint32) pair.Message, f pair.File,
	limit time.Duration) (pair.Message, error) {
	answer := make(chan pair.Message, 1)
	s.mu.Lock()
	s.last++
	id := s.last
	s.asks[id] = answer
	s.mu.Unlock()
	defer s.forget(id)
	if err := s.send(of(id), f); err != nil {
		return nil, err
	}
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case m := <-answer:
		return m, nil
	case <-late.C:
		err := errorf("no answer within %v", limit)
		s.end(err)
		return nil, err
	case <-s.done:
		return nil, s.cause()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (s *session) forget(id uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.asks, id)
}

// handle does what a message says. An error ends the session.
func (s *session) handle(m pair.Message) error {
	switch m := m.(type) {
	case pair.Started:
		return s.answer(m.ID, m)
	case pair.Ended:
		return s.answer(m.ID, m)
	case pair.Sent:
		return s.answer(m.ID, m)
	case pair.Looked:
		return s.answer(m.ID, m)
	case pair.Document:
		return s.document(m)
	}
	if !s.spend() {
		return s.breach("it floods")
	}
	switch m := m.(type) {
	case pair.State:
		s.p.state(m)
	case pair.Log:
		s.log(m)
	case pair.Want:
		select {
		case s.files <- m:
		default:
			return s.breach("it asks for too many files")
		}
	case pair.Sign:
		select {
		case s.signs <- m:
		default:
			return s.breach("it asks for too many signatures")
		}
	default:
		return s.breach("%T comes at the wrong time", m)
	}
	return nil
}

// spend takes a token of those for what was not asked for.
func (s *session) spend() bool {
	now := time.Now()
	s.tokens = min(burst, s.tokens+now.Sub(s.filled).Seconds()*perSec)
	s.filled = now
	s.tokens--
	return s.tokens >= 0
}

// answer hands an answer to who asked. Who does not wait any more is no fault of the process.
func (s *session) answer(id uint32, m pair.Message) error {
	s.mu.Lock()
	to, known := s.asks[id], id > 0 && id <= s.last
	s.mu.Unlock()
	if !known {
		return s.breach("%T answers nothing", m)
	}
	if to != nil {
		select {
		case to <- m:
			return nil
		default:
			return s.breach("%T answers what is answered", m)
		}
	}
	if !s.spend() {
		return s.breach("it floods")
	}
	return nil
}

// allow lets the process hand over one more document.
func (s *session) allow() {
	s.mu.Lock()
	s.allowed = true
	s.mu.Unlock()
	_ = s.send(pair.Next{}, nil)
}

func (s *session) document(m pair.Document) error {
	s.mu.Lock()
	ok := s.allowed
	s.allowed = false
	s.mu.Unlock()
	if !ok {
		return s.breach("a document that was not asked for")
	}
	kind := transport.Kind(m.Kind)
	switch kind {
	case transport.Offer, transport.Resend, transport.Root, transport.Plan, transport.Pulse:
	default:
		return s.breach("a document of kind %v for a device", kind)
	}
	if !strings.HasPrefix(m.Origin, "mqtt:") { // people are told it, and evidence
		return s.breach("a document that came another way")
	}
	s.box <- transport.Message{Kind: kind, Origin: m.Origin, Body: m.Body}
	return nil
}

// deliver hands documents over, one at a time.
func (s *session) deliver() {
	for {
		var m transport.Message
		select {
		case m = <-s.box:
		case <-s.done:
			return
		}
		select {
		case s.p.box <- m:
			s.allow()
		case <-s.done: // it comes again at the next connection
			return
		}
	}
}

// lend hands over the files that the process asks for.
func (s *session) lend() {
	for {
		var m pair.Want
		select {
		case m = <-s.files:
		case <-s.done:
			return
		}
		f, err := Within(&s.p.files, m.Path, func() (pair.File, error) { return s.p.o.Open(m.Path) }, shut)
		if err != nil {
			_ = s.send(pair.Given{ID: m.ID, Error: err.Error()}, nil)
			continue
		}
		_ = s.send(pair.Given{ID: m.ID}, f)
		shut(f)
	}
}

func shut(f pair.File) { _ = f.Close() }

// sign signs what the process asks for, with the keys that are for that.
func (s *session) sign() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { <-s.done; cancel() }()
	for {
		var m pair.Sign
		select {
		case m = <-s.signs:
		case <-s.done:
			return
		}
		a := pair.Signed{ID: m.ID}
		sig, err := s.p.o.Sign(ctx, m.Name, m.Hash, m.Digest)
		if a.Signature = sig; err != nil {
			a.Error = err.Error()
		}
		_ = s.send(a, nil)
	}
}

// log puts a line of the process into the log, as its own.
func (s *session) log(m pair.Log) {
	level := min(max(slog.Level(m.Level), slog.LevelDebug), slog.LevelError)
	s.p.o.Log.Log(context.Background(), level, m.Text, "process", "net")
}

// state takes the process' word on the connection.
func (p *Process) state(m pair.State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.Online != p.online {
		p.online, p.since = m.Online, time.Now()
	}
	p.trouble = nil
	if !m.Online && m.Trouble != "" {
		p.trouble = errors.New(m.Trouble)
	}
	made := m.Connections != p.connections
	p.connections = m.Connections
	if m.Online && made {
		select {
		case p.connects <- struct{}{}:
		default:
		}
	}
}

// outcome is the error that a code and a text stand for.
func outcome(c pair.Code, text string) error {
	if text == "" {
		text = "the network process gives no reason"
	}
	switch c {
	case pair.OK:
		return nil
	case pair.Offline:
		return errorf("%w: %s", transport.ErrOffline, text)
	case pair.Changed:
		return errorf("%w: %s", transport.ErrChanged, text)
	case pair.Gone:
		return errorf("%w: %s", transport.ErrGone, text)
	case pair.Unusable:
		return errorf("%w: %s", transport.ErrUnusable, text)
	}
	return errors.New(text)
}
