package manifest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// outcome is what a manifest comes to: installs as "component uri digest", findings as
// "component condition", or the code and part of the text of a refusal.
type outcome struct {
	installs []string
	findings []string
	code     manifest.Code
	text     string
}

func installs(s ...string) outcome                 { return outcome{installs: s} }
func findings(s ...string) outcome                 { return outcome{findings: s} }
func refuses(c manifest.Code, text string) outcome { return outcome{code: c, text: text} }

var (
	images  = map[manifest.Digest]string{digA: "A", digB: "B"}
	fetch   = []any{21, 2, 3, 15}
	uri     = func(s string) []any { return []any{20, pars{21: s}} }
	a, b    = pars{3: pdigest(digA), 14: 7}, pars{3: pdigest(digB), 14: 7}
	two     = list{list{[]byte("rootfs")}, list{[]byte("boot")}}
	twoID   = append(seq{12, 0}, identify()...)
	u       = "https://x/u"
	fetched = installs("rootfs " + u + " A")
)

func join(parts ...[]any) seq {
	var s seq
	for _, p := range parts {
		s = append(s, p...)
	}
	return s
}

// The processing rules of draft-ietf-suit-manifest sections 6 and 8, -update-management and
// -trust-domains as far as the profile has them. The numbers are those of the project's list of
// rules: 3 procedures, 4 shared sequence, 5 failures, 6 index, 7 parameters, 8 try-each,
// 9 run-sequence, 10 soft-failure, 13 fetch and write, 14 image-match, 15 slot, 20 state.
func TestProcessing(t *testing.T) {
	inst := func(more ...any) seq { return append(join(uri(u), fetch), more...) }
	for _, tt := range []struct {
		name string
		c    craft
		dev  func(*manifest.Device)
		want outcome
	}{
		// Section 6.5, the Update procedure.
		{"3 fetch, match, validate", craft{install: inst(), validate: seq{3, 15}}, nil, fetched},
		{"3 missing sequences are skipped", craft{install: inst()}, nil, fetched},
		{"3 payload-fetch before install", craft{fetch: join(uri("#p"), seq{21, 2}), install: inst(), payloads: map[string][]byte{"#p": []byte("image A")}}, nil, fetched},
		{"3 payload-fetch alone", craft{fetch: inst()}, nil, fetched},
		{"3 validate sees another digest", craft{install: inst(), validate: seq{20, b, 3, 15}}, nil, findings("rootfs 3")},
		{"3 no sequence at all: conditions are asked", craft{}, func(d *manifest.Device) { d.Classes = nil }, findings("rootfs 2")},
		{"3 nothing to do", craft{}, nil, installs()},
		{"3 shared runs before each section", craft{install: join(seq{20, pars{3: pdigest(digB)}}, uri(u), seq{21, 2}), validate: seq{3, 15}}, nil, fetched},
		{"20 parameters last through the procedure", craft{shared: seq{20, pars{1: vendor[:]}, 1, 15}, install: join(seq{20, a}, uri(u), seq{21, 2}), validate: seq{3, 15}}, nil, fetched},

		// Section 8.4.5: no side effects in the shared sequence.
		{"4 fetch in shared", craft{shared: identify(21, 2)}, nil, refuses(manifest.CodeCommand, "not allowed in the shared sequence")},
		{"4 write in shared", craft{shared: identify(20, pars{18: []byte("x")}, 18, 15)}, nil, refuses(manifest.CodeCommand, "not allowed in the shared sequence")},
		{"4 set-parameters in shared", craft{shared: identify(19, pars{21: u})}, nil, refuses(manifest.CodeCommand, "not allowed in the shared sequence")},
		{"4 fetch nested in shared", craft{shared: identify(15, list{nest(21, 2), nil})}, nil, refuses(manifest.CodeCommand, "not allowed in the shared sequence")},

		// Section 6.4: all conditions that fail are told.
		{"5 wrong vendor and wrong class", craft{install: inst()}, func(d *manifest.Device) { d.Vendors, d.Classes = nil, nil }, findings("rootfs 1", "rootfs 2")},
		{"5 several vendors", craft{install: inst()}, func(d *manifest.Device) { d.Vendors = append([]manifest.UUID{class}, d.Vendors...) }, fetched},
		{"5 missing parameter", craft{shared: seq{1, 15}}, nil, findings("rootfs 1")},
		{"5 missing parameter after a finding is its consequence", craft{shared: seq{20, pars{1: class[:]}, 1, 15, 2, 15, 3, 15}}, nil, findings("rootfs 1")},
		{"5 what fails after a finding is its consequence", craft{shared: seq{20, pars{1: class[:]}, 1, 15}, install: seq{21, 2}}, nil, findings("rootfs 1")},
		{"5 nor does a try-each count that lacks a parameter then", craft{shared: seq{20, pars{1: class[:]}, 1, 15, 15, list{nest(24, 15), nest(24, 15)}}}, nil, findings("rootfs 1")},
		{"5 but one that fails otherwise does", craft{shared: seq{20, pars{1: class[:]}, 1, 15, 15, list{nest(24, 15), nest(14, 15)}}}, nil, findings("rootfs 1", "rootfs 15")},
		{"5 abort", craft{install: join(inst(), seq{14, 15})}, nil, findings("rootfs 14")},
		{"5 failed directive", craft{install: seq{21, 2, 3, 15}}, nil, refuses(manifest.CodeOperation, "uri is not set")},
		{"5 failed directive in try-each aborts", craft{install: seq{15, list{nest(21, 2), nest(inst()...)}, 3, 15}}, nil, refuses(manifest.CodeOperation, "uri is not set")},

		// Section 6.4.1 and 8.4.10.1: component index.
		{"6 default index is 0", craft{install: inst()}, nil, fetched},
		{"6 two components", craft{components: two, shared: twoID, install: join(seq{12, 0}, inst(), seq{12, 1, 20, b}, inst())}, nil, installs("rootfs "+u+" A", "boot "+u+" B")},
		{"6 index true", craft{components: two, shared: twoID, install: join(seq{12, true, 20, a}, inst())}, nil, installs("rootfs "+u+" A", "boot "+u+" A")},
		{"6 index array", craft{components: two, shared: twoID, install: join(seq{12, list{1, 0}, 20, a}, inst())}, nil, installs("boot "+u+" A", "rootfs "+u+" A")},
		{"6 parameters belong to a component", craft{components: two, shared: twoID, install: join(seq{12, 0}, uri(u), seq{12, 1, 21, 2})}, nil, refuses(manifest.CodeOperation, "uri is not set")},
		{"6 try-each whole once per component", craft{components: two, shared: twoID, install: join(
			seq{12, true, 20, pars{5: 1, 14: 7}, 15, list{nest(5, 5, 20, a), nest(20, b)}}, inst())},
			func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Slot: 0} }, installs("rootfs "+u+" B", "boot "+u+" A")},
		{"6 index restored after a nested sequence", craft{components: two, shared: twoID, install: join(
			seq{12, 0, 32, nest(12, 1, 20, pars{21: "https://x/other"})}, inst())}, nil, fetched},
		{"6 index does not leak from a failed branch", craft{components: two, shared: twoID, install: join(
			seq{12, 0, 15, list{nest(12, 1, 14, 15), nil}}, inst())}, nil, fetched},
		{"6 out of range", craft{install: seq{12, 1, 21, 2}}, nil, refuses(manifest.CodeComponent, "component index 1")},
		{"6 out of range in an array", craft{install: seq{12, list{0, 1}, 21, 2}}, nil, refuses(manifest.CodeComponent, "component index 1")},
		{"6 index false", craft{install: seq{12, false, 21, 2}}, nil, refuses(manifest.CodeParse, "false")},
		{"2 several components without an index", craft{components: two, shared: twoID, install: inst()}, nil, refuses(manifest.CodeParse, "must begin with set-component-index")},
		{"2 component that the device lacks", craft{components: list{list{[]byte("modem")}}, install: inst()}, nil, refuses(manifest.CodeComponent, "modem does not exist")},
		{"2 wrong class comes before a component that is lacking", craft{components: list{list{[]byte("modem")}}, install: inst()}, func(d *manifest.Device) { d.Classes = nil }, findings("modem 2")},

		// Sections 8.4.10.3 and T: parameters.
		{"7 override always writes", craft{install: join(uri("https://x/old"), inst())}, nil, fetched},
		{"7 set-parameters writes what is unset", craft{install: join(seq{19, pars{21: u}, 21, 2, 3, 15})}, nil, fetched},
		{"7 set-parameters keeps what is set", craft{install: join(uri(u), seq{19, pars{21: "https://x/late", 25: enc(pars{})}}, fetch)}, nil, fetched},
		{"7 digest must be overridden", craft{install: join(seq{19, a}, inst())}, nil, refuses(manifest.CodeParameter, "override-parameters")},

		// Section 8.4.10.2: try-each.
		{"8 first branch", craft{install: join(seq{15, list{nest(uri(u)...), nest(uri("https://x/2")...)}}, fetch)}, nil, fetched},
		{"8 second branch", craft{install: join(seq{15, list{nest(join(uri("https://x/1"), seq{14, 15})...), nest(uri(u)...)}}, fetch)}, nil, fetched},
		{"8 later branches do not run", craft{install: join(seq{15, list{nest(uri(u)...), nest(uri("https://x/2")...), nest(uri("https://x/3")...)}}, fetch)}, nil, fetched},
		{"8 nil last branch", craft{install: join(uri(u), seq{15, list{nest(14, 15), nest(14, 15), nil}}, fetch)}, nil, fetched},
		{"8 all fail, one cause", craft{shared: identify(15, list{nest(20, pars{2: vendor[:]}, 2, 15), nest(20, pars{2: vendor[:]}, 2, 15)}), install: inst()}, nil, findings("rootfs 2")},
		{"8 all fail, several causes", craft{shared: identify(15, list{nest(20, pars{5: 0}, 5, 5), nest(14, 15)}), install: inst()}, nil, findings("rootfs 15")},
		{"8 soft-failure false forces the failure", craft{install: join(seq{15, list{nest(20, pars{13: false}, 14, 15), nest(uri(u)...)}}, uri(u), fetch)}, nil, findings("rootfs 14")},
		{"8 soft-failure false within an outer branch fails the inner try-each", craft{install: join(seq{15, list{
			nest(15, list{nest(20, pars{13: false}, 14, 15), nil}),
			nest(uri(u)...)}}, fetch)}, nil, fetched},
		{"8 exhausted within an outer branch", craft{install: join(seq{15, list{
			nest(15, list{nest(14, 15), nest(14, 15)}),
			nest(uri(u)...)}}, fetch)}, nil, fetched},
		{"8 soft-failure is restored", craft{install: join(seq{15, list{
			nest(15, list{nest(20, pars{13: false}), nest(14, 15)}, 14, 15),
			nest(uri(u)...)}}, fetch)}, nil, fetched},
		{"8 soft-failure starts true in each branch", craft{install: join(seq{15, list{
			nest(20, pars{13: false}, 20, pars{13: true}, 14, 15), nest(14, 15), nest(uri(u)...)}}, fetch)}, nil, fetched},
		{"11 parameters of a failed branch stay", craft{install: join(seq{15, list{nest(20, pars{21: u}, 14, 15), nest(20, pars{5: 1})}}, fetch)}, nil, fetched},

		// Section 8.4.10.9: run-sequence.
		{"9 run-sequence", craft{install: seq{32, nest(inst()...)}}, nil, fetched},
		{"9 a condition in it fails the whole", craft{install: join(seq{32, nest(14, 15)}, inst())}, nil, findings("rootfs 14")},
		{"9 a condition in it, and the one after", craft{shared: identify(32, nest(20, pars{24: class[:], 5: 0}, 24, 15, 5, 5))}, nil, findings("rootfs 24", "rootfs 5")},
		{"9 soft: it ends, processing goes on", craft{install: join(seq{32, nest(20, pars{13: true}, 14, 15, 20, pars{21: "https://x/never"})}, uri(u), fetch)}, nil, fetched},
		{"9 soft, then nothing after the condition runs", craft{install: join(uri(u), seq{32, nest(20, pars{13: true}, 14, 15, 20, pars{21: "https://x/never"})}, fetch)}, nil, fetched},
		{"9 fails the enclosing branch", craft{install: join(seq{15, list{nest(32, nest(14, 15)), nest(uri(u)...)}}, fetch)}, nil, fetched},
		{"9 soft does not reach inward", craft{install: join(uri(u), seq{32, nest(20, pars{13: true}, 32, nest(14, 15), 20, pars{21: "https://x/never"})}, fetch)}, nil, fetched},

		// Section 8.4.8.14.
		{"10 soft-failure outside", craft{install: join(seq{20, pars{13: true}}, inst())}, nil, refuses(manifest.CodeParameter, "soft-failure")},
		{"10 soft-failure with set-parameters", craft{install: seq{32, nest(19, pars{13: true}, 14, 15)}}, nil, refuses(manifest.CodeParameter, "override-parameters")},
		{"12 strict-order is satisfied by a serial processor", craft{install: join(seq{20, pars{12: false}}, inst(), seq{20, pars{12: true}})}, nil, fetched},

		// Section 8.4.10.4 and following: fetch, write, integrated payloads.
		{"13 mirrors and encoding", craft{install: join(seq{20, pars{21: u, 25: enc(pars{1: list{"https://y/u"}, 2: 1, 3: 5})}}, fetch)}, nil, installs("rootfs " + u + " A [https://y/u] zstd 5")},
		{"13 unknown encoding", craft{install: join(seq{20, pars{21: u, 25: enc(pars{2: 9})}}, fetch)}, nil, refuses(manifest.CodeParameter, "encoding 9")},
		{"13 unknown fetch-argument", craft{install: join(seq{20, pars{21: u, 25: enc(pars{9: 9})}}, fetch)}, nil, refuses(manifest.CodeParameter, "unknown key")},
		{"13 a raw payload has the image's size", craft{install: join(seq{20, pars{21: u, 25: enc(pars{3: 8})}}, fetch)}, nil, refuses(manifest.CodeOperation, "raw payload")},
		{"13 fetch again", craft{install: join(uri("https://x/1"), fetch, inst())}, nil, fetched},
		{"13 fetch again unbinds", craft{install: join(inst(), seq{21, 2})}, nil, refuses(manifest.CodeOperation, "never compared")},
		{"13 integrated", craft{install: join(uri("#p"), fetch), payloads: map[string][]byte{"#p": []byte("image A")}}, nil, installs(`rootfs #p A "image A"`)},
		{"13 integrated under any name", craft{install: join(uri("p"), fetch), payloads: map[string][]byte{"p": []byte("image A")}}, nil, installs(`rootfs p A "image A"`)},
		{"13 integrated and wrong", craft{install: join(uri("#p"), fetch), payloads: map[string][]byte{"#p": []byte("image ?")}}, nil, findings("rootfs 3")},
		{"13 integrated and absent", craft{install: join(uri("#p"), fetch)}, nil, refuses(manifest.CodeOperation, "not in the envelope")},
		{"13 integrated and never compared", craft{install: join(uri("#p"), seq{21, 2}), payloads: map[string][]byte{"#p": []byte("image A")}}, nil, refuses(manifest.CodeOperation, "never compared")},
		{"13 write", craft{install: seq{20, pars{18: []byte("image A")}, 18, 15, 3, 15}}, nil, installs(`rootfs  A "image A"`)},
		{"13 write is bound without a condition", craft{install: seq{20, pars{18: []byte("image A")}, 18, 15}}, nil, installs(`rootfs  A "image A"`)},
		{"13 write of something else", craft{install: seq{20, pars{18: []byte("image ?")}, 18, 15, 3, 15}}, nil, findings("rootfs 3")},
		{"13 write without content", craft{install: seq{18, 15}}, nil, refuses(manifest.CodeOperation, "content is not set")},

		// Section 8.4.9.2: image-match.
		{"14 fetch without image-match", craft{install: join(uri(u), seq{21, 2})}, nil, refuses(manifest.CodeOperation, "never compared")},
		{"14 image-match in validate binds", craft{install: join(uri(u), seq{21, 2}), validate: seq{3, 15}}, nil, fetched},
		{"14 no digest", craft{shared: seq{20, pars{1: vendor[:]}, 1, 15}, install: inst()}, nil, findings("rootfs 3")},
		{"14 no size", craft{shared: seq{20, pars{3: pdigest(digA)}}, install: inst()}, nil, refuses(manifest.CodeOperation, "image-size")},
		{"14 size is said with a later match", craft{shared: seq{20, pars{3: pdigest(digA)}}, install: inst(), validate: seq{20, pars{14: 7}, 3, 15}}, nil, fetched},
		{"14 two digests for one fetch", craft{install: inst(20, b, 3, 15)}, nil, findings("rootfs 3")},
		{"14 two sizes for one fetch", craft{install: inst(20, pars{14: 8}, 3, 15)}, nil, findings("rootfs 3")},
		{"14 before a fetch: known content", craft{shared: identify(), install: seq{3, 15}}, func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Holds: digA} }, installs()},
		{"14 before a fetch: other content", craft{install: seq{3, 15}}, func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Holds: digB} }, findings("rootfs 3")},
		{"14 before a fetch: unknown content", craft{install: seq{3, 15}}, nil, findings("rootfs 3")},
		{"14 fetch only what is not there", craft{install: seq{15, list{nest(3, 15), nest(inst()...)}}, validate: seq{3, 15}}, func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Holds: digA} }, installs()},
		{"14 fetch what is not there", craft{install: seq{15, list{nest(3, 15), nest(inst()...)}}, validate: seq{3, 15}}, nil, fetched},
		{"14 image-not-match, unknown content", craft{install: seq{15, list{nest(append(seq{25, 15}, inst()...)...), nil}}}, nil, fetched},
		{"14 image-not-match, the image is there", craft{install: seq{15, list{nest(append(seq{25, 15}, inst()...)...), nil}}}, func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Holds: digA} }, installs()},
		{"14 image-not-match after a fetch cannot be known", craft{install: join(uri(u), seq{21, 2, 25, 15, 3, 15})}, nil, findings("rootfs 25")},
		{"14 check-content", craft{install: seq{20, pars{18: []byte("image A")}, 18, 15, 6, 15}}, nil, installs(`rootfs  A "image A"`)},
		{"14 check-content differs", craft{install: seq{20, pars{18: []byte("image A")}, 18, 15, 20, pars{18: []byte("image ?")}, 6, 15}}, nil, findings("rootfs 6")},
		{"14 check-content of known content", craft{install: seq{20, pars{18: []byte("image A")}, 6, 15}}, func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Holds: digA} }, installs()},
		{"14 check-content of unknown content", craft{install: seq{20, pars{18: []byte("image A")}, 6, 15}}, nil, findings("rootfs 6")},

		{"14 check-content after a fetch cannot be known", craft{install: join(uri(u), seq{21, 2, 20, pars{18: []byte("image A")}, 6, 15, 3, 15})}, func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Holds: digA} }, findings("rootfs 6")},

		// Section 8.4.9.3: the slot that is written.
		{"15 slot", craft{install: inst(20, pars{5: 1}, 5, 5)}, nil, fetched},
		{"15 other slot", craft{install: inst(20, pars{5: 0}, 5, 5)}, nil, findings("rootfs 5")},
		{"15 an image per slot", craft{shared: identify(15, list{nest(20, pars{5: 0}, 5, 5, 20, a), nest(20, pars{5: 1}, 5, 5, 20, b)}), install: inst()}, nil, installs("rootfs " + u + " B")},
		{"15 no image for the slot", craft{shared: seq{15, list{nest(20, pars{5: 0}, 5, 5, 20, a), nest(20, pars{5: 2}, 5, 5, 20, b)}}, install: seq{21, 2, 3, 15}}, nil, findings("rootfs 5")},

		// Update management: conditions of 6.
		{"U before the expiry", craft{shared: identify(20, pars{4: noon.Unix() + 1}, 4, 15), install: inst()}, nil, fetched},
		{"U at the expiry", craft{shared: identify(20, pars{4: noon.Unix()}, 4, 15), install: inst()}, nil, findings("rootfs 4")},
		{"U expiry, time unknown", craft{shared: identify(20, pars{4: noon.Unix() + 1}, 4, 15), install: inst()}, func(d *manifest.Device) { d.TimeKnown = false }, findings("rootfs 4")},
		{"U expiry beyond every calendar", craft{shared: identify(20, pars{4: ^uint64(0)}, 4, 15), install: inst()}, nil, fetched},
		{"U battery", craft{shared: identify(20, pars{26: 5000}, 26, 15), install: inst()}, nil, fetched},
		{"U battery low", craft{shared: identify(20, pars{26: 5001}, 26, 15), install: inst()}, nil, findings("rootfs 26")},
		{"U battery unknown", craft{shared: identify(20, pars{26: 0}, 26, 15), install: inst()}, func(d *manifest.Device) { d.BatteryMWh = -1 }, findings("rootfs 26")},
		{"U authorised", craft{shared: identify(20, pars{27: -3}, 27, 15), install: inst()}, func(d *manifest.Device) { d.Authorized = func(p int64) bool { return p == -3 } }, fetched},
		{"U not authorised", craft{shared: identify(20, pars{27: 3}, 27, 15), install: inst()}, func(d *manifest.Device) { d.Authorized = func(p int64) bool { return p != 3 } }, findings("rootfs 27")},
		{"U version", craft{shared: identify(20, pars{28: enc(list{2, list{1, 4}})}, 28, 15), install: inst()}, nil, fetched},
		{"U version too old", craft{shared: identify(20, pars{28: enc(list{2, list{1, 5}})}, 28, 15), install: inst()}, nil, findings("rootfs 28")},
		{"U version unknown, upper limit", craft{shared: identify(20, pars{28: enc(list{4, list{9}})}, 28, 15), install: inst()}, func(d *manifest.Device) { d.Version = nil }, findings("rootfs 28")},
		{"U version unknown", craft{shared: identify(20, pars{28: enc(list{2, list{1}})}, 28, 15), install: inst()}, func(d *manifest.Device) { d.Version = nil }, findings("rootfs 28")},
		{"U device", craft{shared: identify(20, pars{24: class[:]}, 24, 15), install: inst()}, func(d *manifest.Device) { d.Devices = []manifest.UUID{vendor, class} }, fetched},
		{"U another device", craft{shared: identify(20, pars{24: class[:]}, 24, 15), install: inst()}, nil, findings("rootfs 24")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := device()
			if tt.dev != nil {
				tt.dev(&d)
			}
			check(t, tt.c.build(t), d, tt.want)
		})
	}
}

