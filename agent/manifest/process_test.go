package manifest_test

import (
	"errors"
	"fmt"
	"slices"
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

// rule is one rule of the standard with a manifest that shows it. Sections are those of
// draft-ietf-suit-manifest-34 or, with a letter before them, of -update-management (U),
// -firmware-encryption (E) and -trust-domains (T).
type rule struct {
	section, name string
	c             craft
	dev           func(*manifest.Device)
	want          outcome
}

func inst(more ...any) seq { return append(join(uri(u), fetch), more...) }

// The rules that the processor implements, each by the section that demands it. RULES.tsv lists them.
func TestProcessing(t *testing.T) {
	var list strings.Builder
	list.WriteString("section\trule\n")
	for _, tt := range slices.Concat(processRules(), installRules(), conditionRules()) {
		fmt.Fprintf(&list, "%s\t%s\n", tt.section, tt.name)
		t.Run(tt.section+" "+tt.name, func(t *testing.T) {
			d := device()
			if tt.dev != nil {
				tt.dev(&d)
			}
			check(t, tt.c.build(t), d, tt.want)
		})
	}
	same(t, "RULES.tsv", []byte(list.String()))
}

// processRules are about the order of commands.
func processRules() []rule {
	return []rule{
		{"6.1", "parameters last through the procedure",
			craft{shared: seq{20, pars{1: vendor[:]}, 1, 15}, install: join(seq{20, a}, uri(u), seq{21, 2}),
				validate: seq{3, 15}}, nil, fetched},

		{"6.2", "several components without an index", craft{components: two, shared: twoID, install: inst()}, nil,
			refuses(manifest.CodeParse, "must begin with set-component-index")},
		{"6.2", "component that the device lacks", craft{components: list{list{[]byte("modem")}}, install: inst()}, nil,
			refuses(manifest.CodeComponent, "modem does not exist")},
		{"6.2", "wrong class comes before a component that is lacking",
			craft{components: list{list{[]byte("modem")}}, install: inst()},
			func(d *manifest.Device) { d.Classes = nil }, findings("modem 2")},

		{"6.4", "missing parameter after a finding is its consequence",
			craft{shared: seq{20, pars{1: class[:]}, 1, 15, 2, 15, 3, 15}}, nil, findings("rootfs 1")},
		{"6.4", "what fails after a finding is its consequence",
			craft{shared: seq{20, pars{1: class[:]}, 1, 15}, install: seq{21, 2}}, nil, findings("rootfs 1")},
		{"6.4", "nor does a try-each count that lacks a parameter then",
			craft{shared: seq{20, pars{1: class[:]}, 1, 15, 15, list{nest(24, 15), nest(24, 15)}}}, nil,
			findings("rootfs 1")},
		{"6.4", "but one that fails otherwise does",
			craft{shared: seq{20, pars{1: class[:]}, 1, 15, 15, list{nest(24, 15), nest(14, 15)}}}, nil,
			findings("rootfs 1", "rootfs 15")},
		{"6.4", "whichever alternative it was",
			craft{shared: seq{20, pars{1: class[:]}, 1, 15, 15, list{nest(14, 15), nest(24, 15)}}}, nil,
			findings("rootfs 1", "rootfs 15")},
		{"6.4", "failed directive",
			craft{install: seq{21, 2, 3, 15}}, nil, refuses(manifest.CodeOperation, "uri is not set")},
		{"6.4", "failed directive in try-each aborts",
			craft{install: seq{15, list{nest(21, 2), nest(inst()...)}, 3, 15}}, nil,
			refuses(manifest.CodeOperation, "uri is not set")},

		{"6.5", "default index is 0", craft{install: inst()}, nil, fetched},
		{"6.5", "two components",
			craft{components: two, shared: twoID, install: join(seq{12, 0}, inst(), seq{12, 1, 20, b}, inst())}, nil,
			installs("rootfs "+u+" A", "boot "+u+" B")},
		{"6.5", "index true", craft{components: two, shared: twoID, install: join(seq{12, true, 20, a}, inst())}, nil,
			installs("rootfs "+u+" A", "boot "+u+" A")},
		{"6.5", "index array", craft{components: two, shared: twoID, install: join(seq{12, list{1, 0}, 20, a}, inst())},
			nil, installs("boot "+u+" A", "rootfs "+u+" A")},
		{"6.5", "parameters belong to a component",
			craft{components: two, shared: twoID, install: join(seq{12, 0}, uri(u), seq{12, 1, 21, 2})}, nil,
			refuses(manifest.CodeOperation, "uri is not set")},
		{"6.5", "try-each whole once per component", craft{components: two, shared: twoID, install: join(
			seq{12, true, 20, pars{5: 1, 14: 7}, 15, list{nest(5, 5, 20, a), nest(20, b)}}, inst())},
			func(d *manifest.Device) { d.Components["rootfs"] = manifest.Target{Slot: 0} },
			installs("rootfs "+u+" B", "boot "+u+" A")},
		{"6.5", "index restored after a nested sequence", craft{components: two, shared: twoID, install: join(
			seq{12, 0, 32, nest(12, 1, 20, pars{21: "https://x/other"})}, inst())}, nil, fetched},
		{"6.5", "index does not leak from a failed branch", craft{components: two, shared: twoID, install: join(
			seq{12, 0, 15, list{nest(12, 1, 14, 15), nil}}, inst())}, nil, fetched},
		{"6.5", "out of range",
			craft{install: seq{12, 1, 21, 2}}, nil, refuses(manifest.CodeComponent, "component index 1")},
		{"6.5", "out of range in an array",
			craft{install: seq{12, list{0, 1}, 21, 2}}, nil, refuses(manifest.CodeComponent, "component index 1")},
		{"6.5", "index false", craft{install: seq{12, false, 21, 2}}, nil, refuses(manifest.CodeParse, "false")},

		{"6.7", "strict-order is satisfied by a serial processor",
			craft{install: join(seq{20, pars{12: false}}, inst(), seq{20, pars{12: true}})}, nil, fetched},

		{"8.4.5", "fetch in shared",
			craft{shared: identify(21, 2)}, nil, refuses(manifest.CodeCommand, "not allowed in the shared sequence")},
		{"8.4.5", "write in shared", craft{shared: identify(20, pars{18: []byte("x")}, 18, 15)}, nil,
			refuses(manifest.CodeCommand, "not allowed in the shared sequence")},
		{"8.4.5", "set-parameters in shared",
			craft{shared: identify(19, pars{21: u})}, nil,
			refuses(manifest.CodeCommand, "not allowed in the shared sequence")},
		{"8.4.5", "fetch nested in shared", craft{shared: identify(15, list{nest(21, 2), nil})}, nil,
			refuses(manifest.CodeCommand, "not allowed in the shared sequence")},

		{"8.4.6", "fetch, match, validate", craft{install: inst(), validate: seq{3, 15}}, nil, fetched},
		{"8.4.6", "missing sequences are skipped", craft{install: inst()}, nil, fetched},
		{"8.4.6", "payload-fetch before install",
			craft{fetch: join(uri("#p"), seq{21, 2}), install: inst(),
				payloads: map[string][]byte{"#p": []byte("image A")}}, nil, fetched},
		{"8.4.6", "payload-fetch alone", craft{fetch: inst()}, nil, fetched},
		{"8.4.6", "validate sees another digest",
			craft{install: inst(), validate: seq{20, b, 3, 15}}, nil, findings("rootfs 3")},
		{"8.4.6", "no sequence at all: conditions are asked",
			craft{}, func(d *manifest.Device) { d.Classes = nil }, findings("rootfs 2")},
		{"8.4.6", "nothing to do", craft{}, nil, installs()},
		{"8.4.6", "shared runs before each section",
			craft{install: join(seq{20, pars{3: pdigest(digB)}}, uri(u), seq{21, 2}), validate: seq{3, 15}}, nil,
			fetched},

		{"8.4.8.15", "soft-failure outside",
			craft{install: join(seq{20, pars{13: true}}, inst())}, nil,
			refuses(manifest.CodeParameter, "soft-failure")},
		{"8.4.8.15", "soft-failure with set-parameters", craft{install: seq{32, nest(19, pars{13: true}, 14, 15)}}, nil,
			refuses(manifest.CodeParameter, "override-parameters")},

		{"8.4.10.2", "first branch",
			craft{install: join(seq{15, list{nest(uri(u)...), nest(uri("https://x/2")...)}}, fetch)}, nil, fetched},
		{"8.4.10.2", "second branch",
			craft{install: join(seq{15, list{nest(join(uri("https://x/1"), seq{14, 15})...), nest(uri(u)...)}}, fetch)},
			nil, fetched},
		{"8.4.10.2", "later branches do not run",
			craft{install: join(seq{15, list{nest(uri(u)...), nest(uri("https://x/2")...),
				nest(uri("https://x/3")...)}}, fetch)}, nil, fetched},
		{"8.4.10.2", "nil last branch",
			craft{install: join(uri(u), seq{15, list{nest(14, 15), nest(14, 15), nil}}, fetch)}, nil, fetched},
		{"8.4.10.2", "all fail, one cause",
			craft{shared: identify(15, list{nest(20, pars{2: vendor[:]}, 2, 15), nest(20, pars{2: vendor[:]}, 2, 15)}),
				install: inst()}, nil, findings("rootfs 2")},
		{"8.4.10.2", "all fail, several causes",
			craft{shared: identify(15, list{nest(20, pars{5: 0}, 5, 5), nest(14, 15)}), install: inst()}, nil,
			findings("rootfs 15")},
		{"8.4.10.2", "soft-failure false forces the failure",
			craft{install: join(seq{15, list{nest(20, pars{13: false}, 14, 15), nest(uri(u)...)}}, uri(u), fetch)}, nil,
			findings("rootfs 14")},
		{"8.4.10.2", "soft-failure false within an outer branch fails the inner try-each",
			craft{install: join(seq{15, list{
				nest(15, list{nest(20, pars{13: false}, 14, 15), nil}),
				nest(uri(u)...)}}, fetch)}, nil, fetched},
		{"8.4.10.2", "exhausted within an outer branch", craft{install: join(seq{15, list{
			nest(15, list{nest(14, 15), nest(14, 15)}),
			nest(uri(u)...)}}, fetch)}, nil, fetched},
		{"8.4.10.2", "soft-failure is restored", craft{install: join(seq{15, list{
			nest(15, list{nest(20, pars{13: false}), nest(14, 15)}, 14, 15),
			nest(uri(u)...)}}, fetch)}, nil, fetched},
		{"8.4.10.2", "soft-failure starts true in each branch", craft{install: join(seq{15, list{
			nest(20, pars{13: false}, 20, pars{13: true}, 14, 15), nest(14, 15), nest(uri(u)...)}}, fetch)}, nil,
			fetched},
		{"8.4.10.2", "parameters of a failed branch stay",
			craft{install: join(seq{15, list{nest(20, pars{21: u}, 14, 15), nest(20, pars{5: 1})}}, fetch)}, nil,
			fetched},

		{"8.4.10.3", "override always writes", craft{install: join(uri("https://x/old"), inst())}, nil, fetched},
		{"T", "set-parameters writes what is unset",
			craft{install: join(seq{19, pars{21: u}, 21, 2, 3, 15})}, nil, fetched},
		{"T", "set-parameters keeps what is set",
			craft{install: join(uri(u), seq{19, pars{21: "https://x/late", 25: enc(pars{})}}, fetch)}, nil, fetched},
		{"7", "digest must be overridden",
			craft{install: join(seq{19, a}, inst())}, nil, refuses(manifest.CodeParameter, "override-parameters")},

		{"8.4.10.8", "run-sequence", craft{install: seq{32, nest(inst()...)}}, nil, fetched},
		{"8.4.10.8", "a condition in it fails the whole",
			craft{install: join(seq{32, nest(14, 15)}, inst())}, nil, findings("rootfs 14")},
		{"8.4.10.8", "a condition in it, and the one after",
			craft{shared: identify(32, nest(20, pars{24: class[:], 5: 0}, 24, 15, 5, 5))}, nil,
			findings("rootfs 24", "rootfs 5")},
		{"8.4.10.8", "soft: it ends, processing goes on",
			craft{install: join(seq{32, nest(20, pars{13: true}, 14, 15, 20, pars{21: "https://x/never"})}, uri(u),
				fetch)}, nil, fetched},
		{"8.4.10.8", "soft, then nothing after the condition runs",
			craft{install: join(uri(u), seq{32, nest(20, pars{13: true}, 14, 15, 20, pars{21: "https://x/never"})},
				fetch)}, nil, fetched},
		{"8.4.10.8", "fails the enclosing branch",
			craft{install: join(seq{15, list{nest(32, nest(14, 15)), nest(uri(u)...)}}, fetch)}, nil, fetched},
		{"8.4.10.8", "soft does not reach inward",
			craft{install: join(uri(u), seq{32,
				nest(20, pars{13: true}, 32, nest(14, 15), 20, pars{21: "https://x/never"})}, fetch)}, nil, fetched},

		// A parallel processor would do what 6.7 says; a serial one must see what would go wrong there.
		{"6.7", "a component is target and then source without order",
			craft{components: two, shared: twoID, install: seq{
				12, 0, 20, pars{12: false, 21: u}, 21, 2, 12, 1, 20, pars{22: 0}, 22, 2}}, nil,
			refuses(manifest.CodeOperation, "target and source while strict-order is false")},
		{"6.7", "a component is source and then target without order",
			craft{components: two, shared: twoID, install: seq{
				12, 0, 20, pars{21: u}, 21, 2, 3, 15, 12, 1, 20, pars{12: false, 22: 0}, 22, 2, 12, 0, 21, 2}}, nil,
			refuses(manifest.CodeOperation, "target and source while strict-order is false")},
		{"6.7", "with order it may be", craft{components: two, shared: append(twoID, 12, 1, 20, a), install: seq{
			12, 0, 20, pars{21: u}, 21, 2, 3, 15, 12, 1, 20, pars{22: 0}, 22, 2, 3, 15}}, nil,
			installs("rootfs "+u+" A", "boot "+u+" A")},
		{"6.7", "strict-order true ends what was begun",
			craft{components: two, shared: append(twoID, 12, 1, 20, a), install: seq{
				12, 0, 20, pars{12: false, 21: u}, 21, 2, 3, 15, 20, pars{12: true}, 12, 1, 20,
				pars{22: 0}, 22, 2, 3, 15}}, nil, installs("rootfs "+u+" A", "boot "+u+" A")},
		{"6.7", "so that the same may begin again",
			craft{components: two, shared: append(twoID, 12, 1, 20, a), install: seq{
				12, 0, 20, pars{12: false, 21: u}, 21, 2, 3, 15, 20, pars{12: true}, 12, 1, 20,
				pars{12: false, 22: 0}, 22, 2, 3, 15}}, nil, installs("rootfs "+u+" A", "boot "+u+" A")},
		{"6.7", "strict-order does not leave its sequence",
			craft{components: two, shared: append(twoID, 12, 1, 20, a), install: seq{
				12, 0, 32, nest(20, pars{12: false, 21: u}, 21, 2, 3, 15), 12, 1, 20, pars{22: 0}, 22, 2, 3, 15}}, nil,
			installs("rootfs "+u+" A", "boot "+u+" A")},
		{"6.7", "without order, run-sequence must begin with set-component-index",
			craft{components: two, shared: twoID, install: seq{
				12, 0, 20, pars{12: false}, 32, nest(20, pars{21: u})}}, nil,
			refuses(manifest.CodeOperation, "must begin with set-component-index")},
		{"6.7", "without order, run-sequence begins with set-component-index",
			craft{components: two, shared: twoID, install: seq{
				12, 0, 20, pars{12: false}, 32, nest(join(seq{12, 0}, inst())...)}}, nil, fetched},
		{"6.7", "and changes the index no further", craft{components: two, shared: twoID, install: seq{
			12, 0, 20, pars{12: false}, 32, nest(join(seq{12, 0}, inst(), seq{12, 1})...)}}, nil,
			refuses(manifest.CodeOperation, "must not change the component index")},
		{"6.7", "nor in a sequence within it", craft{components: two, shared: twoID, install: seq{
			12, 0, 20, pars{12: false}, 32, nest(12, 0, 32, nest(12, 1, 14, 15))}}, nil,
			refuses(manifest.CodeOperation, "must not change the component index")},
		{"6.7", "without order, for a list of components the index is preset",
			craft{components: two, shared: append(twoID, 12, 1, 20, a), install: seq{
				12, true, 20, pars{12: false, 21: u}, 32, nest(21, 2, 3, 15)}}, nil,
			installs("rootfs "+u+" A", "boot "+u+" A")},
		{"6.7", "and must not be changed", craft{components: two, shared: twoID, install: seq{
			12, list{0}, 20, pars{12: false, 21: u}, 32, nest(12, 0, 21, 2)}}, nil,
			refuses(manifest.CodeOperation, "must not change the component index")},

		{"6.7", "what was stored with order before is no race",
			craft{components: two, shared: append(twoID, 12, 1, 20, a), install: seq{
				12, 0, 20, pars{21: u}, 21, 2, 3, 15, 12, 1, 20, pars{12: false, 22: 0}, 22, 2, 3, 15}}, nil,
			installs("rootfs "+u+" A", "boot "+u+" A")},
		{"6.7", "nor is what was read", craft{components: two, shared: append(twoID, 12, 1, 20, a), install: seq{
			12, 0, 20, pars{21: u}, 21, 2, 3, 15, 12, 1, 20, pars{22: 0}, 22, 2, 3, 15, 12, 0, 20, pars{12: false}, 21,
			2, 3, 15}}, nil, installs("rootfs "+u+" A", "boot "+u+" A")},
		{"6.7", "strict-order false again forgets nothing", craft{components: two, shared: twoID, install: seq{
			12, 0, 20, pars{12: false, 21: u}, 21, 2, 20, pars{12: false}, 12, 1, 20, pars{22: 0}, 22, 2}}, nil,
			refuses(manifest.CodeOperation, "target and source while strict-order is false")},
		{"6.7", "what was read may be stored again after strict-order true",
			craft{components: two, shared: append(twoID, 12, 1, 20, a), install: seq{
				12, 0, 20, pars{21: u}, 21, 2, 3, 15, 12, 1, 20, pars{12: false, 22: 0}, 22, 2, 3, 15, 20,
				pars{12: true},
				20, pars{12: false}, 12, 0, 21, 2, 3, 15}}, nil, installs("rootfs "+u+" A", "boot "+u+" A")},
		{"6.7", "of one component too, run-sequence must begin with set-component-index", craft{install: seq{
			20, pars{12: false}, 32, nest(20, pars{21: u})}}, nil,
			refuses(manifest.CodeOperation, "must begin with set-component-index")},
		{"6.7", "in a sequence within a sequence too", craft{install: seq{
			32, nest(20, pars{12: false}, 32, nest(20, pars{21: u}))}}, nil,
			refuses(manifest.CodeOperation, "must begin with set-component-index")},
		{"6.7", "and after override-multiple", craft{components: two, shared: twoID, install: seq{
			12, true, 20, pars{12: false}, 34, pars{0: pars{21: u}}, 32, nest(21, 2)}}, nil,
			refuses(manifest.CodeOperation, "must begin with set-component-index")},

		{"8.4.8.15", "soft-failure outside, with override-multiple",
			craft{install: seq{34, pars{0: pars{13: true}}, 14, 15}}, nil,
			refuses(manifest.CodeParameter, "soft-failure")},

		{"U3.2", "a software identifier is no reason to refuse",
			craft{install: inst(), manifest: pars{14: enc(pars{0: "x", 1: list{1.5, nil}})}}, nil, fetched},
		{"U3.2", "nor is a severable one",
			craft{install: inst(), manifest: pars{14: enc(pars{0: "x"})}, severable: []int64{14}}, nil, fetched},
		{"U3.2", "nor is a severed one",
			craft{install: inst(), manifest: pars{14: enc(pars{0: "x"})}, severed: []int64{14}}, nil, fetched},
		{"U3.2", "but a malformed one is",
			craft{install: inst(), manifest: pars{14: []byte{0xff}}}, nil, refuses(manifest.CodeParse, "coswid")},
		{"U3.2", "and a changed one", craft{install: inst(), manifest: pars{14: enc(pars{0: "x"})},
			severable: []int64{14},
			damage:    func(e map[any]any) { e[int64(14)] = enc(pars{0: "y"}) }}, nil,
			refuses(manifest.CodeUnauthorised, "coswid was changed")},

		{"U5.7", "override-multiple sets parameters of each component",
			craft{components: two, shared: twoID, install: seq{
				12, 0, 34, pars{0: pars{21: u}, 1: pars{3: pdigest(digB), 14: 7, 21: "https://x/b"}},
				12, true, 21, 2, 3, 15}}, nil, installs("rootfs "+u+" A", "boot https://x/b B")},
		{"U5.7", "the index is then the last component listed", craft{components: two, shared: twoID, install: seq{
			12, 0, 34, pars{0: pars{21: u}, 1: pars{3: pdigest(digB), 14: 7, 21: "https://x/b"}}, 21, 2, 3, 15}}, nil,
			installs("boot https://x/b B")},
		{"U5.7", "which does not leave its sequence", craft{components: two, shared: twoID, install: seq{
			12, 0, 20, pars{21: u}, 32, nest(34, pars{1: pars{21: "https://x/b"}}), 21, 2, 3, 15}}, nil, fetched},
		{"U5.7", "override-multiple overrides",
			craft{install: seq{20, pars{21: "https://x/old"}, 34, pars{0: pars{21: u}}, 21, 2, 3, 15}}, nil, fetched},
		{"U5.7", "in a sequence it may set soft-failure",
			craft{install: join(seq{32, nest(34, pars{0: pars{13: true}}, 14, 15)}, inst())}, nil, fetched},
		{"U5.7", "out of range",
			craft{install: seq{34, pars{1: pars{21: u}}, 21, 2}}, nil,
			refuses(manifest.CodeComponent, "component index 1")},
		{"U5.7", "of nothing",
			craft{install: seq{34, pars{}, 21, 2}}, nil, refuses(manifest.CodeParse, "override-multiple")},
		{"U5.7", "unknown parameter",
			craft{install: seq{34, pars{0: pars{99: 1}}, 21, 2}}, nil, refuses(manifest.CodeParameter, "parameter 99")},
		{"U5.7", "not in the shared sequence", craft{shared: identify(34, pars{0: pars{5: 1}})}, nil,
			refuses(manifest.CodeCommand, "not allowed in the shared sequence")},
		{"U5.7", "changes the index of a sequence that may run beside others",
			craft{components: two, shared: twoID, install: seq{
				12, true, 20, pars{12: false}, 32, nest(34, pars{0: pars{21: u}})}}, nil,
			refuses(manifest.CodeOperation, "must not change the component index")},
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
		if i.From != "" {
			s += " from " + i.From
		}
		if !i.Encryption.IsZero() {
			s += fmt.Sprintf(" decrypt %d", i.Encryption.Algorithm())
		}
		if !i.Payload.IsZero() {
			s += " payload " + images[i.Payload]
		}
		if i.Stored.Section == 0 || i.Matched.Section == 0 {
			t.Errorf("install without its place: %+v", i)
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

// TestMadeForASlot: an image is made for one slot where the manifest would install another one, or none, in the other.
func TestMadeForASlot(t *testing.T) {
	a, b := pars{3: pdigest(digA), 14: 7}, pars{3: pdigest(digB), 14: 7}
	for _, c := range []struct {
		name string
		made craft
		want bool
	}{
		{"for any slot", craft{install: inst()}, false},
		{"for this slot only", craft{install: inst(20, pars{5: 1}, 5, 5)}, true},
		{"that is asked first", craft{shared: identify(20, pars{5: 1}, 5, 5), install: inst()}, true},
		{"an image per slot",
			craft{shared: identify(15, list{nest(20, pars{5: 0}, 5, 5, 20, a), nest(20, pars{5: 1}, 5, 5, 20, b)}),
				install: inst()}, true},
		{"an alternative that asks for something else",
			craft{shared: identify(15, list{nest(20, pars{5: 1}, 1, 5, 20, a), nest(20, b)}), install: inst()}, false},
	} {
		m, err := accept(t, c.made.build(t))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		d := device()
		d.Components["rootfs"] = manifest.Target{Slot: 1}
		u, err := m.Resolve(d)
		if err != nil || len(u.Installs) != 1 || u.Installs[0].ForSlot != c.want {
			t.Errorf("%s: %+v, %v", c.name, u, err)
		}
	}
}
