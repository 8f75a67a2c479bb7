package slots

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/ratchet-ota/ratchet/hal"
)

// piece is what one call of decoder.fill brought.
type piece struct {
	n       int   // image bytes
	cut     int   // a position within them, 0..n, where a later call can resume, -1 for none
	payload int64 // payload bytes consumed up to cut
}

// decoder turns a payload into image bytes.
type decoder interface {
	// fill reads image bytes until p is full. With an error it returns those that came before it;
	// io.EOF means that the payload ended. off is the image position of p, a multiple of hal.Align.
	fill(p []byte, off int64) (piece, error)
	// end checks that the payload ends where the image does, and returns its length.
	end() (int64, error)
}

// body reads a payload within its limit and counts what was fetched.
type body struct {
	ctx     context.Context
	r       io.Reader
	pos     int64 // payload position
	limit   int64 // no byte beyond it is asked for, save one to see whether there is any
	fetched *atomic.Int64
	err     error // the first error, io.EOF aside
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if room := b.limit + 1 - b.pos; int64(len(p)) > room {
		p = p[:room]
	}
	n, err := b.r.Read(p)
	b.pos += int64(n)
	b.fetched.Add(int64(n))
	switch {
	case b.pos > b.limit:
		b.err = errorf("payload has more than %d bytes: %w", b.limit, ErrTooLarge)
		// The byte too many is not handed on.
		return n - 1, b.err
	case err == nil || err == io.EOF:
		return n, err
	case b.ctx.Err() != nil:
		b.err = errorf("interrupted at payload byte %d: %w", b.pos, b.ctx.Err())
	default:
		b.err = errorf("cannot fetch payload at byte %d: %w", b.pos, err)
	}
	return n, b.err
}

// rawDecoder is a payload that is the image.
type rawDecoder struct{ b *body }

func (d rawDecoder) fill(p []byte, off int64) (piece, error) {
	n, err := io.ReadFull(d.b, p)
	if errors.Is(err, io.ErrUnexpectedEOF) && d.b.err == nil {
		err = io.EOF
	}
	cut := n
	if err != nil {
		cut -= cut % hal.Align
	}
	return piece{n: n, cut: cut, payload: off + int64(cut)}, err
}

func (d rawDecoder) end() (int64, error) {
	// The limit is the image's size, so that a byte more is ErrTooLarge.
	_, err := io.ReadFull(d.b, make([]byte, 1))
	if err == io.EOF {
		return d.b.pos, nil
	}
	return 0, err
}
