package check

import (
	"fmt"
	"math"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/release"
)

// factsFile is a facts file as it is written: a device, as far as a manifest can ask.
type factsFile struct {
	Vendor     any    `toml:"vendor"`    // UUID or domain, or a list of them
	Class      any    `toml:"class"`     // UUID, or a name when there is one vendor; or a list
	Device     any    `toml:"device"`    // UUID, or a list
	Version    any    `toml:"version"`   // "1.4.2" or [1, 4, 2]
	Floor      any    `toml:"floor"`     // highest confirmed sequence, or a table by component
	Time       any    `toml:"time"`      // RFC 3339, or a date-time
	SlotSize   any    `toml:"slot_size"` // bytes, or a table by component
	Slot       *int64 `toml:"slot"`      // index of the running slot, 0 or 1
	BatteryMWh *int64 `toml:"battery_mwh"`
	AllowAlgs  []any  `toml:"allow_algs"` // as --allow-alg
	Components any    `toml:"components"` // names, or arrays of their parts

	Running map[string]partFile `toml:"running"` // what was confirmed in the running slot, by component
}

// partFile is what is on record of one part of the running slot.
type partFile struct {
	Digest   string `toml:"digest"`
	Size     int64  `toml:"size"`
	Sequence int64  `toml:"sequence"`
	Manifest string `toml:"manifest"` // optional
	ForSlot  bool   `toml:"for_slot"` // it was made for that slot alone
}

// facts is a facts file that makes sense.
type facts struct {
	policy.Facts
	running      int
	components   []string // nil = those of the manifest
	size         map[string]int64
	anyFloor     uint64 // of components that Floors does not name
	anySize      int64  // of components that size does not name, 0 = whatever is needed
	es256, eddsa bool
}

// readFacts reads a facts file.
func readFacts(path string) (facts, error) {
	var f factsFile
	doc, err := conf.Read(path, &f)
	if err != nil {
		return facts{}, fmt.Errorf("cannot read facts: %w", err)
	}
	out := facts{size: map[string]int64{}}
	d := &out.Device
	d.BatteryMWh = -1
	if err := out.identity(doc, f); err != nil {
		return facts{}, err
	}
	if d.Version, err = readVersion(doc, f.Version); err != nil {
		return facts{}, err
	}
	if err := out.floors(doc, f.Floor); err != nil {
		return facts{}, err
	}
	if err := out.parts(doc, f.Running); err != nil {
		return facts{}, err
	}
	if f.BatteryMWh != nil && *f.BatteryMWh < 0 {
		return facts{}, doc.Errorf("battery_mwh", "%d is less than 0", *f.BatteryMWh)
	}
	if f.BatteryMWh != nil {
		d.BatteryMWh = *f.BatteryMWh
	}
	if f.Slot != nil {
		if *f.Slot != 0 && *f.Slot != 1 {
			return facts{}, doc.Errorf("slot", "%d: the running slot is 0 or 1", *f.Slot)
		}
		out.running = int(*f.Slot)
	}
	if out.Now, err = factTime(f.Time); err != nil {
		return facts{}, doc.Errorf("time", "%v", err)
	}
	var words []string
	for _, a := range f.AllowAlgs {
		words = append(words, fmt.Sprint(a))
	}
	if out.es256, out.eddsa, err = keys.Allowed(words); err != nil {
		return facts{}, doc.Errorf("allow_algs", "%v", err)
	}
	return out, out.slots(doc, f)
}

// floors reads what was confirmed: one number for all components, or one for each.
func (f *facts) floors(doc conf.Document, field any) error {
	read := func(key string, v any) (uint64, error) {
		switch n, ok := v.(int64); {
		case !ok:
			return 0, doc.Errorf(key, "want a number, or a table of numbers by component")
		case n < 0:
			return 0, doc.Errorf(key, "%d is less than 0", n)
		default:
			return uint64(n), nil
		}
	}
	f.Floors = map[string]policy.Floor{}
	table, ok := field.(map[string]any)
	if !ok && field != nil {
		n, err := read("floor", field)
		f.anyFloor = n
		return err
	}
	for c, v := range table {
		n, err := read("floor."+c, v)
		if err != nil {
			return err
		}
		f.Floors[c] = policy.Floor{Sequence: n}
	}
	return nil
}

// parts reads what the running slot holds.
func (f *facts) parts(doc conf.Document, file map[string]partFile) (err error) {
	f.Running = map[string]policy.Part{}
	for c, p := range file {
		key := "running." + c
		part := policy.Part{Size: p.Size, Sequence: uint64(p.Sequence), Anywhere: !p.ForSlot}
		if part.Image, err = manifest.ParseDigest(p.Digest); err != nil {
			return doc.Errorf(key+".digest", "%v", err)
		}
		if p.Manifest != "" {
			if part.Manifest, err = manifest.ParseDigest(p.Manifest); err != nil {
				return doc.Errorf(key+".manifest", "%v", err)
			}
		}
		if p.Size <= 0 {
			return doc.Errorf(key+".size", "want bytes, more than 0")
		}
		if p.Sequence < 0 {
			return doc.Errorf(key+".sequence", "%d is less than 0", p.Sequence)
		}
		f.Running[c] = part
	}
	return nil
}

