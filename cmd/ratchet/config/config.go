package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

// backends are the bootloaders that the program has a backend for.
var backends = []string{"u-boot", "grub", "systemd-boot", "uefi", "hook"}

// MaxSize is the largest configuration file that is read, in bytes.
const MaxSize = 256 << 10

// Load reads and checks a configuration file, and gives its bytes too. Errors name the file, and the line where
// there is one.
func Load(path string) (Config, []byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, nil, fmt.Errorf("cannot read configuration: %w", err)
	}
	defer f.Close()
	var b bytes.Buffer
	if n, err := b.ReadFrom(&limited{f, MaxSize + 1}); err != nil || n > MaxSize {
		return Config{}, nil, errors.Join(
			fmt.Errorf("cannot read configuration %s: more than %d bytes, or unreadable", path, MaxSize), err)
	}
	c, err := Parse(b.Bytes())
	if err != nil {
		return Config{}, nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, b.Bytes(), nil
}

// Parse reads and checks a configuration. It reads the files that name the device and its version.
func Parse(b []byte) (Config, error) {
	c := Config{State: State{Directory: "/var/lib/ratchet"}}
	d := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, tomlError(err)
	}
	return c, c.check()
}

// tomlError puts the line in front.
func tomlError(err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		var all []string
		for _, e := range strict.Errors {
			line, col := e.Position()
			all = append(all, fmt.Sprintf("line %d, column %d: unknown key %q", line, col, strings.Join(e.Key(), ".")))
		}
		return errors.New(strings.Join(all, "; "))
	}
	var dec *toml.DecodeError
	if errors.As(err, &dec) {
		line, col := dec.Position()
		return fmt.Errorf("line %d, column %d: %s", line, col, strings.TrimPrefix(dec.Error(), "toml: "))
	}
	return err
}

// check finds what is wrong beyond the grammar, and resolves files that name the device.
func (c *Config) check() error {
	var err error
	if c.Device.ID, err = textOrFile("device.id", c.Device.ID, c.Device.IDFile); err != nil {
		return err
	}
	if c.Device.Version, err = textOrFile("device.version", c.Device.Version, c.Device.VersionFile); err != nil {
		return err
	}
	switch {
	case c.Device.ID == "":
		return errors.New("device.id is missing: the name of this device, [A-Za-z0-9._-]{1,64}")
	case len(c.Device.Vendor) == 0 || len(c.Device.Class) == 0:
		return errors.New("device.vendor and device.class are missing: without them no update is for this device")
	case len(c.Slots) != 2:
		return fmt.Errorf("exactly two slots are needed, there are %d", len(c.Slots))
	case !filepath.IsAbs(c.State.Directory):
		return fmt.Errorf("state.directory %q is not an absolute path", c.State.Directory)
	case len(c.Trust.Keys) == 0 && c.Trust.Root == "":
		return errors.New("trust.keys and trust.root are missing: " +
			"without a release key or a trust root no update can be verified")
	case len(c.Trust.Keys) > 0 && c.Trust.Root != "":
		return errors.New("trust.keys and trust.root are both set: a device with a trust root takes no flat keys")
	case !slices.Contains(backends, c.Boot.Backend):
		return fmt.Errorf("boot.backend %q is not one of %s", c.Boot.Backend, strings.Join(backends, ", "))
	}
	if err := wire.CheckID(c.Device.ID); err != nil {
		return fmt.Errorf("device.id %q %w", c.Device.ID, err)
	}
	for name, s := range c.Slots {
		for part, path := range s.Parts {
			if !filepath.IsAbs(path) {
				return fmt.Errorf("slots.%s.parts.%s: %q is not an absolute path", name, part, path)
			}
		}
	}
	if err := c.Counter.check(); err != nil {
		return err
	}
	if _, err := c.Facts(); err != nil {
		return err
	}
	if _, err := c.Rules(); err != nil {
		return err
	}
	return nil
}

// The range of NV indices (TPM 2.0 Library, part 2, section 7.4, TPM_HT_NV_INDEX).
const (
	firstIndex = 0x01000000
	lastIndex  = 0x01FFFFFF
)

