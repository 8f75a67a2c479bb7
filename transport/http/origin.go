package http

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/ratchet-ota/ratchet/transport"
)

// maxURL bounds an address in bytes; a manifest has no use for a longer one.
const maxURL = 4096

// origin is scheme, host and port (RFC 6454, section 4), the port always written out.
func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// parseOrigin reads scheme://host[:port] and nothing more.
func parseOrigin(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "" || u.User != nil ||
		(u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("not an origin")
	}
	return u, nil
}

// parse checks an address that a manifest names.
func (f *Fetcher) parse(s string) (*url.URL, error) {
	if len(s) > maxURL {
		return nil, errorf("%w: address is longer than %d bytes", transport.ErrForbidden, maxURL)
	}
	u, err := url.Parse(s)
	if err != nil { // url.Error repeats s, which may hold a secret
		return nil, errorf("%w: not a URL", transport.ErrForbidden)
	}
	return u, f.admit(u)
}

// admit checks scheme and form of an address.
func (f *Fetcher) admit(u *url.URL) error {
	switch {
	case u.Scheme == "http" && u.Host != "" && !f.plain[origin(u)]:
		return errorf("%w: %s is not encrypted and not listed as a plain origin", transport.ErrForbidden, show(u))
	case u.Scheme != "https" && u.Scheme != "http":
		return errorf("%w: scheme %q; payloads come over https", transport.ErrForbidden, clip(u.Scheme))
	case u.Hostname() == "" || u.Opaque != "":
		return errorf("%w: address without a host", transport.ErrForbidden)
	case u.User != nil:
		return errorf("%w: user information in the address of %s; configure credentials for the origin instead",
			transport.ErrForbidden, clip(u.Hostname()))
	}
	return nil
}

// admitRedirect checks where a server sends us: from one hop to the next, having started at start.
func (f *Fetcher) admitRedirect(start, from, to *url.URL) error {
	if err := f.admit(to); err != nil {
		return errorf("redirect: %w", err)
	}
	if from.Scheme == "https" && to.Scheme != "https" {
		return errorf("redirect: %w: from https to %s", transport.ErrForbidden, to.Scheme)
	}
	// The address behind a name is checked when it is dialled; a proxy dials for us, so what the
	// address says by itself is checked here.
	a, local := literal(to)
	if local && !a.IsValid() {
		a = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if a.IsValid() {
		if err := reachFrom(start).onward().admit(a); err != nil {
			return errorf("redirect: %w", err)
		}
	}
	return nil
}

// literal returns the IP address that a host is written as, if it is, and whether it names this
// machine by itself.
func literal(u *url.URL) (a netip.Addr, local bool) {
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if a, err := netip.ParseAddr(host); err == nil {
		a = a.WithZone("").Unmap()
		return a, a.IsLoopback()
	}
	return netip.Addr{}, host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// reach says which special addresses a request may connect to. A name in a manifest must not turn
// out to be this machine or something on its link, and a server must not send us there: services
// that trust their neighbours live at such addresses. An address that the manifest itself spells
// out is its signer's word.
type reach struct{ loopback, linkLocal bool }

func reachFrom(start *url.URL) reach {
	a, local := literal(start)
	return reach{loopback: local, linkLocal: a.IsValid() && a.IsLinkLocalUnicast()}
}

// onward is what remains of it after a redirect: loopback for who started there (demo, tests).
func (r reach) onward() reach { return reach{loopback: r.loopback} }

func (r reach) admit(a netip.Addr) error {
	a = a.WithZone("").Unmap()
	what := ""
	switch {
	case a.IsLoopback() && !r.loopback:
		what = "this machine"
	case a.IsLinkLocalUnicast() && !r.linkLocal:
		what = "a link-local address"
	case a.IsUnspecified(), a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		what = "not the address of a server"
	default:
		return nil
	}
	return errorf("%w: %v is %s", transport.ErrForbidden, a, what)
}

// show names an address without its query, which may be a signature.
func show(u *url.URL) string {
	return transport.Shown(u.Scheme + "://" + u.Host + u.EscapedPath())
}

func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}
