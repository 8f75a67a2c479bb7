// Package file carries documents and payloads that are at hand: a USB stick, a directory, a
// descriptor that the command line hands to the daemon.
//
// A local bundle is an envelope and its payloads side by side in one directory, each payload under
// the last element of the path in its URI: what a release server publishes, copied to a stick, is
// a bundle. There is no container format of its own, so nothing has to be unpacked and the bytes
// are the ones that were signed.
//
// Nothing is written. Every file is opened once and read by descriptor, so that a name that comes
// to mean something else later does not matter.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"

	"github.com/ratchet-ota/ratchet/transport"
)

// Source is a payload in an open regular file. It implements transport.Source.
type Source struct {
	f    *os.File
	size int64
}

// NewSource wraps a regular file that is open for reading. The file stays the caller's, who closes
// it, or the source, after the last body has been closed; its offset is neither used nor moved.
// Pipes, devices, directories and empty files are refused, with an error that says so.
func NewSource(f *os.File) (*Source, error) {
	size, err := regular(f)
	if err != nil {
		return nil, errorf("cannot use %s as a payload: %w", name(f), err)
	}
	if size == 0 {
		return nil, errorf("cannot use %s as a payload: it is empty", name(f))
	}
	if _, err := f.ReadAt(make([]byte, 1), 0); err != nil {
		return nil, errorf("cannot read %s: %w", name(f), err)
	}
	return &Source{f: f, size: size}, nil
}

// Close closes the file. A body that is read further ends with an error.
func (s *Source) Close() error { return s.f.Close() }

// Size is the payload's length in bytes.
func (s *Source) Size() int64 { return s.size }

// Open implements transport.Source. The validator is made of size and modification time; content
// that was written in place meanwhile is ErrChanged, here or at the end of the body.
func (s *Source) Open(ctx context.Context, off int64, validator string) (io.ReadCloser, string, error) {
	if err := ctx.Err(); err != nil {
		return nil, "", errorf("cannot open payload: %w", err)
	}
	now, err := validatorOf(s.f)
	if err != nil {
		return nil, "", errorf("cannot open payload: %w", err)
	}
	if off > 0 && validator != now {
		return nil, "", errorf("cannot open payload at byte %d: %w: size and time were %q, now they are %q",
			off, transport.ErrChanged, validator, now)
	}
	info, err := s.f.Stat()
	if err != nil {
		return nil, "", errorf("cannot open payload: %w", err)
	}
	if off < 0 || off > info.Size() {
		return nil, "", errorf("cannot open payload at byte %d of %d", off, info.Size())
	}
	return &body{ctx: ctx, f: s.f, off: off, size: info.Size(), validator: now}, now, nil
}

// body reads on from off. It keeps no offset in the descriptor, so bodies do not disturb each other.
type body struct {
	ctx       context.Context // of Open, whose body this is
	f         *os.File
	off, size int64
	validator string
	closed    atomic.Bool
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, errorf("cannot read payload: body is %w", fs.ErrClosed)
	}
	if err := b.ctx.Err(); err != nil {
		return 0, errorf("cannot read payload: %w", err)
	}
	if left := b.size - b.off; int64(len(p)) > left {
		p = p[:left]
	}
	if len(p) == 0 && b.off < b.size {
		return 0, nil
	}
	n, err := 0, error(nil)
	if len(p) > 0 {
		n, err = b.f.ReadAt(p, b.off)
		b.off += int64(n)
	}
	switch {
	case errors.Is(err, io.EOF) && b.off < b.size:
		return n, errorf("cannot read payload at byte %d: %w: the file became shorter", b.off, transport.ErrChanged)
	case err != nil && !errors.Is(err, io.EOF):
		return n, errorf("cannot read payload at byte %d: %w", b.off, err)
	case b.off < b.size:
		return n, nil
	}
	if now, err := validatorOf(b.f); err != nil {
		return n, errorf("cannot finish payload: %w", err)
	} else if now != b.validator {
		return n, errorf("cannot finish payload: %w while it was read", transport.ErrChanged)
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Close implements io.Closer; the file stays open.
func (b *body) Close() error {
	b.closed.Store(true)
	return nil
}

func validatorOf(f *os.File) (string, error) {
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("file %d %d", info.Size(), info.ModTime().UnixNano()), nil
}

// regular returns the size of a regular file and refuses everything else.
func regular(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), kind(info)
}

// kind refuses what is not a regular file, and says what it is.
func kind(info fs.FileInfo) error {
	what := ""
	switch m := info.Mode(); {
	case m.IsRegular():
		return nil
	case m.IsDir():
		what = "a directory"
	case m&fs.ModeNamedPipe != 0:
		what = "a pipe, which cannot be read again after a power cut; save it to a file first"
	case m&fs.ModeSocket != 0:
		what = "a socket"
	case m&fs.ModeDevice != 0:
		what = "a device"
	case m&fs.ModeSymlink != 0:
		what = "a symbolic link"
	default:
		what = "not a regular file"
	}
	return errors.New("it is " + what)
}
