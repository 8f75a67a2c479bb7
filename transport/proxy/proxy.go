// Package proxy reaches image servers and the broker through an HTTP proxy: it says for which hosts one is
// used, and opens a tunnel through it by CONNECT (RFC 9110, section 9.3.6). What runs in the tunnel, TLS
// with the server above all, is the same as without a proxy: a proxy can delay and refuse, and sees names
// and amounts.
//
// Nothing is kept here; the proxy's password and its authorities are read at each connection.
package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/ratchet-ota/ratchet/transport/secure"
)

// Options of New. The zero value uses no proxy.
type Options struct {
	// URL is the proxy for all hosts, http://host[:80] or https://host[:443]. User information, a path
	// and a query are refused.
	URL string
	// NoProxy lists the hosts that are reached without the proxy, each in one of these forms, all but
	// the first two with an optional :port behind it: "*" (all), a CIDR block (10.0.0.0/8), an address,
	// ".example.com" (the names below it), "example.com" (the name and those below it). This machine's
	// own addresses never need to be listed. A name is not resolved to compare it with an address.
	NoProxy []string
	// Username may be empty. Password is called at each connection; nil means none.
	Username string
	Password func() ([]byte, error)
	// TLS is called at each connection to a proxy of https; nil means the system's authorities.
	TLS func() (*tls.Config, error)
}

// Proxy says how a host is reached. A nil Proxy reaches all hosts directly.
type Proxy struct {
	secure, plain *route // for https and MQTT; for plain http. nil: direct
	skip          []exception
}

// route is one proxy and what it takes to pass it.
type route struct {
	address  string // host:port
	host     string // for the name in its certificate
	tls      bool
	username string
	password func() ([]byte, error)
	config   func() (*tls.Config, error)
}

// New checks the options; nothing is dialled.
func New(o Options) (*Proxy, error) {
	p := &Proxy{}
	var err error
	if p.skip, err = parseExceptions(o.NoProxy); err != nil {
		return nil, err
	}
	switch {
	case o.URL == "" && o.Username == "" && o.Password == nil && len(o.NoProxy) == 0:
		return nil, nil
	case o.URL == "":
		return nil, errors.New("cannot use settings of a proxy: its url is missing")
	case o.Password != nil && o.Username == "":
		return nil, errors.New("cannot use the proxy's password without a user name")
	case strings.Contains(o.Username, ":"): // RFC 7617, section 2
		return nil, errors.New("cannot use the proxy's user name: it has a colon")
	}
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return nil, errors.New("cannot use proxy: need http://host:port or https://host:port") // err repeats a secret
	}
	if u.User != nil {
		return nil, errors.New("cannot use proxy: user information in its url; " +
			"give user name and password file instead")
	}
	r, err := newRoute(u)
	if err != nil {
		return nil, err
	}
	r.username, r.password, r.config = o.Username, o.Password, o.TLS
	p.secure, p.plain = r, r
	return p, nil
}

// Environment makes what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say, or the same in lower case, which come
// first as in curl; get is os.Getenv. MQTT goes where https goes. An address may hold user information
// there, and may lack its scheme (http). Entries of NO_PROXY that mean nothing are passed over, as is usual.
// nil where no proxy is named.
func Environment(get func(string) string) (*Proxy, error) {
	var p Proxy
	for _, x := range []struct {
		name, upper string
		route       **route
	}{{"https_proxy", "HTTPS_PROXY", &p.secure}, {"http_proxy", "HTTP_PROXY", &p.plain}} {
		name, text := x.name, get(x.name)
		if text == "" {
			name, text = x.upper, get(x.upper)
		}
		if text == "" {
			continue
		}
		r, err := environmentRoute(text)
		if err != nil {
			return nil, fmt.Errorf("%w: see the environment variable %s", err, name)
		}
		*x.route = r
	}
	if p.secure == nil && p.plain == nil {
		return nil, nil
	}
	list := get("no_proxy")
	if list == "" {
		list = get("NO_PROXY")
	}
	p.skip = lenient(list)
	return &p, nil
}

func environmentRoute(text string) (*route, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" {
		if u, err = url.Parse("http://" + text); err != nil {
			return nil, errors.New("cannot use proxy: need http://host:port or https://host:port")
		}
	}
	user := u.User
	u.User = nil
	r, err := newRoute(u)
	if err == nil && user != nil {
		r.username = user.Username()
		if secret, ok := user.Password(); ok {
			r.password = func() ([]byte, error) { return []byte(secret), nil }
		}
	}
	return r, err
}

func newRoute(u *url.URL) (*route, error) {
	port := u.Port()
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("cannot use proxy: scheme %.20q; use http:// or https://", u.Scheme)
	case u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("cannot use proxy: need scheme://host:port and nothing more")
	case port == "" && u.Scheme == "https":
		port = "443"
	case port == "":
		port = "80"
	}
	return &route{address: net.JoinHostPort(u.Hostname(), port), host: u.Hostname(), tls: u.Scheme == "https"}, nil
}

// Address is the proxy (host:port) through which host and port are reached; "" where they are dialled
// directly. encrypted tells https and MQTT from plain http.
func (p *Proxy) Address(host, port string, encrypted bool) string {
	if r := p.route(host, port, encrypted); r != nil {
		return r.address
	}
	return ""
}

func (p *Proxy) route(host, port string, encrypted bool) *route {
	switch {
	case p == nil || p.skips(host, port):
		return nil
	case encrypted:
		return p.secure
	}
	return p.plain
}

// Dial connects to the server at address (host:port): directly, or through a tunnel. dial opens TCP
// connections. encrypted tells https and MQTT from plain http.
func (p *Proxy) Dial(ctx context.Context, dial Dialer, address string, encrypted bool) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	r := p.route(host, port, encrypted)
	if r == nil {
		return dial(ctx, "tcp", address)
	}
	conn, err := r.open(ctx, dial)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the proxy %s: %w", r.address, err)
	}
	tunnel, err := r.connect(ctx, conn, address)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("cannot go through the proxy %s to %s: %w", r.address, address, err)
	}
	return tunnel, nil
}

// Dialer opens a network connection, as net.Dialer.DialContext does.
type Dialer = func(ctx context.Context, network, address string) (net.Conn, error)

func (r *route) open(ctx context.Context, dial Dialer) (net.Conn, error) {
	conn, err := dial(ctx, "tcp", r.address)
	if err != nil || !r.tls {
		return conn, err
	}
	var c *tls.Config
	if r.config != nil {
		if c, err = r.config(); err != nil {
			conn.Close()
			return nil, err
		}
	}
	c = secure.Client(c, tls.VersionTLS12)
	c.ServerName = r.host
	t := tls.Client(conn, c)
	if err := t.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return t, nil
}
