package keys_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
)

const passphrase = "correct horse"

// secret writes a file that only its owner reads.
func secret(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pair makes an encrypted key, or a plain one without a passphrase.
func pair(t *testing.T, alg, pass string) (path, id string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "k")
	var with []byte
	if pass != "" {
		with = []byte(pass)
	}
	s, err := keys.NewPair(name, alg, with)
	if err != nil {
		t.Fatal(err)
	}
	return name + ".pem", s.Key().ID()
}

// fails wants an error that says so.
func fails(t *testing.T, what string, err error, says ...string) {
	t.Helper()
	for _, part := range append(says, "") {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v, want %q", what, err, part)
		}
	}
}

// TestEncryptedKey: a key of every algorithm is of use with its passphrase and of none without.
func TestEncryptedKey(t *testing.T) {
	for _, alg := range []string{"esp256", "ed25519", "esp384", "ml-dsa-65"} {
		path, id := pair(t, alg, passphrase)
		b, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(b, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----")) {
			t.Fatalf("%s: %.40q, %v", alg, b, err)
		}
		s, err := keys.Private(t.Context(), cli.Console{}, keys.Source{Path: path,
			Passphrase: secret(t, "pass", passphrase+"\r\n")})
		if err != nil || s.Key().ID() != id {
			t.Errorf("%s: %v", alg, err)
		}
	}
	path, _ := pair(t, "esp256", passphrase)
	open := func(c cli.Console, pass string) error {
		_, err := keys.Private(t.Context(), c, keys.Source{Path: path, Passphrase: pass})
		return err
	}
	fails(t, "a wrong one", open(cli.Console{}, secret(t, "pass", "wrong horse")), path, "wrong passphrase")
	fails(t, "nobody to ask", open(cli.Console{In: strings.NewReader(passphrase + "\n")}, ""), path,
		"no terminal to ask", "--passphrase-file")
	fails(t, "no file", open(cli.Console{}, filepath.Join(t.TempDir(), "none")), "cannot read passphrase")
	fails(t, "two lines", open(cli.Console{}, secret(t, "pass", passphrase+"\nmore\n")), "more than one line")
	fails(t, "an empty line", open(cli.Console{}, secret(t, "pass", "\n")), "its line is empty")
	fails(t, "a long one", open(cli.Console{}, secret(t, "pass", strings.Repeat("x", 1024))), "more than 1023 bytes")
	if err := open(cli.Console{In: strings.NewReader(passphrase + "\n")}, "-"); err != nil {
		t.Errorf("from standard input: %v", err)
	}
	all := t.TempDir()
	fails(t, "a folder without it", open(cli.Console{}, all), "there is no file "+filepath.Join(all, "k"))
	if err := os.WriteFile(filepath.Join(all, "k"), []byte(passphrase), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(cli.Console{}, all); err != nil {
		t.Errorf("from a folder: %v", err)
	}
}

// TestOtherEncryptions: what is encrypted in another way is refused with the command that converts it; what is
// encrypted weakly is read with a warning.
func TestOtherEncryptions(t *testing.T) {
	in := func(name string) string { return filepath.Join("../pbes2/testdata", name+".pem") }
	pass := secret(t, "pass", passphrase)
	for _, name := range []string{"traditional", "des3", "pbes1"} {
		_, err := keys.Private(t.Context(), cli.Console{}, keys.Source{Path: in(name), Passphrase: pass})
		fails(t, name, err, name, "openssl pkcs8 -topk8 -scrypt -in OLD.pem -out NEW.pem")
	}
	for name, says := range map[string]string{"default": "guessing its passphrase is cheap", "scrypt": ""} {
		var warned bytes.Buffer
		_, err := keys.Private(t.Context(), cli.Console{Err: &warned}, keys.Source{Path: in(name), Passphrase: pass})
		if err != nil || !strings.Contains(warned.String(), says) || says == "" && warned.Len() > 0 {
			t.Errorf("%s: %v\n%s", name, err, warned.String())
		}
	}
	for _, name := range []string{"default", "traditional"} { // in place of a public key
		_, err := keys.Verifiers(cli.Console{}, []string{in(name)}, false, false)
		fails(t, name, err, "encrypted private key", "public half")
		_, err = keys.Public(in(name))
		fails(t, name, err, "cannot read public key")
	}
}

// TestSecretsThatOthersRead: a plain key or a passphrase that others can read is warned of, an encrypted key is not.
func TestSecretsThatOthersRead(t *testing.T) {
	plain, _ := pair(t, "esp256", "")
	encrypted, _ := pair(t, "esp256", passphrase)
	pass := secret(t, "pass", passphrase)
	for _, c := range []struct {
		path string
		mode os.FileMode
		from string
		says string
	}{
		{plain, 0o600, plain, ""},
		{plain, 0o640, plain, plain + " is a private key, not encrypted, that others can read"},
		{plain, 0o604, plain, "(mode 0604)"}, {encrypted, 0o644, encrypted, ""},
		{pass, 0o644, encrypted, pass + " is a passphrase that others can read"},
	} {
		if err := os.Chmod(c.path, c.mode); err != nil {
			t.Fatal(err)
		}
		var warned bytes.Buffer
		from := keys.Source{Path: c.from}
		if c.from == encrypted {
			from.Passphrase = pass
		}
		_, err := keys.Private(t.Context(), cli.Console{Err: &warned}, from)
		if err != nil || !strings.Contains(warned.String(), c.says) || c.says == "" && warned.Len() > 0 {
			t.Errorf("%s with mode %o: %v\n%s", c.path, c.mode, err, warned.String())
		}
	}
}

// TestLock: a key that is made is encrypted with what the file says, or plain where that is asked for; where nobody
// can be asked it is plain, and that is said.
func TestLock(t *testing.T) {
	begin := func(l keys.Lock) (pass []byte, warned string, err error) {
		var b bytes.Buffer
		lock, err := l.Begin(t.Context(), cli.Console{In: strings.NewReader("from the pipe\n"), Err: &b}, "k.pem")
		if err == nil {
			pass, err = lock("dir/k.pem")
		}
		return pass, b.String(), err
	}
	all := t.TempDir()
	if err := os.WriteFile(filepath.Join(all, "k"), []byte("of its own\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		lock       keys.Lock
		want, says string
	}{
		{keys.Lock{File: secret(t, "pass", passphrase)}, passphrase, ""}, {keys.Lock{File: all}, "of its own", ""},
		{keys.Lock{File: "-"}, "from the pipe", ""}, {keys.Lock{Plain: true}, "", ""},
		{keys.Lock{}, "", "k.pem: not encrypted, because there is no terminal"},
	} {
		pass, warned, err := begin(c.lock)
		if err != nil || string(pass) != c.want || (pass == nil) != (c.want == "") ||
			!strings.Contains(warned, c.says) || c.says == "" && warned != "" {
			t.Errorf("%+v: %q, %v\n%s", c.lock, pass, err, warned)
		}
	}
	_, _, err := begin(keys.Lock{File: secret(t, "pass", "seven77")})
	fails(t, "a short one", err, "at least 8 characters")
	_, _, err = begin(keys.Lock{File: "x", Plain: true})
	fails(t, "both", err, "contradict")
}

// TestRelock: a key changes its passphrase, loses it and gets it again, and stays the same key; a failure leaves the
// old file.
func TestRelock(t *testing.T) {
	path, id := pair(t, "ed25519", "")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link.pem")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	old, new := secret(t, "old", "an old passphrase"), secret(t, "new", "a new passphrase")
	for i, c := range []struct {
		from keys.Source
		lock keys.Lock
		was  bool
	}{
		{keys.Source{Path: link}, keys.Lock{File: old}, false},
		{keys.Source{Path: path, Passphrase: old}, keys.Lock{File: new}, true},
		{keys.Source{Path: path, Passphrase: new}, keys.Lock{Plain: true}, true},
		{keys.Source{Path: path}, keys.Lock{File: new}, false},
	} {
		s, was, err := keys.Relock(t.Context(), cli.Console{}, c.from, c.lock)
		if err != nil || was != c.was || s.Key().ID() != id {
			t.Fatalf("step %d: %v, %v", i, was, err)
		}
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("step %d: mode %v, %v", i, st.Mode(), err)
		}
		again, err := keys.Private(t.Context(), cli.Console{}, keys.Source{Path: path, Passphrase: c.lock.File})
		if err != nil || again.Key().ID() != id {
			t.Errorf("step %d: it does not open: %v", i, err)
		}
	}
	if st, err := os.Lstat(link); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v", err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	in := strings.NewReader("x\n")
	for what, c := range map[string]struct {
		pass string
		lock keys.Lock
		says string
	}{
		"a wrong passphrase": {old, keys.Lock{File: new}, "wrong passphrase"},
		"a short new one":    {new, keys.Lock{File: secret(t, "short", "short")}, "at least 8 characters"},
		"nobody to ask":      {new, keys.Lock{}, "--new-passphrase-file"},
		"one input for both": {"-", keys.Lock{File: "-"}, "cannot give both"},
	} {
		_, _, err := keys.Relock(t.Context(), cli.Console{In: in}, keys.Source{Path: path, Passphrase: c.pass}, c.lock)
		fails(t, what, err, c.says)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = keys.Relock(ctx, cli.Console{}, keys.Source{Path: filepath.Join(t.TempDir(), "k.toml")}, keys.Lock{})
	fails(t, "a key elsewhere", err, "names a command")
	after, err := os.ReadFile(path)
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); err != nil || !bytes.Equal(before, after) ||
		len(left) > 0 {
		t.Errorf("the file changed, or %v were left: %v", left, err)
	}
}