// check takes an envelope through all stages.
func check(t *testing.T, env []byte, d manifest.Device, want outcome) {
	t.Helper()
	m, err := accept(t, env)
	var got manifest.Update
	if err == nil {
		got, err = m.Resolve(d)
	}
	if want.code != manifest.CodeOK {
		var e *manifest.Error
		if !errors.As(err, &e) || e.Code != want.code || !strings.Contains(err.Error(), want.text) {
			t.Fatalf("error %v, want %s: %s", err, want.code, want.text)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	var in, found []string
	for _, i := range got.Installs {
		s := fmt.Sprintf("%s %s %s", i.Component, i.URI, images[i.Image])
		if i.Mirrors != nil {
			s += fmt.Sprint(" ", i.Mirrors)
		}
		if i.Encoding == manifest.EncodingZstd {
			s += fmt.Sprintf(" zstd %d", i.PayloadSize)
		}
		if i.Content != nil {
			s += fmt.Sprintf(" %q", i.Content)
		}
		if i.Size != 7 {
			t.Errorf("install of %d bytes, want 7", i.Size)
		}
		in = append(in, s)
	}
	for _, f := range got.Findings {
		found = append(found, fmt.Sprintf("%s %d", f.Component, f.Condition))
		if f.Detail == "" || f.Section == 0 || f.Offset == 0 {
			t.Errorf("finding without detail or place: %+v", f)
		}
	}
	if fmt.Sprint(in) != fmt.Sprint(want.installs) || fmt.Sprint(found) != fmt.Sprint(want.findings) {
		t.Errorf("installs %q findings %q, want %q %q\n%+v", in, found, want.installs, want.findings, got.Findings)
	}
}
