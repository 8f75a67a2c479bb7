package manifest_test

import (
	"bytes"
	"errors"
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
		{"a digest in as many bytes as a block has", block(make([]byte, manifest.MaxSmall)),
			bad + "byte 0: array expected, found unsigned integer"},
		{"a digest in a byte more", block(make([]byte, manifest.MaxSmall+1)),
			bad + "byte 1: byte string of 4097 bytes, at most 4096"},
		{"a block that is a number", block(good, 1), bad + "byte 39: byte string expected, found unsigned integer"},
		{"a block that is too long", block(good, make([]byte, manifest.MaxBlock+1)),
			bad + "byte 39: byte string of 16385 bytes, at most 16384"},
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
		{"in as many bytes as are read", of(6, make([]byte, manifest.MaxSmall)),
			bad + "set-version: byte 0: array expected, found unsigned integer"},
		{"in a byte more", of(6, make([]byte, manifest.MaxSmall+1)),
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
		{"key that is bytes", craft{content: func(m pars) []byte {
			return append(append([]byte{0xa0 + byte(len(m)) + 1}, enc(m)[1:]...), 0x41, 'x', 0)
		}}.build(t), bad + "byte 106: integer, text or component identifier expected as a map key"},
	})
	if e := refused(t, of(14, nested(16)), device()); e != nil {
		t.Errorf("a software identifier that is nested as deep as may be: %v", e)
	}
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
