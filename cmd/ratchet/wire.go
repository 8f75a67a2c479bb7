package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/cipher"
	"github.com/ratchet-ota/ratchet/agent/health"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/bootctl/efi"
	"github.com/ratchet-ota/ratchet/bootctl/grubenv"
	"github.com/ratchet-ota/ratchet/bootctl/hook"
	"github.com/ratchet-ota/ratchet/bootctl/sdboot"
	"github.com/ratchet-ota/ratchet/bootctl/ubootenv"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/config"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/linux"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
	transporthttp "github.com/ratchet-ota/ratchet/transport/http"
	"github.com/ratchet-ota/ratchet/transport/mqtt"
	"github.com/ratchet-ota/ratchet/transport/secure"
)

// builtAfter is the earliest believable time: a clock that stands before it is not set.
var builtAfter = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// slotDefs sorts the slot table by index, or by name where none is given.
func slotDefs(c *config.Config) ([2]agent.SlotDef, error) {
	var out [2]agent.SlotDef
	var names []string
	for n := range c.Slots {
		names = append(names, n)
	}
	sort.Strings(names)
	for i, n := range names {
		s := c.Slots[n]
		index := i
		if s.Index != nil {
			index = *s.Index
		}
		if index < 0 || index > 1 || out[index].Name != "" {
			return out, fmt.Errorf("slots.%s.index: the two slots have the indices 0 and 1", n)
		}
		out[index] = agent.SlotDef{Name: bootctl.Slot(n), Index: index, Parts: s.Parts}
	}
	return out, nil
}

// backend is the one switch over bootloaders.
func backend(c *config.Config, fsys hal.Tree, names []bootctl.Slot) (bootctl.Backend, error) {
	b := c.Boot
	shadow := filepath.Join(c.State.Directory, "boot-shadow")
	switch b.Backend {
	case "u-boot":
		o := ubootenv.Options{Shadow: shadow, Slots: names, FullTries: b.Tries, CountsConfirmed: b.CountsConfirmed, Watchdog: b.Watchdog, Locks: b.Locks}
		for _, x := range b.Copies {
			o.Copies = append(o.Copies, ubootenv.Location{Path: x.Path, Offset: x.Offset, Size: x.Size})
		}
		if len(o.Copies) == 0 {
			path := b.FwEnvConfig
			if path == "" {
				path = "/etc/fw_env.config"
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("boot.fw-env-config: %w", err)
			}
			if o.Copies, err = ubootenv.ParseConfig(raw); err != nil {
				return nil, fmt.Errorf("boot.fw-env-config %s: %w", path, err)
			}
		}
		if b.Defaults != "" {
			raw, err := os.ReadFile(b.Defaults)
			if err != nil {
				return nil, fmt.Errorf("boot.default-environment: %w", err)
			}
			o.Defaults = strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
		}
		return ubootenv.New(fsys, o)
	case "grub":
		path := b.Grubenv
		if path == "" {
			path = "/boot/grub/grubenv"
		}
		return grubenv.New(fsys, grubenv.Options{Path: path, Shadow: shadow, Slots: names, CountsConfirmed: b.CountsConfirmed, Watchdog: b.Watchdog, Locks: b.Locks})
	case "systemd-boot":
		folder := b.Entries
		if folder == "" {
			folder = "/efi/loader/entries"
		}
		return sdboot.New(fsys, sdboot.Options{Folder: folder, Shadow: shadow, Slots: names, Watchdog: b.Watchdog, Locks: b.Locks})
	case "uefi":
		o := efi.Options{Shadow: shadow, Slots: names, Numbers: map[bootctl.Slot]uint16{}, Watchdog: b.Watchdog, Locks: b.Locks}
		for slot, digits := range b.Options {
			n, ok := efi.ParseNumber(digits)
			if !ok {
				return nil, fmt.Errorf("boot.load-options.%s: %q is not four capital hexadecimal digits, as in Boot0010", slot, digits)
			}
			o.Numbers[bootctl.Slot(slot)] = n
		}
		return efi.New(linux.Variables{}, fsys, o)
	case "hook":
		return hook.New(hook.Options{Command: b.Hook, Slots: names, FullTries: b.Tries})
	}
	return nil, fmt.Errorf("boot.backend %q is not known", b.Backend)
}

