package manifest_test

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// conditionRules are about conditions.
func conditionRules() []rule {
	return []rule{
		{"8.4.9", "missing parameter", craft{shared: seq{1, 15}}, nil, findings("rootfs 1")},

		{"8.4.9.1", "wrong vendor and wrong class",
			craft{install: inst()}, func(d *manifest.Device) { d.Vendors, d.Classes = nil, nil },
			findings("rootfs 1", "rootfs 2")},
		{"8.4.9.1", "several vendors",
			craft{install: inst()},
			func(d *manifest.Device) { d.Vendors = append([]manifest.UUID{class}, d.Vendors...) }, fetched},
		{"8.4.9.1", "device", craft{shared: identify(20, pars{24: class[:]}, 24, 15), install: inst()},
			func(d *manifest.Device) { d.Devices = []manifest.UUID{vendor, class} }, fetched},
		{"8.4.9.1", "another device",
			craft{shared: identify(20, pars{24: class[:]}, 24, 15), install: inst()}, nil, findings("rootfs 24")},

		{"8.4.9.2", "fetch without image-match",
			craft{install: join(uri(u), seq{21, 2})}, nil, refuses(manifest.CodeOperation, "never compared")},
		{"8.4.9.2", "image-match in validate binds",
			craft{install: join(uri(u), seq{21, 2}), validate: seq{3, 15}}, nil, fetched},
		{"8.4.9.2", "no digest",
			craft{shared: seq{20, pars{1: vendor[:]}, 1, 15}, install: inst()}, nil, findings("rootfs 3")},
		{"8.4.9.2", "no size", craft{shared: seq{20, pars{3: pdigest(digA)}}, install: inst()}, nil,
			refuses(manifest.CodeOperation, "image-size")},
		{"8.4.9.2", "size is said with a later match",
			craft{shared: seq{20, pars{3: pdigest(digA)}}, install: inst(), validate: seq{20, pars{14: 7}, 3, 15}}, nil,
			fetched},
		{"8.4.9.2", "two digests for one fetch", craft{install: inst(20, b, 3, 15)}, nil, findings("rootfs 3")},
		{"8.4.9.2", "two sizes for one fetch", craft{install: inst(20, pars{14: 8}, 3, 15)}, nil, findings("rootfs 3")},
		{"8.4.9.2", "before a fetch: known content", craft{shared: identify(), install: seq{3, 15}},
			func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Holds: digA} }, installs()},
		{"8.4.9.2", "before a fetch: other content", craft{install: seq{3, 15}},
			func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Holds: digB} }, findings("rootfs 3")},
		{"8.4.9.2", "before a fetch: unknown content", craft{install: seq{3, 15}}, nil, findings("rootfs 3")},
		{"8.4.9.2", "fetch only what is not there",
			craft{install: seq{15, list{nest(3, 15), nest(inst()...)}}, validate: seq{3, 15}},
			func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Holds: digA} }, installs()},
		{"8.4.9.2", "fetch what is not there",
			craft{install: seq{15, list{nest(3, 15), nest(inst()...)}}, validate: seq{3, 15}}, nil, fetched},

		{"8.4.9.3", "check-content",
			craft{install: seq{20, pars{18: []byte("image A")}, 18, 15, 6, 15}}, nil, installs(`rootfs  A "image A"`)},
		{"8.4.9.3", "check-content differs",
			craft{install: seq{20, pars{18: []byte("image A")}, 18, 15, 20, pars{18: []byte("image ?")}, 6, 15}}, nil,
			findings("rootfs 6")},
		{"8.4.9.3", "check-content of known content", craft{install: seq{20, pars{18: []byte("image A")}, 6, 15}},
			func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Holds: digA} }, installs()},
		{"8.4.9.3", "check-content of unknown content",
			craft{install: seq{20, pars{18: []byte("image A")}, 6, 15}}, nil, findings("rootfs 6")},
		{"8.4.9.3", "check-content after a fetch cannot be known",
			craft{install: join(uri(u), seq{21, 2, 20, pars{18: []byte("image A")}, 6, 15, 3, 15})},
			func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Holds: digA} }, findings("rootfs 6")},

		{"8.4.9.4", "slot", craft{install: inst(20, pars{5: 1}, 5, 5)}, nil, fetched},
		{"8.4.9.4", "other slot", craft{install: inst(20, pars{5: 0}, 5, 5)}, nil, findings("rootfs 5")},
		{"8.4.9.4", "an image per slot",
			craft{shared: identify(15, list{nest(20, pars{5: 0}, 5, 5, 20, a), nest(20, pars{5: 1}, 5, 5, 20, b)}),
				install: inst()}, nil, installs("rootfs " + u + " B")},
		{"8.4.9.4", "no image for the slot",
			craft{shared: seq{15, list{nest(20, pars{5: 0}, 5, 5, 20, a), nest(20, pars{5: 2}, 5, 5, 20, b)}},
				install: seq{21, 2, 3, 15}}, nil, findings("rootfs 5")},

		{"8.4.9.5", "abort", craft{install: join(inst(), seq{14, 15})}, nil, findings("rootfs 14")},

		{"U5.1", "before the expiry",
			craft{shared: identify(20, pars{4: noon.Unix() + 1}, 4, 15), install: inst()}, nil, fetched},
		{"U5.1", "at the expiry",
			craft{shared: identify(20, pars{4: noon.Unix()}, 4, 15), install: inst()}, nil, findings("rootfs 4")},
		{"U5.1", "expiry, time unknown", craft{shared: identify(20, pars{4: noon.Unix() + 1}, 4, 15), install: inst()},
			func(d *manifest.Device) { d.TimeKnown = false }, findings("rootfs 4")},
		{"U5.1", "expiry beyond every calendar",
			craft{shared: identify(20, pars{4: ^uint64(0)}, 4, 15), install: inst()}, nil, fetched},

		{"U5.2", "image-not-match, unknown content",
			craft{install: seq{15, list{nest(append(seq{25, 15}, inst()...)...), nil}}}, nil, fetched},
		{"U5.2", "image-not-match, the image is there",
			craft{install: seq{15, list{nest(append(seq{25, 15}, inst()...)...), nil}}},
			func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Holds: digA} }, installs()},
		{"U5.2", "image-not-match after a fetch cannot be known",
			craft{install: join(uri(u), seq{21, 2, 25, 15, 3, 15})}, nil, findings("rootfs 25")},

		{"U5.3", "battery", craft{shared: identify(20, pars{26: 5000}, 26, 15), install: inst()}, nil, fetched},
		{"U5.3", "battery low",
			craft{shared: identify(20, pars{26: 5001}, 26, 15), install: inst()}, nil, findings("rootfs 26")},
		{"U5.3", "battery unknown", craft{shared: identify(20, pars{26: 0}, 26, 15), install: inst()},
			func(d *manifest.Device) { d.BatteryMWh = -1 }, findings("rootfs 26")},

		{"U5.4", "authorised", craft{shared: identify(20, pars{27: -3}, 27, 15), install: inst()},
			func(d *manifest.Device) { d.Authorized = func(p int64) bool { return p == -3 } }, fetched},
		{"U5.4", "not authorised", craft{shared: identify(20, pars{27: 3}, 27, 15), install: inst()},
			func(d *manifest.Device) { d.Authorized = func(p int64) bool { return p != 3 } }, findings("rootfs 27")},

		{"U5.5", "version",
			craft{shared: identify(20, pars{28: enc(list{2, list{1, 4}})}, 28, 15), install: inst()}, nil, fetched},
		{"U5.5", "version too old",
			craft{shared: identify(20, pars{28: enc(list{2, list{1, 5}})}, 28, 15), install: inst()}, nil,
			findings("rootfs 28")},
		{"U5.5", "version unknown, upper limit",
			craft{shared: identify(20, pars{28: enc(list{4, list{9}})}, 28, 15), install: inst()},
			func(d *manifest.Device) { d.Version = nil }, findings("rootfs 28")},
		{"U5.5", "version unknown",
			craft{shared: identify(20, pars{28: enc(list{2, list{1}})}, 28, 15), install: inst()},
			func(d *manifest.Device) { d.Version = nil }, findings("rootfs 28")},
	}
}

