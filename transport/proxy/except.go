package proxy

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// exception is one entry of the hosts that are reached without the proxy.
type exception struct {
	all    bool
	block  netip.Prefix // an address is a block of one; invalid: a name
	name   string       // in lower case, without a dot at either end
	itself bool         // the name too, not only those below it
	port   string       // "": any
}

// skips: this host and port are reached without the proxy.
func (p *Proxy) skips(host, port string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	a, err := netip.ParseAddr(host)
	a = a.Unmap().WithZone("")
	if host == "localhost" || err == nil && a.IsLoopback() {
		return true // a proxy's loopback is another machine's
	}
	for _, e := range p.skip {
		if e.matches(host, a, port) {
			return true
		}
	}
	return false
}

func (e exception) matches(host string, a netip.Addr, port string) bool {
	switch {
	case e.all:
		return true
	case e.port != "" && e.port != port:
		return false
	case e.block.IsValid():
		return a.IsValid() && e.block.Contains(a)
	}
	return e.itself && host == e.name || strings.HasSuffix(host, "."+e.name)
}

func parseExceptions(list []string) (all []exception, err error) {
	for _, s := range list {
		e, err := parseException(s)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// lenient reads NO_PROXY: separated by commas or blanks, and what means nothing means nothing.
func lenient(list string) (all []exception) {
	for _, s := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		if e, err := parseException(s); err == nil {
			all = append(all, e)
		}
	}
	return all
}

func parseException(s string) (e exception, err error) {
	bad := fmt.Errorf("cannot use no-proxy entry %.100q: need a name (.example.com), an address, "+
		"a block (10.0.0.0/8) or *", s)
	if s == "*" {
		return exception{all: true}, nil
	}
	if b, err := netip.ParsePrefix(s); err == nil {
		return exception{block: unmapped(b)}, nil
	}
	host := strings.Trim(s, "[]")
	if h, port, err := net.SplitHostPort(s); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return e, bad
		}
		host, e.port = h, port
	}
	if a, err := netip.ParseAddr(host); err == nil {
		a = a.Unmap().WithZone("")
		e.block = netip.PrefixFrom(a, a.BitLen())
		return e, nil
	}
	e.name = strings.TrimPrefix(strings.ToLower(host), "*") // *.example.com is what .example.com is
	e.itself = !strings.HasPrefix(e.name, ".")
	e.name = strings.Trim(e.name, ".")
	if e.name == "" || strings.ContainsAny(e.name, "*/:@ \t[]\"") || e.itself && strings.HasPrefix(host, "*") {
		return e, bad
	}
	return e, nil
}

// unmapped is an IPv4 block where it was written as one in IPv6 (RFC 4291, section 2.5.5.2).
func unmapped(b netip.Prefix) netip.Prefix {
	if b.Addr().Is4In6() && b.Bits() >= 96 {
		return netip.PrefixFrom(b.Addr().Unmap(), b.Bits()-96)
	}
	return b
}
