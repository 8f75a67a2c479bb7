package network

import (
	"context"
	"crypto"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/wire/pair"
)

// Fleet is the connection to the broker.
type Fleet interface {
	transport.Inbox
	transport.Outbox
	Run(ctx context.Context) error
	Online() (bool, time.Time)
	Trouble() error
	Connects() <-chan struct{}
	Changes() <-chan struct{} // what Online and Trouble say may be another
	AskRoot(version uint64)
}

// Parts are what the process connects with.
type Parts struct {
	Fleet    Fleet // nil: no broker is configured
	Source   func(addresses []string, size int64) transport.Source
	Problems func() []pair.Problem // of what is read again while it runs; nil: none
	Features []pair.Feature        // by which the process has confined itself
}

// payloads are how many may be fetched at a time. The daemon fetches one.
const payloads = 4

// Serve is the network process: it does what the daemon at the other end of conn asks for, until that is gone or ctx
// ends. begin makes the parts of the settings that the daemon sent, and confines the process, before anything is
// connected to; what it reads comes through the daemon.
func Serve(ctx context.Context, conn pair.Conn, begin func(settings []byte, d *Daemon) (Parts, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	codec, err := pair.ForNetwork()
	if err != nil {
		return err
	}
	s := &server{ctx: ctx, daemon: newDaemon(ctx, conn, codec), opens: map[uint32]context.CancelFunc{},
		next: make(chan struct{}, 1), asks: make(chan uint64, 1)}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	buf := make([]byte, pair.Max+1)
	m, _, err := s.receive(buf)
	if err != nil {
		return err
	}
	setup, ok := m.(pair.Setup)
	if !ok || setup.Version != pair.Version {
		return errorf("the daemon is another version than this process: %T", m)
	}
	began := make(chan error, 1)
	go func() { began <- s.begin(setup, begin) }() // it may ask for files, whose answers come below
	defer s.work.Wait()
	defer cancel()
	for {
		select {
		case err := <-began:
			if err != nil {
				return err
			}
		default:
		}
		m, f, err := s.receive(buf)
		if err == nil {
			err = s.handle(m, f)
		}
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil // the daemon has ended
		}
		if err != nil {
			return err
		}
	}
}

type server struct {
	ctx    context.Context
	daemon *Daemon
	parts  Parts
	next   chan struct{} // one more document is wanted
	asks   chan uint64
	work   sync.WaitGroup

	mu    sync.Mutex
	ready bool
	opens map[uint32]context.CancelFunc
}

func (s *server) receive(buf []byte) (pair.Message, pair.File, error) {
	n, f, err := s.daemon.conn.Receive(buf)
	if err != nil {
		return nil, nil, err
	}
	m, err := s.daemon.codec.Decode(buf[:n])
	if err != nil && f != nil {
		_ = f.Close()
	}
	return m, f, err
}

func (s *server) begin(setup pair.Setup, begin func([]byte, *Daemon) (Parts, error)) error {
	parts, err := begin(setup.Settings, s.daemon)
	if err == nil {
		s.mu.Lock()
		s.parts, s.ready = parts, true // before the daemon knows, who asks for something at once
		s.mu.Unlock()
		err = s.daemon.send(pair.Ready{Version: pair.Version, Features: parts.Features})
	}
	if err != nil {
		_ = s.daemon.conn.Close()
		return err
	}
	if f := parts.Fleet; f != nil {
		s.work.Go(func() { _ = f.Run(s.ctx) })
		s.work.Go(func() { s.documents(f) })
		s.work.Go(func() { s.states(f) })
	}
	return nil
}

