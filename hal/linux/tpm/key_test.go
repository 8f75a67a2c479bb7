//go:build linux

package tpm_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/hal/linux/tpm"
	"github.com/ratchet-ota/ratchet/hal/linux/tpm/tpmtest"
)

const handle = 0x81525401

var digest = sha256.Sum256([]byte("evidence"))

// madeKey makes a key.
func madeKey(t *testing.T, path string, handle uint32) *tpm.Key {
	t.Helper()
	k, made, err := tpm.Make(t.Context(), path, handle, nil)
	if !made || err != nil {
		t.Fatalf("made %v, %v", made, err)
	}
	return k
}

// signs tells whether a key signs so that its public half verifies.
func signs(t *testing.T, k *tpm.Key) {
	t.Helper()
	sig, err := k.Sign(nil, digest[:], crypto.SHA256)
	if err != nil || !ecdsa.VerifyASN1(k.Public().(*ecdsa.PublicKey), digest[:], sig) {
		t.Errorf("signature %x, %v", sig, err)
	}
}

// A key is made once, and is another one at each handle and after each removal: two that are the same would make a TLS
// key one that signs evidence.
func TestTPMKeyIsMadeOnce(t *testing.T) {
	m := tpmtest.New(t)
	k := madeKey(t, m.Path, handle)
	for range 20 { // some signatures have a short number
		signs(t, k)
	}
	again, made, err := tpm.Make(t.Context(), m.Path, handle, nil)
	if made || err != nil || !again.Public().(*ecdsa.PublicKey).Equal(k.Public()) {
		t.Errorf("made again: %v, %v", made, err)
	}
	opened, err := tpm.Open(t.Context(), m.Path, handle)
	if err != nil || !opened.Public().(*ecdsa.PublicKey).Equal(k.Public()) {
		t.Fatalf("another key is opened: %v", err)
	}
	signs(t, opened)
	other := madeKey(t, m.Path, handle+1)
	if other.Public().(*ecdsa.PublicKey).Equal(k.Public()) {
		t.Error("two handles have one key")
	}
	m.Set(func() { delete(m.Keys, handle) })
	if madeKey(t, m.Path, handle).Public().(*ecdsa.PublicKey).Equal(k.Public()) {
		t.Error("a key that was removed can be made again")
	}
	if left := m.Loaded(); len(left) > 0 {
		t.Errorf("keys are left loaded: %#x", left)
	}
}

// The power goes at each command of the making: there is no key, or the whole one, and it can be made in the end.
func TestTPMKeyPowerCuts(t *testing.T) {
	for at := 1; ; at++ {
		cut := false
		for _, sign := range []int{1, -1} {
			m := tpmtest.New(t)
			m.HangUp = sign * at
			_, _, err := tpm.Make(t.Context(), m.Path, handle, nil)
			cut = cut || err != nil
			m.Set(func() {
				m.HangUp = 0
				for _, h := range m.Loaded() {
					delete(m.Keys, h)
				}
			})
			before, err := tpm.Open(t.Context(), m.Path, handle)
			if err != nil && !errors.Is(err, tpm.ErrNoKey) {
				t.Errorf("cut at %d: %v", sign*at, err)
			}
			k, _, err := tpm.Make(t.Context(), m.Path, handle, nil)
			if err != nil {
				t.Fatalf("cut at %d: cannot be made: %v", sign*at, err)
			}
			if before != nil && !before.Public().(*ecdsa.PublicKey).Equal(k.Public()) {
				t.Errorf("cut at %d: a key that was there was made again", sign*at)
			}
			signs(t, k)
		}
		if !cut {
			if at < 6 {
				t.Errorf("only %d commands", at)
			}
			return
		}
	}
}

// What is no key as it must be is neither used nor removed, and it is said what it is.
func TestTPMKeyForeign(t *testing.T) {
	for want, change := range map[string]func(area []byte){
		"RSA key":                func(a []byte) { a[1] = 1 },
		"no signing key":         func(a []byte) { a[1] = 8 },
		"restricted":             func(a []byte) { a[5] |= 1 },
		"decrypts":               func(a []byte) { a[5] = a[5]&^4 | 2 },
		"brought into":           func(a []byte) { a[7] &^= 0x20 },
		"take out":               func(a []byte) { a[7] &^= 0x02 },
		"can take out of it (at": func(a []byte) { a[7] &^= 0x10 },
		"policy":                 func(a []byte) { a[7] &^= 0x40 },
		"another curve":          func(a []byte) { a[17] = 4 },
		"curve or scheme":        func(a []byte) { a[13] = 0x1A },
	} {
		m := tpmtest.New(t)
		madeKey(t, m.Path, handle)
		m.Set(func() { change(m.Keys[handle].Area) })
		if _, err := tpm.Open(t.Context(), m.Path, handle); !errors.Is(err, tpm.ErrKind) ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: opened: %v", want, err)
		}
		if _, made, err := tpm.Make(t.Context(), m.Path, handle, nil); made || !errors.Is(err, tpm.ErrKind) ||
			m.Keys[handle] == nil {
			t.Errorf("%s: made %v, %v", want, made, err)
		}
	}
	// A key whose command says how it signs is one that tpm2-tools make.
	m := tpmtest.New(t)
	madeKey(t, m.Path, handle)
	m.Set(func() {
		m.Keys[handle].Area = append(append(m.Keys[handle].Area[:12:12], 0, 0x10), m.Keys[handle].Area[16:]...)
	})
	k, err := tpm.Open(t.Context(), m.Path, handle)
	if err != nil {
		t.Fatal(err)
	}
	signs(t, k)
}

