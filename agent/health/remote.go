package health

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Remote is a check whose end depends on something beyond this device: a server, a resolver, the network
// between. Whoever is on the network can make it fail, so that it says nothing about the image. A check
// without this method is a local one.
type Remote interface {
	Check
	// Remote tells whether it is one.
	Remote() bool
}

func isRemote(c Check) bool {
	r, ok := c.(Remote)
	return ok && r.Remote()
}

// Remote implements Remote.
func (b *Broker) Remote() bool { return true }

// Remote implements Remote: it is one unless the address is this machine's own.
func (h HTTP) Remote() bool {
	u, err := url.Parse(h.URL)
	return err != nil || !ownHost(u.Hostname())
}

// Remote implements Remote: it is one unless the address is this machine's own.
func (t TCP) Remote() bool {
	host, _, err := net.SplitHostPort(t.Addr)
	return err != nil || host != "" && !ownHost(host)
}

// Remote implements Remote.
func (c Command) Remote() bool { return c.Network }

// Remote implements Remote: a unit that waits for the network fails without one, and any unit may be such a
// one where none may have failed.
func (u Unit) Remote() bool { return u.Network || u.NoneFailed }

// ownHost tells whether a host names this machine by itself, so that no resolver has a say in it.
func ownHost(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		a = a.WithZone("").Unmap()
		return a.IsLoopback() || a.IsUnspecified()
	}
	return strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}
