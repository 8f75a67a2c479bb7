package file

import (
	"context"
	"io"
	"os"

	"github.com/ratchet-ota/ratchet/transport"
)

// Source reads a payload from an open regular file.
type Source struct{ f *os.File }

// NewSource wraps an open regular file.
func NewSource(f *os.File) (*Source, error) { return &Source{f}, nil }

// Open implements transport.Source.
func (s *Source) Open(ctx context.Context, off int64, validator string) (io.ReadCloser, string, error) {
	return nil, "", transport.ErrGone
}
