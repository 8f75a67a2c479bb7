// Package network is the two ends between the daemon and the process that holds every connection: Process is that
// process as the daemon sees it, an inbox, an outbox and sources of payloads; Serve is what runs in it.
//
// The daemon's end holds whatever the other one may do: silence, floods, lies, messages that make no sense, an end at
// any moment, and none at all. It costs time, and nothing else: nothing that it says is trusted, all of it is bounded,
// and a process that breaks a rule is killed and started again, later each time.
package network

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/wire/pair"
)

// Child is a network process that has been started.
type Child interface {
	Conn() pair.Conn
	Pid() int
	Features() []pair.Feature // what it was confined by from outside
	Kill() error              // it cannot be refused
	Wait() error              // why it ended, with its last words
}

// Options of New.
type Options struct {
	// Start starts a process, with the other end of Conn as its descriptor 3.
	Start func() (Child, error)
	// Settings is what each process is told at its start.
	Settings func() ([]byte, error)
	// Admit refuses addresses of a payload that are not allowed by themselves (transport.ErrForbidden): what the
	// process says is never final.
	Admit func(addresses []string, size int64) error
	// Open opens a file that the process asks for, if the configuration names it.
	Open func(path string) (pair.File, error)
	// Sign signs a digest with the client key of that name.
	Sign func(ctx context.Context, name string, hash uint, digest []byte) ([]byte, error)
	// Pipe is what the bytes of a payload come through.
	Pipe func() (r, w pair.File, err error)
	// Lazy: without a payload to fetch there is no need for the process.
	Lazy bool
	// Backoff spaces starts; its zero value means 1 s to 5 min. A process that held for Max resets it.
	Backoff transport.Backoff
	Log     *slog.Logger
}

// Limits of time.
const (
	readyWait = time.Minute      // for Ready: a slow device, busy with its start
	lookWait  = 30 * time.Second // for a sign of life, before the process is ended
	sentWait  = 5 * time.Minute  // for a broker's acknowledgement: the process has given up before
	stallWait = time.Hour        // for a payload's next byte: each mirror had its turns long before
	endWait   = 10 * time.Second // for the word on how a payload ended
	farewell  = 3 * time.Second  // to end, when it is asked to
	inFlight  = 8                // documents sent and not acknowledged
)

// Process is the network process, whichever runs. It is a transport.Inbox and a transport.Outbox.
type Process struct {
	o        Options
	codec    *pair.Codec
	box      chan transport.Message
	connects chan struct{}
	needed   chan struct{} // somebody has asked for a payload
	over     chan struct{} // Run has ended
	slots    chan struct{}
	asked    atomic.Uint64 // version of the root, 0: none
	files    Pending       // that a process has asked for

	mu      sync.Mutex
	now     *session
	changed chan struct{} // closed when now is another one
	online  bool
	since   time.Time
	trouble error

	ended       error // why the last process ended
	starts      int
	connections uint64 // to the broker, that the present process has made
}

// New starts nothing.
func New(o Options) (*Process, error) {
	codec, err := pair.ForDaemon()
	if err != nil {
		return nil, err
	}
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	o.Backoff = cmp.Or(o.Backoff, transport.Backoff{Min: time.Second, Max: 5 * time.Minute})
	return &Process{o: o, codec: codec, box: make(chan transport.Message), connects: make(chan struct{}, 1),
		needed: make(chan struct{}, 1), over: make(chan struct{}),
		slots: make(chan struct{}, inFlight), changed: make(chan struct{}),
		since: time.Now()}, nil
}

