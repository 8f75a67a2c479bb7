package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/release"
)

// full uses every key of a release file.
const full = `
version = "1.4.0"
sequence = 14
vendor = "acme.example"
classes = ["gateway-v1", "203ec421-a02a-58f7-a2e9-3f8e2228ffc7"]
device = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
base-url = "https://img.example/a/"
mirrors = ["https://m1.example", "https://m2.example/x/"]
priority = 10
reference-uri = "https://img.example/full.suit"

[[component]]
name = "rootfs"
file = "rootfs.img"
compress = "zstd"
level = 3

[[component]]
name = "boot"
mirrors = []
[[component.image]]
slot = 0
file = "boot-a.img"
[[component.image]]
slot = 1
file = "boot-b.img"
uri = "https://cdn.example/boot-b"

[[component]]
name = "app/config"
file = "config.bin"
embed = true

[conditions]
version = [">= 1.2", "< 2"]
use-before = 2030-01-31T12:00:00+01:00
min-battery-mwh = 500

[text.en]
description = "Gateway firmware"
update = "Better radio."
[text.en.component.rootfs]
vendor-name = "Acme"
version = "1.4.0"
[text.de]
update = "Besserer Funk."
`

// workshop is a directory with a full release and its images.
func workshop(t *testing.T) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	write(t, filepath.Join(dir, "rootfs.img"), string(testImage(200_000, 7)))
	write(t, filepath.Join(dir, "boot-a.img"), "boot image for a")
	write(t, filepath.Join(dir, "boot-b.img"), "boot image for b")
	write(t, filepath.Join(dir, "config.bin"), "key=value\n")
	return dir, write(t, filepath.Join(dir, "full.toml"), full)
}

// TestNextIsToSign: what build says to do next can be done: without keys.release the key must be given. An envelope
// that nobody has signed is told so, with what to do at the desk.
func TestNextIsToSign(t *testing.T) {
	dir := newDesk(t, "mqtt://127.0.0.1:1")
	file := write(t, filepath.Join(dir, "r.toml"), "version = \"1.4.0\"\nsequence = 5\n[[component]]\n"+
		"name = \"rootfs\"\nfile = \"rootfs.img\"\n")
	suit := filepath.Join(dir, "r.suit")
	out, _ := do(t, 0, "build", "--dir", dir, file)
	contains(t, out, "Next: ratchet-release sign "+suit)
	_, errs := do(t, cli.ExitRefused, "publish", "--dir", dir, file)
	contains(t, errs, "This is not a well-formed envelope. Name the file that `ratchet-release build` or `sign` wrote")
	_, errs = do(t, cli.ExitRefused, "publish", "--dir", dir, suit)
	contains(t, errs, "Nobody has signed it. Run `ratchet-release sign --key KEY "+suit+"`.")
	do(t, 0, "sign", "--key", bob, suit)
	_, errs = do(t, cli.ExitRefused, "verify", "--min", "2", "--key", bobPub, suit)
	contains(t, errs, "signed by 1 of the given keys, 2 are needed", "Too few have signed it.")
	_, errs = do(t, cli.ExitRefused, "publish", "--dir", dir, suit)
	contains(t, errs, "Nobody who is trusted here has signed it.")
	if err := os.Remove(filepath.Join(dir, "keys", "release.pem")); err != nil {
		t.Fatal(err)
	}
	out, _ = do(t, 0, "build", "--dir", dir, "--force", "-o", filepath.Join(dir, "x.suit"), file)
	contains(t, out, "Next: ratchet-release sign --key KEY ")
}

// TestMissingFiles: a file that is not there is told with who named it, and where.
func TestMissingFiles(t *testing.T) {
	dir := newDesk(t, "mqtt://127.0.0.1:1")
	in := func(name string) string { return filepath.Join(dir, name) }
	suit := released(t, dir, "r", "5")
	write(t, in("none.toml"), "version = \"1.4.0\"\nsequence = 6\n[[component]]\n"+
		"name = \"rootfs\"\nfile = \"no.img\"\n")
	_, errs := do(t, cli.ExitFailed, "build", "--dir", dir, in("none.toml"))
	contains(t, errs, in("none.toml")+":5: component[1].file: cannot read image: ", "no.img: no such file")
	_, errs = do(t, cli.ExitFailed, "publish", "--dir", dir, "--offer-only", suit)
	contains(t, errs, "cannot reach the broker mqtt://127.0.0.1:1 (broker.url of ratchet-release.toml): ")
	_, errs = do(t, cli.ExitFailed, "publish", "--dir", dir, "--offer-only", "--broker", "mqtt://127.0.0.1:2", suit)
	contains(t, errs, "cannot reach the broker mqtt://127.0.0.1:2 (--broker): ")
	write(t, in("token.toml"), "public = \"no.pub.pem\"\ncommand = [\"true\"]\n")
	_, errs = do(t, cli.ExitFailed, "sign", "--key", in("token.toml"), suit)
	contains(t, errs, in("token.toml")+":1: public: cannot read public key: ")
	for _, name := range []string{"release.pem", "release.pub.pem"} {
		if err := os.Remove(in("keys/" + name)); err != nil {
			t.Fatal(err)
		}
	}
	_, errs = do(t, cli.ExitFailed, "sign", "--dir", dir, suit)
	contains(t, errs, "ratchet-release.toml:", "keys.release: cannot read private key: ")
	_, errs = do(t, cli.ExitFailed, "verify", "--dir", dir, suit)
	contains(t, errs, "ratchet-release.toml:", "keys.anchors: cannot read public key: ")
	write(t, in("ratchet-release.toml"), "[keys]\nanchors = \"x\"\n")
	_, errs = do(t, cli.ExitFailed, "verify", "--dir", dir, suit)
	contains(t, errs, "ratchet-release.toml:2:11: keys.anchors: want an array")
	if strings.Contains(errs, "no --key given") {
		t.Errorf("a bad file is told as a missing flag:\n%s", errs)
	}
}

