package manifest_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// point is an ephemeral key; nobody asks here whether it lies on the curve.
func point(change pars) pars {
	p := pars{1: 2, -1: 1, -2: make([]byte, 32), -3: make([]byte, 32)}
	merge(p, change)
	return p
}

// draft-ietf-suit-firmware-encryption, "SUIT_Encryption_Info", and RFC 9052 section 5: what an
// encryption-info may be.
func TestParseEncryption(t *testing.T) {
	var (
		aead   = enc(pars{1: 1})
		iv12   = pars{5: make([]byte, 12)}
		ctrHdr = pars{1: -65534, 5: make([]byte, 16)}
		kw     = list{[]byte{}, pars{1: -3, 4: []byte("kid-1")}, make([]byte, 24)}
		agreed = list{enc(pars{1: -29}), pars{-1: point(nil), 4: []byte("kid-2")}, make([]byte, 24)}
		hpke   = list{enc(pars{1: 35}), pars{-4: make([]byte, 65)}, make([]byte, 32)}
	)
	box := func(protected any, unprotected any, content any, recipients ...any) []byte {
		return enc(cborTag(96, list{protected, unprotected, content, append(list{}, recipients...)}))
	}
	for _, tt := range []struct {
		name string
		b    []byte
		code manifest.Code // CodeOK = it is taken
		says string        // recipients that are kept, or part of the error
	}{
		{"GCM for a shared key", box(aead, iv12, nil, kw), 0, "1"},
		{"CTR for a key pair", box([]byte{}, ctrHdr, nil, agreed), 0, "1"},
		{"CTR with an empty protected map", box(enc(pars{}), ctrHdr, nil, kw), 0, "1"},
		{"several recipients", box(aead, iv12, nil, kw, agreed, kw), 0, "3"},
		{"recipients of others are passed over", box(aead, iv12, nil, hpke, kw, hpke), 0, "1"},
		{"recipients of recipients of others",
			box(aead, iv12, nil, list{[]byte{}, pars{1: -6}, make([]byte, 16), list{kw}}, kw), 0, "1"},
		{"with salt",
			box(aead, iv12, nil, list{enc(pars{1: -29}), pars{-1: point(nil), -20: []byte("salt")}, make([]byte, 24)}),
			0, "1"},
		{"headers in any order",
			box(aead, iv12, nil, list{enc(pars{1: -29}), raw(slices.Concat([]byte{0xa2, 0x20}, enc(point(nil)),
				[]byte{4, 0x41, 'k'})), make([]byte, 24)}), 0, "1"},

		{"no recipient", box(aead, iv12, nil), manifest.CodeCOSE, "array of 0"},
		{"only others", box(aead, iv12, nil, hpke), manifest.CodeAlgorithm, "no recipient"},
		{"ChaCha20", box(enc(pars{1: 24}), iv12, nil, kw), manifest.CodeAlgorithm, "content encryption algorithm 24"},
		{"no algorithm", box([]byte{}, iv12, nil, kw), manifest.CodeCOSE, "no algorithm"},
		{"GCM not protected",
			box([]byte{}, pars{1: 1, 5: make([]byte, 12)}, nil, kw), manifest.CodeCOSE, "wrong header"},
		{"CTR protected",
			box(enc(pars{1: -65534}), pars{5: make([]byte, 16)}, nil, kw), manifest.CodeCOSE, "wrong header"},
		{"algorithm in both headers",
			box(aead, pars{1: 1, 5: make([]byte, 12)}, nil, kw), manifest.CodeCOSE, "not understood"},
		{"IV of 16 bytes for GCM", box(aead, pars{5: make([]byte, 16)}, nil, kw), manifest.CodeCOSE, "IV of 16 bytes"},
		{"no IV", box(aead, pars{}, nil, kw), manifest.CodeCOSE, "IV of 0 bytes"},
		{"IV of 12 bytes for CTR",
			box([]byte{}, pars{1: -65534, 5: make([]byte, 12)}, nil, kw), manifest.CodeCOSE, "IV of 12 bytes"},
		{"critical header", box(enc(pars{1: 1, 2: list{99}}), iv12, nil, kw), manifest.CodeCOSE,
			"protected header h'02' is not understood"},
		{"unknown header",
			box(aead, pars{5: make([]byte, 12), 99: 1}, nil, kw), manifest.CodeCOSE, "unprotected header"},
		{"salt in the content's layer",
			box(aead, pars{5: make([]byte, 12), -20: []byte{1}}, nil, kw), manifest.CodeCOSE, "headers of a recipient"},
		{"content within", box(aead, iv12, []byte("secret"), kw), manifest.CodeCOSE, "ciphertext must be nil"},
		{"COSE_Encrypt0", enc(cborTag(16, list{aead, iv12, nil})), manifest.CodeCOSE, "tag 16"},
		{"untagged", enc(list{aead, iv12, nil, list{kw}}), manifest.CodeCOSE, "tag 96"},
		{"trailing bytes", append(box(aead, iv12, nil, kw), 0), manifest.CodeCOSE, "too many"},
		{"a header twice",
			bytes.Replace(box(aead, iv12, nil, kw), []byte{0xa2, 1, 0x22, 4, 0x45}, []byte{0xa2, 4, 0x40, 4, 0x45}, 1),
			manifest.CodeCOSE, "twice"},

		{"key wrap protected",
			box(aead, iv12, nil, list{enc(pars{1: -3}), pars{}, make([]byte, 24)}), manifest.CodeCOSE, "wrong header"},
		{"key agreement not protected",
			box(aead, iv12, nil, list{[]byte{}, pars{1: -29, -1: point(nil)}, make([]byte, 24)}),
			manifest.CodeCOSE, "not understood"},
		{"key agreement without a key", box(aead, iv12, nil, list{enc(pars{1: -29}), pars{}, make([]byte, 24)}),
			manifest.CodeCOSE, "ephemeral key is missing"},
		{"key wrap with salt", box(aead, iv12, nil, list{[]byte{}, pars{1: -3, -20: []byte{1}}, make([]byte, 24)}),
			manifest.CodeCOSE, "without key agreement"},
		{"IV in a recipient", box(aead, iv12, nil, list{[]byte{}, pars{1: -3, 5: []byte{1}}, make([]byte, 24)}),
			manifest.CodeCOSE, "IV in a recipient"},
		{"party information",
			box(aead, iv12, nil, list{enc(pars{1: -29}), pars{-1: point(nil), -21: []byte{1}}, make([]byte, 24)}),
			manifest.CodeCOSE, "not understood"},
		{"recipients of a recipient",
			box(aead, iv12, nil, append(kw[:3:3], list{kw})), manifest.CodeCOSE, "no recipients of its own"},
		{"a short wrapped key", box(aead, iv12, nil, list{[]byte{}, pars{1: -3}, make([]byte, 23)}), manifest.CodeCOSE,
			"wrapped key of 23 bytes"},
		{"a wrapped key for another algorithm",
			box(enc(pars{1: 3}), iv12, nil, kw), manifest.CodeCOSE, "wrapped key of 24 bytes"},
		{"P-384", box(aead, iv12, nil, list{enc(pars{1: -29}), pars{-1: point(pars{-1: 2})}, make([]byte, 24)}),
			manifest.CodeAlgorithm, "P-256 only"},
		{"X25519", box(aead, iv12, nil, list{enc(pars{1: -29}), pars{-1: point(pars{1: 1})}, make([]byte, 24)}),
			manifest.CodeAlgorithm, "P-256 only"},
		{"compressed point",
			box(aead, iv12, nil, list{enc(pars{1: -29}), pars{-1: point(pars{-3: true})}, make([]byte, 24)}),
			manifest.CodeCOSE, "byte string expected"},
		{"short coordinate",
			box(aead, iv12, nil, list{enc(pars{1: -29}), pars{-1: point(pars{-2: make([]byte, 31)})},
				make([]byte, 24)}), manifest.CodeCOSE, "coordinate of 31 bytes"},
		{"half a point",
			box(aead, iv12, nil, list{enc(pars{1: -29}), pars{-1: point(pars{-3: nil})}, make([]byte, 24)}),
			manifest.CodeCOSE, "array of"},
		{"a field of a private key",
			box(aead, iv12, nil, list{enc(pars{1: -29}),
				pars{-1: point(pars{-3: nil, -4: []byte{1}})}, make([]byte, 24)}), manifest.CodeCOSE, "not understood"},
		{"nested without end",
			box(aead, iv12, nil, list{[]byte{}, pars{1: -6, 99: raw(append(bytes.Repeat([]byte{0x81}, 20), 0))},
				[]byte{}}, kw), manifest.CodeCOSE, "nested too deep"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := manifest.ParseEncryption(tt.b)
			if tt.code == manifest.CodeOK {
				if err != nil || fmt.Sprint(len(e.Recipients())) != tt.says || e.IsZero() || e.KeySize() != 16 ||
					e.Authenticated() != (e.Algorithm() == manifest.A128GCM) ||
					e.Authenticated() != (e.Overhead() == 16) {
					t.Errorf("%+v, %v", e, err)
				}
				return
			}
			var x *manifest.Error
			if !errors.As(err, &x) || x.Code != tt.code ||
				!strings.Contains(err.Error(), tt.says) && tt.says != "array of" {
				t.Errorf("error %v, want %s: %s", err, tt.code, tt.says)
			}
		})
	}
}

