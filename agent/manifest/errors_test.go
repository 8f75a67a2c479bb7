package manifest_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// refusal is an envelope and the error that it ends with, to the letter.
type refusal struct {
	name string
	env  []byte
	says string
}

// refused takes an envelope as far as it goes on a device, and gives the error that it ends with.
func refused(t *testing.T, env []byte, d manifest.Device) *manifest.Error {
	t.Helper()
	m, err := accept(t, env)
	if err == nil {
		_, err = m.Resolve(d)
	}
	var e *manifest.Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("%v is no *Error", err)
	}
	return e
}

// names runs a table of refusals.
func names(t *testing.T, table []refusal) {
	t.Helper()
	for _, tt := range table {
		e := refused(t, tt.env, device())
		switch {
		case e == nil:
			t.Errorf("%s: it is taken", tt.name)
		case e.Error() != "manifest refused "+tt.says:
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, strings.TrimPrefix(e.Error(), "manifest refused "), tt.says)
		case e.Section == 0 && e.Offset != -1:
			t.Errorf("%s: it names the command at %d of no section", tt.name, e.Offset)
		}
	}
}

// TestErrorsNameTheByte: who made the envelope finds what is wrong with its frame.
func TestErrorsNameTheByte(t *testing.T) {
	const bad = "(cbor-parse): envelope is malformed: "
	block := func(items ...any) []byte {
		return craft{damage: func(e map[any]any) { e[int64(2)] = enc(list(items)) }}.build(t)
	}
	shape := func(v any) []byte {
		return craft{damage: func(e map[any]any) { e[int64(2)] = enc(v) }}.build(t)
	}
	good := pdigest(digA)
	names(t, []refusal{
		{"too long", make([]byte, manifest.MaxEnvelope+1), "(cbor-parse): envelope is 65537 bytes, at most 65536"},
		{"a head that is cut", []byte{0xd8}, bad + "byte 0: data ends inside a head"},
		{"a key that is bytes", []byte{0xd8, 0x6b, 0xa2, 0x41, 0, 0x40, 3, 0x40},
			bad + "byte 3: integer, text or component identifier expected as a map key"},
		{"a key that is a component", craft{outer: map[any]any{mapKey(enc(list{[]byte("x")})): []byte{}}}.build(t),
			bad + "envelope key is neither an integer nor a text"},
		{"an element that is a text", craft{outer: map[any]any{int64(14): "x"}}.build(t),
			bad + "byte 266: byte string expected, found text string"},
		{"a wrapper that is a number", shape(1), bad + "byte 0: array expected, found unsigned integer"},
		{"an empty wrapper", shape(list{}), bad + "byte 0: array of 0 elements, want 1 to 9"},
		{"a digest that is not wrapped", block(1), bad + "byte 1: byte string expected, found unsigned integer"},
		{"a digest that is a number", block(enc(1)), bad + "byte 0: array expected, found unsigned integer"},
		{"a digest with something behind", block(append(slices.Clone(good), 0)), bad + "byte 36: 1 bytes too many"},
		{"a digest with three fields", block(enc(list{-16, []byte(digA.Sum), 1})),
			bad + "byte 0: array of 3 elements, want 2 to 2"},
		{"a digest of a word", block(enc(list{"x", []byte(digA.Sum)})),
			bad + "byte 1: integer expected, found text string"},
		{"a digest that is a text", block(enc(list{-16, digA.Sum[:3]})),
			bad + "byte 2: byte string expected, found text string"},
		{"a digest of 65 bytes", block(enc(list{-44, make([]byte, 65)})),
			bad + "byte 3: byte string of 65 bytes, at most 64"},
		{"a digest of another size", block(enc(list{-44, make([]byte, 63)})),
			bad + "byte 0: digest of 63 bytes, algorithm -44 has 64"},
		{"a digest of an algorithm that is not known", block(enc(list{-18, make([]byte, 32)})),
			"(alg-unsupported): digest algorithm -18 is not supported"},
		{"a digest in as many bytes as a block has", block(make([]byte, manifest.MaxBlock)),
			bad + "byte 0: array expected, found unsigned integer"},
		{"a digest in a byte more", block(make([]byte, manifest.MaxBlock+1)),
			bad + "byte 1: byte string of 4097 bytes, at most 4096"},
		{"a block that is a number", block(good, 1), bad + "byte 39: byte string expected, found unsigned integer"},
		{"a block that is too long", block(good, make([]byte, manifest.MaxBlock+1)),
			bad + "byte 39: byte string of 4097 bytes, at most 4096"},
	})
}