// Every way to fail says what to do.
func TestTPMKeyErrors(t *testing.T) {
	m := tpmtest.New(t)
	k := madeKey(t, m.Path, handle)
	sign := func() error { _, err := k.Sign(nil, digest[:], crypto.SHA256); return err }
	for rc, want := range map[uint32]string{0x921: "locked out", 0x101: "failure mode", 0x902: "no room",
		0x9A2: "has a password", 0x98E: "has a password", 0x18B: "has no key there", 0xB0143: "resource manager"} {
		m.Set(func() { m.Answers = []uint32{rc} })
		if err := sign(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%#x: %v, without %q", rc, err, want)
		}
	}
	for _, rc := range []uint32{0x922, 0x908, 0x90A} { // asked again, as it wants
		m.Set(func() { m.Answers = []uint32{rc, rc} })
		if err := sign(); err != nil {
			t.Errorf("%#x: %v", rc, err)
		}
	}
	m.Set(func() { m.Keys[handle].Password = "x" })
	if err := sign(); !errors.Is(err, tpm.ErrKind) || !strings.Contains(err.Error(), "password") {
		t.Errorf("a key with a password: %v", err)
	}
	m.Set(func() { m.Keys = map[uint32]*tpmtest.Key{} })
	if err := sign(); !errors.Is(err, tpm.ErrNoKey) {
		t.Errorf("after a clear: %v", err)
	}
	m.Set(func() { m.Owner = "secret" })
	_, _, err := tpm.Make(t.Context(), m.Path, handle, nil)
	if err == nil || !strings.Contains(err.Error(), "--auth-file") {
		t.Errorf("without the owner's password: %v", err)
	}
	if _, made, err := tpm.Make(t.Context(), m.Path, handle, []byte("secret")); !made || err != nil {
		t.Errorf("with it: %v", err)
	}
	if err := sign(); err == nil || !strings.Contains(err.Error(), "no signature of this key") {
		t.Errorf("by the key that was made meanwhile: %v", err)
	}
	for hash, n := range map[crypto.Hash]int{crypto.SHA384: 48, crypto.SHA256: 31, crypto.Hash(0): 32} {
		if _, err := k.Sign(nil, make([]byte, n), hash); err == nil || !strings.Contains(err.Error(), "SHA-256") {
			t.Errorf("%d bytes as %v: %v", n, hash, err)
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	if _, err := tpm.Open(t.Context(), none, handle); err == nil || !strings.Contains(err.Error(), "driver") {
		t.Error(err)
	}
}

// Whatever comes back, nothing is taken for a signature that is none of this key.
func TestTPMKeyMalformed(t *testing.T) {
	m := tpmtest.New(t)
	k := madeKey(t, m.Path, handle)
	number := append([]byte{0, 32}, make([]byte, 32)...)
	long := append([]byte{0, 33, 1}, make([]byte, 32)...)
	answer := func(sig ...byte) []byte {
		b := append([]byte{0, 0, 0, byte(len(sig))}, sig...)
		return tpmtest.Response(0x8002, 0, append(b, 0, 0, 1, 0, 0))
	}
	head := []byte{0, 0x18, 0, 0x0B}
	for _, raw := range [][]byte{tpmtest.Response(0x8002, 0, nil), tpmtest.Response(0x8001, 0, number),
		answer(), answer(head...),
		answer(append(head, number...)...), answer(append(append(head, number...), number...)...),
		answer(append(append(head, long...), number...)...), answer(append(append(head, 0, 1, 1), 0, 1, 1)...),
		answer(append([]byte{0, 0x14, 0, 0x0B}, 0, 1, 1, 0, 1, 1)...)} {
		m.Set(func() { m.Raw = raw })
		if sig, err := k.Sign(nil, digest[:], crypto.SHA256); err == nil {
			t.Errorf("% x is taken for the signature %x", raw, sig)
		}
		if _, err := tpm.Open(t.Context(), m.Path, handle); err == nil {
			t.Errorf("% x is taken for a key", raw)
		}
	}
	// A bit falls over on the wires.
	m.Set(func() { m.Raw, m.Flip = nil, true })
	if sig, err := k.Sign(nil, digest[:], crypto.SHA256); err == nil {
		t.Errorf("a signature that does not hold: %x", sig)
	}
}
