package http

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
)

const (
	// MaxSkip is how many bytes one body reads and drops in all, to get to its offset on a server
	// that grants no ranges. The first time it may be more: to start again at zero would cost the same
	// bytes, and write them, too.
	MaxSkip = 8 << 20

	advance  = 4 << 10  // bytes that must come within Options.Stall
	progress = 64 << 10 // bytes that reset the count of retries

	paceOver = 5 * time.Minute // of waiting for the server, over which Options.MinRate is an average
)

var (
	errStalled = errors.New("server stalls")
	errSlow    = errors.New("server is too slow")
	errClosed  = errorf("payload is %w", fs.ErrClosed)
)

// mirror is one address of the payload.
type mirror struct {
	url   *url.URL
	dead  error     // it is no use to ask again; nil while it is
	ready time.Time // the server asked not to be asked before
}

// body is one Open's view of the payload: it reads on across connections and mirrors.
type body struct {
	f       *Fetcher
	ctx     context.Context // ends with the caller's, or with Close
	cancel  context.CancelCauseFunc
	mirrors []mirror
	best    int // the mirror that answered last

	off       int64 // of the next byte to deliver
	size      int64 // of the payload; -1 unknown
	validator string

	conn    io.ReadCloser // body of the current answer; nil: none
	abort   context.CancelCauseFunc
	left    int64 // bytes of the current answer; -1 unknown
	open    bool  // the current answer ends the payload when it ends
	skipped int64

	tries  int   // rounds since the last progress
	gained int64 // bytes since the last progress
	quiet  time.Duration
	quick  int64         // bytes since quiet was 0
	waited time.Duration // for the server, since its pace was judged last; goes on over connections
	came   int64         // bytes in that time
	slow   int           // times in a row that the pace was too slow
	broke  error         // how the last connection ended
	err    error         // what Read returns for good
}

func newBody(ctx context.Context, s *source, off int64, validator string) *body {
	b := &body{f: s.f, off: off, size: s.size, validator: validator}
	if b.size == 0 {
		b.size = -1
	}
	b.ctx, b.cancel = context.WithCancelCause(ctx)
	for _, address := range s.urls {
		u, err := s.f.parse(address)
		b.mirrors = append(b.mirrors, mirror{url: u, dead: err})
	}
	return b
}

// Read implements io.Reader. Errors are final for this body.
func (b *body) Read(p []byte) (int, error) {
	for {
		if cause := context.Cause(b.ctx); cause != nil {
			b.fail(cause)
		}
		if b.err != nil {
			return 0, b.err
		}
		if b.off == b.size {
			b.fail(io.EOF)
			continue
		}
		if len(p) == 0 {
			return 0, nil
		}
		if b.conn == nil {
			if err := b.resume(); err != nil {
				b.fail(err)
			}
			continue
		}
		n, err := b.take(p)
		if n > 0 {
			b.off += int64(n)
			b.account(int64(n))
			if b.off > b.f.options.MaxBytes {
				b.fail(errorf("%w: more than %d bytes", transport.ErrUnusable, b.f.options.MaxBytes))
				return 0, b.err
			}
		}
		switch {
		case errors.Is(err, io.EOF) && b.open:
			b.fail(io.EOF)
		case err != nil:
			if errors.Is(err, errSlow) {
				b.best++ // the next mirror is asked first
			}
			b.broke = err
			b.drop()
		}
		if n > 0 {
			return n, nil
		}
	}
}

// Close implements io.Closer. It may be called while Read waits.
func (b *body) Close() error {
	b.cancel(errClosed)
	return nil
}

// fail ends the body.
func (b *body) fail(err error) {
	if b.err != nil {
		return
	}
	if !errors.Is(err, io.EOF) {
		err = errorf("cannot read payload at byte %d: %w", b.off, err)
	}
	b.err = err
	b.drop()
	b.cancel(errClosed)
}

// drop gives up the current connection.
func (b *body) drop() {
	if b.conn != nil {
		b.abort(errClosed)
		b.conn.Close()
		b.conn = nil
	}
}

// account counts n bytes of progress.
func (b *body) account(n int64) {
	if b.gained += n; b.gained >= progress {
		b.gained, b.tries = 0, 0
	}
}

// take reads from the current answer, within its length, the bandwidth and the patience.
func (b *body) take(p []byte) (n int, err error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	p = p[:b.f.limit.chunk(len(p))]
	if b.left > 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err = b.patient(p)
	if b.left > 0 {
		b.left -= int64(n)
	}
	if werr := b.f.limit.wait(b.ctx, n); werr != nil {
		return 0, werr
	}
	return n, err
}

