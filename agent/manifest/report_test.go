package manifest_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/dump"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// signReport signs a report as a device does, and reads it back as the desk does.
func signReport(t testing.TB, r manifest.Report) []byte {
	t.Helper()
	b, err := manifest.EncodeReport(r)
	if err != nil {
		t.Fatal(err)
	}
	s := signer(t, "foreign-p256")
	msg, err := s.Sign1(b, nil, manifest.ReportType)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := trust.NewKeys([]trust.Key{s.Key()}, false)
	if err != nil {
		t.Fatal(err)
	}
	payload, _, err := keys.Verify1(msg, nil, manifest.ReportType)
	if err != nil || !bytes.Equal(payload, b) {
		t.Fatalf("a signed report does not verify: %v", err)
	}
	return msg
}

// told writes a report's entries and result in short.
func told(r manifest.Report) string {
	var s []string
	for _, e := range r.Entries {
		switch e := e.(type) {
		case *manifest.Record:
			s = append(s, fmt.Sprintf("%d@%d.%d%v", e.Section, e.Offset, e.Index, keysOf(e.Properties)))
		case *manifest.Claim:
			s = append(s, fmt.Sprintf("%s%v", e.Component, keysOf(e.Properties)))
		}
	}
	out := strings.Join(s, " ")
	if f := r.Failure; f != nil {
		out += fmt.Sprintf(" ! %d %s %d@%d.%d%v",
			f.Code, f.Reason, f.Record.Section, f.Record.Offset, f.Record.Index, keysOf(f.Record.Properties))
	}
	return out
}

func keysOf(p manifest.Properties) []int64 {
	var list []int64
	for k := range int64(64) {
		if _, ok := p[k]; ok {
			list = append(list, k)
		}
	}
	return list
}

