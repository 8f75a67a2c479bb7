package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/ratchet-ota/ratchet/transport"
	"github.com/ratchet-ota/ratchet/transport/proxy"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

// Defaults.
const (
	DefaultKeepAlive  = 300 * time.Second
	DefaultBackoffMin = 5 * time.Second
	DefaultBackoffMax = 5 * time.Minute
)

// Options of New. The zero value of a field that has a default means the default.
type Options struct {
	// Broker is mqtts://host[:8883], or with AllowPlain mqtt://host[:1883] (also written tcp://).
	// User information, a path or a query are refused: secrets do not belong in URLs.
	Broker string
	// AllowPlain admits a broker without TLS. Offers stay signed, but anybody on the way can read,
	// drop and replay them: for a lab, a loopback bridge or a VPN only.
	AllowPlain bool

	// DeviceID is the device's name in topics and its MQTT client id: [A-Za-z0-9._-]{1,64}.
	DeviceID string
	// Channel is the offer channel to subscribe to, of the same alphabet; empty means that only
	// offers to this very device are received.
	Channel string

	// Root subscribes to the documents of a trust root too: its bundle, and the channel's plan and pulse.
	Root bool

	// Username may be empty. Password is called at each connection, so that a rotated secret is
	// picked up; nil means none.
	Username string
	Password func() ([]byte, error)

	// TLS is called at each connection for the trusted CAs and the client certificate, so that renewed
	// ones are picked up; nil means the system's CAs. The configuration is cloned; TLS 1.3 is the minimum
	// whatever it says, the server name defaults to the broker's host, and InsecureSkipVerify is
	// refused. A device whose clock may be wrong sets Time.
	TLS func() (*tls.Config, error)
	// ClockUnset tells whether the clock was never set, so that it cannot say whether a server's
	// certificate has begun (secure.Dial); nil: it is always good.
	ClockUnset func() bool

	// KeepAlive is the longest silence before a ping (MQTT 3.1.1, section 3.1.2.10), in whole seconds
	// between 5 s and 18 h. It is what an idle device costs: one packet each way per KeepAlive.
	KeepAlive time.Duration
	// Backoff spaces connection attempts. A connection that lasted longer than Max resets it.
	Backoff transport.Backoff

	// Logger gets one line per transition; nil discards.
	Logger *slog.Logger

	// Proxy says whether the broker is reached through a proxy; nil means that it is not.
	Proxy *proxy.Proxy

	// Dial replaces the TCP dialer (tests, a VPN in user space); TLS still runs on top of it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Validate reports the first thing that New would refuse.
func (o Options) Validate() error {
	if _, err := o.endpoint(); err != nil {
		return err
	}
	if err := wire.CheckID(o.DeviceID); err != nil {
		return fmt.Errorf("cannot use device id %q: it %w", clip(o.DeviceID), err)
	}
	if o.Channel != "" {
		if err := wire.CheckID(o.Channel); err != nil {
			return fmt.Errorf("cannot use channel %q: it %w", clip(o.Channel), err)
		}
	}
	if o.Password != nil && o.Username == "" {
		return errors.New("cannot use a password without a user name (MQTT 3.1.1, section 3.1.2.9)")
	}
	if len(o.Username) > 1024 {
		return errors.New("cannot use user name: more than 1024 bytes")
	}
	if k := o.KeepAlive; k != 0 && (k < 5*time.Second || k > 18*time.Hour || k%time.Second != 0) {
		return fmt.Errorf("cannot use keep-alive %v: need whole seconds between 5s and 18h", k)
	}
	if o.Backoff != (transport.Backoff{}) {
		return o.Backoff.Validate()
	}
	return nil
}

// endpoint is the parsed broker address.
type endpoint struct {
	host    string // without port, for the server name
	address string // host:port
	tls     bool
}

func (o Options) endpoint() (endpoint, error) {
	u, err := url.Parse(o.Broker)
	if err != nil {
		return endpoint{}, errors.New("cannot use broker: not a URL such as mqtts://broker.example.com:8883")
	}
	if u.User != nil {
		return endpoint{},
			errors.New("cannot use broker: user information in the URL; give user name and password file instead")
	}
	if (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" || u.Hostname() == "" {
		return endpoint{}, errors.New("cannot use broker: need scheme://host[:port] and nothing more")
	}
	e, port := endpoint{host: u.Hostname()}, u.Port()
	switch u.Scheme {
	case "mqtts":
		e.tls = true
		if port == "" {
			port = "8883"
		}
	case "mqtt", "tcp":
		if !o.AllowPlain {
			return endpoint{}, fmt.Errorf("cannot use broker: %s:// is not encrypted; use mqtts://, "+
				"or set allow-plain = true", u.Scheme)
		}
		if port == "" {
			port = "1883"
		}
	default:
		return endpoint{}, fmt.Errorf("cannot use broker: scheme %q; use mqtts://", clip(u.Scheme))
	}
	e.address = net.JoinHostPort(e.host, port)
	return e, nil
}

// clip keeps a hostile string from filling an error.
func clip(s string) string {
	if len(s) > wire.MaxID {
		return s[:wire.MaxID] + "..."
	}
	return s
}