// Authenticate answers for digests and signatures of any envelope, of the elements outside of the
// manifest too, and for nothing else.
func TestAuthenticate(t *testing.T) {
	ask := func(b []byte) error {
		e, err := manifest.Parse(b)
		if err == nil {
			_, err = manifest.Authenticate(e, anchors(t))
		}
		return err
	}
	swid := pars{14: enc(pars{0: "x"})}
	nested := func(n int) raw { return append(bytes.Repeat([]byte{0x81}, n), 0) }
	numbered := func(n int) []byte {
		return craft{content: func(pars) []byte {
			m := pars{}
			for i := range n {
				m[int64(100+i)] = 1
			}
			return enc(m)
		}}.build(t)
	}
	for name, tt := range map[string]struct {
		env  []byte
		says string // "" = good
	}{
		"a release": {made(release(), "release-p256")(t), ""},
		"text and install in the envelope": {craft{install: inst(),
			manifest: pars{23: enc(map[string]any{"en": pars{1: "x"}})}, severable: []int64{20, 23}}.build(t), ""},
		"severed":            {craft{install: inst(), severed: []int64{20}}.build(t), ""},
		"invoke":             {element(9, nest(23, 2))(t), ""},
		"dependencies":       {craft{common: pars{1: pars{0: pars{}}}}.build(t), ""},
		"an unknown command": {with(99, 15)(t), ""},
		"dependency-resolution outside": {craft{install: inst(), manifest: pars{15: nest(3, 15)},
			severable: []int64{15}}.build(t), ""},
		"a changed element outside": {craft{install: inst(), manifest: swid, severable: []int64{14},
			damage: func(e map[any]any) { e[int64(14)] = enc(pars{0: "y"}) }}.build(t), "coswid was changed"},
		"an element that nobody signed": {craft{install: inst(), outer: map[any]any{int64(14): enc("x")}}.build(t),
			"says nothing"},
		"an element twice": {craft{install: inst(), outer: map[any]any{int64(20): nest(21, 2)}}.build(t),
			"in the manifest and in the envelope"},
		"a changed manifest": {edit(func(b []byte) []byte { b[len(b)-1] ^= 1; return b })(t),
			"digest mismatch"},
		"nobody's signature":           {made(release())(t), "not signed"},
		"somebody's signature":         {made(release(), "foreign-p256")(t), "no trusted signer"},
		"a manifest of nothing":        {craft{content: func(pars) []byte { return []byte{0xa0} }}.build(t), ""},
		"as many elements as are read": {numbered(32), ""},
		"more":                         {numbered(33), "map of 33 elements, want 0 to 32"},
		"an element that is nested": {craft{content: func(pars) []byte { return enc(pars{1: nested(15)}) }}.build(t),
			""},
		"nested too deep": {craft{content: func(pars) []byte { return enc(pars{1: nested(16)}) }}.build(t),
			"nested too deep"},
		"payload-fetch outside": {craft{fetch: inst(), severable: []int64{16}}.build(t), ""},
		"candidate-verification outside": {craft{install: inst(), manifest: pars{18: nest(3, 15)},
			severable: []int64{18}}.build(t), ""},
		"what nobody signed, and a manifest that is none": {craft{outer: map[any]any{int64(14): enc("x")},
			content: func(pars) []byte { return []byte{0xff} }}.build(t), "map expected"},
		"a manifest that is none": {craft{content: func(pars) []byte { return []byte{0xff} }}.build(t),
			"map expected"},
		"a manifest with something more": {craft{content: func(m pars) []byte { return append(enc(m), 0) }}.build(t),
			"too many"},
	} {
		err := ask(tt.env)
		if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: %v, want %q", name, err, tt.says)
		}
	}
	if _, err := manifest.Authenticate(manifest.Envelope{}, anchors(t)); err == nil {
		t.Error("no envelope was signed")
	}
}