// draft-ietf-suit-manifest section 8.4.7 and draft-ietf-suit-report sections 3 and 4: what is
// recorded of a procedure, and how it ends.
func TestReport(t *testing.T) {
	verify := func(c craft) manifest.Manifest {
		m, err := accept(t, c.build(t))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	shared := func(policy int) seq { return seq{20, pars{1: vendor[:], 3: pdigest(digA), 14: 7}, 1, policy} }
	for _, tt := range []struct {
		name string
		c    craft
		dev  func(*manifest.Device)
		want string
	}{
		{"nothing is asked for", craft{shared: shared(0), install: join(uri(u), seq{21, 0, 3, 0})}, nil, ""},
		{"record on success",
			craft{shared: shared(1), install: join(uri(u), seq{21, 1, 3, 1})}, nil, "3@62.0[1] 20@16.0[] 20@18.0[3]"},
		{"record on failure asks for nothing when all is well",
			craft{shared: shared(2), install: join(uri(u), seq{21, 2, 3, 2})}, nil, ""},
		{"system information on success",
			craft{shared: shared(4), install: join(uri(u), seq{21, 4, 3, 4})}, nil, "rootfs[1] rootfs[3]"},
		{"all", craft{shared: shared(15), install: join(uri(u), seq{21, 15, 3, 15})}, nil,
			"3@62.0[1] rootfs[1] 20@16.0[] 20@18.0[3] rootfs[3]"},
		{"a failed condition ends it, with what was measured",
			craft{shared: shared(2), install: join(uri(u), seq{21, 0, 3, 0})},
			func(d *manifest.Device) { d.Vendors = []manifest.UUID{class} },
			"3@62.0[1] ! 1 condition-failed 3@62.0[1]"},
		{"and nothing that comes behind is recorded",
			craft{shared: seq{20, pars{1: vendor[:], 2: class[:]}, 1, 2, 2, 1},
				install: join(seq{20, a}, uri(u), seq{21, 1, 3, 1})},
			func(d *manifest.Device) { d.Vendors = nil }, "3@39.0[] ! 1 condition-failed 3@39.0[]"},
		{"or with nothing", craft{shared: shared(15), install: join(uri(u), seq{21, 0, 3, 0})},
			func(d *manifest.Device) { d.Vendors = nil }, "3@62.0[] ! 1 condition-failed 3@62.0[]"},
		{"a soft failure is recorded and ends nothing",
			craft{shared: seq{15, list{nest(20, pars{5: 0}, 5, 2), nil}, 20, a},
				install: join(uri(u), seq{21, 0, 3, 0})}, nil,
			"3@9.0[5]"},
		{"a failed directive", craft{shared: shared(0), install: seq{21, 15}}, nil, " ! 0 operation-failed 20@1.0[]"},
		{"of the second component",
			craft{components: two, shared: twoID, install: seq{12, true, 20, pars{14: 7}, 12, 1, 21, 15}}, nil,
			"3@82.0[1] rootfs[1] 3@84.0[2] rootfs[2] ! 0 operation-failed 20@9.1[]"},
		{"a condition of the second component",
			craft{components: two, shared: twoID, install: seq{12, 1, 20, pars{5: 1}, 5, 1, 20, pars{5: 0}, 5, 2}}, nil,
			"3@82.0[1] rootfs[1] 3@84.0[2] rootfs[2] 20@7.1[5] 20@13.1[5] ! 5 condition-failed 20@13.1[5]"},
		{"a severed section", craft{shared: shared(0), install: inst(), severed: []int64{20}}, nil,
			" ! 0 severing-unsupported 20@0.0[]"},
		{"every condition measures something", craft{shared: seq{
			20,
			pars{1: vendor[:], 2: class[:], 24: vendor[:], 3: pdigest(digA), 4: noon.Unix() + 9, 5: 1, 26: 10, 27: 1,
				28: enc(list{2, list{1}}), 18: []byte("image A")}, 1, 1, 2, 1, 24, 1, 4, 1, 5, 1, 26, 1, 27,
			1, 28, 1, 3, 1, 6, 1}}, func(d *manifest.Device) {
			d.Devices, d.Components["rootfs"] = []manifest.UUID{vendor}, manifest.Target{Slot: 1, Holds: digA}
		}, "3@127.0[1] 3@129.0[2] 3@131.0[24] 3@134.0[4] 3@136.0[5] 3@138.0[26] 3@141.0[] " +
			"3@144.0[28] 3@147.0[3] 3@149.0[3]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.c.manifest = pars{4: "https://x/m.suit"}
			m, d := verify(tt.c), device()
			if tt.dev != nil {
				tt.dev(&d)
			}
			r := m.Report(d)
			if tt.c.install != nil && told(r) != tt.want || !strings.HasPrefix(told(r), tt.want) {
				t.Errorf("%s\nwant %s", told(r), tt.want)
			}
			if r.URI != "https://x/m.suit" || r.Manifest != m.Digest() {
				t.Errorf("it is about %s %s", r.URI, r.Manifest)
			}
			// It survives the way to the desk.
			b, err := manifest.EncodeReport(r)
			if err != nil {
				t.Fatal(err)
			}
			back, err := manifest.DecodeReport(b)
			if err != nil || told(back) != told(r) || back.String() != r.String() {
				t.Errorf("came back as %s, %v", told(back), err)
			}
			again, err := manifest.EncodeReport(back)
			if err != nil || !bytes.Equal(again, b) {
				t.Errorf("encoded again it is something else: %v", err)
			}
			var out bytes.Buffer
			if err := dump.Write(&out, signReport(t, r)); err != nil ||
				!strings.Contains(out.String(), "/ SUIT report, signature not verified here /") {
				t.Errorf("dump: %v\n%s", err, out.String())
			}
		})
	}
}

