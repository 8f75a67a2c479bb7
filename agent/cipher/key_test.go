package cipher_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/cipher"
	"github.com/ratchet-ota/ratchet/agent/manifest"
)

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
