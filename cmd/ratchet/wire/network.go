package wire

import (
	"bytes"
	"crypto/tls"
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
	"github.com/ratchet-ota/ratchet/transport/secure"
)

// builtAfter is the earliest believable time: a clock that stands before it is not set.
var builtAfter = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// LastGood is the copy of the configuration that worked last, in the state directory dir. The daemon keeps it.
func LastGood(dir string) string { return filepath.Join(dir, "last-good.toml") }

// believable is the clock for checking certificates: never before this program was made, nor before
// the configuration last worked. A device whose clock stands at 1970 could reach nobody otherwise.
func believable(stateDir string, clock func() time.Time) func() time.Time {
	floor := builtAfter
	if st, err := os.Stat(LastGood(stateDir)); err == nil && st.ModTime().After(floor) {
		floor = st.ModTime()
	}
	return func() time.Time {
		if now := clock(); now.After(floor) {
			return now
		}
		return floor
	}
}

// clockUnset: a clock before this program was made cannot say whether a certificate has begun.
func clockUnset() bool { return time.Now().Before(builtAfter) }

// clientTLS is the configuration of a client that these files make, with a clock that can be believed.
func clientTLS(c *config.Config, files secure.Files) (*tls.Config, error) {
	t, err := files.Config()
	if err == nil {
		t.Time = believable(c.State.Directory, time.Now)
	}
	return t, err
}

// secret reads a password, without the line break at its end.
func secret(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	return bytes.TrimRight(b, "\r\n"), err
}

// wireNetwork wires where images come from, and the connection to the fleet, nil without one.
func wireNetwork(o *agent.Options, c *config.Config, log *slog.Logger) *mqtt.Client {
	var err error
	if o.Fetch, err = fetcher(c); err != nil {
		log.Error("no images can be loaded from the network", "error", err)
	}
	if c.MQTT == nil {
		return nil
	}
	o.Channel = c.MQTT.Channel
	fleet, err := mqttClient(c, log)
	if err != nil {
		log.Error("there is no connection to the fleet", "error", err)
		return nil
	}
	o.Inbox, o.Outbox, o.Online = fleet, fleet, fleet.Online
	return fleet
}

func mqttClient(c *config.Config, log *slog.Logger) (*mqtt.Client, error) {
	m := c.MQTT
	t, err := clientTLS(c, secure.Files{CA: m.CA, Certificate: m.Certificate, Key: m.Key})
	if err != nil {
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	o := mqtt.Options{Broker: m.URL, AllowPlain: m.AllowPlain, DeviceID: c.Device.ID, Channel: m.Channel,
		Root: c.Trust.Root != "", Username: m.Username, TLS: t, ClockUnset: clockUnset, Logger: log,
		KeepAlive: orDuration(m.KeepAlive, 5*time.Minute),
		Backoff: transport.Backoff{Min: orDuration(m.BackoffMin, time.Second),
			Max: orDuration(m.BackoffMax, 5*time.Minute)}}
	if m.PasswordFile != "" {
		o.Password = func() ([]byte, error) { return secret(m.PasswordFile) }
	}
	return mqtt.New(o)
}

func fetcher(c *config.Config) (func(urls []string, size int64) (slots.Source, error), error) {
	h := c.HTTP
	t, err := clientTLS(c, secure.Files{CA: h.CA})
	if err != nil {
		return nil, fmt.Errorf("http: %w", err)
	}
	o := transporthttp.Options{AllowPlain: h.AllowPlain, TLS: t, ClockUnset: clockUnset,
		Limit: h.LimitBytes, MaxBytes: h.MaxBytes, Stall: time.Duration(h.Stall),
		Credentials: map[string]transporthttp.Credentials{}}
	for _, x := range h.Credentials {
		var cr transporthttp.Credentials
		if x.BearerFile != "" {
			b, err := secret(x.BearerFile)
			if err != nil {
				return nil, fmt.Errorf("http.credentials for %s: %w", x.Origin, err)
			}
			cr.Bearer = string(b)
		}
		if x.PasswordFile != "" {
			b, err := secret(x.PasswordFile)
			if err != nil {
				return nil, fmt.Errorf("http.credentials for %s: %w", x.Origin, err)
			}
			cr.Username, cr.Password = x.Username, string(b)
		}
		if x.Certificate != "" {
			if cr.Certificate, err = (secure.Files{Certificate: x.Certificate, Key: x.Key}).Pair(); err != nil {
				return nil, fmt.Errorf("http.credentials for %s: %w", x.Origin, err)
			}
		}
		o.Credentials[x.Origin] = cr
	}
	f, err := transporthttp.New(o)
	if err != nil {
		return nil, fmt.Errorf("http: %w", err)
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
