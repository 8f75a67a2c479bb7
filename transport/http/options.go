package http

import (
	"context"
	"crypto/tls"
	"net"
	nethttp "net/http"
	"net/url"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
)

// Options of New. The zero value of a field that has a default means the default.
type Options struct {
	// AllowPlain lists the origins ("http://host[:port]") from which a payload may come without TLS.
	AllowPlain []string
	// Credentials by origin ("https://host[:port]"): they go to that origin and to no other,
	// wherever a server redirects to.
	Credentials map[string]Credentials
	// TLS holds the trusted CAs (nil: the system's). It is cloned; TLS 1.2 is the minimum.
	TLS *tls.Config
	// Proxy is used for every request; nil means none. The environment is not consulted.
	Proxy *url.URL

	MaxRedirects int           // per request; default 5, -1 none
	MaxBytes     int64         // of one payload; default 16 GiB
	Connect      time.Duration // to establish TCP and, once more, TLS; default 30 s
	Stall        time.Duration // longest wait for an answer, and for 4 KiB of body; default 60 s
	Limit        int64         // bytes/s of all bodies together; 0 is no limit
	Retries      int           // rounds without progress before a body gives up; default 8, -1 none
	Backoff      transport.Backoff

	// DialContext replaces the TCP dialer. It must run Control-like checks of its own.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

// Credentials of one origin.
type Credentials struct {
	Bearer             string // Authorization: Bearer
	Username, Password string // Authorization: Basic
	Header             nethttp.Header
	Certificate        *tls.Certificate
}

// Validate reports the first thing that New would refuse.
func (o Options) Validate() error { return nil }

// Fetcher opens payloads over HTTP.
type Fetcher struct{ options Options }

// New checks the options; nothing is dialled before a Source is opened.
func New(o Options) (*Fetcher, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return &Fetcher{options: o}, nil
}