// TestErrorsNameTheElement: who made the manifest finds which of its elements is wrong, and where in it.
func TestErrorsNameTheElement(t *testing.T) {
	const bad = "(cbor-parse): manifest is malformed: "
	of := func(key int64, v any) []byte { return element(key, v)(t) }
	common := func(p pars) []byte { return craft{common: p}.build(t) }
	whole := func(f func(m pars)) []byte {
		return craft{install: inst(), content: func(m pars) []byte { f(m); return enc(m) }}.build(t)
	}
	twice := func(digest any) []byte {
		return craft{install: inst(), manifest: pars{14: enc(1)}, severable: []int64{14}, content: func(m pars) []byte {
			m[14] = digest
			return enc(m)
		}}.build(t)
	}
	nested := func(n int) []byte { return append(bytes.Repeat([]byte{0x81}, n), 0) }
	names(t, []refusal{
		{"version", of(1, "x"), bad + "manifest-version: byte 2: unsigned integer expected, found text string"},
		{"sequence number", of(2, "x"),
			bad + "manifest-sequence-number: byte 4: unsigned integer expected, found text string"},
		{"common", of(3, 1), bad + "common: byte 6: byte string expected, found unsigned integer"},
		{"common of nothing", of(3, enc(pars{})), bad + "common: byte 0: map of 0 elements, want 1 to 3"},
		{"common with something behind", of(3, append(enc(pars{2: rootfs}), 0)),
			bad + "common: byte 11: 1 bytes too many"},
		{"components", common(pars{2: 1}),
			"(component-unsupported): components are not acceptable: byte 2: array expected, found unsigned integer"},
		{"a component that is a text", common(pars{2: list{"x"}}),
			bad + "common: byte 3: array expected, found text string"},
		{"a part that is a text", common(pars{2: list{list{"x"}}}),
			bad + "common: byte 4: byte string expected, found text string"},
		{"a component of nothing", common(pars{2: list{list{}}}),
			bad + "common: byte 3: array of 0 elements, want 1 to 5"},
		{"shared before the components", common(pars{2: nil}), bad + "common: components are missing"},
		{"shared", common(pars{4: 1}), bad + "common: byte 12: byte string expected, found unsigned integer"},
		{"dependencies", common(pars{1: pars{}}),
			"(component-unsupported): dependencies between manifests are not supported"},
		{"nothing common", whole(func(m pars) { delete(m, 3) }), bad + "install: components are missing"},
		{"no components", of(3, enc(pars{3: 1})), bad + "common: key of common is unknown"},
		{"reference", of(4, 1), bad + "reference-uri: byte 107: text string expected, found unsigned integer"},
		{"reference with a control character", of(4, "https://x/\x7f"),
			bad + "reference-uri: byte 119: URI has a byte that is not allowed in URIs: 0x7f"},
		{"version of the release", of(6, 1),
			bad + "set-version: byte 107: byte string expected, found unsigned integer"},
		{"in as many bytes as are read", of(6, make([]byte, manifest.MaxBlock)),
			bad + "set-version: byte 0: array expected, found unsigned integer"},
		{"in a byte more", of(6, make([]byte, manifest.MaxBlock+1)),
			bad + "set-version: byte 107: byte string of 4097 bytes, at most 4096"},
		{"that is a number", of(6, enc(1)), bad + "set-version: byte 0: array expected, found unsigned integer"},
		{"of a word", of(6, enc(list{1, "x"})), bad + "set-version: byte 2: integer expected, found text string"},
		{"of too many elements", of(6, enc(list{1, -1, 1, 1, 1, 1, 1, 1, 1})),
			bad + "set-version: byte 0: array of 9 elements, want 1 to 8"},
		{"that begins with rc", of(6, enc(list{-1})),
			bad +
				"set-version: byte 2: version element 1 is -1, want a number, or once -1 (rc), -2 (beta) or -3 " +
				"(alpha) " +
				"after the first"},
		{"section", of(20, 1), bad + "install: byte 107: array expected, found unsigned integer"},
		{"section whose digest is none", of(20, list{-16, 1}),
			bad + "install: byte 109: byte string expected, found unsigned integer"},
		{"validate, severed", of(7, digest(digA)), bad + "validate: byte 107: byte string expected, found array"},
		{"an element outside, with a digest that is none", twice(1),
			bad + "coswid: byte 107: array expected, found unsigned integer"},
		{"with a digest of an algorithm that is not known", twice(list{-18, make([]byte, 32)}),
			"(alg-unsupported): digest algorithm -18 is not supported"},
		{"with another's digest", twice(digest(digA)),
			"(unauthorised): severable element coswid was changed or damaged: manifest digest mismatch"},
		{"software identifier", of(14, 1), bad + "coswid: byte 107: array expected, found unsigned integer"},
		{"nested too deep", of(14, nested(17)), bad + "coswid: cbor: exceeded max nested level 16"},
		{"text", of(23, 1), bad + "text: byte 129: array expected, found unsigned integer"},
		{"text by numbers", of(23, enc(pars{1: pars{1: "x"}})), bad + "text: \"\" is not a language tag"},
		{"text that is a number", of(23, enc(map[string]any{"en": pars{1: 1}})),
			bad + "text: byte 6: text string expected, found unsigned integer"},
		{"key that is bytes", craft{content: func(m pars) []byte {
			return append(append([]byte{0xa0 + byte(len(m)) + 1}, enc(m)[1:]...), 0x41, 'x', 0)
		}}.build(t), bad + "byte 106: integer, text or component identifier expected as a map key"},
	})
	if e := refused(t, of(14, nested(16)), device()); e != nil {
		t.Errorf("a software identifier that is nested as deep as may be: %v", e)
	}
}

