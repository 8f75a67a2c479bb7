package manifest_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/manifest/manifesttest"
)

var update = flag.Bool("update", false, "rewrite the golden envelopes, their index and dumps")

// golden is one envelope of testdata/suit: how it is made, and where it ends.
type golden struct {
	name    string
	bytes   func(t testing.TB) []byte
	stage   string // "parse", "verify": refused there; "resolve": an error there; "findings"; "ok"
	code    manifest.Code
	text    string // part of the error or finding
	section string // of the standard, as in TestProcessing
}

// under says which section of the standard envelopes are about.
func under(section string, list ...golden) []golden {
	for i := range list {
		list[i].section = section
	}
	return list
}

// The releases that the golden envelopes vary.
func release() author.Release          { return manifesttest.Release() }
func fullRelease() author.Release      { return manifesttest.Full() }
func encryptedRelease() author.Release { return manifesttest.Encrypted(info(gcm)) }

// made builds and signs a release.
func made(r author.Release, signers ...string) func(t testing.TB) []byte {
	return func(t testing.TB) []byte {
		t.Helper()
		return manifesttest.Make(t, r, signers...)
	}
}

func severed(f func(testing.TB) []byte) func(testing.TB) []byte {
	return func(t testing.TB) []byte {
		t.Helper()
		env, err := author.Sever(f(t))
		if err != nil {
			t.Fatal(err)
		}
		return env
	}
}

// edit changes bytes of an honest envelope.
func edit(f func(b []byte) []byte) func(testing.TB) []byte {
	return func(t testing.TB) []byte { return f(made(release(), "release-p256")(t)) }
}

// wrongOrder writes the envelope's two elements with the manifest first.
func wrongOrder(b []byte) []byte {
	var t cbor.RawTag
	if err := cbor.Unmarshal(b, &t); err != nil {
		panic(err)
	}
	var m map[int64]cbor.RawMessage
	if err := cbor.Unmarshal(t.Content, &m); err != nil {
		panic(err)
	}
	return bytes.Join([][]byte{{0xd8, 0x6b, 0xa2, 3}, m[3], {2}, m[2]}, nil)
}

func crafted(c craft) func(testing.TB) []byte {
	return func(t testing.TB) []byte { return c.build(t) }
}

// with is an install of the honest kind with one more command.
func with(code int64, arg any) func(testing.TB) []byte {
	return crafted(craft{install: join(uri(u), fetch, seq{code, arg})})
}

func par(key int64, value any) func(testing.TB) []byte {
	return crafted(craft{install: join(seq{20, pars{key: value}}, uri(u), fetch)})
}

func element(key int64, value any) func(testing.TB) []byte {
	return crafted(craft{install: join(uri(u), fetch), manifest: pars{key: value}})
}

// mapKey is a component identifier as a map key.
type mapKey string

func (k mapKey) MarshalCBOR() ([]byte, error) { return []byte(k), nil }

func deep(n int) []byte {
	s := nest(3, 15)
	for range n {
		s = nest(32, s)
	}
	return s
}

