package http

import (
	"context"
	"io"

	"github.com/ratchet-ota/ratchet/transport"
)

type source struct {
	f    *Fetcher
	urls []string
	size int64
}

// Source returns a payload of size bytes (0: unknown) that can be had at any of the urls.
func (f *Fetcher) Source(urls []string, size int64) transport.Source {
	return &source{f: f, urls: urls, size: size}
}

// Open implements transport.Source.
func (s *source) Open(ctx context.Context, off int64, validator string) (io.ReadCloser, string, error) {
	return nil, "", transport.ErrForbidden
}