// TestErrorsNameTheCommand: of a command the section and its first byte there, however deep it stands.
func TestErrorsNameTheCommand(t *testing.T) {
	const at = " (section 20, offset 20)"
	const bad = "(cbor-parse): command is malformed" + at + ": "
	// The command stands behind a fetch with its parameters, at byte 20 of install.
	command := func(code, arg any) []byte { return craft{install: join(uri(u), fetch, seq{code, arg})}.build(t) }
	of := func(c ...any) []byte { return craft{install: c}.build(t) }
	whole := func(b []byte) []byte { return craft{manifest: pars{20: b}}.build(t) }
	names(t, []refusal{
		{"a command that is a word", command("x", 15), bad + "byte 20: integer expected, found text string"},
		{"a command that is not known", command(13, 15), "(command-unsupported): command 13 is unknown" + at},
		{"the first custom one", command(-256, 15), "(command-unsupported): custom command -256 is not supported" + at},
		{"the last that is none", command(-255, 15), "(command-unsupported): command -255 is unknown" + at},
		{"an argument that is none", command(3, "x"),
			bad + "condition-image-match: byte 21: unsigned integer expected, found text string"},
		{"no component", command(12, nil), bad + "directive-set-component-index: byte 21: true or false expected"},
		{"component false", command(12, false), "(cbor-parse): component index false selects nothing" + at},
		{"a component's name", command(12, "x"),
			bad + "directive-set-component-index: byte 21: unsigned integer expected, found text string"},
		{"of no components", command(12, list{}),
			bad + "directive-set-component-index: byte 21: array of 0 elements, want 1 to 8"},
		{"of nine components", command(12, list{0, 0, 0, 0, 0, 0, 0, 0, 0}),
			bad + "directive-set-component-index: byte 21: array of 9 elements, want 1 to 8"},
		{"of components' names", command(12, list{"x"}),
			bad + "directive-set-component-index: byte 22: unsigned integer expected, found text string"},
		{"component out of range", command(12, 1),
			"(component-unsupported): component index 1, the manifest has 1 components" + at},
		{"not the first one", command(12, list{0, 1}),
			"(component-unsupported): component index 1, the manifest has 1 components" + at},
		{"alternatives", command(15, 1), bad + "directive-try-each: byte 21: array expected, found unsigned integer"},
		{"one alternative", command(15, list{nest(3, 15)}),
			bad + "directive-try-each: byte 21: array of 1 elements, want 2 to 8"},
		{"an alternative that is a number", command(15, list{nest(3, 15), 1}),
			bad + "directive-try-each: byte 26: byte string expected, found unsigned integer"},
		{"nothing, and then an alternative", command(15, list{nil, nest(3, 15)}),
			bad + "directive-try-each: byte 22: byte string expected, found simple value or float"},
		{"a sequence that is a number", command(32, 1),
			bad + "directive-run-sequence: byte 22: byte string expected, found unsigned integer"},
		{"a sequence of a word", command(32, enc("x")),
			"(cbor-parse): command sequence is malformed (section 20, offset 23): byte 0: array expected, found text " +
				"string"},
		{"an empty sequence", command(32, enc(list{})),
			"(cbor-parse): command sequence is malformed (section 20, offset 23): byte 0: array of 0 elements, want " +
				"2 to 128"},
		{"half a command", command(32, nest(3, 15, 3)),
			"(cbor-parse): command sequence has a command without an argument (section 20, offset 23)"},
		{"a sequence with something behind", command(32, append(nest(3, 15), 0)),
			"(cbor-parse): command sequence is malformed (section 20, offset 23): byte 3: 1 bytes too many"},
		{"what stands in it", command(32, nest(3, 15, 13, 15)),
			"(command-unsupported): command 13 is unknown (section 20, offset 26)"},
		{"and in one in it", command(15, list{nest(3, 15), nest(3, 15, 32, nest(3, 15, 3, "x"))}),
			"(cbor-parse): command is malformed (section 20, offset 36): condition-image-match: byte 4: unsigned " +
				"integer expected, found text string"},
		{"half a command in the section", of(3, 15, 3),
			"(cbor-parse): command sequence has a command without an argument (section 20, offset 0)"},
		{"a section with something behind", whole(append(nest(3, 15), 0)),
			"(cbor-parse): command sequence is malformed (section 20, offset 0): byte 3: 1 bytes too many"},
		{"a section that is a word", whole(enc("x")),
			"(cbor-parse): command sequence is malformed (section 20, offset 0): byte 0: array expected, found text " +
				"string"},
		{"of several components one must be chosen", craft{components: two, shared: seq{3, 15}}.build(t),
			"(cbor-parse): with several components a sequence must begin with set-component-index (section 3, offset " +
				"0)"},
		{"in the section too", craft{components: two, shared: twoID, install: seq{3, 15}}.build(t),
			"(cbor-parse): with several components a sequence must begin with set-component-index (section 20, " +
				"offset 0)"},
		{"in the shared sequence", craft{shared: identify(13, 15)}.build(t),
			"(command-unsupported): command 13 is unknown (section 3, offset 84)"},
		{"what is not for the shared sequence", craft{shared: identify(21, 15)}.build(t),
			"(command-unsupported): directive-fetch is not allowed in the shared sequence (section 3, offset 84)"},
		{"component by name in override-multiple", command(34, map[string]any{"x": pars{5: 1}}),
			bad + "directive-override-multiple: byte 0: unsigned integer expected, found text string"},
		{"override-multiple of nothing", command(34, pars{}),
			bad + "directive-override-multiple: byte 22: map of 0 elements, want 1 to 8"},
		{"override-multiple of another component", command(34, pars{1: pars{5: 1}}),
			"(component-unsupported): component index 1, the manifest has 1 components" + at},
		{"what it sets", command(34, pars{0: pars{5: "x"}}),
			bad +
				"directive-override-multiple: parameter component-slot: byte 26: unsigned integer expected, found " +
				"text " +
				"string"},
		{"soft failure in the section", command(34, pars{0: pars{13: true}}),
			"(parameter-unsupported): soft-failure may be set within try-each and run-sequence only" + at},
		{"set digest", command(19, pars{3: pdigest(digA)}),
			"(parameter-unsupported): parameter image-digest must be set with override-parameters" + at},
		{"set order", command(19, pars{12: true}),
			"(parameter-unsupported): parameter strict-order must be set with override-parameters" + at},
		{"set soft failure", command(32, nest(19, pars{13: true})),
			"(parameter-unsupported): parameter soft-failure must be set with override-parameters (section 20, " +
				"offset 24)"},
	})
}

