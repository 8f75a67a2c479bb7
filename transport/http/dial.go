package http

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	nethttp "net/http"
	"net/netip"
	"sync"
	"syscall"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/secure"
)

// hop is what a connection must know of the request that it is made for. Connections are never
// shared between requests, so it cannot be another's.
type hop struct {
	credentials Credentials // for the origin that is asked
	reach       reach
}

type hopKey struct{}

func hopOf(ctx context.Context) hop {
	h, _ := ctx.Value(hopKey{}).(hop)
	return h
}

// newRoundTripper makes the one http.Transport: HTTP/1.1 only, a connection per request (a payload
// is one request; what would stay idle costs memory and goroutines), small buffers, no environment.
func newRoundTripper(f *Fetcher) *nethttp.Transport {
	t := &nethttp.Transport{
		DisableKeepAlives:      true,
		DisableCompression:     true,
		Protocols:              new(nethttp.Protocols),
		ReadBufferSize:         4 << 10,
		WriteBufferSize:        1 << 10,
		MaxResponseHeaderBytes: 16 << 10,
		TLSHandshakeTimeout:    f.options.Connect,
		ResponseHeaderTimeout:  f.options.Stall,
	}
	t.Protocols.SetHTTP1(true)
	t.DialContext = func(ctx context.Context, _, address string) (net.Conn, error) {
		return f.dial(ctx, address, false)
	}
	t.DialTLSContext = func(ctx context.Context, _, address string) (net.Conn, error) {
		return f.dialTLS(ctx, address)
	}
	return t
}

// dial opens the connection to a server, through the proxy where one is for it. encrypted: TLS will run on it.
func (f *Fetcher) dial(ctx context.Context, address string, encrypted bool) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if f.options.Proxy.Address(host, port, encrypted) == "" {
		return f.dialServer(ctx, address)
	}
	// The proxy's own address was configured, and is not judged.
	dial := f.options.DialContext
	if dial == nil {
		dial = f.dialer().DialContext
	}
	ctx, cancel := context.WithTimeout(ctx, 2*f.options.Connect) // to dial, and as long again for the proxy's answer
	defer cancel()
	return f.options.Proxy.Dial(ctx, dial, address, encrypted)
}

// dialer opens TCP connections. Keep-alive probes would wake a radio; a silent peer is what Stall is for.
func (f *Fetcher) dialer() *net.Dialer { return &net.Dialer{Timeout: f.options.Connect, KeepAlive: -1} }

// dialServer connects to a server itself, and judges the address that is really dialled.
func (f *Fetcher) dialServer(ctx context.Context, address string) (net.Conn, error) {
	if f.options.DialContext == nil {
		dialer := f.dialer()
		dialer.ControlContext = func(ctx context.Context, _, address string, _ syscall.RawConn) error {
			return f.admitAddress(ctx, address)
		}
		return dialer.DialContext(ctx, "tcp", address)
	}
	c, err := f.options.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		if err := f.admitAddress(ctx, a.String()); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// dialTLS is what net/http does by itself, with files that may have changed since, for a device whose clock may not be
// set, or through a proxy.
func (f *Fetcher) dialTLS(ctx context.Context, address string) (net.Conn, error) {
	c, err := f.tlsConfig(hopOf(ctx).credentials.Certificate)
	if err != nil {
		return nil, err
	}
	if c.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		c.ServerName = host
	}
	// To dial, for the proxy's answer, and as long again for the handshake.
	ctx, cancel := context.WithTimeout(ctx, 3*f.options.Connect)
	defer cancel()
	open := func(ctx context.Context) (net.Conn, error) { return f.dial(ctx, address, true) }
	conn, err := secure.Dial(ctx, open, c, f.options.ClockUnset)
	if err != nil {
		return nil, err // not the nil of another type
	}
	return conn, nil
}

// admitAddress judges the address that is really dialled, after names have been resolved.
func (f *Fetcher) admitAddress(ctx context.Context, address string) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return errors.Join(transport.ErrForbidden, err)
	}
	return hopOf(ctx).reach.admit(a.Addr())
}

// tlsConfig presents the client certificate of the origin that is talked to, where it has one of its own, and no other.
func (f *Fetcher) tlsConfig(own *tls.Certificate) (*tls.Config, error) {
	var c *tls.Config
	if f.options.TLS != nil {
		var err error
		if c, err = f.options.TLS(); err != nil {
			return nil, err
		}
	}
	if err := secure.Check(c, "the server's"); err != nil {
		return nil, err
	}
	c = secure.Client(c, tls.VersionTLS12)
	if own != nil {
		c.Certificates = []tls.Certificate{*own}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own, nil }
	}
	if c.ClientSessionCache == nil { // a resumed download saves the certificates' bytes
		c.ClientSessionCache = f.sessions.of(c)
	}
	return c, nil
}

// sessions are TLS sessions to resume. One that other authorities or another certificate of ours began is not.
type sessions struct {
	mu          sync.Mutex
	authorities *x509.CertPool
	shown       []byte
	cache       tls.ClientSessionCache
}

func (s *sessions) of(c *tls.Config) tls.ClientSessionCache {
	var shown []byte
	for _, x := range c.Certificates {
		for _, der := range x.Certificate {
			shown = append(shown, der...)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cache == nil || !s.authorities.Equal(c.RootCAs) || !bytes.Equal(s.shown, shown) {
		s.cache = tls.NewLRUClientSessionCache(4)
	}
	s.authorities, s.shown = c.RootCAs, shown
	return s.cache
}
