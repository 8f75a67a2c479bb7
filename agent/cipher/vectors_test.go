package cipher_test

import (
	"bytes"
	"crypto/aes"
	stdcipher "crypto/cipher"
	"encoding/hex"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/cipher"
	"github.com/ratchet-ota/ratchet/agent/manifest"
)

const (
	vectors  = "../../../shared/vectors" // public vectors, beside the repository on some machines
	testdata = "../../testdata/suit/encrypted"
	text     = "This is a real firmware image."
)

var update = flag.Bool("update", false, "rewrite the golden payloads")

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// sharedKey is the key of the drafts' examples of AES key wrap.
func sharedKey(t testing.TB, id string) cipher.Key {
	return parse(t, map[int]any{1: 4, 2: []byte(id), -1: []byte("aaaaaaaaaaaaaaaa")})
}

func parse(t testing.TB, coseKey map[int]any) cipher.Key {
	t.Helper()
	b, err := cbor.Marshal(coseKey)
	if err != nil {
		t.Fatal(err)
	}
	k, err := cipher.ParseKey(b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func keys(t testing.TB, k ...cipher.Key) cipher.Keys {
	t.Helper()
	ks, err := cipher.NewKeys(k...)
	if err != nil {
		t.Fatal(err)
	}
	return ks
}

func file(t testing.TB, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// decrypt takes info and payload all the way.
func decrypt(t testing.TB, info, payload []byte, ks cipher.Keys) []byte {
	t.Helper()
	e, err := manifest.ParseEncryption(info)
	if err != nil {
		t.Fatal(err)
	}
	s, err := cipher.Unwrap(e, ks)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.PlainSize(int64(len(payload))); got != int64(len(text)) {
		t.Errorf("plain size %d", got)
	}
	r, err := s.Reader(bytes.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// draft-ietf-suit-firmware-encryption: the drafts' own examples.
func TestPublicVectors(t *testing.T) {
	if _, err := os.Stat(vectors); err != nil {
		t.Skip("skipped: the shared vectors are not beside this repository")
	}
	pem, err := cipher.ParseKey(file(t, vectors, "keys", "suit-example-p256.pem"))
	if err != nil {
		t.Fatal(err)
	}
	// The draft's key pair of kid-2, which the examples of key agreement are for.
	agreed := parse(t, map[int]any{1: 2, 2: []byte("kid-2"), -1: 1,
		-2: unhex("5886CD61DD875862E5AAA820E7A15274C968A9BC96048DDCACE32F50C3651BA3"),
		-3: unhex("9EED8125E932CD60C0EAD3650D0A485CF726D378D1B016ED4298B2961E258F1B"),
		-4: unhex("60FE6DD6D85D5740A5349B6F91267EEAC5BA81B8CB53EE249E4B4EB102C476B3")})
	for _, name := range []string{"aes-kw-aes-ctr", "aes-kw-aes-gcm", "es-ecdh-aes-ctr", "es-ecdh-aes-gcm"} {
		dir := filepath.Join(vectors, "suit-wg-firmware-encryption")
		info, payload := file(t, dir, "suit-encryption-info-"+name+".bin"),
			file(t, dir, "encrypted-payload-"+name+".bin")
		if got := decrypt(t, info, payload, keys(t, pem, agreed, sharedKey(t, "kid-1"))); string(got) != text {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// The same combinations, and some that the drafts have no examples of, in the project's own files.
func TestGoldenPayloads(t *testing.T) {
	pair := recipient(t)
	public, err := pair.Public()
	if err != nil {
		t.Fatal(err)
	}
	long := parse(t, map[int]any{1: 4, -1: []byte("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")})
	kw := sharedKey(t, "kid-1")
	for i, tt := range []struct {
		name string
		alg  int64
		to   []cipher.Key
		with cipher.Key
	}{
		{"a128kw-a128gcm", manifest.A128GCM, []cipher.Key{kw}, kw},
		{"a128kw-a128ctr", manifest.A128CTR, []cipher.Key{kw}, kw},
		{"a256kw-a256gcm", manifest.A256GCM, []cipher.Key{long}, long},
		{"a256kw-a256ctr", manifest.A256CTR, []cipher.Key{long}, long},
		{"ecdh-a128gcm", manifest.A128GCM, []cipher.Key{public}, pair},
		{"ecdh-a128ctr", manifest.A128CTR, []cipher.Key{public}, pair},
		{"several-recipients", manifest.A256GCM, []cipher.Key{long, kw, public}, pair},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if *update {
				var payload bytes.Buffer
				info, err := cipher.Seal(&payload, strings.NewReader(text), tt.alg, tt.to,
					rand.NewChaCha8([32]byte{byte(i)}))
				if err != nil {
					t.Fatal(err)
				}
				for suffix, b := range map[string][]byte{".info": info, ".payload": payload.Bytes()} {
					if err := os.WriteFile(filepath.Join(testdata, tt.name+suffix), b, 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
			info, payload := file(t, testdata, tt.name+".info"), file(t, testdata, tt.name+".payload")
			if got := decrypt(t, info, payload, keys(t, tt.with)); string(got) != text {
				t.Errorf("%q", got)
			}
			// Seal is what made them.
			var again bytes.Buffer
			b, err := cipher.Seal(&again, strings.NewReader(text), tt.alg, tt.to, rand.NewChaCha8([32]byte{byte(i)}))
			if err != nil || !bytes.Equal(b, info) || !bytes.Equal(again.Bytes(), payload) {
				t.Errorf("sealing again gives other bytes: %v", err)
			}
		})
	}
}

// recipient is the published test key pair that the golden payloads are for.
func recipient(t testing.TB) cipher.Key {
	t.Helper()
	k, err := cipher.ParseKey(file(t, testdata, "recipient.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// RFC 3394 section 4.
func TestKeyWrapVectors(t *testing.T) {
	for _, tt := range []struct{ kek, key, wrapped string }{
		{"000102030405060708090A0B0C0D0E0F",
			"00112233445566778899AABBCCDDEEFF", "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5"},
		{"000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
			"00112233445566778899AABBCCDDEEFF", "64E8C3F9CE0F5BA263E9777905818A2A93C8191E7D6E8AE7"},
		{"000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
			"00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F",
			"28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21"},
	} {
		got, err := cipher.Wrap(unhex(tt.kek), unhex(tt.key))
		if err != nil || !bytes.Equal(got, unhex(tt.wrapped)) {
			t.Errorf("wrapped %x, %v", got, err)
		}
		key, ok := cipher.Unwrapped(unhex(tt.kek), unhex(tt.wrapped))
		if !ok || !bytes.Equal(key, unhex(tt.key)) {
			t.Errorf("unwrapped %x, %t", key, ok)
		}
		for i := range got {
			bad := bytes.Clone(got)
			bad[i] ^= 0x40
			if _, ok := cipher.Unwrapped(unhex(tt.kek), bad); ok {
				t.Errorf("a wrapped key with a change in byte %d was taken", i)
			}
		}
	}
	for _, n := range []int{0, 8, 16, 23, 25} {
		if _, ok := cipher.Unwrapped(make([]byte, 16), make([]byte, n)); ok {
			t.Errorf("%d bytes were unwrapped", n)
		}
	}
	good, err := cipher.Wrap(make([]byte, 16), make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := cipher.Unwrapped(make([]byte, 16), append(good, 0)); ok {
		t.Error("a wrapped key with a byte behind it was unwrapped")
	}
	if _, ok := cipher.Unwrapped(make([]byte, 15), good); ok {
		t.Error("a key of 15 bytes unwraps")
	}
	for _, n := range []int{0, 8, 15, 17} {
		if b, err := cipher.Wrap(make([]byte, 16), make([]byte, n)); err == nil {
			t.Errorf("a key of %d bytes was wrapped: %x", n, b)
		}
	}
	if _, err := cipher.Wrap(make([]byte, 15), make([]byte, 16)); err == nil {
		t.Error("a key of 15 bytes wraps")
	}
}

// reference seals with the standard library.
func reference(t testing.TB, key, nonce, aad, plain []byte) []byte {
	t.Helper()
	b, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	g, err := stdcipher.NewGCM(b)
	if err != nil {
		t.Fatal(err)
	}
	return g.Seal(nil, nonce, plain, aad)
}
