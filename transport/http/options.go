package http

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	nethttp "net/http"
	"slices"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/proxy"
)

// Defaults of Options.
const (
	DefaultMaxRedirects = 5
	DefaultMaxBytes     = 16 << 30
	DefaultConnect      = 30 * time.Second
	DefaultStall        = 60 * time.Second
	DefaultMinRate      = 256
	DefaultRetries      = 8
	DefaultBackoffMin   = 1 * time.Second
	DefaultBackoffMax   = 2 * time.Minute
)

// Options of New. The zero value of a field that has a default means the default.
type Options struct {
	// AllowPlain lists the origins ("http://host[:port]") from which a payload may come without TLS.
	// The manifest's digest still protects the content, not the credentials and not the privacy.
	AllowPlain []string
	// Credentials by origin ("https://host[:port]"): they go to that origin and to no other,
	// wherever a server redirects to. They are asked for at each connection.
	Credentials map[string]func() (Credentials, error)
	// TLS is called at each connection for the trusted CAs (nil: the system's). The configuration is cloned; TLS
	// 1.2 is the minimum and InsecureSkipVerify is refused. A device whose clock may be wrong sets Time.
	TLS func() (*tls.Config, error)
	// ClockUnset tells whether the clock was never set, so that it cannot say whether a server's
	// certificate has begun (secure.Dial); nil: it is always good.
	ClockUnset func() bool
	// Proxy says which servers are reached through a proxy; nil means none. Such a server's name is
	// resolved by the proxy, so the addresses that it stands for cannot be checked here.
	Proxy *proxy.Proxy

	MaxRedirects int           // per request; -1 none
	MaxBytes     int64         // of one payload
	Connect      time.Duration // to establish TCP, and once more for TLS
	Stall        time.Duration // longest wait for an answer, and for each 4 KiB of a body
	MinRate      int64         // bytes/s that a server must give on average over 5 minutes of waiting for it
	Limit        int64         // bytes/s of all bodies together; 0 is no limit
	Retries      int           // rounds over all mirrors without progress before a body gives up; -1 none
	Backoff      transport.Backoff

	// DialContext replaces the TCP dialer (tests, a VPN in user space). What it connects to is
	// checked after it has connected, before anything is sent.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

// Credentials of one origin. Secrets are read from files by the caller; they appear in no error.
type Credentials struct {
	Bearer      string           // Authorization: Bearer (RFC 6750)
	Username    string           // Authorization: Basic (RFC 7617)
	Password    string           //
	Header      nethttp.Header   // further header fields
	Certificate *tls.Certificate // client certificate
}

// own are the header fields that credentials may not set: they decide what an answer means.
var own = []string{"Accept-Encoding", "Connection", "Content-Length", "Host", "If-Range", "Range", "Transfer-Encoding"}

// Validate reports the first thing that New would refuse.
func (o Options) Validate() error {
	plain := map[string]bool{}
	for _, s := range o.AllowPlain {
		u, err := parseOrigin(s)
		if err != nil || u.Scheme != "http" {
			return errorf("cannot allow plain origin %q: need http://host[:port]", transport.Shown(s))
		}
		plain[origin(u)] = true
	}
	for s, c := range o.Credentials {
		u, err := parseOrigin(s)
		if err != nil {
			return errorf("cannot use credentials for %q: need https://host[:port] and nothing more",
				transport.Shown(s))
		}
		if u.Scheme != "https" && !plain[origin(u)] {
			return errorf("cannot use credentials for %q: it is not encrypted and not listed as a plain origin",
				transport.Shown(s))
		}
		if c == nil {
			return errorf("cannot use credentials for %q: there are none", transport.Shown(s))
		}
	}
	if o.MaxRedirects < -1 || o.Retries < -1 || o.MaxBytes < 0 || o.Limit < 0 || o.MinRate < 0 ||
		o.Connect < 0 || o.Stall < 0 {
		return errors.New("cannot use negative limits; -1 stands for none in redirects and retries")
	}
	if o.Limit > 0 && o.Limit < 128 {
		return errorf("cannot use limit of %d bytes/s: need at least 128", o.Limit)
	}
	if o.Backoff != (transport.Backoff{}) {
		return o.Backoff.Validate()
	}
	return nil
}

// Validate says what contradicts itself.
func (c Credentials) Validate() error {
	if c.Bearer != "" && c.Username != "" {
		return errors.New("both a bearer token and a user name")
	}
	if c.Password != "" && c.Username == "" {
		return errors.New("a password without a user name")
	}
	for name := range c.Header {
		if slices.Contains(own, nethttp.CanonicalHeaderKey(name)) {
			return errorf("header field %s is not theirs to set", name)
		}
	}
	return nil
}

// set adds the credentials to a request.
func (c Credentials) set(r *nethttp.Request) {
	for name, values := range c.Header {
		r.Header[nethttp.CanonicalHeaderKey(name)] = values
	}
	switch {
	case c.Bearer != "":
		r.Header.Set("Authorization", "Bearer "+c.Bearer)
	case c.Username != "":
		r.SetBasicAuth(c.Username, c.Password)
	}
}

// withDefaults fills in the defaults; -1 becomes 0.
func (o Options) withDefaults() Options {
	count := func(n, d int) int { return max(cmp.Or(n, d), 0) }
	o.MaxRedirects = count(o.MaxRedirects, DefaultMaxRedirects)
	o.Retries = count(o.Retries, DefaultRetries)
	o.MaxBytes = cmp.Or(o.MaxBytes, int64(DefaultMaxBytes))
	o.Connect = cmp.Or(o.Connect, DefaultConnect)
	o.MinRate = cmp.Or(o.MinRate, DefaultMinRate)
	o.Stall = cmp.Or(o.Stall, DefaultStall)
	o.Backoff = cmp.Or(o.Backoff, transport.Backoff{Min: DefaultBackoffMin, Max: DefaultBackoffMax})
	return o
}
