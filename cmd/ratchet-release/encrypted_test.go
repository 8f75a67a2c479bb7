package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/root"
)

// passphrases is a directory with a passphrase for each key.
func passphrases(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("the passphrase of "+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestDeskOfEncryptedKeys: a desk and its trust root are made with encrypted keys, and every verb that signs takes
// their passphrases; no private key lies there in the clear.
func TestDeskOfEncryptedKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "desk")
	in := func(name string) string { return filepath.Join(dir, name) }
	pass := passphrases(t, "release", "root", "root-ml-dsa", "campaign", "pulse", "recovery")
	out, _ := do(t, 0, "init", "--vendor", "acme.example", "--passphrase-file", pass, dir)
	contains(t, out, "the release key (ESP256), encrypted")
	do(t, 0, "root", "init", "--dir", dir, "--hybrid", "--passphrase-file", pass)
	private, err := filepath.Glob(in("keys/*.pem"))
	if err != nil || len(private) != 12 {
		t.Fatalf("%v, %v", private, err)
	}
	for _, path := range private {
		if b := read(t, path); !strings.HasSuffix(path, ".pub.pem") && !bytes.Contains(b, []byte("ENCRYPTED")) {
			t.Errorf("%s is not encrypted:\n%s", path, b)
		}
	}
	write(t, in("rootfs.img"), "an image")
	do(t, 0, "build", "--dir", dir, in("release.toml"))
	suit := in("release.suit")
	_, errs := do(t, cli.ExitFailed, "sign", "--dir", dir, suit)
	contains(t, errs, in("keys/release.pem"), "there is no terminal", "--passphrase-file")
	_, errs = do(t, cli.ExitFailed, "sign", "--dir", dir, "--passphrase-file", filepath.Join(pass, "root"), suit)
	contains(t, errs, in("keys/release.pem"), "wrong passphrase")
	doWith(t, "the passphrase of release\n", 0, "sign", "--dir", dir, "--passphrase-file", "-", suit)
	write(t, in("plan.toml"),
		"manifest = \"release.suit\"\nvalid-until = 2099-01-01T00:00:00Z\n[[phase]]\npercent = 100.0\n")
	key := func(name string) []string {
		return []string{"--key", in("keys/" + name + ".pem"), "--passphrase-file", pass}
	}
	do(t, 0, "campaign", "plan", "--dir", dir, in("plan.toml")) // not signed yet
	out, _ = do(t, 0, append([]string{"sign", in("plan.cbor")}, key("campaign")...)...)
	contains(t, out, "signed by enough of the role campaign")
	out, _ = do(t, 0, append([]string{"campaign", "pulse", "--dir", dir, "-o", in("pulse.cbor"), in("plan.cbor")},
		key("pulse")...)...)
	contains(t, out, "signed by enough of the role pulse")
	do(t, 0, "root", "rotate", "--dir", dir, "--replace")
	out, _ = do(t, 0, append([]string{"root", "sign", in("root-2.cbor")}, key("root")...)...)
	contains(t, out, "Root 2 of acme.example")
	_, errs = do(t, cli.ExitUsage, append([]string{"permit", "--challenge", "-", "--lift", "quarantined",
		"--key", in("keys/recovery.pem"), "--passphrase-file", "-"}, suit)...)
	contains(t, errs, "cannot give both")

	// One passphrase for one key is changed, and taken off.
	other := passphrases(t, "release")
	write(t, filepath.Join(other, "release"), "another one for release")
	out, _ = do(t, 0, "keys", "passphrase", "--passphrase-file", pass, "--new-passphrase-file", other,
		in("keys/release.pem"))
	contains(t, out, "encrypted now (ESP256, id ")
	do(t, cli.ExitFailed, "sign", "--dir", dir, "--passphrase-file", pass, suit)
	do(t, 0, "sign", "--dir", dir, "--passphrase-file", other, suit)
	out, _ = do(t, 0, "keys", "passphrase", "--plain", "--passphrase-file", other, in("keys/release.pem"))
	contains(t, out, "NOT encrypted now")
	do(t, 0, "sign", "--dir", dir, suit)
	out, _ = do(t, 0, "keys", "passphrase", "--new-passphrase-file", pass, in("keys/release.pem"))
	contains(t, out, "It was plain before")
}