// root reads the trust root that the image brings; nil without one.
func root(c *config.Config) ([]byte, error) {
	if c.Trust.Root == "" {
		return nil, nil
	}
	b, err := hal.ReadFile(linux.FS{}, c.Trust.Root, trust.MaxBundle)
	if err != nil {
		return nil, fmt.Errorf("trust.root: %w", err)
	}
	if _, err := trust.Anchor(b); err != nil {
		return nil, fmt.Errorf("trust.root %s: %w", c.Trust.Root, err)
	}
	return b, nil
}

// decryption reads the device's keys for encrypted images.
func decryption(c *config.Config) (cipher.Keys, error) {
	var keys []cipher.Key
	for _, path := range c.Trust.Decryption {
		b, err := os.ReadFile(path)
		if err != nil {
			return cipher.Keys{}, fmt.Errorf("trust.decryption-keys: %w", err)
		}
		k, err := cipher.ParseKey(b)
		if err != nil {
			return cipher.Keys{}, fmt.Errorf("trust.decryption-keys %s: %w", path, err)
		}
		keys = append(keys, k)
	}
	return cipher.NewKeys(keys...)
}

func anchors(c *config.Config) (trust.Keys, error) {
	var keys []trust.Key
	for _, path := range c.Trust.Keys {
		b, err := os.ReadFile(path)
		if err != nil {
			return trust.Keys{}, fmt.Errorf("trust.keys: %w", err)
		}
		k, err := trust.ParsePublic(b)
		if err != nil {
			return trust.Keys{}, fmt.Errorf("trust.keys %s: %w", path, err)
		}
		keys = append(keys, k)
	}
	return trust.NewKeys(keys, c.Trust.Legacy)
}