func goldens() []golden {
	inst := join(uri(u), fetch)
	ok := func(name string, f func(testing.TB) []byte) golden { return golden{name: name, bytes: f, stage: "ok"} }
	found := func(name string, f func(testing.TB) []byte, text string) golden {
		return golden{name: name, bytes: f, stage: "findings", code: manifest.CodeCondition, text: text}
	}
	parse := func(name string, f func(testing.TB) []byte, code manifest.Code, text string) golden {
		return golden{name: name, bytes: f, stage: "parse", code: code, text: text}
	}
	verify := func(name string, f func(testing.TB) []byte, code manifest.Code, text string) golden {
		return golden{name: name, bytes: f, stage: "verify", code: code, text: text}
	}
	resolve := func(name string, f func(testing.TB) []byte, code manifest.Code, text string) golden {
		return golden{name: name, bytes: f, stage: "resolve", code: code, text: text}
	}
	const (
		P   = manifest.CodeParse
		C   = manifest.CodeCommand
		Par = manifest.CodeParameter
		U   = manifest.CodeUnauthorised
	)
	g := slices.Concat(under("8.2",
		ok("release-minimal", made(release(), "release-p256")),
		ok("release-ed25519", made(release(), "release-ed25519")),
		ok("release-p384", made(release(), "release-p384")),
		ok("release-three-signers", made(release(), "release-p256", "release-ed25519", "release-p384")),
		ok("release-known-and-foreign", made(release(), "foreign-p256", "release-p256")),
		found("release-full", made(fullRelease(), "release-p256"), "made for device"),
		found("release-full-severed", severed(made(fullRelease(), "release-p256")), "made for device"),
		ok("release-encrypted", made(encryptedRelease(), "release-p256")),
		ok("severable-install", crafted(craft{install: inst, severable: []int64{20}})),
		resolve("severed-install", crafted(craft{install: inst, severed: []int64{20}}),
			manifest.CodeSevering, "was severed"),
		found("wrong-class", made(func() author.Release {
			r := release()
			r.Classes[0] = manifest.ClassUUID(vendor, "toaster")
			return r
		}(), "release-p256"), "made for class"),
	), under("8.2",
		parse("hostile-empty", edit(func(b []byte) []byte { return nil }), P, "ends early"),
		parse("hostile-untagged", edit(func(b []byte) []byte { return b[2:] }), P, "tag 107"),
		parse("hostile-bare-manifest-tag", crafted(craft{tag: 1070, install: inst}), P, "tag 1070"),
		parse("hostile-cut", edit(func(b []byte) []byte { return b[:len(b)-1] }), P, "longer than the data"),
		parse("hostile-trailing-byte", edit(func(b []byte) []byte { return append(b, 0) }), P, "too many"),
		parse("hostile-indefinite-map", edit(func(b []byte) []byte {
			return append(append([]byte{0xd8, 0x6b, 0xbf}, b[3:]...), 0xff)
		}), P, "indefinite"),
		parse("hostile-long-head", edit(func(b []byte) []byte {
			return append([]byte{0xd9, 0x00, 0x6b}, b[2:]...)
		}), P, "shortest"),
		parse("hostile-manifest-first", edit(wrongOrder), P, "deterministic order"),
		parse("hostile-key-twice", edit(func(b []byte) []byte {
			return append(append([]byte{0xd8, 0x6b, 0xa3}, b[3:]...), 3, 0x40)
		}), P, "deterministic order"),
		parse("hostile-huge-length", edit(func(b []byte) []byte {
			return []byte{0xd8, 0x6b, 0xa2, 2, 0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		}), P, "longer than the data"),
		parse("hostile-huge-map", edit(func(b []byte) []byte {
			return []byte{0xd8, 0x6b, 0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		}), P, "elements"),
		parse("hostile-unknown-element", crafted(craft{outer: map[any]any{int64(4): []byte{}}}), P, "envelope key 4"),
		parse("hostile-delegation", crafted(craft{outer: map[any]any{int64(1): []byte{}}}), P, "envelope key 1"),
		parse("hostile-no-wrapper", crafted(
			craft{damage: func(e map[any]any) { delete(e, int64(2)); e["#x"] = []byte{} }}), P, "wrapper is missing"),
		parse("hostile-no-manifest", crafted(
			craft{damage: func(e map[any]any) { delete(e, int64(3)); e["#x"] = []byte{} }}), P, "manifest is missing"),
		parse("hostile-digest-algorithm", crafted(craft{damage: func(e map[any]any) {
			e[int64(2)] = enc(list{enc(list{-18, make([]byte, 32)})})
		}}), manifest.CodeAlgorithm, "digest algorithm -18"),
		parse("hostile-digest-short", crafted(craft{damage: func(e map[any]any) {
			e[int64(2)] = enc(list{enc(list{-16, make([]byte, 31)})})
		}}), P, "digest of 31 bytes"),
		parse("hostile-nine-blocks",
			crafted(craft{install: inst, signers: []string{"release-p256", "release-p256", "release-p256",
				"release-p256", "release-p256", "release-p256", "release-p256", "release-p256", "release-p256"}}), P,
			"elements"),
	), under("8.3",
		verify("hostile-manifest-changed", edit(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }),
			U, "digest mismatch"),
		verify("hostile-digest-without-head", crafted(craft{install: inst, damage: func(e map[any]any) {
			d := manifest.Sum(e[int64(3)].([]byte))
			e[int64(2)] = enc(list{pdigest(d)})
		}}), U, "digest mismatch"),
		verify("hostile-unsigned", made(release()), U, "not signed"),
		verify("hostile-foreign-signer", made(release(), "foreign-p256"), U, "no trusted signer"),
		verify("hostile-foreign-signer-garbage-manifest", crafted(craft{signers: []string{"foreign-p256"},
			content: func(pars) []byte { return []byte{0xff} }}), U, "no trusted signer"),
		verify("hostile-mac", crafted(craft{install: inst, damage: func(e map[any]any) {
			d := e[int64(3)].([]byte)
			mac := enc(cbor.Tag{Number: 17, Content: list{enc(pars{1: 5}), pars{}, nil, make([]byte, 32)}})
			e[int64(2)] = enc(list{pdigest(manifest.Sum(enc(d))), mac})
		}}), U, "MAC"),
	), under("8.4",
		verify("hostile-garbage-manifest",
			crafted(craft{content: func(pars) []byte { return []byte{0xff} }}), P, "map expected"),
		verify("hostile-version-2", element(1, 2), P, "manifest-version 2"),
		verify("hostile-no-version", element(1, nil), P, "manifest-version is missing"),
		verify("hostile-no-sequence", crafted(craft{install: inst, manifest: pars{2: nil}}), P,
			"manifest-sequence-number"),
		verify("hostile-no-common", crafted(craft{manifest: pars{3: nil, 4: "x"}}), P, "missing"),
		verify("hostile-unknown-manifest-key", element(17, []byte{}), P, "manifest key 17"),
		verify("hostile-text-manifest-key", crafted(craft{content: func(m pars) []byte {
			return append(append([]byte{0xa0 + byte(len(m)) + 1}, enc(m)[1:]...), 0x61, 'x', 0)
		}}), P, "not an integer"),
		verify("hostile-manifest-keys-unordered", crafted(craft{content: func(m pars) []byte {
			return bytes.Join([][]byte{{0xa3, 1, 1, 3}, enc(m[3]), {2, 7}}, nil)
		}}), P, "deterministic order"),
		verify("hostile-manifest-trailing",
			crafted(craft{content: func(m pars) []byte { return append(enc(m), 0) }}), P, "too many"),
		verify("hostile-float-sequence", element(2, 1.5), P, "unsigned integer expected"),
		verify("refused-invoke", element(9, nest(23, 2)), C,
			"invoke is not supported: loading and starting an image is the bootloader's work (section 9, offset 1)"),
		verify("refused-load", element(8, nest(3, 15)), C, "(section 8, offset 1)"),
		verify("refused-uninstall", element(24, nest(3, 15)), C, "(section 24, offset 1)"),
		verify("refused-dependency-resolution", element(15, nest(3, 15)), C, "(section 15, offset 1)"),
		verify("refused-candidate-verification", element(18, nest(3, 15)), C, "(section 18, offset 1)"),
		verify("refused-component-id", element(5, rootfs[0]), manifest.CodeComponent, "manifest-component-id"),
		verify("hostile-coswid", element(14, []byte{0xff}), P, "coswid"),
		verify("refused-dependencies", crafted(craft{common: pars{1: pars{0: pars{}}}}),
			manifest.CodeComponent, "dependencies"),
		verify("hostile-common-key", crafted(craft{common: pars{5: 0}}), P, "key of common"),
		verify("hostile-no-components", crafted(craft{common: pars{2: list{}}}), manifest.CodeComponent, "components"),
		verify("hostile-nine-components",
			crafted(craft{common: pars{2: list{list{[]byte("1")}, list{[]byte("2")}, list{[]byte("3")},
				list{[]byte("4")}, list{[]byte("5")}, list{[]byte("6")}, list{[]byte("7")},
				list{[]byte("8")}, list{[]byte("9")}}}}), manifest.CodeComponent, "components"),
		verify("hostile-component-twice",
			crafted(craft{common: pars{2: list{rootfs[0], rootfs[0]}}}), P, "listed twice"),
		verify("hostile-component-empty", crafted(craft{common: pars{2: list{list{[]byte{}}}}}), P, "empty"),
		verify("hostile-reference-uri", element(4, "https://x/\x1b[2J"), P, "not allowed in URIs"),
		verify("hostile-set-version", element(6, enc(list{1, 2, 3, 4})), P, "release numbers"),
	), under("8.4.6",
		verify("hostile-odd-sequence", crafted(craft{install: seq{21, 2, 3}}), P, "without an argument"),
		verify("hostile-empty-sequence", crafted(craft{install: seq{}}), P, "elements"),
		verify("hostile-sequence-trailing", crafted(craft{manifest: pars{20: append(nest(21, 2), 0)}}), P, "too many"),
		verify("hostile-unknown-command", with(99, 15), C, "command 99"),
		verify("hostile-custom-command", with(-300, 15), C, "custom command -300"),
		verify("hostile-argument-type", with(3, "all"), P, "condition-image-match"),
		verify("hostile-sixty-five-commands", crafted(craft{install: func() (s seq) {
			for range 65 {
				s = append(s, 14, 15)
			}
			return s
		}()}), P, "elements"),
		verify("hostile-depth-five", with(32, deep(3)), P, "deeper"),
		verify("hostile-nine-branches", with(15, list{nest(3, 15), nest(3, 15), nest(3, 15), nest(3, 15), nest(3, 15),
			nest(3, 15), nest(3, 15), nest(3, 15), nest(3, 15)}), P, "elements"),
		verify("hostile-nil-branch-first", with(15, list{nil, nest(3, 15)}), P, "byte string expected"),
		verify("hostile-many-commands", crafted(craft{install: func() (s seq) {
			var inner list
			for range 64 {
				inner = append(inner, 3, 15)
			}
			for range 17 {
				s = append(s, 32, nest(inner...))
			}
			return s
		}()}), P, "more than 1024 commands"),
		resolve("hostile-step-bomb", crafted(craft{
			components: list{list{[]byte("rootfs")}, list{[]byte("boot")}, list{[]byte("3")}, list{[]byte("4")},
				list{[]byte("5")}, list{[]byte("6")}, list{[]byte("7")}, list{[]byte("8")}},
			shared:  twoID,
			install: seq{12, true, 32, nest(12, true, 32, nest(12, true, 32, nest(12, true, 20, a, 20, a)))},
		}), manifest.CodeOperation, "more than 4096"),
	), under("8.4.8",
		verify("hostile-unknown-parameter", par(99, 1), Par, "parameter 99"),
		verify("hostile-custom-parameter", par(-300, 1), Par, "custom parameter -300"),
		verify("refused-private-enterprise-number", par(1, cbor.Tag{Number: 112, Content: []byte{1}}), Par,
			"private enterprise"),
		verify("hostile-uuid-length", par(1, make([]byte, 15)), P, "UUID of 15 bytes"),
		verify("hostile-image-size-0", par(14, 0), P, "out of range"),
		verify("hostile-image-size-64-bit", par(14, ^uint64(0)), P, "out of range"),
		verify("hostile-image-digest", par(3, enc(list{-16, make([]byte, 5)})), P, "digest of 5 bytes"),
		verify("hostile-no-parameters", crafted(craft{install: seq{20, pars{}}}), P, "elements"),
		verify("hostile-uri-spaces", par(21, "https://x/a b"), P, "not allowed in URIs"),
		verify("hostile-uri-empty", par(21, ""), P, "URI is empty"),
		verify("hostile-uri-long", par(21, "https://x/"+strings.Repeat("a", manifest.MaxURI)), P, "at most 2048"),
		verify("hostile-nine-mirrors",
			par(25, enc(pars{1: list{"1", "2", "3", "4", "5", "6", "7", "8", "9"}})), P, "elements"),
		verify("hostile-source-component", par(22, 1), manifest.CodeComponent, "source component 1"),
		verify("hostile-encryption-info", par(19, []byte{}), manifest.CodeCOSE, "encryption-info"),
		verify("hostile-encryption-algorithm", par(19, bytes.Replace(info(gcm), []byte{0xa1, 1, 1},
			[]byte{0xa1, 1, 2}, 1)), manifest.CodeAlgorithm, "content encryption algorithm 2"),
		verify("hostile-version-comparison", par(28, enc(list{6, list{1}})), Par, "comparison 6"),
	), under("8.4.12",
		verify("hostile-severable-changed", crafted(craft{install: inst, severable: []int64{20},
			damage: func(e map[any]any) { e[int64(20)] = nest(21, 2) }}), U, "install was changed"),
		verify("hostile-severable-twice", crafted(craft{install: inst, outer: map[any]any{int64(20): nest(21, 2)}}), P,
			"in the manifest and in the envelope"),
		verify("hostile-severable-foreign",
			crafted(craft{outer: map[any]any{int64(15): nest(21, 2)}}), P, "says nothing"),
		verify("hostile-severable-unannounced",
			crafted(craft{outer: map[any]any{int64(20): nest(21, 2)}}), P, "says nothing"),
		verify("hostile-text-changed",
			crafted(craft{install: inst, manifest: pars{23: enc(map[string]any{"en": pars{1: "x"}})},
				severable: []int64{23}, damage: func(e map[any]any) {
					e[int64(23)] = enc(map[string]any{"en": pars{1: "y"}})
				}}), U, "text was changed"),
		resolve("empty-content", crafted(craft{install: join(seq{20, pars{18: []byte{}}, 18, 15})}),
			manifest.CodeOperation, "content is empty"),
		ok("empty-content-replaced",
			crafted(craft{install: join(seq{20, pars{18: []byte{}}, 20, pars{18: []byte("x")}, 18, 15})})),
		ok("odd-text-key", element(23, enc(map[string]any{"en": pars{5: "x"}}))),
		ok("odd-text-component",
			element(23, enc(map[string]any{"en": map[any]any{mapKey(enc(list{[]byte("modem")})): pars{1: "x"}}}))),
		ok("odd-text-language", element(23, enc(map[string]any{"e_n": pars{1: "x"}}))),
		ok("odd-text-not-utf8", element(23, enc(map[string]any{"en": map[int]raw{1: {0x61, 0xff}}}))),
		ok("odd-text-no-map", element(23, []byte{0x83, 0x01, 0xff})),
		ok("odd-payload-unused", crafted(craft{install: inst, payloads: map[string][]byte{"#x": {1}}})),
	))
	// What the device profile refuses, each with its place. Elements are above.
	for _, r := range manifest.Refusals() {
		switch r.Kind {
		case "command":
			arg := any(15)
			if r.Key == 35 {
				arg = pars{0: list{5}}
			}
			g = append(g, under("8.4.6", verify(fmt.Sprintf("refused-command-%d", r.Key), with(r.Key, arg), r.Code,
				r.Name+" is not supported: "+r.Why+" (section 20, offset 20)"))...)
		case "parameter":
			g = append(g, under("8.4.8", verify(fmt.Sprintf("refused-parameter-%d", r.Key), par(r.Key, []byte{}),
				r.Code, r.Name+" is not supported: "+r.Why+" (section 20, offset 1)"))...)
		}
	}
	return g
}

// The golden envelopes: their bytes are stable, and each ends where the index says.
func TestGolden(t *testing.T) {
	var index strings.Builder
	index.WriteString("file\tsection\tends at\tSUIT reason\tsays\n")
	for _, g := range goldens() {
		t.Run(g.name, func(t *testing.T) {
			b := g.bytes(t)
			same(t, g.name+".suit", b)
			stage, text := ending(t, b)
			code := manifest.CodeOK
			var e *manifest.Error
			if errors.As(text, &e) {
				code = e.Code
			} else if stage == "findings" {
				code = manifest.CodeCondition
			}
			if stage != g.stage || code != g.code || g.text != "" && !strings.Contains(text.Error(), g.text) {
				t.Errorf("ended at %s with %s: %v; want %s with %s: %s", stage, code, text, g.stage, g.code, g.text)
			}
			says := ""
			if text != nil {
				says = text.Error()
			}
			fmt.Fprintf(&index, "%s.suit\t%s\t%s\t%s\t%s\n", g.name, g.section, stage, code, says)
		})
	}
	same(t, "INDEX.tsv", []byte(index.String()))
	files, err := filepath.Glob(filepath.Join(testdata, "*.suit"))
	if err != nil || len(files) != len(goldens()) {
		t.Errorf("%d envelopes in %s, %d are made here (%v)", len(files), testdata, len(goldens()), err)
	}
}

// ending takes an envelope as far as it goes on the test device.
func ending(t *testing.T, b []byte) (string, error) {
	t.Helper()
	e, err := manifest.Parse(b)
	if err != nil {
		return "parse", err
	}
	m, err := manifest.Verify(e, anchors(t))
	if err != nil {
		return "verify", err
	}
	if !bytes.Equal(m.Envelope(), b) || m.Digest() != e.ClaimedDigest() || len(m.Signers()) == 0 {
		t.Error("manifest does not keep what was verified")
	}
	u, err := m.Resolve(device())
	if err != nil {
		return "resolve", err
	}
	if len(u.Findings) > 0 {
		var all []error
		for _, f := range u.Findings {
			all = append(all, errors.New(f.Detail))
		}
		return "findings", fmt.Errorf("%v", all)
	}
	return "ok", nil
}

// same compares with a golden file, or writes it with -update.
func same(t *testing.T, name string, b []byte) {
	t.Helper()
	file := filepath.Join(testdata, name)
	if *update {
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, want) {
		t.Errorf("%s differs from its golden file (go test -update rewrites it)", name)
	}
}
