package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/linux/sandbox"
	"github.com/ratchet-ota/ratchet/hal/textfile"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

// backends are the bootloaders that the program has a backend for.
var backends = []string{"u-boot", "grub", "systemd-boot", "uefi", "hook"}

// Load reads and checks a configuration file, and gives its bytes too. It reads the files that name the device and
// its version. Errors name the file, and the line of the key where there is one.
func Load(path string) (Config, []byte, error) {
	b, err := conf.ReadFile(path)
	if err != nil {
		return Config{}, nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	c, err := Parse(path, b)
	return c, b, err
}

// Errorf is an error about the value of a key, with the line of the key.
//
//go:noinline
func (c *Config) Errorf(key, format string, args ...any) error {
	return c.doc.Errorf(key, format, args...)
}

// Parse checks the configuration of a file of that name.
func Parse(name string, b []byte) (Config, error) {
	c := Config{State: State{Directory: "/var/lib/ratchet"}}
	doc, err := conf.Decode(name, b, &c)
	if err != nil {
		return c, err
	}
	c.doc = doc
	if err := c.checkDurations(); err != nil {
		return c, err
	}
	return c, c.check()
}

// checkDurations refuses a duration that is a bare number: the decoder takes it for nanoseconds.
func (c *Config) checkDurations() error {
	tables := reflect.ValueOf(c).Elem()
	for i := range tables.NumField() {
		table := reflect.Indirect(tables.Field(i))
		if table.Kind() != reflect.Struct || !tables.Type().Field(i).IsExported() {
			continue
		}
		for j := range table.NumField() {
			key := tables.Type().Field(i).Tag.Get("toml") + "." + table.Type().Field(j).Tag.Get("toml")
			if d, ok := table.Field(j).Interface().(Duration); ok && d != 0 && c.doc.Integer(key) {
				return c.Errorf(key, "%d has no unit: write \"%ds\" for seconds", d, d)
			}
		}
	}
	return nil
}

// check finds what is wrong beyond the grammar, and resolves files that name the device.
func (c *Config) check() error {
	var err error
	if c.Device.ID, err = c.textOrFile("device.id", c.Device.ID, c.Device.IDFile); err != nil {
		return err
	}
	if c.Device.Version, err = c.textOrFile("device.version", c.Device.Version, c.Device.VersionFile); err != nil {
		return err
	}
	errorf := c.Errorf
	switch {
	case c.Device.ID == "":
		return errorf("device.id",
			"the name of this device is missing: 1 to 64 letters, digits, dots, underscores or hyphens")
	case len(c.Device.Vendor) == 0:
		return errorf("device.vendor", "missing: without a vendor no update is for this device")
	case len(c.Device.Class) == 0:
		return errorf("device.class", "missing: without a class no update is for this device")
	case len(c.Slots) != 2:
		return errorf("slots", "exactly two slots are needed, there are %d", len(c.Slots))
	case !filepath.IsAbs(c.State.Directory):
		return errorf("state.directory", "%q is not an absolute path", c.State.Directory)
	case c.State.Volatile != "" && c.State.Volatile != "report" && c.State.Volatile != VolatileAllowed:
		return errorf("state.volatile", "%q is not one of report, allow", c.State.Volatile)
	case len(c.Trust.Keys) == 0 && c.Trust.Root == "":
		return errorf("trust",
			"keys and root are missing: without a release key or a trust root no update can be verified")
	case len(c.Trust.Keys) > 0 && c.Trust.Root != "":
		return errorf("trust", "keys and root are both set: a device with a trust root takes no flat keys")
	case !slices.Contains(backends, c.Boot.Backend):
		return errorf("boot.backend", "%q is not one of %s", c.Boot.Backend, strings.Join(backends, ", "))
	}
	if err := wire.CheckID(c.Device.ID); err != nil {
		return errorf("device.id", "%q %v", c.Device.ID, err)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Slots)) {
		for _, part := range slices.Sorted(maps.Keys(c.Slots[name].Parts)) {
			if path := c.Slots[name].Parts[part]; !filepath.IsAbs(path) {
				return errorf("slots."+name+".parts."+part, "%q is not an absolute path", path)
			}
		}
	}
	if err := c.checkCounter(); err != nil {
		return err
	}
	if err := c.checkTPM(); err != nil {
		return err
	}
	for _, name := range c.Sandbox.Without {
		if !slices.Contains(sandbox.Names(), name) {
			return errorf("sandbox.without", "%q is not one of %s", name, strings.Join(sandbox.Names(), ", "))
		}
	}
	if _, err := c.Facts(); err != nil {
		return err
	}
	_, err = c.Rules()
	return err
}

