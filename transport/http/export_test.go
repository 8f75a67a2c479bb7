package http

import (
	"context"
	"net"
	nethttp "net/http"
	"net/url"
	"time"
)

// The parsers of what servers say, for fuzzing.
func ParseContentRange(s string) (first, last, total int64, ok bool) {
	c, ok := parseContentRange(s)
	return c.first, c.last, c.total, ok
}

func ParseRetryAfter(h nethttp.Header, now time.Time) time.Duration { return parseRetryAfter(h, now) }

func ValidatorOf(h nethttp.Header) string { return validatorOf(h) }

// Parse checks an address as Open does.
func (f *Fetcher) Parse(s string) (*url.URL, error) { return f.parse(s) }

// Dial connects as a request that starts at the given address does, with the real dialer.
func (f *Fetcher) Dial(ctx context.Context, start *url.URL, redirected bool, address string) (net.Conn, error) {
	h := hop{origin: origin(start), reach: reachFrom(start)}
	if redirected {
		h.reach = h.reach.onward()
	}
	return f.http.DialContext(context.WithValue(ctx, hopKey{}, h), "tcp", address)
}

// Proxied reports whether requests may go through a proxy.
func (f *Fetcher) Proxied() bool { return f.http.Proxy != nil }

const (
	MaxRetryAfter = maxRetryAfter
	MaxURL        = maxURL
)
