package http

import (
	"context"
	"fmt"
	"net"
	nethttp "net/http"
	"net/netip"
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
	h := hop{reach: reachFrom(start)}
	if redirected {
		h.reach = h.reach.onward()
	}
	return f.dial(context.WithValue(ctx, hopKey{}, h), address, false)
}

const (
	MaxRetryAfter = maxRetryAfter
	MaxURL        = maxURL
)

// Judge says what an answer is worth to who asked for a payload from off on: bytes to drop, wanted bytes, bytes of the
// payload and the validator, or what is wrong, "final: " before what asking again does not help against.
func Judge(r *nethttp.Response, off, size int64, validator string, most int64) string {
	a, t := judge(r, want{off: off, size: size, validator: validator, max: most})
	switch {
	case t == nil:
		return fmt.Sprintf("%d %d %d %s", a.skip, a.length, a.total, a.validator)
	case t.final:
		return "final: " + t.err.Error()
	}
	return t.err.Error()
}

// Admit says whether a request that starts at the address may connect to another one.
func Admit(start, address string) error {
	u, err := url.Parse(start)
	if err != nil {
		return err
	}
	return reachFrom(u).admit(netip.MustParseAddr(address))
}

// Chunk is how much is read at once under a limit.
func Chunk(rate int64, n int) int { return (&limiter{rate: rate}).chunk(n) }

func Clip(s string) string { return clip(s) }