// The range of NV indices (TPM 2.0 Library, part 2, section 7.4, TPM_HT_NV_INDEX).
const (
	firstIndex = 0x01000000
	lastIndex  = 0x01FFFFFF
)

func (c *Config) checkCounter() error {
	k, errorf := c.Counter, c.Errorf
	switch {
	case k.Kind != "" && k.Kind != "file" && k.Kind != "tpm2":
		return errorf("counter.kind", "%q is not one of file, tpm2", k.Kind)
	case k.Kind != "tpm2" && (k.Device != "" || k.Index != 0):
		return errorf("counter", "device and index are for kind = \"tpm2\"")
	case k.Device != "" && !filepath.IsAbs(k.Device):
		return errorf("counter.device", "%q is not an absolute path", k.Device)
	case k.Index != 0 && (k.Index < firstIndex || k.Index > lastIndex):
		return errorf("counter.index", "%#08x is not %#08x to %#08x", k.Index, firstIndex, lastIndex)
	}
	return nil
}

func (c *Config) textOrFile(key, text, file string) (string, error) {
	if file == "" {
		return text, nil
	}
	if text != "" {
		return "", c.Errorf(key, "%s and %s-file are both set", key, key)
	}
	b, err := textfile.Read(file, 1024)
	if err != nil {
		return "", c.Errorf(key+"-file", "%v", err)
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
				return d, c.Errorf("device.vendor", "%q is neither a UUID nor a domain name", v)
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
			return d, c.Errorf("device.uuid", "%v", err)
		}
		d.Devices = append(d.Devices, u)
	}
	if c.Device.Version != "" {
		v, err := manifest.ParseVersion(c.Device.Version)
		if err != nil {
			return d, c.Errorf("device.version", "%v", err)
		}
		d.Version = v
	}
	return d, nil
}

// Rules are the local rules of the policy. A window without a zone is in the system's, which may be set later.
func (c *Config) Rules() (policy.Rules, error) {
	p := c.Policy
	r := policy.Rules{MinBattery: p.MinBattery, WindowCoversDownload: p.WindowCoversDownload,
		AllowMetered: p.AllowMetered, Approval: p.Approval, UnknownTimeWaits: true}
	switch p.Approval {
	case "", policy.ApprovalNone, policy.ApprovalDownload, policy.ApprovalInstall:
	default:
		return r, c.Errorf("policy.approval", "%q is not one of none, download, install", p.Approval)
	}
	if p.Checkpoint < 0 || p.Checkpoint%hal.Align != 0 {
		return r, c.Errorf("policy.checkpoint-bytes", "%d is not a multiple of %d", p.Checkpoint, hal.Align)
	}
	if p.MinBattery < 0 || p.MinBattery > 100 {
		return r, c.Errorf("policy.min-battery-percent", "%d is not 0 to 100", p.MinBattery)
	}
	for i, w := range p.Windows {
		key := fmt.Sprintf("policy.windows.%d.", i)
		x := policy.Window{} // without a zone it is in the device's, whatever that is when it is asked
		var err error
		if x.From, err = minutes(w.From); err != nil {
			return r, c.Errorf(key+"from", "%v", err)
		}
		if x.To, err = minutes(w.To); err != nil {
			return r, c.Errorf(key+"to", "%v", err)
		}
		if w.Zone != "" {
			if x.Zone, err = time.LoadLocation(w.Zone); err != nil {
				return r, c.Errorf(key+"zone", "%v", err)
			}
		}
		for _, d := range w.Days {
			n, ok := weekdays[strings.ToLower(d)]
			if !ok {
				return r, c.Errorf(key+"days", "%q is not a day (mon, tue, wed, thu, fri, sat, sun)", d)
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