// Run holds a network process until ctx ends, and starts another one when it has ended. It may be called once.
func (p *Process) Run(ctx context.Context) error {
	defer close(p.over)
	if p.o.Lazy {
		select {
		case <-p.needed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	said := ""
	for attempt := 0; ; attempt++ {
		began := time.Now()
		err := p.hold(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(began) > p.o.Backoff.Max {
			attempt = 0
		}
		pause := p.o.Backoff.Delay(attempt, rand.Float64())
		level := slog.LevelDebug
		if text := err.Error(); text != said {
			level, said = slog.LevelError, text
		}
		p.o.Log.Log(ctx, level, "the network process has ended; another one is started", "error", err, "after",
			pause.Round(time.Millisecond))
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
}

// hold is one process, from its start to its end. No process is left behind.
func (p *Process) hold(ctx context.Context) error {
	child, err := p.o.Start()
	if err != nil {
		err = errorf("cannot start the network process: %w", err)
		p.set(nil, err)
		return err
	}
	s := newSession(p, child)
	waited := make(chan error, 1)
	go func() {
		err := child.Wait()
		s.end(errors.New("it ended"))
		waited <- err
	}()
	stop := context.AfterFunc(ctx, func() { s.end(ctx.Err()) })
	defer stop()
	s.run()
	err = s.cause()
	p.set(nil, err)
	if ctx.Err() != nil { // it is asked to go, and says goodbye to the broker
		select {
		case <-waited:
			return ctx.Err()
		case <-time.After(farewell):
		}
	}
	_ = child.Kill()
	if gone := <-waited; gone != nil {
		err = errorf("%w: %w", err, gone)
		p.set(nil, err)
	}
	return err
}

// set makes s the process that is asked, nil: there is none, for the reason err.
func (p *Process) set(s *session, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = s
	close(p.changed)
	p.changed = make(chan struct{})
	p.trouble, p.connections = err, 0
	if s != nil {
		p.starts++
	} else {
		p.ended = err
	}
	if p.online {
		p.online, p.since = false, time.Now()
	}
}

// session is the process that can be asked now, or ErrOffline.
func (p *Process) session() (*session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now == nil {
		return nil, errorf("%w: the network process does not run", transport.ErrOffline)
	}
	return p.now, nil
}

// await is session, once there is one.
func (p *Process) await(ctx context.Context) (*session, error) {
	select {
	case p.needed <- struct{}{}:
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	for {
		p.mu.Lock()
		s, changed, why := p.now, p.changed, p.trouble
		p.mu.Unlock()
		if s != nil && s.cause() == nil {
			return s, nil
		}
		select {
		case <-changed:
		case <-p.over:
			return nil, errors.New("the network process has ended")
		case <-ctx.Done():
			return nil, errors.Join(errorf("the network process does not run: %w", context.Cause(ctx)), why)
		}
	}
}

// Messages implements transport.Inbox. The channel is unbuffered and never closed.
func (p *Process) Messages() <-chan transport.Message { return p.box }

// Online reports whether messages can be exchanged, and since when that has been so, by the process' word.
func (p *Process) Online() (online bool, since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.online, p.since
}

// Trouble is why there is no connection to the broker; nil while there is one, and before the first attempt.
func (p *Process) Trouble() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trouble
}

// Connects delivers a value after each new connection to the broker. It holds one value at most.
func (p *Process) Connects() <-chan struct{} { return p.connects }

// AskRoot has one version of the trust root delivered by itself. It never waits.
func (p *Process) AskRoot(version uint64) {
	if p.asked.Swap(version) == version {
		return
	}
	if s, err := p.session(); err == nil {
		go func() { _ = s.send(pair.AskRoot{Version: version}, nil) }()
	}
}

// Send implements transport.Outbox for Status, Evidence and Report. An error wraps transport.ErrOffline, save for a
// message that can never be sent.
func (p *Process) Send(ctx context.Context, m transport.Message) error {
	if m.Kind != transport.Status && m.Kind != transport.Evidence && m.Kind != transport.Report {
		return errorf("cannot send %v: a device sends only status, evidence and reports", m.Kind)
	}
	if n := len(m.Body); n == 0 || n > transport.MaxMessage {
		return errorf("cannot send %v: body of %d bytes, need 1 to %d", m.Kind, n, transport.MaxMessage)
	}
	err := p.handOver(ctx, m)
	if err != nil && !errors.Is(err, transport.ErrOffline) {
		err = errorf("%w: %w", transport.ErrOffline, err)
	}
	if err != nil {
		return errorf("cannot send %v: %w", m.Kind, err)
	}
	return nil
}

func (p *Process) handOver(ctx context.Context, m transport.Message) error {
	s, err := p.session()
	if err != nil {
		return err
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	answer, err := s.ask(ctx, func(id uint32) pair.Message {
		return pair.Send{ID: id, Kind: uint8(m.Kind), Body: m.Body}
	}, nil, sentWait)
	if err != nil {
		return err
	}
	sent, ok := answer.(pair.Sent)
	if !ok {
		return s.breach("%T answers what was sent", answer)
	}
	return outcome(sent.Code, sent.Text)
}

// Problems is what the process cannot use of what the configuration names, and why the process itself is of no use. A
// process that gives no sign of life within half a minute is ended.
func (p *Process) Problems(ctx context.Context) ([]pair.Problem, error) {
	s, err := p.present(ctx)
	if s == nil {
		return nil, err
	}
	answer, err := s.ask(ctx, func(id uint32) pair.Message { return pair.Look{ID: id} }, nil, lookWait)
	if err != nil {
		return nil, err
	}
	l, ok := answer.(pair.Looked)
	if !ok {
		return nil, s.breach("%T answers a look", answer)
	}
	return l.Problems, nil
}

// present is the process that runs. While the first one starts it is waited for; where none is needed there is none.
func (p *Process) present(ctx context.Context) (*session, error) {
	p.mu.Lock()
	s, changed, why, lazy := p.now, p.changed, p.trouble, p.o.Lazy
	first := p.starts == 0
	p.mu.Unlock()
	if s != nil || why != nil || lazy || !first {
		return s, why
	}
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	select {
	case <-changed:
	case <-p.over:
	case <-ctx.Done(): // it is being started: that it takes long is told by what starts it
		return nil, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now, p.trouble
}

// Info is what people may know of the process.
type Info struct {
	Running  bool
	Pid      int
	Since    time.Time      // of its start
	Starts   int            // so far
	Why      error          // it does not run
	Ended    error          // why the one before ended, while one runs
	Features []pair.Feature // by which it is confined
}

// Info tells what runs now.
func (p *Process) Info() Info {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := Info{Starts: p.starts}
	if s := p.now; s != nil {
		i.Running, i.Pid, i.Since, i.Features = true, s.child.Pid(), s.began, s.features
		i.Ended = p.ended
	} else {
		i.Why = p.trouble
	}
	return i
}

// wait reports whether d passed before ctx ended.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
