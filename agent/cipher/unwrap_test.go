package cipher_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/cipher"
	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// The key unwrap says before a byte is fetched whether this device can read the payload.
func TestUnwrapRefusesOtherKeys(t *testing.T) {
	pair := recipient(t)
	public, err := pair.Public()
	if err != nil {
		t.Fatal(err)
	}
	kw := sharedKey(t, "kid-1")
	other := parse(t, map[int]any{1: 4, 2: []byte("kid-1"), -1: []byte("aaaaaaaaaaaaaaab")})
	long := parse(t, map[int]any{1: 4, 2: []byte("kid-1"), -1: []byte("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")})
	for name, tt := range map[string]struct {
		to   []cipher.Key
		with []cipher.Key
		ok   bool
	}{
		"nobody":                   {[]cipher.Key{kw}, nil, false},
		"the right key":            {[]cipher.Key{kw}, []cipher.Key{kw}, true},
		"another of the same id":   {[]cipher.Key{kw}, []cipher.Key{other}, false},
		"behind another of its id": {[]cipher.Key{kw}, []cipher.Key{other, kw}, true},
		"under another id":         {[]cipher.Key{kw}, []cipher.Key{sharedKey(t, "else")}, true},
		"of another size":          {[]cipher.Key{kw}, []cipher.Key{long}, false},
		"a pair for a shared key":  {[]cipher.Key{kw}, []cipher.Key{pair}, false},
		"a shared key for a pair":  {[]cipher.Key{public}, []cipher.Key{kw, long}, false},
		"a pair":                   {[]cipher.Key{public}, []cipher.Key{kw, pair}, true},
		"the last of eight recipients": {[]cipher.Key{other, other, other, other, other, other, other, public},
			[]cipher.Key{kw, pair}, true},
	} {
		t.Run(name, func(t *testing.T) {
			info, err := cipher.Seal(io.Discard, strings.NewReader(text), manifest.A128GCM, tt.to, nil)
			if err != nil {
				t.Fatal(err)
			}
			e, err := manifest.ParseEncryption(info)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = cipher.Unwrap(e, keys(t, tt.with...)); (err == nil) != tt.ok ||
				err != nil && !errors.Is(err, cipher.ErrKey) {
				t.Errorf("unwrap: %v, want success %t", err, tt.ok)
			}
		})
	}
	if _, err := cipher.Unwrap(manifest.Encryption{}, keys(t, kw)); !errors.Is(err, cipher.ErrKey) ||
		!strings.Contains(err.Error(), "it is not encrypted") {
		t.Error(err)
	}
}

