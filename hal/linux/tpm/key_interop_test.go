//go:build linux && interop

package tpm_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/hal/linux/tpm"
	"github.com/ratchet-ota/ratchet/hal/linux/tpm/tpmtest"
)

// A key in a real TPM: made once, the same after a power cut, and what it signs verifies. How long both take is logged.
func TestTPMKeys(t *testing.T) {
	s := tpmtest.StartSWTPM(t)
	began := time.Now()
	k := madeKey(t, s.Path, handle)
	t.Logf("made in %v", time.Since(began))
	s.Again()
	opened, err := tpm.Open(t.Context(), s.Path, handle)
	if err != nil || !opened.Public().(*ecdsa.PublicKey).Equal(k.Public()) {
		t.Fatalf("after a power cut: %v", err)
	}
	var took []time.Duration
	for i := range 200 { // one in 128 has a short number
		began := time.Now()
		digest := sha256.Sum256([]byte{byte(i)})
		if _, err := opened.Sign(nil, digest[:], crypto.SHA256); err != nil { // Sign verifies
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("200 signatures: median %v, longest %v", took[100], took[199])
	if madeKey(t, s.Path, handle+1).Public().(*ecdsa.PublicKey).Equal(k.Public()) {
		t.Error("two handles have one key")
	}
	for i := range 5 { // a TPM has room for three loaded keys: none may be left
		madeKey(t, s.Path, handle+2+uint32(i))
	}
}

// The power goes at any time of the making: there is no key, or the whole one, and it can be made in the end.
func TestTPMKeyMakingPowerCuts(t *testing.T) {
	for i := range 12 {
		s := tpmtest.StartSWTPM(t)
		made := make(chan error, 1)
		go func() { _, _, err := tpm.Make(t.Context(), s.Path, handle, nil); made <- err }()
		time.Sleep(time.Duration(i) * time.Millisecond)
		s.Again()
		err := <-made
		if _, oerr := tpm.Open(t.Context(), s.Path, handle); oerr != nil && !errors.Is(oerr, tpm.ErrNoKey) ||
			oerr != nil && err == nil {
			t.Errorf("cut %d: %v (%v)", i, oerr, err)
		}
		k, _, err := tpm.Make(t.Context(), s.Path, handle, nil)
		if err != nil {
			t.Fatalf("cut %d: %v", i, err)
		}
		signs(t, k)
	}
}

// tpm2-tools see the key as docs/integration/system.md describes it, cannot take it out of the TPM, and remove it as
// is said there. A key of theirs with the same properties is used; no other one is.
func TestTPMKeyTools(t *testing.T) {
	s := tpmtest.StartSWTPM(t)
	k := madeKey(t, s.Path, handle)
	at := fmt.Sprintf("%#x", handle)
	file := filepath.Join(t.TempDir(), "key.pem")
	public := s.Tool("tpm2_readpublic", "-c", at, "-f", "pem", "-o", file)
	for _, want := range []string{"fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign", "0x40472",
		"value: ecdsa", "value: sha256", "NIST p256"} {
		if !strings.Contains(public, want) {
			t.Errorf("%q is not in\n%s", want, public)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	if pub, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil || !k.Public().(*ecdsa.PublicKey).Equal(pub) {
		t.Errorf("tpm2_readpublic shows another key, %v", err)
	}
	s.Tool("tpm2_evictcontrol", "-C", "o", "-c", at)
	if _, err := k.Sign(nil, digest[:], crypto.SHA256); !errors.Is(err, tpm.ErrNoKey) {
		t.Errorf("a removed key signs: %v", err)
	}
	for _, x := range []struct {
		alg, attributes string
		good            bool
	}{
		{"ecc256", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign", true},
		{"ecc256:ecdsa-sha256", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign", true},
		{"ecc384", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign", false},
		{"rsa2048", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign", false},
		{"ecc256:ecdsa-sha256:null", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign|restricted", false},
		{"ecc256", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|decrypt", false},
		{"ecc256:ecdsa-sha384", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign", false},
	} {
		loaded := filepath.Join(t.TempDir(), "ctx")
		s.Tool("tpm2_createprimary", "-C", "o", "-G", x.alg, "-a", x.attributes, "-c", loaded)
		s.Tool("tpm2_evictcontrol", "-C", "o", "-c", loaded, at)
		s.Tool("tpm2_flushcontext", "-t")
		k, err := tpm.Open(t.Context(), s.Path, handle)
		if x.good && err == nil {
			signs(t, k)
		} else if x.good || !errors.Is(err, tpm.ErrKind) {
			t.Errorf("%s %s: %v", x.alg, x.attributes, err)
		}
		s.Tool("tpm2_evictcontrol", "-C", "o", "-c", at)
	}
}

// A clear of the TPM removes the key for ever: what is made there then is another one. The owner's password is needed.
func TestTPMKeyCleared(t *testing.T) {
	s := tpmtest.StartSWTPM(t)
	k := madeKey(t, s.Path, handle)
	s.Tool("tpm2_clear", "-c", "l")
	if _, err := tpm.Open(t.Context(), s.Path, handle); !errors.Is(err, tpm.ErrNoKey) {
		t.Errorf("after a clear: %v", err)
	}
	s.Tool("tpm2_changeauth", "-c", "owner", "secret")
	_, _, err := tpm.Make(t.Context(), s.Path, handle, nil)
	if err == nil || !strings.Contains(err.Error(), "password") {
		t.Errorf("without the owner's password: %v", err)
	}
	other, made, err := tpm.Make(t.Context(), s.Path, handle, []byte("secret"))
	if !made || err != nil {
		t.Fatal(made, err)
	}
	if other.Public().(*ecdsa.PublicKey).Equal(k.Public()) {
		t.Error("the key is back")
	}
	signs(t, other) // nobody's password is needed for that
	if _, err := k.Sign(nil, digest[:], crypto.SHA256); err == nil {
		t.Error("the other key signs for the first one")
	}
}
