package slots

import (
	"context"
	"io"

	"github.com/ratchet-ota/ratchet/hal"
)

// Carried is the first size bytes of another slot, as the source of the same image. It is read in aligned
// accesses, past the page cache where dev is. Its errors are those of dev.
func Carried(dev hal.Medium, size int64) Source { return carried{dev, size} }

type carried struct {
	dev  hal.Medium
	size int64
}

// Open returns the bytes from off on.
func (c carried) Open(ctx context.Context, off int64, _ string) (io.ReadCloser, string, error) {
	if off < 0 || off > c.size || off%hal.Align != 0 && off != c.size {
		return nil, "", errorf("cannot carry from byte %d of %d", off, c.size)
	}
	return &carrying{ctx: ctx, c: c, at: off}, "", nil
}

// carrying is one way through a slot.
type carrying struct {
	ctx  context.Context
	c    carried
	at   int64  // of what was not read yet
	buf  []byte // for one access, made with the first
	left []byte // of buf, read and not handed on
}

// Read implements io.Reader.
func (r *carrying) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

func (r *carrying) fill() error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	n := min(r.c.size-r.at, maxBuffer)
	if n <= 0 {
		return io.EOF
	}
	if r.buf == nil {
		r.buf = hal.AlignedBuffer(int((n + hal.Align - 1) / hal.Align * hal.Align))
	}
	for _, s := range spans(r.c.dev.Size(), r.at, int(n)) {
		from := int(s.off - r.at)
		if _, err := r.c.dev.ReadAt(r.buf[from:from+s.n], s.off); err != nil {
			return errorf("cannot read the running slot at byte %d: %w", s.off, err)
		}
	}
	r.at += n
	r.left = r.buf[:n]
	return nil
}

// Close implements io.Closer. The medium stays open.
func (r *carrying) Close() error { return nil }