// RFC 9053 section 6.3: a point beside the curve is not used.
func TestUnwrapRefusesPoints(t *testing.T) {
	pair := recipient(t)
	public, err := pair.Public()
	if err != nil {
		t.Fatal(err)
	}
	info, err := cipher.Seal(io.Discard, strings.NewReader(text), manifest.A128GCM, []cipher.Key{public}, nil)
	if err != nil {
		t.Fatal(err)
	}
	e, err := manifest.ParseEncryption(info)
	if err != nil {
		t.Fatal(err)
	}
	x := e.Recipients()[0].Ephemeral[1:33]
	for _, with := range [][]byte{make([]byte, 32), bytes.Repeat([]byte{0xff}, 32)} {
		e, err := manifest.ParseEncryption(bytes.Replace(info, x, with, 1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cipher.Unwrap(e, keys(t, pair)); !errors.Is(err, cipher.ErrKey) {
			t.Errorf("a point beside the curve: %v", err)
		}
	}
}

// A key of one size is not used under the name of the other.
func TestUnwrapHoldsKeysToTheirAlgorithm(t *testing.T) {
	long := parse(t, map[int]any{1: 4, -1: []byte("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")})
	info, err := cipher.Seal(io.Discard, strings.NewReader(text), manifest.A128GCM, []cipher.Key{long}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for alg, want := range map[byte]error{0x24: nil, 0x22: cipher.ErrKey} { // -5 and -3
		e, err := manifest.ParseEncryption(bytes.Replace(info, []byte{0xa1, 1, 0x24}, []byte{0xa1, 1, alg}, 1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cipher.Unwrap(e, keys(t, long)); !errors.Is(err, want) {
			t.Errorf("algorithm %x: %v", alg, err)
		}
	}
}

// RFC 9053 section 5.1: a salt in the header is the salt of the key derivation.
func TestUnwrapWithSalt(t *testing.T) {
	d := unhex("60FE6DD6D85D5740A5349B6F91267EEAC5BA81B8CB53EE249E4B4EB102C476B3")
	pair := parse(t, map[int]any{1: 2, -1: 1,
		-2: unhex("5886CD61DD875862E5AAA820E7A15274C968A9BC96048DDCACE32F50C3651BA3"),
		-3: unhex("9EED8125E932CD60C0EAD3650D0A485CF726D378D1B016ED4298B2961E258F1B"), -4: d})
	own, err := ecdh.P256().NewPrivateKey(d)
	if err != nil {
		t.Fatal(err)
	}
	ephemeral, err := ecdh.P256().NewPrivateKey(random(32, 7))
	if err != nil {
		t.Fatal(err)
	}
	secret, err := ephemeral.ECDH(own.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	enc := func(v any) []byte {
		b, err := cbor.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	protected := enc(map[int]any{1: -29})
	kek, err := cipher.Derive(secret, []byte("salt"), protected)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := cipher.Wrap(kek, random(16, 1))
	if err != nil {
		t.Fatal(err)
	}
	p := ephemeral.PublicKey().Bytes()
	for salt, want := range map[string]error{"salt": nil, "sale": cipher.ErrKey} {
		header := map[int]any{-1: map[int]any{1: 2, -1: 1, -2: p[1:33], -3: p[33:]}, -20: []byte(salt)}
		info := enc(cbor.Tag{Number: 96, Content: []any{enc(map[int]any{1: 1}), map[int]any{5: make([]byte, 12)}, nil,
			[]any{[]any{protected, header, wrapped}}}})
		e, err := manifest.ParseEncryption(info)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cipher.Unwrap(e, keys(t, pair)); !errors.Is(err, want) {
			t.Errorf("%s: %v", salt, err)
		}
	}
}

func TestParseKeyRefuses(t *testing.T) {
	enc := func(m map[int]any) []byte {
		b, err := cbor.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := file(t, testdata, "recipient.pem")
	k := recipient(t)
	x := bytes.Repeat([]byte{1}, 32)
	for name, b := range map[string][]byte{
		"nothing":        nil,
		"text":           []byte("hello"),
		"endless":        make([]byte, cipher.MaxKeyFile+1),
		"two keys":       append(bytes.Clone(good), good...),
		"a certificate":  []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
		"P-384":          file(t, "../../testdata/suit/keys/release-p384.pem"),
		"Ed25519":        file(t, "../../testdata/suit/keys/release-ed25519.pem"),
		"17 bytes":       enc(map[int]any{1: 4, -1: make([]byte, 17)}),
		"24 bytes":       enc(map[int]any{1: 4, -1: make([]byte, 24)}),
		"another alg":    enc(map[int]any{1: 4, 3: 5, -1: make([]byte, 16)}),
		"OKP":            enc(map[int]any{1: 1, -1: 4, -2: x}),
		"beside P-256":   enc(map[int]any{1: 2, -1: 1, -2: x, -3: x}),
		"P-521":          enc(map[int]any{1: 2, -1: 3, -2: x, -3: x}),
		"compressed":     enc(map[int]any{1: 2, -1: 1, -2: x, -3: true}),
		"long id":        enc(map[int]any{1: 4, 2: make([]byte, 65), -1: make([]byte, 16)}),
		"17 or 16 bytes": enc(map[int]any{1: 4, -1: "aaaaaaaaaaaaaaaa"}),
		"trailing":       append(enc(map[int]any{1: 4, -1: make([]byte, 16)}), 0),
		"not the private": enc(map[int]any{1: 2, -1: 1,
			-2: unhex("5886CD61DD875862E5AAA820E7A15274C968A9BC96048DDCACE32F50C3651BA3"),
			-3: unhex("9EED8125E932CD60C0EAD3650D0A485CF726D378D1B016ED4298B2961E258F1B"), -4: x}),
	} {
		if _, err := cipher.ParseKey(b); err == nil || !strings.HasPrefix(err.Error(), "cannot read decryption key: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What it says of the file.
	for _, tt := range []struct{ b, says string }{
		{"hello", "neither PEM nor a COSE_Key: "},
		{"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "PEM block is \"CERTIFICATE\""},
		{"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "asn1: "},
		{strings.Repeat("x", cipher.MaxKeyFile+1), "file is 8193 bytes, a key has at most 8192"},
		{string(good) + "x", "more than one key in the file, or an encrypted one"},
		{string(publicPEM(t, elliptic.P384())), "a key of type *ecdsa.PublicKey is not of P-256"},
		{string(enc(map[int]any{1: 3})), "COSE key type 3 is not supported"},
		{string(enc(map[int]any{1: 4, 2: make([]byte, 65), -1: make([]byte, 16)})), "key id of 65 bytes, at most 64"},
		{"\xa3\x01\x04\x01\x04\x20\x50aaaaaaaaaaaaaaaa", "neither PEM nor a COSE_Key: cbor: found duplicate map key"},
		{"\xbf\x01\x04\x20\x50aaaaaaaaaaaaaaaa\xff", "neither PEM nor a COSE_Key: cbor: indefinite-length map"},
		{string(enc(map[int]any{1: 4, -1: make([]byte, 16), 99: [][][][]int{{{{}}}}})),
			"neither PEM nor a COSE_Key: cbor: exceeded max nested level 4"},
		{strings.Replace(string(good), "KEY-----\n", "KEY-----\nX: y\n\n", 1),
			"more than one key in the file, or an encrypted one"},
	} {
		if _, err := cipher.ParseKey([]byte(tt.b)); err == nil ||
			!strings.HasPrefix(err.Error(), "cannot read decryption key: "+tt.says) {
			t.Errorf("%v, want %s", err, tt.says)
		}
	}
	public, err := k.Public()
	if err != nil || public.Opens() || !bytes.Equal(public.ID(), k.ID()) || len(k.ID()) != 32 {
		t.Errorf("public half %v, %v", public.Opens(), err)
	}
	if _, err := cipher.NewKeys(public); err == nil {
		t.Error("a public key opens nothing")
	}
	if _, err := cipher.NewKeys(make([]cipher.Key, cipher.MaxKeys+1)...); err == nil {
		t.Error("too many keys")
	}
	if _, err := sharedKey(t, "x").Public(); err == nil {
		t.Error("a shared key has no public half")
	}
}

func publicPEM(t *testing.T, curve elliptic.Curve) []byte {
	t.Helper()
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: b})
}

// TestParseKeyForms: every form of a key that the documents name, at its bounds, and what it is good for.
func TestParseKeyForms(t *testing.T) {
	enc := func(m map[int]any) []byte {
		b, err := cbor.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := file(t, testdata, "recipient.pem")
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	x, y := unhex("5886CD61DD875862E5AAA820E7A15274C968A9BC96048DDCACE32F50C3651BA3"),
		unhex("9EED8125E932CD60C0EAD3650D0A485CF726D378D1B016ED4298B2961E258F1B")
	d := unhex("60FE6DD6D85D5740A5349B6F91267EEAC5BA81B8CB53EE249E4B4EB102C476B3")
	with := func(m map[int]any) []byte {
		all := map[int]any{1: 2, 2: []byte("kid-2"), -1: 1, -2: x, -3: y}
		maps.Copy(all, m)
		return enc(all)
	}
	id := strings.Repeat("x", manifest.MaxKeyID)
	for name, tt := range map[string]struct {
		b     []byte
		id    string // "-" = a thumbprint
		opens bool
		bad   bool
	}{
		"as long as a file may be": {append(bytes.Clone(good),
			bytes.Repeat([]byte{'\n'}, cipher.MaxKeyFile-len(good))...), "-", true, false},
		"EC PRIVATE KEY": {pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ec}), "-", true,
			false},
		"PUBLIC KEY":                {publicPEM(t, elliptic.P256()), "-", false, false},
		"a pair with its name":      {with(map[int]any{-4: d}), "kid-2", true, false},
		"a pair without one":        {with(map[int]any{2: []byte{}, -4: d}), "-", true, false},
		"half a pair":               {with(nil), "kid-2", false, false},
		"for key agreement":         {with(map[int]any{3: -29}), "kid-2", false, false},
		"for key wrap":              {with(map[int]any{3: -3}), "", false, true},
		"on another curve":          {with(map[int]any{-1: 2}), "", false, true},
		"on a curve with a name":    {with(map[int]any{-1: "P-256"}), "", false, true},
		"a point that is cut wrong": {with(map[int]any{-2: x[:31], -3: append(x[31:32:32], y...)}), "", false, true},
		"cut the other way":         {with(map[int]any{-2: append(x[:32:32], y[0]), -3: y[1:]}), "", false, true},
		"half a point":              {with(map[int]any{-3: []byte{}}), "", false, true},
		"private part of 31 bytes":  {with(map[int]any{-4: d[:31]}), "", false, true},
		"shared":                    {enc(map[int]any{1: 4, -1: make([]byte, 16)}), "", true, false},
		"shared, for A128KW":        {enc(map[int]any{1: 4, 3: -3, -1: make([]byte, 16)}), "", true, false},
		"shared, for A256KW":        {enc(map[int]any{1: 4, 3: -5, -1: make([]byte, 32)}), "", true, false},
		"shared, for A256KW, short": {enc(map[int]any{1: 4, 3: -5, -1: make([]byte, 16)}), "", false, true},
		"shared, with a long name":  {enc(map[int]any{1: 4, 2: []byte(id), -1: make([]byte, 16)}), id, true, false},
		"shared, and more beside it": {enc(map[int]any{1: 4, -1: make([]byte, 16), 99: [][][]int{{{}}}}), "", true,
			false},
	} {
		k, err := cipher.ParseKey(tt.b)
		if (err != nil) != tt.bad || k.Opens() != tt.opens || tt.id != "-" && string(k.ID()) != tt.id || tt.id == "-" &&
			len(k.ID()) != 32 {
			t.Errorf("%s: id %q, opens %t, %v", name, k.ID(), k.Opens(), err)
		}
	}
	kw := sharedKey(t, "x")
	if ks, err := cipher.NewKeys(slices.Repeat([]cipher.Key{kw}, cipher.MaxKeys)...); err != nil || ks.IsZero() {
		t.Errorf("%d keys: %v", cipher.MaxKeys, err)
	}
	if _, err := cipher.NewKeys(slices.Repeat([]cipher.Key{kw}, cipher.MaxKeys+1)...); err == nil {
		t.Errorf("%d keys", cipher.MaxKeys+1)
	}
	if ks := keys(t, kw); ks.IsZero() || !(cipher.Keys{}).IsZero() || !keys(t).IsZero() {
		t.Error("one key is none, or none is one")
	}
}

func TestSealRefuses(t *testing.T) {
	kw := sharedKey(t, "kid-1")
	public, err := recipient(t).Public()
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for says, err := range map[string]error{
		"0 recipients, want 1 to 8":     sealError(t, text, manifest.A128GCM, nil, nil),
		"9 recipients, want 1 to 8":     sealError(t, text, manifest.A128GCM, slices.Repeat([]cipher.Key{kw}, 9), nil),
		"recipient has no key":          sealError(t, text, manifest.A128GCM, make([]cipher.Key, 1), nil),
		"algorithm 24 is not supported": sealError(t, text, 24, []cipher.Key{kw}, nil),
		"EOF":                           sealError(t, text, manifest.A128GCM, []cipher.Key{kw}, bytes.NewReader(nil)),
		// What it needs for key and IV is there, but not for an ephemeral key; or what is there is no key 16 times.
		"unexpected EOF": sealError(t, text, manifest.A128GCM, []cipher.Key{public},
			bytes.NewReader(random(28+31, 1))),
		"the source of randomness is broken": sealError(t, text, manifest.A128GCM, []cipher.Key{public},
			bytes.NewReader(append(random(28, 1), bytes.Repeat([]byte{0xff}, 16*32)...))),
	} {
		if err == nil || err.Error() != "cannot encrypt payload: "+says {
			t.Errorf("%v, want %s", err, says)
		}
	}
	for _, alg := range []int64{manifest.A128GCM, manifest.A128CTR} {
		if _, err := cipher.Seal(io.Discard, iotest.ErrReader(broken), alg, []cipher.Key{kw}, nil); !errors.Is(err,
			broken) {
			t.Errorf("algorithm %d, from a broken source: %v", alg, err)
		}
		for n := range 2 {
			if _, err := cipher.Seal(&writer{n, broken}, strings.NewReader(text), alg, []cipher.Key{kw}, nil); n == 0 &&
				!errors.Is(err, broken) || n == 1 && alg == manifest.A128GCM && !errors.Is(err, broken) {
				t.Errorf("algorithm %d, write %d fails: %v", alg, n, err)
			}
		}
	}
}

// TestSealOfEverySize: whole chunks, nothing and what lies between come back as they were.
func TestSealOfEverySize(t *testing.T) {
	for _, alg := range []int64{manifest.A128GCM, manifest.A256CTR} {
		for _, n := range []int{0, 1, cipher.Chunk - 1, cipher.Chunk, cipher.Chunk + 1, 2 * cipher.Chunk} {
			plain := random(n, 3)
			payload, s := sealed(t, alg, plain)
			r, err := s.Reader(bytes.NewReader(payload))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("algorithm %d, %d bytes: %d come back, %v", alg, n, len(got), err)
			}
		}
	}
}

// TestKeyIDIsHandedOn: a sender says whom a wrapped key is for, if that has a name.
func TestKeyIDIsHandedOn(t *testing.T) {
	for _, id := range []string{"", "k", "kid-1"} {
		info, err := cipher.Seal(io.Discard, strings.NewReader(text), manifest.A128GCM, []cipher.Key{sharedKey(t, id)},
			nil)
		if err != nil {
			t.Fatal(err)
		}
		e, err := manifest.ParseEncryption(info)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Recipients()[0].KeyID; string(got) != id || (got == nil) != (id == "") {
			t.Errorf("%q is handed on as %q", id, got)
		}
	}
}

// A key id is a hint that is followed first: a recipient that names one of the device's keys is asked before one that
// names none or another, although a key of the device opens that one too, with another content key in it.
func TestKeyIDComesFirst(t *testing.T) {
	const kek, plainKEK = "bbbbbbbbbbbbbbbb", "cccccccccccccccc"
	key := func(id, kek string) cipher.Key {
		m := map[int]any{1: 4, -1: []byte(kek)}
		if id != "" {
			m[2] = []byte(id)
		}
		return parse(t, m)
	}
	enc := func(v any) []byte {
		b, err := cbor.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	right, wrong := random(16, 1), random(16, 2)
	for name, tt := range map[string]struct {
		keys      []cipher.Key
		id, under string // of the recipient that stands before the right one
		kid       string // of the right one
	}{
		"behind one without an id":   {[]cipher.Key{key("kid-1", kek)}, "", kek, "kid-1"},
		"behind one of another's id": {[]cipher.Key{key("kid-1", kek)}, "kid-2", kek, "kid-1"},
		"behind one for a plain key": {[]cipher.Key{key("", plainKEK), key("kid-1", kek)}, "", plainKEK, "kid-1"},
		"an id of one byte":          {[]cipher.Key{key("k", kek)}, "", kek, "k"},
	} {
		var recipients []any
		for _, r := range []struct {
			id, kek string
			cek     []byte
		}{{tt.id, tt.under, wrong}, {tt.kid, kek, right}} {
			wrapped, err := cipher.Wrap([]byte(r.kek), r.cek)
			if err != nil {
				t.Fatal(err)
			}
			header := map[int]any{1: manifest.A128KW}
			if r.id != "" {
				header[4] = []byte(r.id)
			}
			recipients = append(recipients, []any{[]byte{}, header, wrapped})
		}
		e, err := manifest.ParseEncryption(enc(cbor.Tag{Number: 96, Content: []any{enc(map[int]any{1: 1}),
			map[int]any{5: make([]byte, 12)}, nil, recipients}}))
		if err != nil {
			t.Fatal(err)
		}
		s, err := cipher.Unwrap(e, keys(t, tt.keys...))
		if err != nil {
			t.Fatal(err)
		}
		if got := cipher.ContentKey(s); !bytes.Equal(got, right) {
			t.Errorf("%s: content key %x, want that of the recipient that names the key, %x", name, got, right)
		}
	}
}

func sealError(t *testing.T, s string, alg int64, to []cipher.Key, random io.Reader) error {
	t.Helper()
	_, err := cipher.Seal(io.Discard, strings.NewReader(s), alg, to, random)
	return err
}

// writer fails once, after so many writes.
type writer struct {
	before int
	err    error
}

func (w *writer) Write(p []byte) (int, error) {
	if w.before--; w.before == -1 {
		return 0, w.err
	}
	return len(p), nil
}

// Two payloads of one image have nothing in common.
func TestSealIsFresh(t *testing.T) {
	kw := sharedKey(t, "kid-1")
	var a, b bytes.Buffer
	for _, w := range []io.Writer{&a, &b} {
		if _, err := cipher.Seal(w, strings.NewReader(text), manifest.A128CTR, []cipher.Key{kw}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if bytes.Equal(a.Bytes()[:8], b.Bytes()[:8]) {
		t.Error("key and IV were used twice")
	}
}

func FuzzUnwrap(f *testing.F) {
	names := []string{"a128kw-a128gcm", "a256kw-a256ctr", "ecdh-a128gcm", "several-recipients"}
	for _, n := range names {
		f.Add(file(f, testdata, n+".info"), file(f, testdata, n+".payload"))
	}
	ks := keys(f, sharedKey(f, "kid-1"), recipient(f),
		parse(f, map[int]any{1: 4, -1: []byte("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")}))
	f.Fuzz(func(t *testing.T, info, payload []byte) {
		e, err := manifest.ParseEncryption(info)
		if err != nil {
			return
		}
		if n := len(e.Recipients()); n == 0 || n > manifest.MaxRecipients || e.KeySize() == 0 {
			t.Fatalf("%d recipients, key of %d bytes", n, e.KeySize())
		}
		s, err := cipher.Unwrap(e, ks)
		if err != nil {
			return
		}
		r, err := s.Reader(bytes.NewReader(payload))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err == nil && int64(len(b)) != s.PlainSize(int64(len(payload))) {
			t.Fatalf("%d bytes of %d", len(b), len(payload))
		}
	})
}

func FuzzGCM(f *testing.F) {
	f.Add([]byte(text), []byte("aad"), uint16(3))
	f.Add(make([]byte, 100), []byte{}, uint16(0))
	f.Fuzz(func(t *testing.T, plain, aad []byte, flip uint16) {
		key, nonce := random(16, 1), random(12, 2)
		b := reference(t, key, nonce, aad, plain)
		r, err := cipher.OpenGCM(bytes.NewReader(b), key, nonce, aad)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%x, %v", got, err)
		}
		b[int(flip)%len(b)] ^= 1
		if r, err = cipher.OpenGCM(bytes.NewReader(b), key, nonce, aad); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(r); !errors.Is(err, cipher.ErrTag) {
			t.Fatalf("a changed payload: %v", err)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add(file(f, testdata, "recipient.pem"))
	f.Add([]byte{0xa2, 1, 4, 0x20, 0x50, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16})
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := cipher.ParseKey(b)
		if err == nil && len(k.ID()) > manifest.MaxKeyID {
			t.Fatal("key id is too long")
		}
	})
}
