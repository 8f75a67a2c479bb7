package connect

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/transport"
	transporthttp "github.com/ratchet-ota/ratchet/transport/http"
	"github.com/ratchet-ota/ratchet/transport/mqtt"
	"github.com/ratchet-ota/ratchet/transport/proxy"
	"github.com/ratchet-ota/ratchet/transport/secure"
)

// Connections are what a device reaches others by.
type Connections struct {
	Fleet  *mqtt.Client           // nil: no broker is configured, or it cannot be used
	Images *transporthttp.Fetcher // nil: cannot be used
	Bad    []error                // why; each a *KeyError where a key is to blame
	m      *material
}

// New makes the connections of s, with what read reads and the client keys that sign signs with. Nothing is dialled,
// and nothing read before it is needed.
func New(s Settings, read Reader, sign Signer, log *slog.Logger) *Connections {
	c := &Connections{m: &material{read: read, sign: sign}}
	bad := func(what string, err error) { c.Bad = append(c.Bad, fmt.Errorf("%s: %w", what, err)) }
	p, err := way(s, c.m)
	if err != nil {
		bad("neither the fleet nor image servers can be reached", err)
		return c
	}
	if c.Images, err = fetcher(s, c.m, p); err != nil {
		bad("no images can be loaded from the network", err)
	}
	if s.MQTT == nil {
		return c
	}
	if c.Fleet, err = mqttClient(s, c.m, p, log); err != nil {
		bad("there is no connection to the fleet", err)
	}
	return c
}

// Problems are the files that cannot be used as they are now, each as a *KeyError.
func (c *Connections) Problems() (errs []error) {
	for _, look := range c.m.looks {
		for _, err := range look() {
			if err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errs
}

// Admit says that no payload of this size may be fetched from any of these addresses, whatever they answer
// (transport.ErrForbidden); nil where one may.
func (c *Connections) Admit(addresses []string, size int64) error {
	if c.Images == nil {
		return errors.New("no images can be loaded from the network")
	}
	for _, a := range addresses {
		if p, err := url.Parse(a); err != nil || p.Scheme == "" {
			return fmt.Errorf("%w: %q is not an absolute address", transport.ErrForbidden, a)
		}
	}
	return c.Images.Admit(addresses, size)
}

// way says how servers are reached: as [proxy] says, or else the environment; nil: all directly.
func way(s Settings, m *material) (*proxy.Proxy, error) {
	x := s.Proxy
	if x.URL == "direct" {
		return nil, nil
	}
	if x.URL == "" && len(x.NoProxy) == 0 && x.Username == "" && x.PasswordFile == "" && x.CA == "" {
		return proxy.Environment(func(name string) string { return s.Environment[name] })
	}
	o := proxy.Options{TLS: m.tls("proxy.", secure.Files{CA: x.CA})}
	var p *proxy.Proxy
	for _, part := range []struct {
		key string
		set func()
	}{
		{"proxy.url", func() { o.URL = x.URL }},
		{"proxy.no-proxy", func() { o.NoProxy = x.NoProxy }},
		{"proxy.username", func() { o.Username = x.Username }},
		{"proxy.password-file", func() {
			if x.PasswordFile != "" {
				o.Password = m.secret("proxy.password-file", x.PasswordFile)
			}
		}},
	} {
		part.set()
		var err error
		if p, err = proxy.New(o); err != nil {
			return nil, about(part.key, err)
		}
	}
	return p, nil
}

func mqttClient(s Settings, m *material, p *proxy.Proxy, log *slog.Logger) (*mqtt.Client, error) {
	x := s.MQTT
	o := mqtt.Options{DeviceID: s.Device, Root: s.Rooted, Proxy: p, ClockUnset: behind(s.Floor, time.Now), Logger: log}
	for _, part := range []struct {
		key string
		set func()
	}{
		{"mqtt.url", func() { o.Broker, o.AllowPlain = x.URL, x.AllowPlain }},
		{"mqtt.channel", func() { o.Channel = x.Channel }},
		{"mqtt.username", func() { o.Username = x.Username }},
		{"mqtt.password-file", func() {
			if x.PasswordFile != "" {
				o.Password = m.secret("mqtt.password-file", x.PasswordFile)
			}
		}},
		{"mqtt.ca", func() { o.TLS = m.tls("mqtt.", secure.Files{CA: x.CA, Certificate: x.Certificate, Key: x.Key}) }},
		{"mqtt.keep-alive", func() { o.KeepAlive = cmp.Or(time.Duration(x.KeepAlive), 5*time.Minute) }},
		{"mqtt.backoff-max", func() {
			o.Backoff = transport.Backoff{Min: cmp.Or(time.Duration(x.BackoffMin), time.Second),
				Max: cmp.Or(time.Duration(x.BackoffMax), 5*time.Minute)}
		}},
	} {
		part.set()
		if err := o.Validate(); err != nil {
			return nil, about(part.key, err)
		}
	}
	return mqtt.New(o)
}

func fetcher(s Settings, m *material, p *proxy.Proxy) (*transporthttp.Fetcher, error) {
	h := s.HTTP
	o := transporthttp.Options{TLS: m.tls("http.", secure.Files{CA: h.CA}), Proxy: p,
		ClockUnset:  behind(s.Floor, time.Now),
		Credentials: map[string]func() (transporthttp.Credentials, error){}}
	for _, part := range []struct {
		key string
		set func()
	}{
		{"http.allow-plain", func() { o.AllowPlain = h.AllowPlain }},
		{"http.limit-bytes-per-second", func() { o.Limit = h.LimitBytes }},
		{"http.max-bytes", func() { o.MaxBytes, o.Stall = h.MaxBytes, time.Duration(h.Stall) }},
		{"http.min-bytes-per-second", func() { o.MinRate = h.MinRate }},
	} {
		part.set()
		if err := o.Validate(); err != nil {
			return nil, about(part.key, err)
		}
	}
	for i, x := range h.Credentials {
		key := fmt.Sprintf("http.credentials.%d.", i)
		o.Credentials[x.Origin] = m.credentials(key, x)
		if err := o.Validate(); err != nil {
			return nil, about(key+"origin", err)
		}
	}
	f, err := transporthttp.New(o)
	return f, about("http", err)
}

// credentials are what one element of http.credentials names. key is its own, with a dot behind it.
func (m *material) credentials(key string, x config.Credential) func() (transporthttp.Credentials, error) {
	return keep(m, "", func() (cr transporthttp.Credentials, err error) {
		if x.BearerFile != "" {
			b, err := m.word(x.BearerFile)
			if err != nil {
				return cr, about(key+"bearer-file", err)
			}
			cr.Bearer = string(b)
		}
		if x.PasswordFile != "" {
			b, err := m.word(x.PasswordFile)
			if err != nil {
				return cr, about(key+"password-file", err)
			}
			cr.Username, cr.Password = x.Username, string(b)
		}
		if x.Certificate != "" {
			files := m.files(secure.Files{Certificate: x.Certificate, Key: x.Key})
			if cr.Certificate, err = files.Pair(); err != nil {
				return cr, about(key+"certificate", err)
			}
		}
		if err := cr.Validate(); err != nil {
			return cr, about(key+"origin", fmt.Errorf("cannot use credentials for %q: %w", x.Origin, err))
		}
		return cr, nil
	})
}