// patient is one Read of the connection. Only the time spent waiting for the server counts: a slow
// flash or a bandwidth limit is no stall.
func (b *body) patient(p []byte) (int, error) {
	stall, abort := b.f.options.Stall, b.abort
	timer := time.AfterFunc(stall-b.quiet, func() { abort(errStalled) })
	began := time.Now()
	n, err := b.conn.Read(p)
	timer.Stop()
	spent := time.Since(began)
	b.quiet += spent
	if b.quick += int64(n); b.quick >= advance {
		b.quick, b.quiet = 0, 0
	}
	if b.quiet >= stall && !errors.Is(err, io.EOF) {
		err = errorf("%w: not %d bytes in %v", errStalled, advance, stall)
	}
	if b.dawdles(n, spent) && err == nil {
		err = errorf("%w: less than %d bytes/s over %v", errSlow, b.f.options.MinRate, paceOver)
	}
	return n, err
}

// dawdles counts n bytes for which the server was waited for, and tells whether it was too slow. Stall alone
// would let 68 bytes a second through, and hold an image for months.
func (b *body) dawdles(n int, spent time.Duration) bool {
	b.waited += spent
	b.came += int64(n)
	if b.waited < paceOver {
		return false
	}
	slow := float64(b.came) < float64(b.f.options.MinRate)*b.waited.Seconds()
	b.waited, b.came = 0, 0
	if b.slow++; !slow {
		b.slow = 0
	}
	return slow
}

// resume connects again after a connection has broken.
func (b *body) resume() error {
	if b.slow >= len(b.mirrors) { // each had its turn: the caller waits, and goes on from here
		return errorf("no server was fast enough: %w", plain(b.broke))
	}
	if b.tries >= b.f.options.Retries {
		return errorf("connection broke %d times without progress: %w", b.tries+1, plain(b.broke))
	}
	if err := b.pause(0); err != nil {
		return err
	}
	return b.connect()
}

// pause waits before the next round, at least for least.
func (b *body) pause(least time.Duration) error {
	d := max(b.f.options.Backoff.Delay(b.tries, rand.Float64()), least)
	b.tries++
	return sleep(b.ctx, d)
}

// connect opens the payload at b.off at the first mirror that serves it. It returns the verdict of
// all mirrors once none is worth asking, or the last trouble once the rounds are used up.
func (b *body) connect() error {
	last := errors.New("server asks to wait")
	for {
		alive, soonest := false, maxRetryAfter
		for i := range b.mirrors {
			i = (i + b.best) % len(b.mirrors)
			m := &b.mirrors[i]
			if m.dead != nil {
				continue
			}
			if time.Until(m.ready) <= 0 {
				t := b.try(m)
				if t == nil {
					b.best = i
					return nil
				}
				if cause := context.Cause(b.ctx); cause != nil {
					return cause
				}
				err := errorf("%s: %w", show(m.url), t.err)
				if t.final {
					m.dead = err
					continue
				}
				last, m.ready = err, time.Now().Add(t.after)
			}
			alive = true
			soonest = min(soonest, time.Until(m.ready))
		}
		if !alive {
			return b.verdict()
		}
		if b.tries >= b.f.options.Retries {
			return errorf("no server answered in %d rounds: %w", b.tries+1, last)
		}
		if err := b.pause(soonest); err != nil {
			return err
		}
	}
}

// verdict says what it means that no mirror is worth asking now. Content that changed can be had at
// once; so it comes first.
func (b *body) verdict() error {
	for _, sentinel := range []error{transport.ErrChanged, transport.ErrUnusable, transport.ErrGone} {
		for _, m := range b.mirrors {
			if errors.Is(m.dead, sentinel) {
				return m.dead
			}
		}
	}
	for _, m := range b.mirrors {
		return m.dead
	}
	return errorf("%w: no address is given", transport.ErrForbidden)
}

// try asks one mirror for the payload from b.off on.
func (b *body) try(m *mirror) *trouble {
	w := want{off: b.off, size: max(b.size, 0), validator: b.validator, max: b.f.options.MaxBytes}
	ctx, abort := context.WithCancelCause(b.ctx)
	resp, t := b.f.get(ctx, m.url, w)
	if t != nil {
		abort(errClosed)
		return t
	}
	a, t := judge(resp, w)
	if t == nil && a.skip > 0 && b.skipped > 0 && b.skipped+a.skip > MaxSkip {
		t = final("%w: the server does not serve ranges, and byte %d is too far to skip to again",
			transport.ErrUnusable, b.off)
	}
	if t != nil {
		abort(errClosed)
		resp.Body.Close()
		return t
	}
	b.conn, b.abort = resp.Body, abort
	b.quiet, b.quick = 0, 0
	b.left = a.skip // never read beyond it while skipping
	for skip := a.skip; skip > 0; {
		n, err := b.take(make([]byte, min(skip, 16<<10)))
		skip -= int64(n)
		b.skipped += int64(n)
		if skip > 0 && err != nil {
			b.drop()
			return passing("connection broke while skipping to byte %d: %w", b.off, err)
		}
	}
	b.left = a.length
	b.open = a.total < 0
	if a.total >= 0 {
		b.size = a.total
	}
	if b.off == 0 || b.validator == "" {
		b.validator = a.validator
	}
	return nil
}

// plain puts the usual end of a connection into words.
func plain(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("body ended early")
	}
	return err
}