// TestErrorsNameTheParameter: which parameter of which command, and where in the value.
func TestErrorsNameTheParameter(t *testing.T) {
	const at = " (section 20, offset 20)"
	const bad = "(cbor-parse): command is malformed" + at + ": directive-override-parameters: "
	const par = bad + "parameter "
	of := func(key int64, v any) []byte { return craft{install: join(inst(), seq{20, pars{key: v}})}.build(t) }
	fetch := func(p pars) []byte { return of(25, enc(p)) }
	version := func(v any) []byte { return of(28, enc(v)) }
	encrypted := func(alg int, to ...any) []byte {
		return of(19, enc(cborTag(96, list{enc(pars{1: alg}), pars{5: make([]byte, 12)}, nil, list(to)})))
	}
	point := list{enc(pars{1: -29}), pars{-1: point(pars{-1: 2})}, make([]byte, 24)}
	names(t, []refusal{
		{"by name", craft{install: join(inst(), seq{20, map[string]any{"x": 1}})}.build(t),
			bad + "byte 24: parameter is not an integer"},
		{"not known", of(99, 1), "(parameter-unsupported): parameter 99 is unknown" + at},
		{"the first custom one", of(-256, 1), "(parameter-unsupported): custom parameter -256 is not supported" + at},
		{"the last that is none", of(-255, 1), "(parameter-unsupported): parameter -255 is unknown" + at},
		{"parameters that are a number", craft{install: join(inst(), seq{20, 1})}.build(t),
			bad + "byte 21: map expected, found unsigned integer"},
		{"vendor", of(1, "x"), par + "vendor-identifier: byte 23: byte string expected, found text string"},
		{"vendor of 17 bytes", of(1, make([]byte, 17)),
			par + "vendor-identifier: byte 23: byte string of 17 bytes, at most 16"},
		{"vendor by number", of(1, cborTag(112, []byte{1})),
			"(parameter-unsupported): identifiers by private enterprise number are not supported, use a UUID" + at},
		{"digest", of(3, 1), par + "image-digest: byte 23: byte string expected, found unsigned integer"},
		{"digest of a word", of(3, enc("x")), par + "image-digest: byte 0: array expected, found text string"},
		{"digest with something behind", of(3, append(pdigest(digA), 0)),
			par + "image-digest: byte 36: 1 bytes too many"},
		{"digest of an algorithm that is not known", of(3, enc(list{-18, make([]byte, 32)})),
			"(alg-unsupported): digest algorithm -18 is not supported" + at},
		{"digest in as many bytes as are read", of(3, make([]byte, manifest.MaxBlock)),
			par + "image-digest: byte 0: array expected, found unsigned integer"},
		{"digest in a byte more", of(3, make([]byte, manifest.MaxBlock+1)),
			par + "image-digest: byte 23: byte string of 4097 bytes, at most 4096"},
		{"expiry", of(4, -1), par + "use-before: byte 23: unsigned integer expected, found negative integer"},
		{"order", of(12, 1), par + "strict-order: byte 23: true or false expected"},
		{"size", of(14, "x"), par + "image-size: byte 23: unsigned integer expected, found text string"},
		{"size 0", of(14, 0), par + "image-size: byte 24: size 0 is out of range"},
		{"size beyond 63 bits", of(14, uint64(math.MaxInt64)+1),
			par + "image-size: byte 32: size 9223372036854775808 is out of range"},
		{"content", of(18, 1), par + "content: byte 23: byte string expected, found unsigned integer"},
		{"no content", of(18, []byte{}), par + "content: byte 24: content is empty"},
		{"encryption", of(19, 1), par + "encryption-info: byte 23: byte string expected, found unsigned integer"},
		{"encryption with an algorithm that is not known", encrypted(2, 1),
			"(alg-unsupported): content encryption algorithm 2 is not supported" + at},
		{"for nobody here", encrypted(1, list{[]byte{}, pars{1: -6}, []byte{}}),
			"(alg-unsupported): no recipient of the encrypted payload has a supported algorithm" + at},
		{"for another curve", encrypted(1, point),
			"(alg-unsupported): key agreement is supported with P-256 only" + at},
		{"URI", of(21, 1), par + "uri: byte 23: text string expected, found unsigned integer"},
		{"URI with a control character", of(21, "https://x/\x7f"),
			par + "uri: byte 35: URI has a byte that is not allowed in URIs: 0x7f"},
		{"source", of(22, 1), "(component-unsupported): source component 1, the manifest has 1 components" + at},
		{"fetch arguments", of(25, 1), par + "fetch-arguments: byte 24: byte string expected, found unsigned integer"},
		{"that are a number", of(25, enc(1)), par + "fetch-arguments: byte 0: map expected, found unsigned integer"},
		{"with something behind", of(25, append(enc(pars{}), 0)), par + "fetch-arguments: byte 1: 1 bytes too many"},
		{"mirrors", fetch(pars{1: 1}), par + "fetch-arguments: byte 2: array expected, found unsigned integer"},
		{"nine mirrors", fetch(pars{1: list{"1", "2", "3", "4", "5", "6", "7", "8", "9"}}),
			par + "fetch-arguments: byte 2: array of 9 elements, want 0 to 8"},
		{"a mirror that is a number", fetch(pars{1: list{"https://y/", 1}}),
			par + "fetch-arguments: byte 14: text string expected, found unsigned integer"},
		{"encoding", fetch(pars{2: "x"}),
			par + "fetch-arguments: byte 2: unsigned integer expected, found text string"},
		{"encoding that is not known", fetch(pars{2: 2}),
			"(parameter-unsupported): payload encoding 2 is not supported" + at},
		{"payload size", fetch(pars{3: "x"}),
			par + "fetch-arguments: byte 2: unsigned integer expected, found text string"},
		{"payload size 0", fetch(pars{3: 0}), par + "fetch-arguments: byte 3: size 0 is out of range"},
		{"fetch argument that is not known", fetch(pars{4: 1}),
			"(parameter-unsupported): fetch-arguments have an unknown key" + at},
		{"priority", of(27, "x"), par + "update-priority: byte 24: integer expected, found text string"},
		{"priority beyond 63 bits", of(27, ^uint64(0)), par + "update-priority: byte 24: integer is too large"},
		{"version", of(28, 1), par + "version: byte 24: byte string expected, found unsigned integer"},
		{"version in as many bytes as are read", of(28, make([]byte, manifest.MaxBlock)),
			par + "version: byte 0: array expected, found unsigned integer"},
		{"version in a byte more", of(28, make([]byte, manifest.MaxBlock+1)),
			par + "version: byte 24: byte string of 4097 bytes, at most 4096"},
		{"version that is a number", version(1), par + "version: byte 0: array expected, found unsigned integer"},
		{"version of three fields", version(list{1, list{1}, 1}),
			par + "version: byte 0: array of 3 elements, want 2 to 2"},
		{"comparison", version(list{"x", list{1}}),
			par + "version: byte 1: unsigned integer expected, found text string"},
		{"comparison 0", version(list{0, list{1}}), "(parameter-unsupported): version comparison 0 is unknown" + at},
		{"comparison 6", version(list{6, list{1}}), "(parameter-unsupported): version comparison 6 is unknown" + at},
		{"with a number", version(list{1, 1}), par + "version: byte 2: array expected, found unsigned integer"},
		{"with a word", version(list{1, list{"x"}}), par + "version: byte 3: integer expected, found text string"},
		{"with nine elements", version(list{1, list{1, -1, 1, 1, 1, 1, 1, 1, 1}}),
			par + "version: byte 2: array of 9 elements, want 1 to 8"},
		{"with rc", version(list{1, list{-1}}),
			par +
				"version: byte 4: version element 1 is -1, want a number, or once -1 (rc), -2 (beta) or -3 (alpha) " +
				"after " +
				"the first"},
	})
	if e := refused(t, of(14, uint64(math.MaxInt64)), device()); e != nil {
		t.Errorf("the largest size: %v", e)
	}
}

