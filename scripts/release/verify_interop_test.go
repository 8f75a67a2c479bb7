//go:build interop

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// steps are the commands that SECURITY.md tells people to type, to verify a download.
func steps(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, ok := strings.Cut(string(b), "\n## Verify a downloaded program\n")
	chapter, _, _ = strings.Cut(chapter, "\n## ")
	_, block, found := strings.Cut(chapter, "```sh\n")
	block, _, _ = strings.Cut(block, "```")
	if !ok || !found || !strings.Contains(block, "ssh-keygen -Y verify") {
		t.Fatalf("SECURITY.md does not say how:\n%s", chapter)
	}
	return block
}

// newKey makes a key, and the file of keys that names it as one that may sign releases.
func newKey(t *testing.T) (key, keys string) {
	t.Helper()
	key = filepath.Join(t.TempDir(), "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	keys = filepath.Join(t.TempDir(), "release-keys")
	text := "# Keys that may sign.\n" + signerName + ` namespaces="` + namespace + `" ` + string(public)
	if err := os.WriteFile(keys, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return key, keys
}

// TestInteropVerifyADownload: the steps of SECURITY.md accept a release that was signed with one of the keys, and
// refuse whatever somebody on the way could have made of it.
func TestInteropVerifyADownload(t *testing.T) {
	script := steps(t)
	key, keys := newKey(t)
	evil, evils := newKey(t)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	copied := func(from, to string) {
		t.Helper()
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(to, string(b))
	}
	signed := func(key, keys string) {
		t.Helper()
		if err := (assembly{out: dir, key: key, keys: keys}).sign(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// good is what is published, in a folder together with the keys from elsewhere.
	good := func() {
		for _, name := range []string{sumsName, sumsName + ".sig"} {
			os.Remove(in(name))
		}
		os.Remove(in("release-keys"))
		for _, name := range []string{"ratchet-linux-arm64", "ratchet-linux-amd64", "ratchet-linux-arm64.cdx.json",
			"provenance.json"} {
			write(in(name), "this is "+name)
		}
		if err := writeSums(dir); err != nil {
			t.Fatal(err)
		}
		signed(key, keys)
		copied(keys, in("release-keys"))
	}
	verify := func() (string, error) {
		cmd := exec.Command("sh", "-eu", "-c", script)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	good()
	if out, err := verify(); err != nil || !strings.Contains(out, "ratchet-linux-arm64: OK") ||
		!strings.Contains(out, `Good "ratchet-release" signature for ratchet-releases`) {
		t.Fatalf("a good release: %v\n%s", err, out)
	}
	sums := func() {
		os.Remove(in(sumsName))
		os.Remove(in("release-keys"))
		signature, err := os.ReadFile(in(sumsName + ".sig"))
		if err != nil {
			t.Fatal(err)
		}
		os.Remove(in(sumsName + ".sig"))
		if err := writeSums(dir); err != nil {
			t.Fatal(err)
		}
		write(in(sumsName+".sig"), string(signature))
		copied(keys, in("release-keys"))
	}
	other := func(namespace string) {
		os.Remove(in(sumsName + ".sig"))
		if out, err := exec.Command("ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", namespace,
			in(sumsName)).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	program, signature := in("ratchet-linux-arm64"), in(sumsName+".sig")
	garbage := "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n"
	for what, change := range map[string]func(){
		"a program that was changed":     func() { write(program, "evil") },
		"another processor's program":    func() { copied(in("ratchet-linux-amd64"), program) },
		"sums that were changed with it": func() { write(program, "evil"); sums() },
		"a program that is not in signed sums": func() {
			os.Remove(program)
			sums()
			os.Remove(signature)
			signed(key, keys)
			write(program, "evil")
		},
		"no signature":                            func() { os.Remove(signature) },
		"garbage in place of a signature":         func() { write(signature, garbage) },
		"somebody else's key":                     func() { os.Remove(signature); signed(evil, evils) },
		"a signature that the key made elsewhere": func() { other("git") },
		"no keys": func() { write(in("release-keys"), "# none\n") },
	} {
		good()
		change()
		if out, err := verify(); err == nil {
			t.Errorf("%s is accepted:\n%s", what, out)
		}
	}
}

// TestInteropSignsForPublishedKeys: with a key that is not published nothing is signed, because nobody could verify it.
func TestInteropSignsForPublishedKeys(t *testing.T) {
	_, keys := newKey(t)
	evil, _ := newKey(t)
	a := assembly{out: t.TempDir(), key: evil, keys: keys}
	if err := writeSums(a.out); err != nil {
		t.Fatal(err)
	}
	err := a.sign(t.Context())
	if err == nil || !strings.Contains(err.Error(), "nobody could verify") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(a.out, sumsName+".sig")); err == nil {
		t.Error("the signature stays")
	}
	if published, err := os.ReadFile("../../release-keys"); err != nil || !strings.HasPrefix(string(published), "# ") {
		t.Errorf("the published keys: %v", err)
	}
}
