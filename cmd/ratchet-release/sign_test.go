package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/release"
)

func TestTwoPeopleSign(t *testing.T) {
	dir, file := workshop(t)
	path := filepath.Join(dir, "full.suit")
	do(t, 0, "build", file)
	unsigned := read(t, path)
	out, _ := do(t, 0, "sign", "--key", alice, path)
	contains(t, out, "(ESP256), 1 signature.", "sequence    14", "components  rootfs, boot, app/config",
		"says        Better radio.")
	one := read(t, path)
	out, _ = do(t, 0, "sign", "--key", alice, path)
	if contains(t, out, "already"); !bytes.Equal(one, read(t, path)) {
		t.Error("signing twice with one key changed the file")
	}
	out, _ = do(t, 0, "sign", path, "--key", bob)
	contains(t, out, "(Ed25519), 2 signatures.")
	do(t, 0, "sign", "--key", alice, path)

	out, _ = do(t, 0, "verify", path, "--key", alicePub, "--key", bobPub, "--min", "2")
	contains(t, out, "is good", signerOf(t, alice).Key().ID(), signerOf(t, bob).Key().ID())
	do(t, 0, "verify", path, "--key", bobPub)

	// In the other order, and into another file.
	write(t, path, string(unsigned))
	other := filepath.Join(dir, "other.suit")
	do(t, 0, "sign", "--key", bob, "-o", other, path)
	do(t, 0, "sign", "--key", alice, other)
	do(t, 0, "sign", "--key", alice, "-o", filepath.Join(dir, "copy.suit"), other)
	do(t, 0, "verify", filepath.Join(dir, "copy.suit"), "--key", alicePub, "--key", bobPub, "--min", "2")
	if !bytes.Equal(unsigned, read(t, path)) {
		t.Error("-o changed the original")
	}
}

// The second half of a pair signs beside the first, also where devices have flat keys: they pass over what they do not
// know, and the first half counts.
func TestSignWithAPairForFlatKeys(t *testing.T) {
	dir, file := workshop(t)
	path, pq := filepath.Join(dir, "full.suit"), filepath.Join(dir, "pq")
	do(t, 0, "build", file)
	do(t, 0, "keys", "new", "--alg", "ml-dsa-65", pq)
	for _, order := range [][]string{{pq + ".pem", alice}, {alice, pq + ".pem"}} {
		out := filepath.Join(dir, "out.suit")
		write(t, out, string(read(t, path)))
		for _, k := range order {
			do(t, 0, "sign", "--key", k, out)
		}
		said, _ := do(t, 0, "sign", "--key", pq+".pem", out)
		contains(t, said, "already")
		said, _ = do(t, 0, "verify", out, "--key", alicePub)
		contains(t, said, "is good", signerOf(t, alice).Key().ID())
		do(t, cli.ExitRefused, "verify", out, "--key", bobPub)
	}
}

func TestSignKeepsTheModeAndLeavesNothing(t *testing.T) {
	dir, file := workshop(t)
	path := filepath.Join(dir, "full.suit")
	do(t, 0, "build", file)
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	do(t, 0, "sign", "--key", alice, path)
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	list, _ := filepath.Glob(filepath.Join(dir, ".*"))
	if len(list) > 0 {
		t.Errorf("left behind: %v", list)
	}
}

func TestSignRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"garbage":  "garbage",
		"unknown":  string(read(t, "../../testdata/suit/hostile-unknown-command.suit")),
		"tampered": string(read(t, "../../testdata/suit/hostile-manifest-changed.suit")),
	} {
		path := write(t, filepath.Join(dir, name), content)
		out, _ := do(t, cli.ExitRefused, "sign", "--key", alice, path)
		if contains(t, out, "reason: "); string(read(t, path)) != content {
			t.Errorf("%s was changed", name)
		}
	}
	path := write(t, filepath.Join(dir, "empty"), "")
	do(t, cli.ExitFailed, "sign", "--key", alice, path)
	do(t, cli.ExitFailed, "sign", "--key", alice, write(t, path, strings.Repeat("x", manifest.MaxEnvelope+1)))
}

func TestVerifyReasons(t *testing.T) {
	dir, file := workshop(t)
	path := filepath.Join(dir, "full.suit")
	do(t, 0, "build", file)
	unsigned := read(t, path)
	do(t, 0, "sign", "--key", alice, path)
	good := read(t, path)
	change := func(b []byte, what, to string) string {
		i := bytes.Index(b, []byte(what))
		if i < 0 {
			t.Fatalf("%q is not in the envelope", what)
		}
		out := bytes.Clone(b)
		copy(out[i:], to)
		return string(out)
	}
	signature := bytes.Clone(good)
	signature[bytes.Index(good, []byte{0xf6, 0x58, 0x40})+10] ^= 1 // behind the nil payload of the only block
	pem, err := signerOf(t, "../../testdata/suit/keys/release-p256.pem").Key().MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	golden := write(t, filepath.Join(dir, "golden.pub.pem"), string(pem))
	for _, c := range []struct{ name, content, reason, code string }{
		{"unsigned", string(unsigned), "signer-unknown", "4 (unauthorised)"},
		{"manifest", change(good, "img.example", "IMG.example"), "digest-mismatch", "4 (unauthorised)"},
		{"text", change(good, "Better radio", "Worse radio."), "digest-mismatch", "4 (unauthorised)"},
		{"integrated", change(good, "key=value", "key=other"), "condition-failed", "10 (condition-failed)"},
		{"signature", string(signature), "signature-invalid", "4 (unauthorised)"},
		{"cut", string(good[:300]), "envelope-malformed", "1 (cbor-parse)"},
		{"trailing", string(good) + "\x00", "envelope-malformed", "1 (cbor-parse)"},
		{"garbage", "\xff\xff", "envelope-malformed", "1 (cbor-parse)"},
		{"foreign signer",
			string(read(t, "../../testdata/suit/hostile-foreign-signer.suit")), "signer-unknown", "4 (unauthorised)"},
	} {
		f := write(t, filepath.Join(dir, "bad.suit"), c.content)
		args := []string{"verify", f, "--key", alicePub}
		out, err := do(t, cli.ExitRefused, append(args, "--key", golden)...)
		if contains(t, out, "reason: "+c.reason); c.code != "" {
			contains(t, out, "SUIT code: "+c.code)
		}
		contains(t, err, "bad.suit is refused")
		if t.Failed() {
			t.Fatalf("%s:\n%s%s", c.name, out, err)
		}
	}
	write(t, path, string(good))
	out, _ := do(t, cli.ExitRefused, "verify", path, "--key", bobPub)
	contains(t, out, "reason: signer-unknown")
	out, _ = do(t, cli.ExitRefused, "verify", path, "--key", bobPub, "--key", alicePub, "--min", "2")
	contains(t, out, "reason: signer-unknown")
}

