package health

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/ratchet-ota/ratchet/transport"
)

// maxBody is how much of an HTTP answer is read, in bytes.
const maxBody = 64 << 10

// HTTP holds when a GET of URL answers with Status and, where Contains is set, that text within the
// first 64 KiB of the body. Redirects are not followed, proxies of the environment not used.
type HTTP struct {
	Title    string // name of the check, default "http <host>"
	URL      string
	Status   int    // default 200
	Contains string // "" leaves the body unread
	// TLS is asked at each connection; nil: the system's roots as crypto/x509 reads them, once.
	TLS func() (*tls.Config, error)
}

// Name is the check's name.
func (h HTTP) Name() string {
	if h.Title != "" {
		return h.Title
	}
	if u, err := url.Parse(h.URL); err == nil {
		return plain("http "+u.Host, maxName)
	}
	return "http"
}

// Run asks once.
func (h HTTP) Run(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.URL, nil)
	if err != nil { // which repeats the address
		return errorf("cannot ask %s: not an address", transport.Shown(h.URL))
	}
	req.Header.Set("User-Agent", "ratchet-health")
	var config *tls.Config
	if h.TLS != nil {
		if config, err = h.TLS(); err != nil {
			return err
		}
	}
	t := &http.Transport{
		DisableKeepAlives:      true,
		TLSClientConfig:        config,
		MaxResponseHeaderBytes: maxBody,
	}
	defer t.CloseIdleConnections()
	client := http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return cause(ctx, err)
	}
	defer resp.Body.Close()
	want := h.Status
	if want == 0 {
		want = http.StatusOK
	}
	if resp.StatusCode != want {
		return errorf("%s answers %d, not %d", transport.Shown(h.URL), resp.StatusCode, want)
	}
	if h.Contains == "" {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if bytes.Contains(body, []byte(h.Contains)) {
		return nil
	}
	if err != nil {
		return cause(ctx, err)
	}
	return errorf("the answer of %s does not contain %q", transport.Shown(h.URL), plain(h.Contains, maxName))
}

// TCP holds when a connection to Addr ("host:port") can be opened.
type TCP struct {
	Title string // name of the check, default "tcp <address>"
	Addr  string
}

// Name is the check's name.
func (t TCP) Name() string {
	if t.Title != "" {
		return t.Title
	}
	return plain("tcp "+t.Addr, maxName)
}

// Run connects once and closes.
func (t TCP) Run(ctx context.Context) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", t.Addr)
	if err != nil {
		return cause(ctx, err)
	}
	return conn.Close()
}

// cause prefers why the context ended to the error that this caused.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op
	}
	var asked *url.Error // it repeats the address, in which there may be a secret
	if errors.As(err, &asked) {
		return asked.Err
	}
	return err
}