// deviceKey reads the key that signs evidence; it is made on the first start, and its public half is
// written beside it for enrolment.
func deviceKey(c *config.Config, fsys hal.FS, log *slog.Logger) (*trust.Signer, error) {
	path := c.Evidence.Key
	if path == "" {
		path = filepath.Join(c.State.Directory, "device.key")
	}
	b, err := hal.ReadFile(fsys, path, 64<<10)
	if err == nil {
		return trust.ParsePrivate(b)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	s, err := trust.Generate(trust.ESP256)
	if err != nil {
		return nil, err
	}
	priv, err := s.MarshalPEM()
	if err != nil {
		return nil, err
	}
	pub, err := s.Key().MarshalPEM()
	if err != nil {
		return nil, err
	}
	// Crash: public half first -> a private key that is there was announced; a public one alone is replaced.
	if err := hal.ReplaceFile(fsys, strings.TrimSuffix(path, ".key")+".pem", pub); err != nil {
		return nil, err
	}
	if err := hal.ReplaceFile(fsys, path, priv); err != nil {
		return nil, err
	}
	log.Info("made the device key; enrol its public half", "key", path, "public", strings.TrimSuffix(path, ".key")+".pem", "id", s.Key().ID())
	return s, nil
}

// believable is the clock for checking certificates: never before this program was made, nor before
// the configuration last worked. A device whose clock stands at 1970 could reach nobody otherwise.
func believable(stateDir string, clock func() time.Time) func() time.Time {
	floor := builtAfter
	if st, err := os.Stat(filepath.Join(stateDir, "last-good.toml")); err == nil && st.ModTime().After(floor) {
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

func secret(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	return bytes.TrimRight(b, "\r\n"), err
}

func mqttClient(c *config.Config, log *slog.Logger) (*mqtt.Client, error) {
	m := c.MQTT
	t, err := clientTLS(c, secure.Files{CA: m.CA, Certificate: m.Certificate, Key: m.Key})
	if err != nil {
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	o := mqtt.Options{Broker: m.URL, AllowPlain: m.AllowPlain, DeviceID: c.Device.ID, Channel: m.Channel, Root: c.Trust.Root != "", Username: m.Username,
		TLS: t, ClockUnset: clockUnset, KeepAlive: orDuration(m.KeepAlive, 5*time.Minute), Logger: log,
		Backoff: transport.Backoff{Min: orDuration(m.BackoffMin, time.Second), Max: orDuration(m.BackoffMax, 5*time.Minute)}}
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
	o := transporthttp.Options{AllowPlain: h.AllowPlain, TLS: t, ClockUnset: clockUnset, Limit: h.LimitBytes, MaxBytes: h.MaxBytes, Stall: time.Duration(h.Stall),
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
				return nil, fmt.Errorf("%w: %q is no absolute address", transport.ErrForbidden, u)
			}
		}
		return f.Source(urls, size), nil
	}, nil
}

func healthPlan(c *config.Config, online func() (bool, time.Time)) (health.Plan, error) {
	h := c.Health
	p := health.Plan{Soak: orDuration(h.Soak, time.Minute), Deadline: orDuration(h.Deadline, 10*time.Minute),
		Interval: time.Duration(h.Interval), Timeout: time.Duration(h.Timeout), MinUptime: time.Duration(h.MinUptime)}
	if len(h.Units) > 0 || h.NoFailed {
		p.Checks = append(p.Checks, health.Unit{Units: h.Units, NoneFailed: h.NoFailed})
	}
	for _, x := range h.Command {
		if len(x.Run) == 0 || !filepath.IsAbs(x.Run[0]) {
			return p, fmt.Errorf("health.command %q: run must be an absolute path and its arguments", x.Name)
		}
		p.Checks = append(p.Checks, health.Command{Title: x.Name, Argv: x.Run})
	}
	for _, x := range h.HTTP {
		p.Checks = append(p.Checks, health.HTTP{Title: x.Name, URL: x.URL, Status: x.Status, Contains: x.Contains})
	}
	for _, x := range h.TCP {
		p.Checks = append(p.Checks, health.TCP{Title: x.Name, Addr: x.Address})
	}
	if h.Broker {
		if c.MQTT == nil {
			return p, errors.New("health.broker is set, but there is no [mqtt] section")
		}
		p.Checks = append(p.Checks, &health.Broker{Online: online})
	}
	return p, p.Validate()
}

// metered reads a file that a network manager's hook keeps: "yes" or "1" means that the link is paid by volume.
func metered(c *config.Config) func() bool {
	path := c.Policy.MeteredFile
	if path == "" {
		return nil
	}
	return func() bool {
		b, err := os.ReadFile(path)
		s := strings.TrimSpace(string(b))
		return err == nil && (s == "yes" || s == "1" || s == "true")
	}
}

func socketMode(c *config.Config) (os.FileMode, error) {
	if c.Control.SocketMode == "" {
		return 0o660, nil
	}
	n, err := strconv.ParseUint(c.Control.SocketMode, 8, 9)
	if err != nil {
		return 0, fmt.Errorf("control.mode %q is no octal mode like \"0660\"", c.Control.SocketMode)
	}
	return os.FileMode(n), nil
}

func orDuration(d config.Duration, or time.Duration) time.Duration {
	if d == 0 {
		return or
	}
	return time.Duration(d)
}

func machine(c *config.Config) (linux.Identity, *linux.Power, linux.Clock) {
	id := linux.Identity{CmdlinePath: c.Running.Cmdline, Key: c.Running.MarkerKey, RootPath: c.Running.Root, RootFile: c.Running.RootFile, BootIDPath: c.Running.BootID}
	power := &linux.Power{Command: c.Reboot.Command, ForceCommand: c.Reboot.ForceCommand}
	return id, power, linux.Clock{Floor: builtAfter}
}
