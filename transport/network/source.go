package network

import (
	"context"
	"errors"
	"fmt"
	"io"
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
		return nil, "", fmt.Errorf("cannot open payload at byte %d of %d", off, s.size)
	}
	if err := s.p.o.Admit(s.addresses, s.size); err != nil {
		return nil, "", fmt.Errorf("cannot open payload: %w", err)
	}
	now, err := s.p.await(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("cannot open payload: %w", err)
	}
	body, validator, err := now.open(ctx, s, off, validator)
	if err != nil {
		return nil, "", fmt.Errorf("cannot open payload at byte %d: %w", off, err)
	}
	return body, validator, nil
}

// open has the process fill a pipe.
func (s *session) open(ctx context.Context, src *source, off int64, validator string) (*body, string, error) {
	r, w, err := s.p.o.Pipe()
	if err != nil {
		return nil, "", err
	}
	if len(validator) > pair.MaxValidator {
		validator = "" // an earlier version took it; the digest decides
	}
	b := &body{s: s, r: r, answers: make(chan pair.Message, 2)}
	s.mu.Lock()
	s.last++
	b.id = s.last
	s.asks[b.id] = b.answers
	s.mu.Unlock()
	err = s.send(pair.Open{ID: b.id, Addresses: src.addresses, Size: src.size, Offset: off, Validator: validator}, w)
	_ = w.Close() // the process has its own, and the end of the pipe is its end
	var started pair.Started
	if err == nil {
		started, err = b.started(ctx)
	}
	if err != nil {
		_ = b.Close()
		return nil, "", err
	}
	return b, started.Validator, nil
}

// body is the bytes of one Open.
type body struct {
	s       *session
	id      uint32
	r       pair.File
	answers chan pair.Message // Started, then Ended
	err     error             // what Read returns for good
	once    sync.Once
}

// started waits for the process' word on whether bytes follow.
func (b *body) started(ctx context.Context) (pair.Started, error) {
	m, err := b.answer(ctx, stallWait)
	if err != nil {
		return pair.Started{}, err
	}
	st, ok := m.(pair.Started)
	if !ok {
		return st, b.s.breach("%T comes before Started", m)
	}
	return st, outcome(st.Code, st.Text)
}

// answer waits for the process' next word.
func (b *body) answer(ctx context.Context, limit time.Duration) (pair.Message, error) {
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case m := <-b.answers:
		return m, nil
	case <-late.C:
		err := fmt.Errorf("the network process has said nothing for %v, and is killed", limit)
		b.s.end(err)
		return nil, err
	case <-b.s.done:
		select { // what it said before it ended counts
		case m := <-b.answers:
			return m, nil
		default:
		}
		return nil, fmt.Errorf("the network process has ended: %w", b.s.cause())
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Read implements io.Reader. Errors are final for this body.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if d, ok := b.r.(interface{ SetReadDeadline(time.Time) error }); ok {
		_ = d.SetReadDeadline(time.Now().Add(stallWait))
	}
	n, err := b.r.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		b.err = b.over()
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.err = fmt.Errorf("the network process has brought nothing for %v, and is killed", stallWait)
		b.s.end(b.err)
	case err != nil:
		b.err = err
	}
	if n > 0 {
		return n, nil
	}
	return 0, b.err
}

// over is why no more bytes come: io.EOF at the payload's end.
func (b *body) over() error {
	m, err := b.answer(context.Background(), endWait)
	if err != nil {
		return err
	}
	e, ok := m.(pair.Ended)
	if !ok {
		return b.s.breach("%T comes twice", m)
	}
	if err := outcome(e.Code, e.Text); err != nil {
		return err
	}
	return io.EOF
}

// Close implements io.Closer. It may be called while Read waits.
func (b *body) Close() error {
	var err error
	b.once.Do(func() {
		err = b.r.Close()
		b.s.forget(b.id)
		go func() { _ = b.s.send(pair.Cancel{ID: b.id}, nil) }() // it may have ended
	})
	return err
}
