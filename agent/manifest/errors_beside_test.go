package manifest_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

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
