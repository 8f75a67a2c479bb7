package network

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/wire/pair"
)

// Source returns a payload of size bytes (0: unknown) that can be had at any of the addresses, in order of preference.
func (p *Process) Source(addresses []string, size int64) transport.Source {
	return &source{p, slices.Clone(addresses), size}
}

type source struct {
	p         *Process
	addresses []string
	size      int64
}

// Open implements transport.Source. ErrForbidden is this end's word alone; all others are the process'.
func (s *source) Open(ctx context.Context, off int64, validator string) (io.ReadCloser, string, error) {
	if off < 0 || s.size < 0 || s.size > 0 && off > s.size {
		return nil, "", errorf("cannot open payload at byte %d of %d", off, s.size)
	}
	if err := s.p.o.Admit(s.addresses, s.size); err != nil {
		return nil, "", errorf("cannot open payload: %w", err)
	}
	b := &body{of: s, ctx: ctx, off: off}
	if err := b.open(validator); err != nil {
		return nil, "", errorf("cannot open payload at byte %d: %w", off, err)
	}
	return b, b.validator, nil
}

// progress is as many bytes as take back that a process has ended.
const progress = 64 << 10

// again is how often a payload is asked for once more without progress, when the process has ended on the way.
const again = 3

// errEnded is that the process has ended, which says nothing of the payload: another one is asked.
var errEnded = errors.New("the network process has ended")

// body is the bytes of a payload from one place on, as they come from one process or from several.
type body struct {
	of        *source
	ctx       context.Context
	off       int64  // of the next byte
	validator string // of the content
	gained    int64  // bytes since there was progress
	ended     int    // processes since then
	err       error  // what Read returns for good

	mu     sync.Mutex
	now    *flow // nil: none
	closed bool
}

// open asks for the payload from where it is on.
func (b *body) open(validator string) error {
	for {
		err := b.try(validator)
		if err == nil || !b.ends(err) {
			return err
		}
	}
}

// ends counts an end of a process, and tells whether another one is to be asked.
func (b *body) ends(err error) bool {
	b.ended++
	return errors.Is(err, errEnded) && b.ended <= again && b.ctx.Err() == nil
}

func (b *body) try(validator string) error {
	s, err := b.of.p.await(b.ctx)
	if err != nil {
		return err
	}
	f, got, err := s.open(b.ctx, b.of, b.off, validator)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errors.Join(fs.ErrClosed, f.close())
	}
	b.now, b.validator = f, got
	return nil
}

// Read implements io.Reader. Errors are final for this body.
func (b *body) Read(p []byte) (int, error) {
	for b.err == nil {
		b.mu.Lock()
		f := b.now
		b.mu.Unlock()
		n, err := f.read(p)
		if n > 0 {
			b.off += int64(n)
			if b.gained += int64(n); b.gained >= progress {
				b.ended, b.gained = 0, 0
			}
			return n, nil
		}
		_ = f.close()
		if b.err = err; b.ends(err) {
			b.err = b.open(b.validator)
		}
	}
	return 0, b.err
}

// Close implements io.Closer. It may be called while Read waits.
func (b *body) Close() error {
	b.mu.Lock()
	b.closed = true
	f := b.now
	b.mu.Unlock()
	return f.close()
}

// open has the process fill a pipe.
func (s *session) open(ctx context.Context, src *source, off int64, validator string) (*flow, string, error) {
	r, w, err := s.p.o.Pipe()
	if err != nil {
		return nil, "", err
	}
	if len(validator) > pair.MaxValidator {
		validator = "" // an earlier version took it; the digest decides
	}
	f := &flow{s: s, r: r, answers: make(chan pair.Message, 2)}
	s.mu.Lock()
	s.last++
	f.id = s.last
	s.asks[f.id] = f.answers
	s.mu.Unlock()
	err = s.send(pair.Open{ID: f.id, Addresses: src.addresses, Size: src.size, Offset: off, Validator: validator}, w)
	_ = w.Close() // the process has its own, and the end of the pipe is its end
	var started pair.Started
	if err == nil {
		started, err = f.started(ctx)
	} else if s.cause() != nil {
		err = errorf("%w: %w", errEnded, err)
	}
	if err != nil {
		_ = f.close()
		return nil, "", err
	}
	return f, started.Validator, nil
}

// flow is what one process brings of a payload.
type flow struct {
	s       *session
	id      uint32
	r       pair.File
	answers chan pair.Message // Started, then Ended
	once    sync.Once
}

// started waits for the process' word on whether bytes follow.
func (f *flow) started(ctx context.Context) (pair.Started, error) {
	m, err := f.answer(ctx, stallWait)
	if err != nil {
		return pair.Started{}, err
	}
	st, ok := m.(pair.Started)
	if !ok {
		return st, f.s.breach("%T comes before Started", m)
	}
	return st, outcome(st.Code, st.Text)
}

// answer waits for the process' next word.
func (f *flow) answer(ctx context.Context, limit time.Duration) (pair.Message, error) {
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case m := <-f.answers:
		return m, nil
	case <-late.C:
		err := errorf("the network process has said nothing for %v, and is killed", limit)
		f.s.end(err)
		return nil, err
	case <-f.s.done:
		select { // what it said before it ended counts
		case m := <-f.answers:
			return m, nil
		default:
		}
		return nil, errorf("%w: %w", errEnded, f.s.cause())
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// read reads on; an error comes without bytes.
func (f *flow) read(p []byte) (int, error) {
	if d, ok := f.r.(interface{ SetReadDeadline(time.Time) error }); ok {
		_ = d.SetReadDeadline(time.Now().Add(stallWait))
	}
	n, err := f.r.Read(p)
	switch {
	case n > 0:
		return n, nil
	case errors.Is(err, io.EOF):
		return 0, f.over()
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = errorf("the network process has brought nothing for %v, and is killed", stallWait)
		f.s.end(err)
	}
	return 0, err
}

// over is why no more bytes come: io.EOF at the payload's end.
func (f *flow) over() error {
	m, err := f.answer(context.Background(), endWait)
	if err != nil {
		return err
	}
	e, ok := m.(pair.Ended)
	if !ok {
		return f.s.breach("%T comes twice", m)
	}
	if err := outcome(e.Code, e.Text); err != nil {
		return err
	}
	return io.EOF
}

func (f *flow) close() error {
	var err error
	f.once.Do(func() {
		err = f.r.Close()
		f.s.forget(f.id)
		go func() { _ = f.s.send(pair.Cancel{ID: f.id}, nil) }() // it may have ended
	})
	return err
}