// TestFindingsSay: what was asked and what is, as an operator reads it; "" = the condition holds.
func TestFindingsSay(t *testing.T) {
	at := func(now int64) func(*manifest.Device) {
		return func(d *manifest.Device) { d.Now = time.Unix(now, 0) }
	}
	battery := func(n int64) func(*manifest.Device) { return func(d *manifest.Device) { d.BatteryMWh = n } }
	slot := func(n int) func(*manifest.Device) {
		return func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Slot: n} }
	}
	const year9999 int64 = 253402300799
	other := manifest.UUIDv5(vendor, "other")
	for name, tt := range map[string]struct {
		c    craft
		dev  func(*manifest.Device)
		says string
	}{
		"vendor, unset":   {craft{shared: seq{1, 15}}, nil, "parameter vendor-identifier is not set"},
		"class, unset":    {craft{shared: seq{2, 15}}, nil, "parameter class-identifier is not set"},
		"match, unset":    {craft{shared: seq{3, 15}}, nil, "parameter image-digest is not set"},
		"expiry, unset":   {craft{shared: seq{4, 15}}, nil, "parameter use-before is not set"},
		"slot, unset":     {craft{shared: seq{5, 15}}, nil, "parameter component-slot is not set"},
		"content, unset":  {craft{shared: seq{6, 15}}, nil, "parameter content is not set"},
		"device, unset":   {craft{shared: seq{24, 15}}, nil, "parameter device-identifier is not set"},
		"differs, unset":  {craft{shared: seq{25, 15}}, nil, "parameter image-digest is not set"},
		"battery, unset":  {craft{shared: seq{26, 15}}, nil, "parameter minimum-battery is not set"},
		"priority, unset": {craft{shared: seq{27, 15}}, nil, "parameter update-priority is not set"},
		"version, unset":  {craft{shared: seq{28, 15}}, nil, "parameter version is not set"},
		"abort":           {craft{shared: seq{14, 15}}, nil, "the manifest demands to stop here"},

		"vendor": {craft{shared: seq{20, pars{1: other[:]}, 1, 15}},
			func(d *manifest.Device) { d.Vendors = append(d.Vendors, class) },
			"made for vendor " + other.String() + ", this device is " + vendor.String() + ", " + class.String()},
		"no device": {craft{shared: seq{20, pars{24: other[:]}, 24, 15}}, nil,
			"made for device " + other.String() + ", this device is none"},

		"before its time":            {craft{shared: seq{20, pars{4: 1}, 4, 15}}, at(-1), ""},
		"before its time, for never": {craft{shared: seq{20, pars{4: 0}, 4, 15}}, at(-1), ""},
		"never": {craft{shared: seq{20, pars{4: 0}, 4, 15}}, at(0),
			"expired at 1970-01-01T00:00:00Z"},
		"in the last year": {craft{shared: seq{20, pars{4: year9999}, 4, 15}}, at(year9999),
			"expired at 9999-12-31T23:59:59Z"},
		"beyond it": {craft{shared: seq{20, pars{4: year9999 + 1}, 4, 15}}, at(year9999 + 1),
			"expired at second 253402300800 of the epoch"},
		"time unknown": {craft{shared: seq{20, pars{4: 9}, 4, 15}},
			func(d *manifest.Device) { d.TimeKnown = false },
			"has an expiry time, and the device does not know the time"},

		"an empty battery is enough": {craft{shared: seq{20, pars{26: 0}, 26, 15}}, battery(0), ""},
		"an unknown one is not": {craft{shared: seq{20, pars{26: 0}, 26, 15}}, battery(-1),
			"needs 0 mWh, and the battery's charge is unknown"},
		"a low one": {craft{shared: seq{20, pars{26: 2}, 26, 15}}, battery(1),
			"needs 2 mWh, the battery has 1"},

		"slot 0": {craft{shared: seq{20, pars{5: 0}, 5, 15}}, slot(0), ""},
		"another slot": {craft{shared: seq{20, pars{5: 0}, 5, 15}}, slot(1),
			"for slot 0, the target is slot 1"},
		"no slot is the highest one": {craft{shared: seq{20, pars{5: uint64(math.MaxUint64)}, 5, 15}}, slot(-1),
			"for slot 18446744073709551615, the target is slot -1"},

		"priority": {craft{shared: seq{20, pars{27: -5}, 27, 15}},
			func(d *manifest.Device) { d.Authorized = func(int64) bool { return false } },
			"update of priority -5 is not authorised yet"},
		"version": {craft{shared: seq{20, pars{28: enc(list{4, list{1, 4, -1, 2}})}, 28, 15}}, nil,
			"needs a running version <= 1.4-rc.2, running is 1.4.2"},
		"version unknown": {craft{shared: seq{20, pars{28: enc(list{1, list{1}})}, 28, 15}},
			func(d *manifest.Device) { d.Version = nil },
			"needs a running version > 1, and the running version is unknown"},

		"match, nothing known": {craft{shared: seq{20, a, 3, 15}}, nil,
			"content is unknown, must be " + digA.String()},
		"match, something else": {craft{shared: seq{20, b, 3, 15}}, holdsA,
			"content is " + digA.String() + ", must be " + digB.String()},
		"match, other content": {craft{install: seq{20, pars{18: []byte("image B")}, 18, 15, 3, 15}}, nil,
			"content is " + digB.String() + ", must be " + digA.String()},
		"match, another size": {craft{install: join(inst(), seq{20, pars{14: 8}, 3, 15})}, nil,
			"image has 7 bytes, must have 8"},
		"differs, not from this": {craft{shared: seq{20, a, 25, 15}}, holdsA,
			"content is " + digA.String() + " already"},
		"differs, from nothing": {craft{shared: seq{20, a, 25, 15}}, nil, ""},
		"differs, the content": {craft{install: join(uri("#p"), seq{21, 2, 25, 15}),
			payloads: map[string][]byte{"#p": []byte("image A")}}, nil, "content is " + digA.String() + " already"},
		"differs, what is to be": {craft{install: join(uri(u), seq{21, 2, 25, 15})}, nil,
			"what is fetched was not compared with a digest before"},

		"content, nothing known": {craft{shared: seq{20, pars{18: []byte("image A")}, 6, 15}}, nil,
			"content is unknown"},
		"content, something else": {craft{shared: seq{20, pars{18: []byte("image A")}, 6, 15}},
			func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Holds: digB} }, "content differs"},
		"content, the payload": {craft{install: join(uri("#p"),
			seq{21, 2, 20, pars{18: []byte("image A")}, 6, 15, 3, 15}),
			payloads: map[string][]byte{"#p": []byte("image A")}}, nil, ""},
	} {
		d := device()
		if tt.dev != nil {
			tt.dev(&d)
		}
		m, err := accept(t, tt.c.build(t))
		if err != nil {
			t.Fatal(name, err)
		}
		u, err := m.Resolve(d)
		says := ""
		for _, f := range u.Findings {
			says += f.Detail
		}
		if err != nil || says != tt.says {
			t.Errorf("%s: %s, %v, want %s", name, says, err, tt.says)
		}
	}
}