// readVersion reads the running version: a text or its numbers; nil where there is none.
func readVersion(doc conf.Document, field any) (version []int64, err error) {
	switch v := field.(type) {
	case nil:
	case string:
		if version, err = manifest.ParseVersion(v); err != nil {
			return nil, doc.Errorf("version", "%v", err)
		}
	case []any:
		for _, x := range v {
			n, ok := x.(int64)
			if !ok {
				return nil, doc.Errorf("version", `want "1.4.2" or [1, 4, 2]`)
			}
			version = append(version, n)
		}
		if err := manifest.CheckVersion(version); err != nil {
			return nil, doc.Errorf("version", "%v", err)
		}
	default:
		return nil, doc.Errorf("version", `want "1.4.2" or [1, 4, 2]`)
	}
	return version, nil
}

// identity reads who the device is.
func (f *facts) identity(doc conf.Document, file factsFile) error {
	d := &f.Device
	for _, part := range []struct {
		key   string
		value any
		into  *[]manifest.UUID
		read  func(string) (manifest.UUID, error)
	}{
		{"vendor", file.Vendor, &d.Vendors, conf.VendorUUID},
		{"class", file.Class, &d.Classes, func(s string) (manifest.UUID, error) {
			if len(d.Vendors) == 1 {
				return conf.ClassUUID(d.Vendors[0], s)
			}
			return manifest.ParseUUID(s)
		}},
		{"device", file.Device, &d.Devices, manifest.ParseUUID},
	} {
		list, ok := texts(part.value)
		if !ok {
			return doc.Errorf(part.key, "want a UUID, or a list of them")
		}
		for _, s := range list {
			u, err := part.read(s)
			if err != nil {
				return doc.Errorf(part.key, "%v", err)
			}
			*part.into = append(*part.into, u)
		}
	}
	return nil
}

// texts takes a string as a list of one.
func texts(v any) ([]string, bool) {
	switch v := v.(type) {
	case nil:
		return nil, true
	case string:
		return []string{v}, true
	case []any:
		var list []string
		for _, x := range v {
			s, ok := x.(string)
			if !ok {
				return nil, false
			}
			list = append(list, s)
		}
		return list, true
	}
	return nil, false
}

func factTime(v any) (policy.Now, error) {
	switch v := v.(type) {
	case nil:
		return policy.Now{}, nil
	case time.Time:
		return policy.Now{Wall: v, Known: true}, nil
	case string:
		at, err := time.Parse(time.RFC3339, v)
		return policy.Now{Wall: at, Known: true}, err
	}
	if conf.Zoneless(v) {
		return policy.Now{}, fmt.Errorf("%v has no time zone; write it as 2026-03-01T12:00:00Z", v)
	}
	return policy.Now{}, fmt.Errorf("want a time such as 2026-03-01T12:00:00Z")
}

// slots reads components and sizes.
func (f *facts) slots(doc conf.Document, file factsFile) error {
	size := func(v any) (int64, error) {
		n, ok := v.(int64)
		if !ok || n <= 0 {
			return 0, fmt.Errorf("want bytes, more than 0")
		}
		return n, nil
	}
	var err error
	switch v := file.SlotSize.(type) {
	case nil:
	case map[string]any:
		for name, x := range v {
			if f.size[name], err = size(x); err != nil {
				return doc.Errorf("slot_size."+name, "%v", err)
			}
		}
	default:
		if f.anySize, err = size(v); err != nil {
			return doc.Errorf("slot_size", "%v", err)
		}
	}
	list, ok := file.Components.([]any)
	if s, one := file.Components.(string); one {
		list, ok = []any{s}, true
	}
	if !ok && file.Components != nil {
		return doc.Errorf("components", `want a list of names such as "rootfs" or "app/x", or of arrays of their parts`)
	}
	if ok {
		f.components = []string{}
	}
	for _, x := range list {
		name, err := componentName(x)
		if err != nil {
			return doc.Errorf("components", "%v", err)
		}
		f.components = append(f.components, name)
	}
	return nil
}

// componentName reads "app/x" or ["app", "x"].
func componentName(v any) (string, error) {
	if s, ok := v.(string); ok {
		_, err := manifest.ParseComponentID(s)
		return s, err
	}
	parts, ok := texts(v)
	if !ok || len(parts) == 0 {
		return "", fmt.Errorf(`want a name such as "app/x", or an array of its parts`)
	}
	var id manifest.ComponentID
	for _, p := range parts {
		id = append(id, []byte(p))
	}
	_, err := manifest.ParseComponentID(id.String())
	return id.String(), err
}

// target is the index of the slot that would be written.
func (f *facts) target() int { return 1 - f.running }

// meet completes the facts for a manifest: where its components would go.
func (f *facts) meet(m manifest.Manifest) {
	f.Device.Components = map[string]manifest.Target{}
	names := f.components
	if names == nil {
		for _, id := range m.Components() {
			names = append(names, id.String())
		}
		names = release.Passing(names)
	}
	f.SlotSize = map[string]int64{}
	for _, name := range names {
		f.Device.Components[name] = manifest.Target{Slot: f.target()}
		if _, ok := f.Floors[name]; !ok {
			f.Floors[name] = policy.Floor{Sequence: f.anyFloor}
		}
		f.SlotSize[name] = math.MaxInt64
		if f.anySize > 0 {
			f.SlotSize[name] = f.anySize
		}
		if n, ok := f.size[name]; ok {
			f.SlotSize[name] = n
		}
	}
}
