package cipher_test

import (
	"bytes"
	"crypto/ecdh"
	"errors"
	"io"
	"strings"
	"testing"

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
	if _, err := cipher.Unwrap(manifest.Encryption{}, keys(t, kw)); !errors.Is(err, cipher.ErrKey) {
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
		"nothing":       nil,
		"text":          []byte("hello"),
		"endless":       make([]byte, cipher.MaxKeyFile+1),
		"two keys":      append(bytes.Clone(good), good...),
		"a certificate": []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
		"P-384":         file(t, "../../testdata/suit/keys/release-p384.pem"),
		"Ed25519":       file(t, "../../testdata/suit/keys/release-ed25519.pem"),
		"17 bytes":      enc(map[int]any{1: 4, -1: make([]byte, 17)}),
		"24 bytes":      enc(map[int]any{1: 4, -1: make([]byte, 24)}),
		"another alg":   enc(map[int]any{1: 4, 3: 5, -1: make([]byte, 16)}),
		"OKP":           enc(map[int]any{1: 1, -1: 4, -2: x}),
		"beside P-256":  enc(map[int]any{1: 2, -1: 1, -2: x, -3: x}),
		"P-521":         enc(map[int]any{1: 2, -1: 3, -2: x, -3: x}),
		"compressed":    enc(map[int]any{1: 2, -1: 1, -2: x, -3: true}),
		"long id":       enc(map[int]any{1: 4, 2: make([]byte, 65), -1: make([]byte, 16)}),
		"trailing":      append(enc(map[int]any{1: 4, -1: make([]byte, 16)}), 0),
		"not the private": enc(map[int]any{1: 2, -1: 1,
			-2: unhex("5886CD61DD875862E5AAA820E7A15274C968A9BC96048DDCACE32F50C3651BA3"),
			-3: unhex("9EED8125E932CD60C0EAD3650D0A485CF726D378D1B016ED4298B2961E258F1B"), -4: x}),
	} {
		if _, err := cipher.ParseKey(b); err == nil || !strings.HasPrefix(err.Error(), "cannot read decryption key: ") {
			t.Errorf("%s: %v", name, err)
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

func TestSealRefuses(t *testing.T) {
	kw := sharedKey(t, "kid-1")
	broken := errors.New("broken")
	for name, err := range map[string]error{
		"no recipient":    sealError(t, text, manifest.A128GCM, nil, nil),
		"nine recipients": sealError(t, text, manifest.A128GCM, make([]cipher.Key, 9), nil),
		"an empty key":    sealError(t, text, manifest.A128GCM, make([]cipher.Key, 1), nil),
		"ChaCha":          sealError(t, text, 24, []cipher.Key{kw}, nil),
		"no randomness":   sealError(t, text, manifest.A128GCM, []cipher.Key{kw}, bytes.NewReader(nil)),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "cannot encrypt payload: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := cipher.Seal(writer{broken}, strings.NewReader(text), manifest.A128GCM,
		[]cipher.Key{kw}, nil); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func sealError(t *testing.T, s string, alg int64, to []cipher.Key, random io.Reader) error {
	t.Helper()
	_, err := cipher.Seal(io.Discard, strings.NewReader(s), alg, to, random)
	return err
}

type writer struct{ err error }

func (w writer) Write([]byte) (int, error) { return 0, w.err }

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
