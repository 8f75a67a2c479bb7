//go:build interop

package main

import (
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/root"
)

// TestInteropPKCS11: keys that never leave a token (SoftHSM) sign a release, a root and a plan, through
// the signing command that ships with the scripts.
func TestInteropPKCS11(t *testing.T) {
	module := ""
	for _, p := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so",
		"/usr/local/lib/softhsm/libsofthsm2.so"} {
		if _, err := os.Stat(p); err == nil {
			module = p
		}
	}
	if module == "" {
		t.Fatal("no SoftHSM found; install softhsm2 and opensc to run the interop tests (scripts/deps.sh interop)")
	}
	token := t.TempDir()
	if err := os.Mkdir(filepath.Join(token, "tokens"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", write(t, filepath.Join(token, "conf"),
		"directories.tokendir = "+filepath.Join(token, "tokens")+"\nobjectstore.backend = file\nlog.level = ERROR\n"))
	t.Setenv("PKCS11_PIN", "1234")
	tool := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	tool("softhsm2-util", "--init-token", "--free", "--label", "release desk", "--so-pin", "5678", "--pin", "1234")
	script, err := filepath.Abs("../../scripts/sign-pkcs11.sh")
	if err != nil {
		t.Fatal(err)
	}
	keyFor := func(label, id string) string {
		return write(t, filepath.Join(token, label+".toml"), "public = \""+label+".pub.pem\"\ncommand = ["+
			conf.Quote(script)+", "+conf.Quote(module)+", \"release desk\", \""+id+"\"]\n")
	}
	// One key that was made in the token, and one that was imported: pkcs11-tool of OpenSC 0.23 cannot
	// read the public half of a P-384 key.
	with := []string{"--module", module, "--token-label", "release desk", "--login", "--pin", "env:PKCS11_PIN"}
	tool("pkcs11-tool",
		append(with, "--keypairgen", "--key-type", "EC:prime256v1", "--label", "signing", "--id", "01")...)
	der, public := filepath.Join(token, "signing.der"), filepath.Join(token, "signing.pub.pem")
	tool("pkcs11-tool", append(with, "--read-object", "--type", "pubkey", "--id", "01", "--output-file", der)...)
	write(t, public, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: read(t, der)})))
	do(t, 0, "keys", "new", "--alg", "esp384", filepath.Join(token, "root"))
	tool("softhsm2-util", "--import", filepath.Join(token, "root.pem"), "--token", "release desk", "--label", "root",
		"--id", "02", "--pin", "1234")
	if err := os.Remove(filepath.Join(token, "root.pem")); err != nil {
		t.Fatal(err)
	}
	file, trusted := keyFor("signing", "01"), keyFor("root", "02")
	dir := newDesk(t, "")
	suit := released(t, dir, "r", "5")
	do(t, 0, "sign", "--key", file, suit)
	do(t, 0, "verify", "--key", public, suit)

	write(t, filepath.Join(dir, root.FileName), `name = "acme"
expires = 2099-01-01T00:00:00Z
algorithms = ["esp256", "esp384"]
[signer.token]
key = "`+filepath.Join(token, "root.pub.pem")+`"
[signer.desk]
key = "keys/release.pub.pem"
[signer.planner]
key = "`+public+`"
[[role]]
name = "root"
threshold = 1
signers = ["token"]
[[role]]
name = "release"
threshold = 1
signers = ["desk"]
[[role]]
name = "campaign"
threshold = 1
signers = ["planner"]
`)
	do(t, 0, "root", "rotate", "--dir", dir)
	out, _ := do(t, 0, "root", "sign", "--key", trusted, filepath.Join(dir, "root-1.cbor"))
	contains(t, out, "ends at version 1 now")
	write(t, filepath.Join(dir, "plan.toml"),
		"manifest = \"r.suit\"\nvalid-until = 2099-01-01T00:00:00Z\n[[phase]]\npercent = 100.0\n")
	out, _ = do(t, 0, "campaign", "plan", "--dir", dir, "--key", file, filepath.Join(dir, "plan.toml"))
	contains(t, out, "signed by enough of the role campaign")

	t.Setenv("PKCS11_PIN", "0000")
	do(t, cli.ExitFailed, "sign", "--key", trusted, suit)
}
