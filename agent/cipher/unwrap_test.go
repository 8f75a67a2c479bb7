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