// handle does what the daemon asks for. f comes with it, and goes with it.
func (s *server) handle(m pair.Message, f pair.File) error {
	if o, ok := m.(pair.Open); ok && f != nil {
		s.open(o, f)
		return nil
	}
	if g, ok := m.(pair.Given); ok {
		s.daemon.answer(g.ID, given{f, g.Error})
		return nil
	}
	if f != nil {
		_ = f.Close()
	}
	switch m := m.(type) {
	case pair.Signed:
		s.daemon.answer(m.ID, m)
	case pair.Cancel:
		s.mu.Lock()
		cancel := s.opens[m.ID]
		s.mu.Unlock()
		if cancel != nil {
			cancel()
		}
	case pair.Send:
		s.work.Go(func() { s.send(m) })
	case pair.AskRoot:
		s.work.Go(func() {
			if p, ok := s.parted(); ok && p.Fleet != nil {
				p.Fleet.AskRoot(m.Version)
			}
		})
	case pair.Next:
		select {
		case s.next <- struct{}{}:
		default:
		}
	case pair.Look:
		s.work.Go(func() { s.look(m) })
	default:
		return errorf("internal error: %T from the daemon", m)
	}
	return nil
}

// parted are the parts, once they are there.
func (s *server) parted() (Parts, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parts, s.ready
}

// documents hands a document over for each that the daemon wants.
func (s *server) documents(f Fleet) {
	for {
		select {
		case <-s.next:
		case <-s.ctx.Done():
			return
		}
		select {
		case m := <-f.Messages():
			_ = s.daemon.send(pair.Document{Kind: uint8(m.Kind), Origin: m.Origin, Body: m.Body})
		case <-s.ctx.Done():
			return
		}
	}
}

// stateEvery is the least time between two words on the connection.
const stateEvery = 250 * time.Millisecond

// states tells of the connection, when it changes.
func (s *server) states(f Fleet) {
	var made uint64
	for {
		select {
		case <-f.Connects():
			made++
		case <-f.Changes():
		case <-s.ctx.Done():
			return
		}
		online, _ := f.Online()
		st := pair.State{Online: online, Connections: made}
		if err := f.Trouble(); err != nil {
			st.Trouble = err.Error()
		}
		_ = s.daemon.send(st)
		if wait(s.ctx, stateEvery) != nil {
			return
		}
	}
}

// send hands a document to the broker.
func (s *server) send(m pair.Send) {
	err := errorf("%w: there is no broker", transport.ErrOffline)
	if p, ok := s.parted(); ok && p.Fleet != nil {
		err = p.Fleet.Send(s.ctx, transport.Message{Kind: transport.Kind(m.Kind), Body: m.Body})
	}
	a := pair.Sent{ID: m.ID}
	a.Code, a.Text = told(err)
	_ = s.daemon.send(a)
}

func (s *server) look(m pair.Look) {
	a := pair.Looked{ID: m.ID}
	if p, ok := s.parted(); ok && p.Problems != nil {
		a.Problems = p.Problems()
	}
	_ = s.daemon.send(a)
}

// open fetches a payload into w.
func (s *server) open(m pair.Open, w pair.File) {
	ctx, cancel := context.WithCancel(s.ctx)
	s.mu.Lock()
	busy := len(s.opens) >= payloads
	if !busy {
		s.opens[m.ID] = cancel
	}
	s.mu.Unlock()
	if busy {
		cancel()
		_ = w.Close()
		_ = s.daemon.send(pair.Started{ID: m.ID, Code: pair.Failed, Text: "too many payloads at a time"})
		return
	}
	s.work.Go(func() {
		defer cancel()
		defer func() {
			s.mu.Lock()
			delete(s.opens, m.ID)
			s.mu.Unlock()
		}()
		s.fetch(ctx, m, w)
	})
}

func (s *server) fetch(ctx context.Context, m pair.Open, w pair.File) {
	defer w.Close()
	p, ok := s.parted()
	if !ok || p.Source == nil {
		_ = s.daemon.send(pair.Started{ID: m.ID, Code: pair.Failed, Text: "nothing can be fetched"})
		return
	}
	body, validator, err := p.Source(m.Addresses, m.Size).Open(ctx, m.Offset, m.Validator)
	st := pair.Started{ID: m.ID, Validator: validator}
	if len(validator) > pair.MaxValidator {
		st.Validator = ""
	}
	st.Code, st.Text = told(err)
	if s.daemon.send(st) != nil || err != nil {
		if body != nil {
			_ = body.Close()
		}
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = w.Close() }) // nobody reads any more
	defer stop()
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{body}, make([]byte, 256<<10))
	_ = body.Close()
	e := pair.Ended{ID: m.ID}
	if e.Code, e.Text = told(err); ctx.Err() != nil {
		return // nobody waits
	}
	_ = s.daemon.send(e) // before the pipe ends
}