func TestBuildIsByteStable(t *testing.T) {
	dir, file := workshop(t)
	out, _ := do(t, 0, "build", "-o", filepath.Join(dir, "1.suit"), file)
	contains(t, out, "sequence  14", "for slot 1", "in the envelope", "https://m2.example/x/",
		"Next: ratchet-release sign", "publish will not copy it")
	if err := os.Mkdir(filepath.Join(dir, "elsewhere"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rootfs.img", "boot-a.img", "boot-b.img"} { // times must not matter
		if err := os.Chtimes(filepath.Join(dir, name), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	do(t, 0, "build", "-o", filepath.Join(dir, "elsewhere", "2.suit"), file)
	if !bytes.Equal(read(t, filepath.Join(dir, "1.suit")), read(t, filepath.Join(dir, "elsewhere", "2.suit"))) {
		t.Error("the same release gave two envelopes")
	}
	a, b := payloads(t, dir), payloads(t, filepath.Join(dir, "elsewhere"))
	if len(a) != 3 || strings.Join(a, " ") != strings.Join(b, " ") {
		t.Errorf("payloads %v and %v", a, b)
	}
	for _, name := range a {
		sum := sha256.Sum256(read(t, filepath.Join(dir, name)))
		if !strings.HasPrefix(name, hex.EncodeToString(sum[:])+".") {
			t.Errorf("payload %s is not named by its digest", name)
		}
	}
}

// payloads lists the payloads in a directory, and expects no leftovers.
func payloads(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if strings.HasPrefix(e.Name(), ".payload") {
			t.Errorf("temporary file %s was left", e.Name())
		}
		if _, ok := release.PayloadName("/" + e.Name()); ok {
			names = append(names, e.Name())
		}
	}
	return names
}

// TestInspectGolden pins the envelope of the full release, and what inspect says of it.
func TestInspectGolden(t *testing.T) {
	dir, file := workshop(t)
	path := filepath.Join(dir, "full.suit")
	do(t, 0, "build", file)
	do(t, 0, "sign", "--key", alice, path)
	do(t, 0, "sign", "--key", bob, path)
	out, _ := do(t, 0, "inspect", path)
	stdin, _ := doWith(t, string(read(t, path)), 0, "inspect", "-")
	if out != stdin {
		t.Error("standard input is shown differently")
	}
	golden := "testdata/full.txt"
	if *update {
		write(t, golden, out)
	}
	if want := string(read(t, golden)); out != want {
		t.Errorf("inspect differs from %s (-update rewrites it):\n%s", golden, out)
	}
}

func TestInspectShowsWhatIsRefused(t *testing.T) {
	files, err := filepath.Glob("../../testdata/suit/*.suit")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		if st, err := os.Stat(f); err != nil || st.Size() == 0 {
			continue
		}
		out, _ := do(t, 0, "inspect", f)
		if strings.Contains(f, "hostile-cut") {
			contains(t, out, "refused")
		}
	}
	out, _ := doWith(t, "\xd8\x6b\xa1\x63\x1b[2J\x41\x00garbage\x1b]0;x\x07", 0, "inspect", "-")
	if contains(t, out, "refused"); strings.ContainsAny(out, "\x1b\x07") {
		t.Errorf("escape sequences reach the terminal: %q", out)
	}
	do(t, 1, "inspect", "-")
	doWith(t, strings.Repeat("x", release.MaxInspect+1), 1, "inspect", "-")
}

func TestSequenceAuto(t *testing.T) {
	dir := newDesk(t, "")
	file := write(t, filepath.Join(dir, "a.toml"),
		"version = \"1\"\nsequence = \"auto\"\n[[component]]\nname = \"rootfs\"\nfile = \"rootfs.img\"\n")
	t.Setenv("SOURCE_DATE_EPOCH", "1790000000")
	out, _ := do(t, 0, "build", "--dir", dir, file)
	contains(t, out, "sequence  1790000000 (auto; build again with --sequence 1790000000")
	first := read(t, filepath.Join(dir, "a.suit"))
	t.Setenv("SOURCE_DATE_EPOCH", "garbage")
	_, err := do(t, 1, "build", "--dir", dir, file)
	contains(t, err, "SOURCE_DATE_EPOCH")
	do(t, 0, "build", "--dir", dir, "--sequence", "1790000000", file)
	if !bytes.Equal(first, read(t, filepath.Join(dir, "a.suit"))) {
		t.Error("--sequence gave other bytes")
	}
}

func TestSeveredTextKeepsTheManifest(t *testing.T) {
	dir, file := workshop(t)
	do(t, 0, "build", file)
	text := string(read(t, file))
	write(t, file, strings.Replace(text, "priority", "sever-text = true\npriority", 1))
	do(t, 0, "build", "-o", filepath.Join(dir, "severed.suit"), file)
	whole, err := manifest.Parse(read(t, filepath.Join(dir, "full.suit")))
	if err != nil {
		t.Fatal(err)
	}
	part, err := manifest.Parse(read(t, filepath.Join(dir, "severed.suit")))
	if err != nil || part.ClaimedDigest() != whole.ClaimedDigest() || len(part.Raw()) >= len(whole.Raw()) {
		t.Errorf("severed: %d of %d bytes, %v", len(part.Raw()), len(whole.Raw()), err)
	}
}

func TestBuildKeepsWhatIsSigned(t *testing.T) {
	dir := newDesk(t, "")
	path := released(t, dir, "r", "3")
	signed := read(t, path)
	out, _ := do(t, 0, "build", "--dir", dir, filepath.Join(dir, "r.toml"))
	if contains(t, out, "left as it is"); !bytes.Equal(signed, read(t, path)) {
		t.Error("building the same release again dropped the signature")
	}
	_, err := do(t, 1, "build", "--dir", dir, "--sequence", "4", filepath.Join(dir, "r.toml"))
	if contains(t, err, "says something else", "--force"); !bytes.Equal(signed, read(t, path)) {
		t.Error("a signed envelope was replaced")
	}
	do(t, 0, "build", "--dir", dir, "--force", "--sequence", "4", filepath.Join(dir, "r.toml"))
	write(t, path, "somebody's notes")
	_, err = do(t, 1, "build", "--dir", dir, filepath.Join(dir, "r.toml"))
	contains(t, err, "no envelope is there")
}

func TestBuildBadImages(t *testing.T) {
	dir := newDesk(t, "")
	file := filepath.Join(dir, "release.toml")
	for _, c := range []struct {
		name, want string
		code       int
		prepare    func()
	}{
		{"missing", "cannot read image", 1, func() { os.Remove(filepath.Join(dir, "rootfs.img")) }},
		{"empty", "the image is empty", 1, func() { write(t, filepath.Join(dir, "rootfs.img"), "") }},
		{"directory", "is a directory", 1, func() {
			os.Remove(filepath.Join(dir, "rootfs.img"))
			os.Mkdir(filepath.Join(dir, "rootfs.img"), 0o755)
		}},
		{"no place", "cannot write", 1, func() {
			os.Remove(filepath.Join(dir, "rootfs.img"))
			write(t, filepath.Join(dir, "rootfs.img"), "x")
			write(t, filepath.Join(dir, "release.suit"), "")
			os.Remove(filepath.Join(dir, "release.suit"))
			os.Mkdir(filepath.Join(dir, "release.suit"), 0o755)
		}},
	} {
		c.prepare()
		_, err := do(t, c.code, "build", "--dir", dir, file)
		if !strings.Contains(err, c.want) && !strings.Contains(err, "is a directory") {
			t.Errorf("%s: %s", c.name, err)
		}
	}
	os.Remove(filepath.Join(dir, "release.suit"))
	for magic, name := range map[string]string{"\x28\xb5\x2f\xfd12": "zstd", "\x1f\x8b08": "gzip",
		"\xfd7zXZ\x00": "xz"} {
		write(t, filepath.Join(dir, "rootfs.img"), magic+"and so on")
		out, _ := do(t, 0, "build", "--dir", dir, file)
		contains(t, out, "warning  the image starts like a "+name)
	}
	write(t, filepath.Join(dir, "rootfs.img"), string(testImage(70_000, 3)))
	write(t, file,
		"version = \"1\"\nsequence = 1\n[[component]]\nname = \"rootfs\"\nfile = \"rootfs.img\"\nembed = true\n")
	_, err := do(t, 1, "build", "--dir", dir, file)
	contains(t, err, "cannot embed", "publish the image beside it")
	if left := payloads(t, dir); len(left) > 4 {
		t.Errorf("payloads left behind: %v", left)
	}
}