// TestReportMeasures: what a failed condition found on the device; nothing where that is unknown.
func TestReportMeasures(t *testing.T) {
	other := manifest.UUIDv5(vendor, "other")
	before := func(now int64) func(*manifest.Device) {
		return func(d *manifest.Device) { d.Now = time.Unix(now, 0) }
	}
	failing := func(p pars, condition int) craft { return craft{shared: seq{20, p, condition, 2}} }
	integrated := func(s string, c int) craft {
		return craft{install: join(uri("#p"), seq{21, 0, c, 2}), payloads: map[string][]byte{"#p": []byte(s)}}
	}
	passes := func(p pars, condition int) craft { return craft{shared: seq{20, p, condition, 1, 14, 0}} }
	for name, tt := range map[string]struct {
		c    craft
		dev  func(*manifest.Device)
		want string
	}{
		"one of two vendors": {passes(pars{1: vendor[:]}, 1),
			func(d *manifest.Device) { d.Vendors = []manifest.UUID{other, vendor} }, fmt.Sprint("map[1:", vendor, "]")},
		"neither of two": {failing(pars{1: class[:]}, 1),
			func(d *manifest.Device) { d.Vendors = []manifest.UUID{other, vendor} }, fmt.Sprint("map[1:", other, "]")},
		"no device": {failing(pars{24: class[:]}, 24), nil, "map[]"},
		"image": {failing(a, 3),
			func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Holds: digB} },
			fmt.Sprint("map[3:", digB, "]")},
		"unknown image":        {failing(a, 3), nil, "map[]"},
		"integrated image":     {integrated("image B", 3), nil, fmt.Sprint("map[3:", digB, "]")},
		"the same image":       {failing(a, 25), holdsA, fmt.Sprint("map[3:", digA, "]")},
		"the same, integrated": {integrated("image A", 25), nil, fmt.Sprint("map[3:", digA, "]")},
		"content":              {failing(pars{18: []byte("image B")}, 6), holdsA, fmt.Sprint("map[3:", digA, "]")},
		"slot":                 {failing(pars{5: 0}, 5), nil, "map[5:1]"},
		"slot 0": {failing(pars{5: 1}, 5),
			func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{} }, "map[5:0]"},
		"no slot": {failing(pars{5: 1}, 5),
			func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Slot: -1} }, "map[]"},
		"time":                 {failing(pars{4: 0}, 4), before(0), "map[4:0]"},
		"before its beginning": {passes(pars{4: 0}, 4), before(-1), "map[]"},
		"no time":              {failing(pars{4: 0}, 4), func(d *manifest.Device) { d.TimeKnown = false }, "map[]"},
		"battery":              {failing(pars{26: 1}, 26), func(d *manifest.Device) { d.BatteryMWh = 0 }, "map[26:0]"},
		"no battery":           {failing(pars{26: 1}, 26), func(d *manifest.Device) { d.BatteryMWh = -1 }, "map[]"},
		"version":              {failing(pars{28: enc(list{1, list{9}})}, 28), nil, "map[28:{3 [1 4 2]}]"},
		"no version": {failing(pars{28: enc(list{1, list{9}})}, 28),
			func(d *manifest.Device) { d.Version = nil }, "map[]"},
		"priority": {failing(pars{27: 1}, 27),
			func(d *manifest.Device) { d.Authorized = func(int64) bool { return false } }, "map[]"},
	} {
		m, err := accept(t, tt.c.build(t))
		if err != nil {
			t.Fatal(name, err)
		}
		d := device()
		if tt.dev != nil {
			tt.dev(&d)
		}
		r := m.Report(d)
		var record *manifest.Record
		for _, e := range r.Entries {
			if r, ok := e.(*manifest.Record); ok {
				record = r
			}
		}
		if record == nil || fmt.Sprint(record.Properties) != tt.want {
			t.Errorf("%s: %+v, want %s", name, record, tt.want)
		}
	}
}

// What goes wrong with an image after all was accepted takes back what the report had taken for
// granted.
func TestReportOfAFailedInstall(t *testing.T) {
	c := craft{install: join(uri(u), seq{21, 1, 3, 5}), validate: seq{3, 5}}
	m, err := accept(t, c.build(t))
	if err != nil {
		t.Fatal(err)
	}
	d := device()
	r, up := m.Report(d), manifest.Update{}
	if up, err = m.Resolve(d); err != nil {
		t.Fatal(err)
	}
	in := up.Installs[0]
	all := "3@80.0[1] rootfs[1] 3@82.0[2] rootfs[2] 20@16.0[] 20@18.0[3] rootfs[3] "
	rest := "3@80.0[1] rootfs[1] 3@82.0[2] rootfs[2] 7@1.0[3] rootfs[3]"
	if told(r) != all+rest {
		t.Errorf("all well: %s", told(r))
	}
	lost := r.Fail(manifest.CodeOperation, in.Stored, nil)
	if want := "3@80.0[1] rootfs[1] 3@82.0[2] rootfs[2] ! 0 operation-failed 20@16.0[]"; told(lost) != want {
		t.Errorf("fetch failed: %s, want %s", told(lost), want)
	}
	wrong := r.Fail(manifest.CodeCondition, in.Matched, manifest.Properties{3: digB})
	if want := "3@80.0[1] rootfs[1] 3@82.0[2] rootfs[2] 20@16.0[] ! 0 " +
		"condition-failed 20@18.0[3]"; told(wrong) != want {
		t.Errorf("image is wrong: %s, want %s", told(wrong), want)
	}
	if told(r) != all+rest {
		t.Error("Fail changed the report that it was made from")
	}
	same(t, "report-completed.cbor", signReport(t, r))
	same(t, "report-failed.cbor", signReport(t, wrong))
	var out bytes.Buffer
	if err := dump.Write(&out, signReport(t, wrong)); err != nil {
		t.Fatal(err)
	}
	same(t, "report-failed.txt", out.Bytes())
}