// TestErrorsNameWhatWasExecuted: what only the device can tell has its place too.
func TestErrorsNameWhatWasExecuted(t *testing.T) {
	names(t, []refusal{
		{"never compared", craft{install: join(uri(u), seq{21, 2})}.build(t),
			"(operation-failed): component rootfs is fetched and never compared with a digest (section 20, offset 16)"},
		{"size is not said", craft{shared: seq{20, pars{3: pdigest(digA)}}, install: inst()}.build(t),
			"(operation-failed): component rootfs is fetched and its image-size is not said (section 20, offset 16)"},
		{"decrypted and never compared",
			craft{install: seq{20, pars{18: make([]byte, 23), 19: info(gcm)}, 18, 15}}.build(t),
			"(operation-failed): component rootfs is decrypted and never compared with a digest (section 20, offset " +
				"93)"},
		{"encrypted nothing", craft{components: staged, shared: twoID,
			install: opened(info(gcm), pars{14: 16})}.build(t),
			"(operation-failed): component rootfs: an encrypted payload of 16 bytes holds nothing (section 20, " +
				"offset 97)"},
		{"of another size", craft{components: staged, shared: twoID, install: opened(info(gcm), pars{14: 24})}.build(t),
			"(operation-failed): component rootfs: a raw payload of 24 bytes cannot be an image of 7 (section 20, " +
				"offset 98)"},
		{"an integrated payload of another size",
			craft{install: join(seq{20, pars{21: "#p", 25: enc(pars{3: 6})}}, fetch),
				payloads: map[string][]byte{"#p": []byte("image A")}}.build(t),
			"(operation-failed): directive-fetch: integrated payload #p has 7 bytes, not 6 (section 20, offset 13)"},
		{"an empty one", craft{install: join(uri("#p"), fetch), payloads: map[string][]byte{"#p": {}}}.build(t),
			"(operation-failed): directive-fetch: integrated payload #p is empty (section 20, offset 7)"},
		{"one that is not there", craft{install: join(uri("#p"), fetch)}.build(t),
			"(operation-failed): directive-fetch: integrated payload #p is not in the envelope (section 20, offset 7)"},
		{"in the shared sequence",
			craft{shared: identify(20, pars{12: false}, 32, nest(14, 15)), install: inst()}.build(t),
			"(operation-failed): condition-abort: a sequence that may run beside others must begin with " +
				"set-component-index (section 3, offset 92)"},
		{"a component that the device lacks",
			craft{components: list{list{[]byte("rootfs")}, list{[]byte("modem")}}, shared: twoID}.build(t),
			"(component-unsupported): component modem does not exist on this device"},
		{"severed", craft{install: inst(), severed: []int64{20}}.build(t),
			"(severing-unsupported): section install is needed, and was severed from the envelope (section 20)"},
	})
}

// TestErrorsNameTheComponent: for which component a directive failed, or what was fetched is not described.
func TestErrorsNameTheComponent(t *testing.T) {
	ones := list{1, 1, 1, 1, 1, 1, 1, 1}
	for name, tt := range map[string]struct {
		c    craft
		want int
	}{
		"a directive": {craft{components: two, shared: twoID, install: seq{12, 1, 21, 2}}, 1},
		"of a list": {craft{components: two, shared: append(twoID, 20, pars{21: u}),
			install: seq{12, true, 21, 2}}, 1},
		"never compared": {craft{components: two, shared: twoID,
			install: seq{12, 1, 20, pars{21: u}, 21, 2}}, 1},
		"that the device lacks": {craft{components: list{rootfs[0], list{[]byte("modem")}}, shared: twoID}, 1},
		"the index is not changed": {craft{components: two, shared: twoID,
			install: seq{12, list{1}, 20, pars{12: false}, 32, nest(12, 0, 14, 15)}}, 1},
		"begin with an index": {craft{components: two, shared: twoID,
			install: seq{12, 1, 20, pars{12: false}, 32, nest(14, 15)}}, 1},
		"too many commands": {craft{components: two, shared: twoID,
			install: seq{12, ones, 32, nest(12, ones, 32, nest(12, ones, 32, nest(12, ones, 20, b, 20, b)))}}, 1},
		"target and source at once": {craft{components: two, shared: twoID,
			install: seq{12, 0, 20, pars{12: false, 21: u}, 21, 2, 12, 1, 20, pars{22: 0}, 22, 2}}, 1},
	} {
		if e := refused(t, tt.c.build(t), device()); e == nil || e.Component != tt.want {
			t.Errorf("%s: %+v, want component %d", name, e, tt.want)
		}
	}
}

// TestErrorText: how an error and its code are written.
func TestErrorText(t *testing.T) {
	for want, e := range map[string]manifest.Error{
		"manifest refused (ok): x": {What: "x"},
		"manifest refused (invoke-pending): x (section 1)": {Code: manifest.CodeInvokePending,
			Section: 1, Offset: -1, What: "x"},
		"manifest refused (reason-13): x (section 1, offset 0)": {Code: 13, Section: 1, What: "x"},
		"manifest refused (reason--1): x (section 20, offset 1): not signed ": {Code: -1, Section: 20, Offset: 1,
			What: "x", Err: errors.New("not signed ")},
	} {
		if e.Error() != want {
			t.Errorf("%s\nwant\n%s", e.Error(), want)
		}
	}
}