// draft-ietf-suit-manifest section 6.2: the shared sequence should ask for vendor and class.
func TestIdentified(t *testing.T) {
	for name, tt := range map[string]struct {
		shared seq
		want   bool
	}{
		"both":         {identify(), true},
		"neither":      {seq{20, a}, false},
		"class alone":  {seq{20, pars{2: class[:]}, 2, 15}, false},
		"vendor alone": {seq{20, pars{1: vendor[:]}, 1, 15}, false},
		"class in a choice": {seq{20, pars{1: vendor[:]}, 1, 15, 15,
			list{nest(20, pars{2: class[:]}, 2, 15), nest(14, 15)}}, true},
	} {
		m, err := accept(t, craft{shared: tt.shared, install: inst()}.build(t))
		if err != nil || m.Identified() != tt.want {
			t.Errorf("%s: %t, %v", name, m.Identified(), err)
		}
	}
	if (manifest.Manifest{}).Identified() {
		t.Error("no manifest is identified")
	}
}

// Where an image was matched is where the match that bound it stands, not an earlier one.
func TestInstallKnowsItsPlaces(t *testing.T) {
	for name, tt := range map[string]struct {
		install         seq
		stored, matched int
	}{
		"fetched":                          {join(seq{12, 0}, inst()), 18, 20},
		"matched twice":                    {join(seq{12, 0}, inst(3, 15)), 18, 20},
		"decrypted from a matched payload": {opened(info(gcm), pars{3: pdigest(digB)}, 3, 15), 136, 138},
		"fetched again":                    {join(seq{12, 0}, inst(), fetch), 22, 24},
	} {
		m, err := accept(t, craft{components: staged, shared: twoID, install: tt.install}.build(t))
		if err != nil {
			t.Fatal(err)
		}
		u, err := m.Resolve(device())
		if err != nil || len(u.Installs) != 1 {
			t.Fatal(name, u, err)
		}
		if in := u.Installs[0]; in.Stored.Offset != tt.stored || in.Matched.Offset != tt.matched ||
			in.Stored.Index != 0 {
			t.Errorf("%s: stored at %+v, matched at %+v, want %d and %d",
				name, in.Stored, in.Matched, tt.stored, tt.matched)
		}
	}
}

