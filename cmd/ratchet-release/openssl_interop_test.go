//go:build interop

package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
)

// TestInteropOpenSSLKeys: a key that was encrypted here opens with OpenSSL, and one that OpenSSL encrypted, in the
// ways that it has, signs here.
func TestInteropOpenSSLKeys(t *testing.T) {
	dir := newDesk(t, "")
	pass := filepath.Join(passphrases(t, "k"), "k")
	out := filepath.Join(passphrases(t, "k"), "k") // OpenSSL reads the second line of a file that it is given twice
	suit := released(t, dir, "r", "5")
	in := func(name string) string { return filepath.Join(dir, name) }
	openssl := func(args ...string) []byte {
		t.Helper()
		out, err := exec.Command("openssl", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("openssl %v: %v\n%s", args, err, out)
		}
		return out
	}
	for _, alg := range []string{"esp256", "esp384", "ed25519"} {
		key := in(alg + ".pem")
		do(t, 0, "keys", "new", "--alg", alg, "--passphrase-file", pass, in(alg))
		if half := openssl("pkey", "-in", key, "-passin", "file:"+pass, "-pubout"); !bytes.Equal(half,
			read(t, in(alg+".pub.pem"))) {
			t.Errorf("%s: OpenSSL finds another public half:\n%s", alg, half)
		}
		if err := exec.Command("openssl", "pkey", "-in", key, "-passin", "pass:wrong").Run(); err == nil {
			t.Errorf("%s opens with a wrong passphrase", alg)
		}
		for i, how := range [][]string{{}, {"-scrypt"}, {"-v2prf", "hmacWithSHA256"}, {"-v2", "aes-128-cbc"},
			{"-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA512", "-iter", "300000"},
			{"-scrypt", "-scrypt_N", "16384", "-scrypt_p", "5"}} {
			theirs := in(alg + string(rune('a'+i)) + ".pem")
			openssl(append([]string{"pkcs8", "-topk8", "-in", key, "-passin", "file:" + pass, "-passout", "file:" + out,
				"-out", theirs}, how...)...)
			do(t, 0, "sign", "--key", theirs, "--passphrase-file", pass, "-o", in("signed.suit"), suit)
			do(t, 0, "verify", "--key", in(alg+".pub.pem"), in("signed.suit"))
		}
		// The older form is refused, and the command that the error names converts it.
		if alg == "ed25519" {
			continue // it has none
		}
		openssl("pkey", "-in", key, "-passin", "file:"+pass, "-aes256", "-traditional", "-passout", "file:"+out,
			"-out", in("old.pem"))
		_, errs := do(t, cli.ExitFailed, "sign", "--key", in("old.pem"), "--passphrase-file", pass, suit)
		contains(t, errs, "openssl pkcs8 -topk8 -scrypt -in OLD.pem -out NEW.pem")
		openssl("pkcs8", "-topk8", "-scrypt", "-in", in("old.pem"), "-out", in("new.pem"), "-passin", "file:"+pass,
			"-passout", "file:"+out)
		do(t, 0, "sign", "--key", in("new.pem"), "--passphrase-file", pass, "-o", in("signed.suit"), suit)
	}
}