// TestPlainKeysAreSaidToBe: without a terminal keys are plain, and that is said; with --plain it was asked for.
func TestPlainKeysAreSaidToBe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "k")
	out, errs := do(t, 0, "keys", "new", name)
	contains(t, out, "private (ESP256), NOT encrypted")
	contains(t, errs, "not encrypted, because there is no terminal", "ratchet-release keys passphrase")
	out, errs = do(t, 0, "keys", "new", "--plain", name+"2")
	if contains(t, out, "NOT encrypted"); errs != "" {
		t.Errorf("--plain is warned of: %s", errs)
	}
	do(t, cli.ExitUsage, "keys", "new", "--plain", "--passphrase-file", "x", name+"3")
	do(t, cli.ExitUsage, "keys", "passphrase")
}

// TestOnePersonRoot: whoever begins a desk or a root that one person can replace is told so, and whoever looks at it
// later is, too; a team, a root for development and a person who says that it is meant are not.
func TestOnePersonRoot(t *testing.T) {
	const alone = "warning: this is a one-person root"
	silent := func(what, errs string) {
		t.Helper()
		if strings.Contains(errs, "warning: ") {
			t.Errorf("%s is warned of: %s", what, errs)
		}
	}
	desk := func(flags ...string) (dir, errs string) {
		dir = filepath.Join(t.TempDir(), "desk")
		_, errs = do(t, 0, append([]string{"init", "--plain", "--vendor", "acme.example", dir}, flags...)...)
		return dir, errs
	}
	dir, errs := desk()
	contains(t, errs, "warning: one key of one person decides what every device runs", "threshold = 2",
		"ratchet-release keys new NAME", "--one-person")
	in := func(name string) string { return filepath.Join(dir, name) }
	_, errs = do(t, 0, "root", "init", "--plain", "--dir", dir)
	contains(t, errs, alone, "threshold 1 of 1", "enough of its signers (1) lie in one folder, "+dir,
		"together with those of other roles (release, campaign, pulse, recovery)", "stolen laptop", "one-person = true",
		"ratchet-release root sign --key NAME.pem")
	for _, args := range [][]string{{"root", "show", in(root.BundleName)}, {"root", "show", in("root-1.cbor")},
		{"root", "sign", "--key", in("keys/root.pem"), in("root-1.cbor")}, {"root", "rotate", "--dir", dir}} {
		if _, errs = do(t, 0, args...); strings.Count(errs, alone) != 1 {
			t.Errorf("%v says %s", args, errs)
		}
	}
	text := string(read(t, in(root.FileName)))
	write(t, in(root.FileName), strings.Replace(text, "one-person = false", "one-person = true ", 1))
	for _, args := range [][]string{{"root", "show", in(root.BundleName)}, {"root", "rotate", "--dir", dir}} {
		_, errs = do(t, 0, args...)
		silent(args[1]+" of one that is meant", errs)
	}
	for _, flag := range []string{"--one-person", "--development"} {
		dir, errs := desk("--one-person")
		silent("init --one-person", errs)
		_, errs = do(t, 0, "root", "init", "--plain", flag, "--dir", dir)
		silent("root init "+flag, errs)
	}

	// A team of two, each with the own key: silent. The same with both keys in one folder: told.
	dir = copyExample(t, "production")
	for _, name := range []string{"alice", "bob", "carol", "ci", "dora", "emil", "campaign", "pulse", "recovery"} {
		do(t, 0, "keys", "new", "--plain", in(name))
		if err := os.Remove(in(name + ".pem")); err != nil { // it is with its person
			t.Fatal(err)
		}
	}
	_, errs = do(t, 0, "root", "rotate", "--dir", dir)
	silent("a team", errs)
	for _, name := range []string{"alice", "bob"} {
		write(t, in(name+".pem"), "a key")
	}
	t.Chdir(dir) // the folder is named also where it is the current one
	_, errs = do(t, 0, "root", "show", "root-1.cbor")
	contains(t, errs, alone, "enough of its signers (2) lie in one folder, "+dir)
}