// told is what the daemon may be told of an error.
func told(err error) (pair.Code, string) {
	if err == nil {
		return pair.OK, ""
	}
	c := pair.Failed
	for _, x := range []struct {
		is   error
		code pair.Code
	}{{transport.ErrOffline, pair.Offline}, {transport.ErrChanged, pair.Changed}, {transport.ErrGone, pair.Gone},
		{transport.ErrUnusable, pair.Unusable}, {transport.ErrForbidden, pair.Unusable}} {
		if errors.Is(err, x.is) {
			c = x.code
			break
		}
	}
	return c, err.Error()
}

// Daemon is the daemon as the network process sees it.
type Daemon struct {
	ctx   context.Context
	conn  pair.Conn
	codec *pair.Codec

	mu   sync.Mutex
	last uint32
	asks map[uint32]chan any
}

func newDaemon(ctx context.Context, conn pair.Conn, codec *pair.Codec) *Daemon {
	return &Daemon{ctx: ctx, conn: conn, codec: codec, asks: map[uint32]chan any{}}
}

func (d *Daemon) send(m pair.Message) error {
	b, err := d.codec.Encode(m)
	if err != nil {
		return err
	}
	return d.conn.Send(b, nil)
}

// given is a file that the daemon opened.
type given struct {
	file pair.File
	err  string
}

// askWait is how long the daemon may take to open a file or to sign.
const askWait = 30 * time.Second

func (d *Daemon) ask(of func(id uint32) pair.Message) (any, error) {
	answer := make(chan any, 1)
	d.mu.Lock()
	d.last++
	id := d.last
	d.asks[id] = answer
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		delete(d.asks, id)
		d.mu.Unlock()
	}()
	if err := d.send(of(id)); err != nil {
		return nil, err
	}
	late := time.NewTimer(askWait)
	defer late.Stop()
	select {
	case a := <-answer:
		return a, nil
	case <-late.C:
		return nil, errorf("the daemon has not answered: %w", os.ErrDeadlineExceeded)
	case <-d.ctx.Done():
		return nil, d.ctx.Err()
	}
}

func (d *Daemon) answer(id uint32, a any) {
	d.mu.Lock()
	to := d.asks[id]
	delete(d.asks, id)
	d.mu.Unlock()
	if to != nil {
		to <- a
	} else if g, ok := a.(given); ok && g.file != nil {
		_ = g.file.Close()
	}
}

// Open opens a file that the configuration names. It is the caller's to close.
func (d *Daemon) Open(path string) (pair.File, error) {
	a, err := d.ask(func(id uint32) pair.Message { return pair.Want{ID: id, Path: path} })
	if err != nil {
		return nil, errorf("cannot read %s: %w", path, err)
	}
	g, ok := a.(given)
	switch {
	case !ok:
		return nil, errors.New("internal error: the daemon answers something else")
	case g.err != "":
		return nil, errors.New(g.err)
	case g.file == nil:
		return nil, errorf("cannot read %s: the daemon gave nothing", path)
	}
	return g.file, nil
}

// Sign has the daemon sign a digest with the client key of that name.
func (d *Daemon) Sign(name string, digest []byte, hash crypto.Hash) ([]byte, error) {
	a, err := d.ask(func(id uint32) pair.Message {
		return pair.Sign{ID: id, Name: name, Hash: uint(hash), Digest: digest}
	})
	if err != nil {
		return nil, errorf("cannot sign with %s: %w", name, err)
	}
	m, ok := a.(pair.Signed)
	if !ok || m.Error != "" || len(m.Signature) == 0 {
		return nil, errorf("cannot sign with %s: %s", name, m.Error)
	}
	return m.Signature, nil
}

// Handler logs by way of the daemon: a few lines a second at most, and not what nobody asked for (least).
func (d *Daemon) Handler(least slog.Level) slog.Handler { return newHandler(d, least) }
