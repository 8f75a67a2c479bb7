// Package http is the payload plane over HTTP/1.1 (RFC 9110, RFC 9112): a payload is read from any
// offset by ranged requests, and a broken connection is resumed at the exact byte.
//
// A server is not trusted. Whatever it answers is checked against what was asked for. Where it gave a
// strong validator, a range is asked for with If-Range, so that bytes of two contents are not mixed;
// what is not provably the same content is then ErrChanged. Where it gave none, or the caller goes on
// without one, the range is asked for all the same: the caller holds the bytes against the digest that
// was signed. Bytes, time, redirects and attempts are bounded. HTTPS unless an origin is listed;
// credentials stay with their origin; neither a redirect nor a name leads to this machine or its
// link.
//
// Nothing is durable here: the caller keeps offset and validator over a power loss and passes them
// to Open.
package http

import (
	"context"
	"errors"
	"io"
	nethttp "net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/ratchet-ota/ratchet/transport"
)

// Fetcher opens payloads over HTTP. All its sources share one bandwidth limit.
type Fetcher struct {
	options     Options
	plain       map[string]bool                        // by origin
	credentials map[string]func() (Credentials, error) // by origin
	limit       limiter
	sessions    sessions
	http        *nethttp.Transport
}

// New checks the options; nothing is dialled before a Source is opened.
func New(o Options) (*Fetcher, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	f := &Fetcher{options: o.withDefaults(), plain: map[string]bool{},
		credentials: map[string]func() (Credentials, error){}}
	for _, s := range o.AllowPlain {
		if u, err := parseOrigin(s); err == nil {
			f.plain[origin(u)] = true
		}
	}
	for s, c := range o.Credentials {
		if u, err := parseOrigin(s); err == nil {
			f.credentials[origin(u)] = c
		}
	}
	f.limit.rate = o.Limit
	f.http = newRoundTripper(f)
	return f, nil
}

// get asks for the payload from w.off on and follows redirects. ctx governs the body too.
func (f *Fetcher) get(ctx context.Context, start *url.URL, w want) (*nethttp.Response, *trouble) {
	u := start
	var seen []string
	h := hop{reach: reachFrom(start)}
	for {
		if err := f.identify(&h, origin(u)); err != nil {
			return nil, passing("%w", err)
		}
		r, err := nethttp.NewRequestWithContext(context.WithValue(ctx, hopKey{}, h), nethttp.MethodGet, u.String(), nil)
		if err != nil {
			return nil, final("%w: not a URL to ask for", transport.ErrForbidden)
		}
		h.credentials.set(r)
		r.Header.Set("Accept-Encoding", "identity")
		r.Header.Set("User-Agent", "ratchet")
		if w.off > 0 {
			r.Header.Set("Range", "bytes="+strconv.FormatInt(w.off, 10)+"-")
			if w.validator != "" {
				r.Header.Set("If-Range", w.validator)
			}
		}
		resp, err := f.http.RoundTrip(r)
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			if errors.Is(err, transport.ErrForbidden) { // where a name leads is not the manifest's word
				return nil, final("%w: %v", transport.ErrUnusable, err)
			}
			return nil, passing("%w", err)
		}
		switch resp.StatusCode {
		case nethttp.StatusMovedPermanently, nethttp.StatusFound, nethttp.StatusSeeOther,
			nethttp.StatusTemporaryRedirect, nethttp.StatusPermanentRedirect:
		default:
			return resp, nil
		}
		resp.Body.Close()
		seen = append(seen, u.String())
		next, err := u.Parse(resp.Header.Get("Location"))
		switch {
		case err != nil || resp.Header.Get("Location") == "" || len(next.String()) > maxURL:
			return nil, passing("server redirects to nowhere")
		case len(seen) > f.options.MaxRedirects:
			return nil, final("%w: more than %d redirects", transport.ErrUnusable, f.options.MaxRedirects)
		case slices.Contains(seen, next.String()):
			return nil, final("%w: redirects go in a circle", transport.ErrUnusable)
		}
		if err := f.admitRedirect(start, u, next); err != nil { // an answer's word, not the manifest's
			return nil, final("%w: %v", transport.ErrUnusable, err)
		}
		u, h.reach = next, h.reach.onward()
	}
}

// identify reads what this device shows to an origin.
func (f *Fetcher) identify(h *hop, origin string) (err error) {
	h.credentials = Credentials{}
	if read := f.credentials[origin]; read != nil {
		if h.credentials, err = read(); err == nil {
			err = h.credentials.Validate()
		}
	}
	if err != nil {
		return errorf("cannot use the credentials for %s: %w", origin, err)
	}
	return nil
}

// Source returns a payload of size bytes (0: unknown) that can be had at any of the urls, in order
// of preference. The addresses are checked when the source is opened.
func (f *Fetcher) Source(urls []string, size int64) transport.Source {
	return &source{f: f, urls: slices.Clone(urls), size: size}
}

// Admit refuses a payload that nothing leads to, by its size or by all of its addresses, whatever is answered there
// (transport.ErrForbidden). Nothing is dialled.
func (f *Fetcher) Admit(urls []string, size int64) error {
	if size > f.options.MaxBytes {
		return errorf("%w: %d bytes, at most %d are allowed", transport.ErrForbidden, size, f.options.MaxBytes)
	}
	first := errorf("%w: no address is given", transport.ErrForbidden)
	for i, s := range urls {
		_, err := f.parse(s)
		if err == nil {
			return nil
		}
		if i == 0 {
			first = err
		}
	}
	return first
}

type source struct {
	f    *Fetcher
	urls []string
	size int64
}

// Open implements transport.Source. It tries the mirrors in turn, round after round, with
// back-off between rounds. Its errors:
//
//   - ErrChanged: content was served, but it is not, or not provably, what validator stands for.
//     Mirrors and caches give different validators for the same bytes: go on without one, and hold
//     the bytes against their digest.
//   - ErrUnusable: something answers, and not with the content (a redirect to a place that is not
//     allowed or in a circle, an encoding, another length, a name that leads to this machine).
//   - ErrGone: every mirror that is allowed says that it has no such content.
//   - ErrForbidden: no mirror is allowed (scheme, form of the address, size).
//   - anything else: no mirror answered properly in Options.Retries further rounds. Try later.
func (s *source) Open(ctx context.Context, off int64, validator string) (io.ReadCloser, string, error) {
	if off < 0 || s.size < 0 || (s.size > 0 && off > s.size) {
		return nil, "", errorf("cannot open payload at byte %d of %d", off, s.size)
	}
	if err := s.f.Admit(s.urls, s.size); err != nil {
		return nil, "", errorf("cannot open payload: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, "", errorf("cannot open payload: %w", err)
	}
	b := newBody(ctx, s, off, validator)
	if off > 0 && off == s.size {
		return b, validator, nil // all there: nothing to ask for
	}
	if off == 0 {
		b.validator = ""
	}
	if err := b.connect(); err != nil {
		b.Close()
		return nil, "", errorf("cannot open payload at byte %d: %w", off, err)
	}
	return b, b.validator, nil
}