func (c Counter) check() error {
	switch {
	case c.Kind != "" && c.Kind != "file" && c.Kind != "tpm2":
		return fmt.Errorf("counter.kind %q is not one of file, tpm2", c.Kind)
	case c.Kind != "tpm2" && (c.Device != "" || c.Index != 0):
		return errors.New("counter.device and counter.index are for counter.kind = \"tpm2\"")
	case c.Device != "" && !filepath.IsAbs(c.Device):
		return fmt.Errorf("counter.device %q is not an absolute path", c.Device)
	case c.Index != 0 && (c.Index < firstIndex || c.Index > lastIndex):
		return fmt.Errorf("counter.index %#08x is not %#08x to %#08x", c.Index, firstIndex, lastIndex)
	}
	return nil
}

func textOrFile(key, text, file string) (string, error) {
	if file == "" {
		return text, nil
	}
	if text != "" {
		return "", fmt.Errorf("%s and %s-file are both set", key, key)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s-file: %w", key, err)
	}
	if len(b) > 1024 {
		return "", fmt.Errorf("%s-file: %s has more than 1024 bytes", key, file)
	}
	return strings.TrimSpace(string(b)), nil
}

// Facts turns names into SUIT identifiers (RFC 9562 version 5: vendor from its domain, class from the
// vendor and its name).
func (c *Config) Facts() (manifest.Device, error) {
	d := manifest.Device{BatteryMWh: -1}
	for _, v := range c.Device.Vendor {
		u, err := manifest.ParseUUID(v)
		if err != nil {
			if !strings.Contains(v, ".") {
				return d, fmt.Errorf("device.vendor %q is neither a UUID nor a domain name", v)
			}
			u = manifest.VendorUUID(v)
		}
		d.Vendors = append(d.Vendors, u)
	}
	for _, v := range c.Device.Class {
		u, err := manifest.ParseUUID(v)
		if err != nil {
			u = manifest.ClassUUID(d.Vendors[0], v)
		}
		d.Classes = append(d.Classes, u)
	}
	for _, v := range c.Device.UUID {
		u, err := manifest.ParseUUID(v)
		if err != nil {
			return d, fmt.Errorf("device.uuid: %w", err)
		}
		d.Devices = append(d.Devices, u)
	}
	if c.Device.Version != "" {
		v, err := manifest.ParseVersion(c.Device.Version)
		if err != nil {
			return d, fmt.Errorf("device.version: %w", err)
		}
		d.Version = v
	}
	return d, nil
}

// Rules are the local rules of the policy. A window without a zone is in the system's.
func (c *Config) Rules() (policy.Rules, error) {
	p := c.Policy
	r := policy.Rules{MinBattery: p.MinBattery, WindowCoversDownload: p.WindowCoversDownload, AllowMetered: p.AllowMetered,
		Approval: p.Approval, UnknownTimeWaits: true}
	switch p.Approval {
	case "", policy.ApprovalNone, policy.ApprovalDownload, policy.ApprovalInstall:
	default:
		return r, fmt.Errorf("policy.approval %q is not one of none, download, install", p.Approval)
	}
	if p.MinBattery < 0 || p.MinBattery > 100 {
		return r, fmt.Errorf("policy.min-battery-percent %d is not 0 to 100", p.MinBattery)
	}
	for i, w := range p.Windows {
		x := policy.Window{Zone: time.Local}
		var err error
		if x.From, err = minutes(w.From); err != nil {
			return r, fmt.Errorf("policy.windows, number %d: from: %w", i+1, err)
		}
		if x.To, err = minutes(w.To); err != nil {
			return r, fmt.Errorf("policy.windows, number %d: to: %w", i+1, err)
		}
		if w.Zone != "" {
			if x.Zone, err = time.LoadLocation(w.Zone); err != nil {
				return r, fmt.Errorf("policy.windows, number %d: zone: %w", i+1, err)
			}
		}
		for _, d := range w.Days {
			n, ok := weekdays[strings.ToLower(d)]
			if !ok {
				return r, fmt.Errorf("policy.windows, number %d: %q is not a day (mon, tue, wed, thu, fri, sat, sun)", i+1, d)
			}
			x.Days[n] = true
		}
		r.Windows = append(r.Windows, x)
	}
	return r, nil
}

var weekdays = map[string]time.Weekday{"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}

func minutes(s string) (int, error) {
	var h, m int
	n, err := fmt.Sscanf(s, "%2d:%2d", &h, &m)
	if n != 2 || err != nil || h < 0 || m < 0 || m > 59 || h*60+m > 1440 || len(s) != 5 {
		return 0, fmt.Errorf("%q is not a time of day such as 02:30", s)
	}
	return h*60 + m, nil
}

type limited struct {
	f    *os.File
	left int
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errors.New("too large")
	}
	n, err := l.f.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}