// TestErrorsBeforeTheManifest: an envelope that ends before its manifest is read, and none at all.
func TestErrorsBeforeTheManifest(t *testing.T) {
	parse := func(b []byte) manifest.Envelope {
		e, err := manifest.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	changed := made(release(), "release-p256")(t)
	changed[len(changed)-1] ^= 1
	signed, no := parse(made(release(), "release-p256")(t)), errors.New("no")
	verify := func(e manifest.Envelope, who manifest.Authority) func() error {
		return func() error { _, err := manifest.Verify(e, who); return err }
	}
	for says, ask := range map[string]func() error{
		"(cbor-parse): there is no envelope": verify(manifest.Envelope{},
			anyone{}),
		"(unauthorised): envelope was changed or damaged: manifest digest mismatch": verify(parse(changed), anyone{}),
		"(unauthorised): no signature: envelope is not signed": verify(parse(made(release())(t)),
			anyone{}),
		"(unauthorised): signatures are not accepted: no":       verify(signed, &spy{err: no}),
		"(unauthorised): nobody signed: envelope is not signed": verify(signed, &spy{}),
		"(cbor-parse): there is no manifest": func() error {
			_,
				err := manifest.Manifest{}.Resolve(device())
			return err
		},
	} {
		var e *manifest.Error
		if err := ask(); !errors.As(err, &e) || e.Error() != "manifest refused "+says || e.Section != 0 ||
			e.Offset != -1 {
			t.Errorf("%+v, want %s", err, says)
		}
	}
}

// TestRefusedSectionsNameTheirCommand: of a section that the profile refuses the first command is named that it
// refuses too, else the first one; of what is no section there is no command.
func TestRefusedSectionsNameTheirCommand(t *testing.T) {
	deep := func(n int) raw { return append(bytes.Repeat([]byte{0x81}, n), 0) }
	for name, tt := range map[string]struct {
		section any
		want    int
	}{
		"the first command":                 {nest(3, 15, 1, 15), 1},
		"the first that is refused":         {nest(23, 2, 3, 15, 23, 2), 1},
		"the second":                        {nest(3, 15, 23, 2), 3},
		"the last":                          {nest(3, 15, 3, 15, 3, 15, 23, 2), 7},
		"behind one that nobody knows":      {nest(99, "x", 23, 2), 5},
		"behind an argument that is nested": {nest(99, deep(15), 23, 2), 19},
		"which is nested too deep":          {nest(99, deep(16), 23, 2), 1},
		"behind what is no command":         {nest("x", 23, 3, 15), 1},
		"behind what is no argument":        {raw("\x48\x84\x03\x61\xff\x17\x02\x00\x00"), 1},
		"half a command":                    {nest(3, 15, 23), 1},
		"a command alone":                   {nest(23), -1},
		"as many as a section has":          {nest(append(repeat(63, 3, 15), 23, 2)...), 2 + 2*63},
		"one more":                          {nest(append(repeat(64, 3, 15), 23, 2)...), -1},
		"a word":                            {enc("x"), -1},
		"a digest":                          {digest(digA), -1},
	} {
		e := refused(t, element(9, tt.section)(t), device())
		if e == nil || e.Code != manifest.CodeCommand || e.Section != 9 || e.Offset != tt.want ||
			e.What != "invoke is not supported: loading and starting an image is the bootloader's work" {
			t.Errorf("%s: %+v, want the command at %d", name, e, tt.want)
		}
	}
}

// TestReportErrorsNameTheByte: who makes reports finds what is wrong with one.
func TestReportErrorsNameTheByte(t *testing.T) {
	const bad = "(cbor-parse): report is malformed: "
	record := func(items ...any) pars { return pars{3: list{list(items)}} }
	with := func(key int64, v any) pars { return record(list{}, 3, 1, 0, pars{key: v}) }
	for _, tt := range []struct {
		name   string
		change pars
		says   string
	}{
		{"no reference", pars{99: nil, 2: []byte{1}}, bad + "byte 8: report is not complete"},
		{"no result", pars{4: nil, 2: []byte{1}}, bad + "byte 46: report is not complete"},
		{"no records", pars{3: nil, 2: []byte{1}}, bad + "byte 46: report is not complete"},
		{"two of four", pars{99: nil}, bad + "byte 0: map of 2 elements, want 3 to 5"},
		{"a reference that is a number", pars{99: 1}, bad + "byte 7: array expected, found unsigned integer"},
		{"a reference with three fields", pars{99: list{"", digest(digA), 1}},
			bad + "byte 7: array of 3 elements, want 1 to 2"},
		{"whose URI is a number", pars{99: list{1, digest(digA)}},
			bad + "byte 8: text string expected, found unsigned integer"},
		{"whose URI is too long", pars{99: list{strings.Repeat("x", manifest.MaxURI+1), digest(digA)}},
			bad + "byte 8: text string of 2049 bytes, at most 2048"},
		{"whose URI is none", pars{99: list{" ", digest(digA)}}, bad + "byte 10: reference is not a URI"},
		{"whose digest is none", pars{99: list{"", 1}}, bad + "byte 9: array expected, found unsigned integer"},
		{"a nonce that is a number", pars{2: 1}, bad + "byte 2: byte string expected, found unsigned integer"},
		{"records that are a number", pars{3: 1}, bad + "byte 2: array expected, found unsigned integer"},
		{"a record that is a number", pars{3: list{1}}, bad + "byte 3: array expected, found unsigned integer"},
		{"a record with six fields", record(list{}, 3, 1, 0, pars{}, 1),
			bad + "byte 3: array of 6 elements, want 5 to 5"},
		{"dependencies that are a number", record(1, 3, 1, 0, pars{}),
			bad + "byte 4: array expected, found unsigned integer"},
		{"a dependency that is a word", record(list{"x"}, 3, 1, 0, pars{}),
			bad + "byte 5: unsigned integer expected, found text string"},
		{"a section that is a word", record(list{}, "x", 1, 0, pars{}),
			bad + "byte 5: integer expected, found text string"},
		{"an offset that is a word", record(list{}, 3, "x", 0, pars{}),
			bad + "byte 6: unsigned integer expected, found text string"},
		{"an index that is a word", record(list{}, 3, 1, "x", pars{}),
			bad + "byte 7: unsigned integer expected, found text string"},
		{"properties that are a number", record(list{}, 3, 1, 0, 1),
			bad + "byte 8: map expected, found unsigned integer"},
		{"a property by name", record(list{}, 3, 1, 0, map[string]any{"x": 1}),
			bad + "byte 11: parameter is not an integer above or below 0"},
		{"a property 0", with(0, 1), bad + "byte 10: parameter is not an integer above or below 0"},
		{"the last that is none", with(-256, 1), bad + "byte 11: parameter -256 is not supported"},
		{"one that the profile refuses", with(23, 1), bad + "byte 10: parameter 23 is not supported"},
		{"one that is not measured", with(25, enc(pars{})),
			bad + "byte 13: parameter fetch-arguments is nothing that is measured"},
		{"a UUID that is none", with(1, []byte{1}),
			bad + "parameter vendor-identifier: byte 12: UUID of 1 bytes, want 16"},
		{"what others cannot have", with(-300, list{}), bad + "byte 12: true or false expected"},
		{"a claim of a name", pars{3: list{map[string]any{"x": 1, "y": 1}}}, bad + "byte 6: claim names no component"},
		{"a claim of a component that is none", pars{3: list{pars{0: 1, 5: 1}}},
			bad + "byte 5: array expected, found unsigned integer"},
		{"a key that is not known", pars{5: 1, 4: nil}, bad + "byte 4: report has an unknown key"},
		{"a result that is null", pars{4: raw{0xf6}}, bad + "byte 4: true or false expected"},
		{"a result that is a number", pars{4: 1}, bad + "byte 4: map expected, found unsigned integer"},
		{"a code that is a word", pars{4: pars{5: "x", 6: 1, 7: 1}},
			bad + "byte 6: integer expected, found text string"},
		{"a failed record that is none", pars{4: pars{5: 0, 6: 1, 7: 1}},
			bad + "byte 8: array expected, found unsigned integer"},
		{"a reason that is a word", pars{4: pars{5: 0, 6: list{list{}, 3, 1, 0, pars{}}, 7: "x"}},
			bad + "byte 15: unsigned integer expected, found text string"},
		{"capabilities that are a number", pars{8: 1}, bad + "byte 6: map expected, found unsigned integer"},
		{"by name", pars{8: map[string]any{"x": 1}}, bad + "byte 9: capability is unknown"},
		{"a capability 0", pars{8: pars{0: list{1}}}, bad + "byte 8: capability is unknown"},
		{"a number beyond 63 bits, and another", pars{8: pars{2: list{^uint64(0), 1}}},
			bad + "byte 9: integer is too large"},
		{"a component with an empty part, and another", pars{8: pars{1: list{list{[]byte{}}, list{[]byte("x")}}}},
			bad + "byte 11: part of a component identifier is empty"},
	} {
		m := pars{99: list{"", digest(digA)}, 3: list{}, 4: true}
		merge(m, tt.change)
		_, err := manifest.DecodeReport(enc(m))
		var e *manifest.Error
		if !errors.As(err, &e) || e.Section != 0 || e.Offset != -1 || e.Error() != "manifest refused "+tt.says {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, strings.TrimPrefix(fmt.Sprint(err), "manifest refused "), tt.says)
		}
	}
	uri := strings.Repeat("x", manifest.MaxURI)
	if r, err := manifest.DecodeReport(enc(pars{99: list{uri, digest(digA)}, 3: list{}, 4: true})); err != nil ||
		r.URI != uri {
		t.Errorf("a reference of %d bytes: %v", manifest.MaxURI, err)
	}
}