// TestFindingsAreClipped: those of alternatives within alternatives add up, to MaxShown bytes and no more.
func TestFindingsAreClipped(t *testing.T) {
	// The digits of a slot set the length.
	slot := func(digits int) []byte {
		n, err := strconv.ParseUint(strings.Repeat("9", digits), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return nest(20, pars{5: n}, 5, 5)
	}
	d := device()
	for i := range 22 {
		d.Devices = append(d.Devices, manifest.UUIDv5(vendor, fmt.Sprint(i)))
	}
	detail := func(digits int) string {
		m, err := accept(t, craft{shared: seq{15,
			list{slot(15), slot(digits), nest(20, pars{24: class[:]}, 24, 5)}}}.build(t))
		if err != nil {
			t.Fatal(err)
		}
		u, err := m.Resolve(d)
		if err != nil || len(u.Findings) != 1 {
			t.Fatal(u, err)
		}
		return u.Findings[0].Detail
	}
	last := d.Devices[21].String()
	if s := detail(16); len(s) != manifest.MaxShown || !strings.HasSuffix(s, last) ||
		!strings.HasPrefix(s, "no alternative applies: for slot 999999999999999, the target is slot 1; for slot ") {
		t.Errorf("%d bytes: %s", len(s), s)
	}
	if s := detail(17); len(s) != manifest.MaxShown+len("…") || !strings.HasSuffix(s, last[:35]+"…") {
		t.Errorf("%d bytes: %s", len(s), s)
	}
}
