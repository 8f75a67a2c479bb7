package manifest_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

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
		{"digest in as many bytes as are read", of(3, make([]byte, manifest.MaxSmall)),
			par + "image-digest: byte 0: array expected, found unsigned integer"},
		{"digest in a byte more", of(3, make([]byte, manifest.MaxSmall+1)),
			par + "image-digest: byte 23: byte string of 4097 bytes, at most 4096"},
		{"expiry", of(4, -1), par + "use-before: byte 23: unsigned integer expected, found negative integer"},
		{"order", of(12, 1), par + "strict-order: byte 23: true or false expected"},
		{"size", of(14, "x"), par + "image-size: byte 23: unsigned integer expected, found text string"},
		{"size 0", of(14, 0), par + "image-size: byte 24: size 0 is out of range"},
		{"size beyond 63 bits", of(14, uint64(math.MaxInt64)+1),
			par + "image-size: byte 32: size 9223372036854775808 is out of range"},
		{"content", of(18, 1), par + "content: byte 23: byte string expected, found unsigned integer"},
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
		{"version in as many bytes as are read", of(28, make([]byte, manifest.MaxSmall)),
			par + "version: byte 0: array expected, found unsigned integer"},
		{"version in a byte more", of(28, make([]byte, manifest.MaxSmall+1)),
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
