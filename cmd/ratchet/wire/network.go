package wire

import (
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
	transporthttp "github.com/ratchet-ota/ratchet/transport/http"
	"github.com/ratchet-ota/ratchet/transport/mqtt"
	"github.com/ratchet-ota/ratchet/transport/proxy"
	"github.com/ratchet-ota/ratchet/transport/secure"
)

// builtAfter is the earliest believable time: a clock that stands before it is not set.
var builtAfter = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// LastGood is the copy of the configuration that worked last, in the state directory dir. The daemon keeps it.
func LastGood(dir string) string { return filepath.Join(dir, "last-good.toml") }

// believable is the clock for checking certificates: never before this program was made. A device whose clock stands
// at 1970 could reach nobody otherwise. No file's time is a floor: it may come from a clock that stood in the future.
func believable(clock func() time.Time) func() time.Time {
	return func() time.Time {
		if now := clock(); now.After(builtAfter) {
			return now
		}
		return builtAfter
	}
}

// clockBehind tells whether the clock cannot say that a certificate has begun: it stands before this program was
// made, or before the time at which the configuration worked last, so that one of the two was wrong. What has ended by
// the clock has ended all the same (secure.Dial), and a clock that is right takes what is valid.
func clockBehind(stateDir string, clock func() time.Time) func() bool {
	return func() bool {
		now := clock()
		if now.Before(builtAfter) {
			return true
		}
		st, err := os.Stat(LastGood(stateDir))
		return err == nil && now.Before(st.ModTime())
	}
}

// wireNetwork wires where images come from, and the connection to the fleet, nil without one.
func wireNetwork(o *agent.Options, c *config.Config, m *material, log *slog.Logger) *mqtt.Client {
	bad := func(what string, err error) *mqtt.Client {
		log.Error(what, "error", err)
		m.looks = append(m.looks, func() error { return err })
		return nil
	}
	p, err := way(c, m)
	if err != nil {
		return bad("neither the fleet nor image servers can be reached", err)
	}
	if o.Fetch, err = fetcher(c, m, p); err != nil {
		bad("no images can be loaded from the network", err)
	}
	if c.MQTT == nil {
		return nil
	}
	o.Channel = c.MQTT.Channel
	fleet, err := mqttClient(c, m, p, log)
	if err != nil {
		return bad("there is no connection to the fleet", err)
	}
	o.Inbox, o.Outbox, o.Online, o.Offline, o.AskRoot = fleet, fleet, fleet.Online, fleet.Trouble, fleet.AskRoot
	return fleet
}

// way says how servers are reached: as [proxy] says, or else the environment; nil: all directly.
func way(c *config.Config, m *material) (*proxy.Proxy, error) {
	x := c.Proxy
	if x.URL == "direct" {
		return nil, nil
	}
	if x.URL == "" && len(x.NoProxy) == 0 && x.Username == "" && x.PasswordFile == "" && x.CA == "" {
		return proxy.Environment(os.Getenv)
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
			return nil, c.Errorf(part.key, "%v", err)
		}
	}
	return p, nil
}

func mqttClient(c *config.Config, m *material, p *proxy.Proxy, log *slog.Logger) (*mqtt.Client, error) {
	x := c.MQTT
	o := mqtt.Options{DeviceID: c.Device.ID, Root: c.Trust.Root != "", Proxy: p,
		ClockUnset: clockBehind(c.State.Directory, time.Now), Logger: log}
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
		{"mqtt.keep-alive", func() { o.KeepAlive = orDuration(x.KeepAlive, 5*time.Minute) }},
		{"mqtt.backoff-max", func() {
			o.Backoff = transport.Backoff{Min: orDuration(x.BackoffMin, time.Second),
				Max: orDuration(x.BackoffMax, 5*time.Minute)}
		}},
	} {
		part.set()
		if err := o.Validate(); err != nil {
			return nil, c.Errorf(part.key, "%v", err)
		}
	}
	return mqtt.New(o)
}

func fetcher(c *config.Config, m *material, p *proxy.Proxy) (func([]string, int64) (slots.Source, error), error) {
	h := c.HTTP
	o := transporthttp.Options{TLS: m.tls("http.", secure.Files{CA: h.CA}), Proxy: p,
		ClockUnset:  clockBehind(c.State.Directory, time.Now),
		Credentials: map[string]func() (transporthttp.Credentials, error){}}
	set := func(key string) error {
		if err := o.Validate(); err != nil {
			return c.Errorf(key, "%v", err)
		}
		return nil
	}
	o.AllowPlain = h.AllowPlain
	if err := set("http.allow-plain"); err != nil {
		return nil, err
	}
	o.Limit = h.LimitBytes
	if err := set("http.limit-bytes-per-second"); err != nil {
		return nil, err
	}
	o.MaxBytes, o.Stall = h.MaxBytes, time.Duration(h.Stall)
	if err := set("http.max-bytes"); err != nil {
		return nil, err
	}
	o.MinRate = h.MinRate
	if err := set("http.min-bytes-per-second"); err != nil {
		return nil, err
	}
	for i, x := range h.Credentials {
		key := fmt.Sprintf("http.credentials.%d.", i)
		o.Credentials[x.Origin] = keep(m, func() (transporthttp.Credentials, error) { return credentials(c, key, x) })
		if err := set(key + "origin"); err != nil {
			return nil, err
		}
	}
	f, err := transporthttp.New(o)
	if err != nil {
		return nil, c.Errorf("http", "%v", err)
	}
	return func(urls []string, size int64) (slots.Source, error) {
		for _, u := range urls {
			if p, err := url.Parse(u); err != nil || p.Scheme == "" {
				return nil, fmt.Errorf("%w: %q is not an absolute address", transport.ErrForbidden, u)
			}
		}
		return f.Source(urls, size), nil
	}, nil
}

// credentials reads what one element of http.credentials names. key is its own, with a dot behind it.
func credentials(c *config.Config, key string, x config.Credential) (cr transporthttp.Credentials, err error) {
	if x.BearerFile != "" {
		b, err := secret(x.BearerFile)
		if err != nil {
			return cr, c.Errorf(key+"bearer-file", "%v", err)
		}
		cr.Bearer = string(b)
	}
	if x.PasswordFile != "" {
		b, err := secret(x.PasswordFile)
		if err != nil {
			return cr, c.Errorf(key+"password-file", "%v", err)
		}
		cr.Username, cr.Password = x.Username, string(b)
	}
	if x.Certificate != "" {
		if cr.Certificate, err = (secure.Files{Certificate: x.Certificate, Key: x.Key}).Pair(); err != nil {
			return cr, c.Errorf(key+"certificate", "%v", err)
		}
	}
	if err := cr.Validate(); err != nil {
		return cr, c.Errorf(key+"origin", "cannot use credentials for %q: %v", x.Origin, err)
	}
	return cr, nil
}