// TestEncryptionBounds: what is as long as may be, for a recipient of another sort too.
func TestEncryptionBounds(t *testing.T) {
	kw := list{[]byte{}, pars{1: -3}, make([]byte, 24)}
	box := func(to ...any) []byte {
		return enc(cborTag(96, list{enc(pars{1: 1}), pars{5: make([]byte, 12)}, nil, list(to)}))
	}
	protected := func(n int) []byte { return box(list{enc(pars{99: make([]byte, n-6)}), pars{1: -6}, []byte{}}, kw) }
	headers := func(n int) []byte {
		p, q := pars{1: -6}, pars{}
		for i := range n {
			q[int64(100+i)] = 1
			if i > 0 {
				p[int64(200+i)] = 1
			}
		}
		return box(list{enc(q), p, []byte{}}, kw)
	}
	salt := func(n int) []byte {
		return box(list{enc(pars{1: -29}), pars{-1: point(nil), -20: make([]byte, n)}, make([]byte, 24)})
	}
	for name, tt := range map[string]struct {
		b  []byte
		ok bool
	}{
		"a protected header": {protected(manifest.MaxEncryption), true},
		"a byte more":        {protected(manifest.MaxEncryption + 1), false},
		"headers":            {headers(8), true}, "a header more": {headers(9), false},
		"salt": {salt(64), true}, "a byte of salt more": {salt(65), false},
		"a map with many keys": {box(list{[]byte{},
			pars{1: -6, 99: raw(append([]byte{0xb8, 100}, make([]byte, 200)...))}, []byte{}}, kw), true},
	} {
		if _, err := manifest.ParseEncryption(tt.b); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	whole := box(kw)
	for n := range whole {
		if _, err := manifest.ParseEncryption(whole[:n:n]); err == nil {
			t.Errorf("%d of %d bytes are read", n, len(whole))
		}
	}
}