func TestVerifyPayloads(t *testing.T) {
	dir, file := workshop(t)
	path := filepath.Join(dir, "full.suit")
	do(t, 0, "build", file)
	do(t, 0, "sign", "--key", alice, path)
	// The image for slot 1 is served under a name of its own.
	boot := string(read(t, filepath.Join(dir, "boot-b.img")))
	write(t, filepath.Join(dir, "boot-b"), boot)
	out, _ := do(t, 0, "verify", path, "--key", alicePub, "--payloads", dir)
	contains(t, out, "rootfs: ", "boot: ", "boot-b is the image", "app/config: in the envelope")

	write(t, filepath.Join(dir, "boot-b"), "boot image for x")
	out, _ = do(t, cli.ExitRefused, "verify", path, "--key", alicePub, "--payloads", dir)
	contains(t, out, "reason: image-corrupt")
	write(t, filepath.Join(dir, "boot-b"), boot+"x")
	do(t, cli.ExitRefused, "verify", path, "--key", alicePub, "--payloads", dir)
	write(t, filepath.Join(dir, "boot-b"), boot[:5])
	do(t, cli.ExitRefused, "verify", path, "--key", alicePub, "--payloads", dir)
	write(t, filepath.Join(dir, "boot-b"), boot)
	for _, name := range payloads(t, dir) {
		if strings.HasSuffix(name, ".img.zst") {
			b := read(t, filepath.Join(dir, name))
			b[len(b)/2] ^= 1
			write(t, filepath.Join(dir, name), string(b))
		}
	}
	out, _ = do(t, cli.ExitRefused, "verify", path, "--key", alicePub, "--payloads", dir)
	contains(t, out, "reason: image-corrupt")
	os.Remove(filepath.Join(dir, "boot-b"))
	_, err := do(t, cli.ExitRefused, "verify", path, "--key", alicePub, "--payloads", dir)
	contains(t, err, "is refused")
	_, err = do(t, cli.ExitFailed, "verify", path, "--key", alicePub, "--payloads", t.TempDir())
	contains(t, err, "does not have")
}

// TestEveryInstall finds the images of manifests with all kinds of conditions.
func TestEveryInstall(t *testing.T) {
	for _, conditions := range []string{
		"", `version = [">= 1.2", "< 2"]`, `version = ["> 1.2.3"]`, `version = ["< 1-rc.1"]`, `version = ["= 3"]`,
		"use-before = 1971-01-01T00:00:00Z", "min-battery-mwh = 9223372036854775807",
	} {
		dir, file := workshop(t)
		text := string(read(t, file))
		from, to := strings.Index(text, "[conditions]"), strings.Index(text, "[text.en]")
		write(t, file, text[:from]+"[conditions]\n"+conditions+"\n"+text[to:])
		do(t, 0, "build", file)
		path := filepath.Join(dir, "full.suit")
		do(t, 0, "sign", "--key", alice, path)
		anchors, err := keys.Anchors([]string{alicePub}, false)
		if err != nil {
			t.Fatal(err)
		}
		m, err := release.ReadVerified(cli.Console{}, path, anchors)
		if err != nil {
			t.Fatal(err)
		}
		list, err := release.Installs(m)
		if err != nil || len(list) != 4 {
			t.Errorf("%s: %d images, %v", conditions, len(list), err)
		}
	}
}

// TestSignWithCommand: an envelope changes only when the command has signed it.
func TestSignWithCommand(t *testing.T) {
	dir, release := workshop(t)
	do(t, 0, "build", release)
	suit := filepath.Join(dir, "full.suit")
	before := read(t, suit)
	public, err := filepath.Abs(alicePub)
	if err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]int{
		`"false"`: cli.ExitFailed,
		`"sh", "-c", "head -c 64 /dev/zero | base64"`: cli.ExitRefused, // the envelope with that signature would be
	} {
		file := write(t, filepath.Join(t.TempDir(), "k.toml"),
			"public = "+conf.Quote(public)+"\ncommand = ["+command+"]\n")
		do(t, want, "sign", "--key", file, suit)
		if !bytes.Equal(read(t, suit), before) {
			t.Fatalf("%s: the envelope changed", command)
		}
	}
}