// However much is asked to be recorded, MaxRecords are.
func TestReportIsBounded(t *testing.T) {
	s := repeat(manifest.MaxCommands, 5, 5)
	m, err := accept(t,
		craft{shared: append(identify(20, pars{5: 1}), s[:20]...), install: s, validate: s, fetch: s}.build(t))
	if err != nil {
		t.Fatal(err)
	}
	if r := m.Report(device()); len(r.Entries) != manifest.MaxRecords || r.Failure != nil {
		t.Errorf("%d entries, %v", len(r.Entries), r)
	}
}

// A report of an envelope that never became a manifest says where it failed and, where it asked for
// too much, what the device can do.
func TestReportOfARefusal(t *testing.T) {
	for _, g := range goldens() {
		b := g.bytes(t)
		e, err := manifest.Parse(b)
		if err == nil {
			_, err = manifest.Verify(e, anchors(t))
		}
		if err == nil {
			continue
		}
		r := manifest.Refused(b, err)
		var x *manifest.Error
		if !errors.As(err, &x) || r.Failure.Reason != x.Code || int(r.Failure.Record.Offset) != max(x.Offset, 0) ||
			r.Failure.Record.Section != x.Section {
			t.Errorf("%s: %+v does not say %v", g.name, r.Failure, err)
		}
		if asked := x.Code == manifest.CodeAlgorithm ||
			x.Code >= manifest.CodeCommand && x.Code <= manifest.CodeSevering; asked != (r.Can != nil) {
			t.Errorf("%s: capabilities %v", g.name, r.Can)
		}
		if e.ClaimedDigest() != r.Manifest && !e.ClaimedDigest().IsZero() {
			t.Errorf("%s: about %s", g.name, r.Manifest)
		}
		signReport(t, r)
	}
}

// TestReportOfARefusalOfAnother: the place of an error is that of the report, and what a severed envelope lacks is
// something that this device cannot do.
func TestReportOfARefusalOfAnother(t *testing.T) {
	r := manifest.Refused([]byte("x"),
		&manifest.Error{Code: manifest.CodeSevering, Section: 20, Offset: 5, Component: 2})
	if want := " ! 0 severing-unsupported 20@5.2[]"; told(r) != want || r.Can == nil ||
		r.Manifest != manifest.Sum([]byte("x")) {
		t.Errorf("%s, %v, want %s", told(r), r.Can, want)
	}
	if r := manifest.Refused(nil, errors.New("x")); told(r) != " ! 0 cbor-parse 0@0.0[]" || r.Can != nil {
		t.Errorf("%s, %v", told(r), r.Can)
	}
	for want, section := range map[string]int{"shared-sequence": 3, "install": 20, "section 0": 0, "section 17": 17} {
		r := manifest.Report{Manifest: digA}.Fail(manifest.CodeOperation,
			manifest.Place{Section: section, Offset: 4, Index: 1}, nil)
		if want := "manifest " + digA.String() + " failed: operation-failed in " + want +
			" at offset 4, component 1"; r.String() != want {
			t.Errorf("%s, want %s", r, want)
		}
	}
}

// TestReportKeepsWhatItDoesNotKnowTheTimeOf: entries of a report that was read stay when it is made one of a failure.
func TestReportKeepsWhatItDoesNotKnowTheTimeOf(t *testing.T) {
	m, err := accept(t, craft{install: join(uri(u), seq{21, 1, 3, 1})}.build(t))
	if err != nil {
		t.Fatal(err)
	}
	u, err := m.Resolve(device())
	if err != nil {
		t.Fatal(err)
	}
	r := m.Report(device())
	b, err := manifest.EncodeReport(r)
	if err != nil {
		t.Fatal(err)
	}
	back, err := manifest.DecodeReport(b)
	if err != nil {
		t.Fatal(err)
	}
	if got := back.Fail(manifest.CodeOperation, u.Installs[0].Stored, nil); len(got.Entries) != len(r.Entries) {
		t.Errorf("%s of %s", told(got), told(r))
	}
}