// TestEncryptionErrorsNameTheByte: who encrypts finds what is wrong with an encryption-info.
func TestEncryptionErrorsNameTheByte(t *testing.T) {
	const bad = "(cose-unsupported): encryption-info is malformed: "
	kw := list{[]byte{}, pars{1: -3}, make([]byte, 24)}
	aead, iv := enc(pars{1: 1}), pars{5: make([]byte, 12)}
	box := func(items ...any) []byte { return enc(cborTag(96, list(items))) }
	to := func(recipient any) []byte { return box(aead, iv, nil, list{recipient}) }
	content := func(p pars) []byte { return box(aead, p, nil, list{kw}) }
	point := func(p pars) []byte {
		return to(list{enc(pars{1: -29}), pars{-1: point(p)}, make([]byte, 24)})
	}
	nested := func(n int) raw { return append(bytes.Repeat([]byte{0x81}, n), 0) }
	many := func(p pars, n int) pars {
		for i := range n - len(p) {
			p[int64(100+i)] = 1
		}
		return p
	}
	twice := bytes.Replace(to(list{[]byte{}, pars{1: -3, 4: []byte{7}}, make([]byte, 24)}), []byte{4, 0x41, 7},
		[]byte{1, 0x22, 0x58}, 1)
	for _, tt := range []struct {
		name string
		b    []byte
		says string
	}{
		{"no tag", enc(1), bad + "byte 0: tag 96 (COSE_Encrypt) expected, found unsigned integer"},
		{"no array", enc(cborTag(96, 1)), bad + "byte 2: array expected, found unsigned integer"},
		{"five fields", box(aead, iv, nil, list{kw}, 1), bad + "byte 2: array of 5 elements, want 4 to 4"},
		{"protected header", box(1, iv, nil, list{kw}), bad + "byte 3: byte string expected, found unsigned integer"},
		{"protected header of a number", box(enc(1), iv, nil, list{kw}),
			bad + "byte 0: map expected, found unsigned integer"},
		{"protected header of a byte that is nothing", box([]byte{0xff}, iv, nil, list{kw}),
			bad + "byte 0: map expected, found simple value or float"},
		{"protected header with something behind", box(append(enc(pars{1: 1}), 0), iv, nil, list{kw}),
			bad + "byte 3: 1 bytes too many"},
		{"protected algorithm", box(enc(pars{1: "x"}), iv, nil, list{kw}),
			bad + "byte 2: integer expected, found text string"},
		{"protected and not understood", box(enc(pars{1: 1, 99: nested(15)}), iv, nil, list{kw}),
			bad + "byte 5: protected header h'1863' is not understood"},
		{"protected and nested too deep", box(enc(pars{1: 1, 99: nested(16)}), iv, nil, list{kw}),
			bad + "byte 21: item is nested too deep"},
		{"nine protected headers", box(enc(many(pars{1: 1}, 9)), iv, nil, list{kw}),
			bad + "byte 0: map of 9 elements, want 0 to 8"},
		{"header that is a number", box(aead, 1, nil, list{kw}), bad + "byte 7: map expected, found unsigned integer"},
		{"nine headers", content(many(pars{5: make([]byte, 12)}, 9)), bad + "byte 7: map of 9 elements, want 0 to 8"},
		{"not understood", content(pars{5: make([]byte, 12), 99: nested(15)}),
			bad + "byte 24: unprotected header h'1863' is not understood"},
		{"nested too deep", content(pars{5: make([]byte, 12), 99: nested(16)}),
			bad + "byte 40: item is nested too deep"},
		{"header by name", box(aead, map[string]any{"x": 1}, nil, list{kw}),
			bad + "byte 10: unprotected header h'6178' is not understood"},
		{"IV that is a number", content(pars{5: 1}), bad + "byte 9: byte string expected, found unsigned integer"},
		{"IV of 17 bytes", content(pars{5: make([]byte, 17)}), bad + "byte 9: byte string of 17 bytes, at most 16"},
		{"key id that is a number", content(pars{4: 1}), bad + "byte 9: byte string expected, found unsigned integer"},
		{"key of a recipient", content(pars{5: make([]byte, 12), -1: 1}),
			bad + "byte 23: unprotected header h'20' is not understood"},
		{"salt of a recipient", content(pars{5: make([]byte, 12), -20: []byte{1}}),
			bad + "byte 25: headers of a recipient stand in the content's layer"},
		{"content", box(aead, iv, 1, list{kw}), bad + "byte 22: ciphertext must be nil: it is elsewhere"},
		{"recipients that are a number", box(aead, iv, nil, 1),
			bad + "byte 23: array expected, found unsigned integer"},
		{"recipient that is a number", to(1), bad + "recipient: byte 24: array expected, found unsigned integer"},
		{"recipient with two fields", to(list{[]byte{}, pars{1: -3}}),
			bad + "recipient: byte 24: array of 2 elements, want 3 to 4"},
		{"recipient of another with five", to(list{[]byte{}, pars{1: -6}, []byte{}, list{}, 1}),
			bad + "recipient: byte 24: array of 5 elements, want 3 to 4"},
		{"no algorithm", to(list{[]byte{}, pars{}, make([]byte, 24)}),
			bad + "recipient: byte 27: there is no algorithm"},
		{"algorithm twice", twice, bad + "recipient: byte 29: map key appears twice"},
		{"A128KW and what is not understood", to(list{[]byte{}, pars{1: -3, 99: 1}, make([]byte, 24)}),
			bad + "recipient: byte 31: unprotected header h'1863' is not understood"},
		{"A256KW and what is not understood", to(list{[]byte{}, pars{1: -5, 99: 1}, make([]byte, 24)}),
			bad + "recipient: byte 31: unprotected header h'1863' is not understood"},
		{"ECDH and what is not understood", to(list{enc(pars{1: -29}), pars{99: 1}, make([]byte, 24)}),
			bad + "recipient: byte 33: unprotected header h'1863' is not understood"},
		{"A128KW with a key", to(list{[]byte{}, pars{1: -3, -1: 1}, make([]byte, 24)}),
			bad + "recipient: byte 30: unprotected header h'20' is not understood"},
		{"A128KW with salt", to(list{[]byte{}, pars{1: -3, -20: []byte{1}}, make([]byte, 24)}),
			bad + "recipient: byte 32: salt without key agreement"},
		{"salt of 65 bytes", to(list{[]byte{}, pars{1: -3, -20: make([]byte, 65)}, make([]byte, 24)}),
			bad + "recipient: byte 30: byte string of 65 bytes, at most 64"},
		{"wrapped key", to(list{[]byte{}, pars{1: -3}, 1}),
			bad + "recipient: byte 29: byte string expected, found unsigned integer"},
		{"wrapped key of 23 bytes", to(list{[]byte{}, pars{1: -3}, make([]byte, 23)}),
			bad + "recipient: byte 53: wrapped key of 23 bytes, want 24"},
		{"wrapped key of 25 bytes", to(list{[]byte{}, pars{1: -3}, make([]byte, 25)}),
			bad + "recipient: byte 29: byte string of 25 bytes, at most 24"},
		{"key that is a number", to(list{enc(pars{1: -29}), pars{-1: 1}, make([]byte, 24)}),
			bad + "recipient: byte 32: map expected, found unsigned integer"},
		{"type of a key", point(pars{1: "x"}), bad + "recipient: byte 34: integer expected, found text string"},
		{"another type", point(pars{1: 1}), "(alg-unsupported): key agreement is supported with P-256 only"},
		{"curve", point(pars{-1: "x"}), bad + "recipient: byte 36: integer expected, found text string"},
		{"coordinate", point(pars{-2: 1}), bad + "recipient: byte 38: byte string expected, found unsigned integer"},
		{"coordinate of 31 bytes", point(pars{-3: make([]byte, 31)}),
			bad + "recipient: byte 106: coordinate of 31 bytes, want 32"},
		{"coordinate of 33 bytes", point(pars{-3: make([]byte, 33)}),
			bad + "recipient: byte 73: byte string of 33 bytes, at most 32"},
		{"a fifth field", point(pars{-4: 1}), bad + "recipient: byte 32: map of 5 elements, want 4 to 4"},
		{"another field", point(pars{-3: nil, 3: 1}),
			bad + "recipient: byte 36: key has a field that is not understood"},
	} {
		_, err := manifest.ParseEncryption(tt.b)
		var e *manifest.Error
		if !errors.As(err, &e) || e.Section != 0 || e.Offset != -1 || e.Error() != "manifest refused "+tt.says {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, strings.TrimPrefix(fmt.Sprint(err), "manifest refused "), tt.says)
		}
	}
}
