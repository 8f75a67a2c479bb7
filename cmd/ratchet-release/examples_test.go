package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/root"
)

// TestExampleFlatDesk: the files of the flat desk are ones that the programs take.
func TestExampleFlatDesk(t *testing.T) {
	dir := copyExample(t, "flat-desk")
	do(t, 0, "keys", "new", filepath.Join(dir, "keys/release"))
	do(t, 0, "build", "--dir", dir, filepath.Join(dir, "release.toml"))
	do(t, 0, "sign", "--dir", dir, filepath.Join(dir, "release.suit"))
	do(t, 0, "verify", "--dir", dir, filepath.Join(dir, "release.suit"))
}

// TestExampleProduction plays the production desk from its keys to a plan: what README.md beside it says.
func TestExampleProduction(t *testing.T) {
	dir := copyExample(t, "production")
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"alice", "bob", "carol", "ci", "dora", "emil", "campaign", "pulse", "recovery"} {
		do(t, 0, "keys", "new", in(name))
	}
	do(t, 0, "root", "rotate", "--dir", dir)
	do(t, 0, "root", "sign", "--key", in("alice.pem"), in("root-1.cbor"))
	if _, err := os.Stat(in(root.BundleName)); err == nil {
		t.Fatal("one signature of the root was enough")
	}
	do(t, 0, "root", "sign", "--key", in("bob.pem"), in("root-1.cbor"))
	do(t, 0, "build", "--dir", dir, in("release.toml"))
	do(t, 0, "sign", "--key", in("ci.pem"), in("release.suit"))
	out, _ := do(t, cli.ExitRefused, "campaign", "plan", "--dir", dir, "--key", in("campaign.pem"), in("plan.toml"))
	contains(t, out, "reason: signer-unknown") // fewer than the threshold are nobody
	do(t, 0, "sign", "--key", in("dora.pem"), in("release.suit"))
	do(t, 0, "campaign", "plan", "--dir", dir, "--key", in("campaign.pem"), in("plan.toml"))
	do(t, 0, "campaign", "pulse", "--dir", dir, "--key", in("pulse.pem"), "-o", in("pulse.cbor"), in("plan.cbor"))
	out, _ = do(t, 0, "publish", "--images-only", "--dir", dir, in("release.suit")) // it finds keys to verify with
	contains(t, out, "copied")
	script, err := os.ReadFile("../../scripts/sign-pkcs11.sh")
	if err != nil {
		t.Fatal(err)
	}
	write(t, in("sign-pkcs11.sh"), string(script))
	if _, err := keys.Private(t.Context(), cli.Console{}, keys.Source{Path: in("token.toml")}); err != nil {
		t.Error(err)
	}
	if token := string(read(t, in("token.toml"))); strings.Contains(token, "../") {
		t.Errorf("token.toml names files outside of its folder:\n%s", token)
	}
}

// copyExample copies a folder of docs/examples and puts an image into it.
func copyExample(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../docs/examples/"+name)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "rootfs.img"), "an image")
	return dir
}
