package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
)

var update = flag.Bool("update", false, "rewrite golden files")

// Keys of two people, for tests only.
const (
	alice    = "testdata/alice.pem" // P-256
	alicePub = "testdata/alice.pub.pem"
	bob      = "testdata/bob.pem" // Ed25519
	bobPub   = "testdata/bob.pub.pem"
)

// do runs one command line and expects an exit code.
func do(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	return doWith(t, "", code, args...)
}

func doWith(t *testing.T, stdin string, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	got := run(context.Background(), args, strings.NewReader(stdin), &out, &err)
	if got != code {
		t.Fatalf("ratchet-release %s: exit %d, want %d\n%s%s",
			strings.Join(args, " "), got, code, out.String(), err.String())
	}
	return out.String(), err.String()
}

// newDesk makes a release directory with a plain broker address and a small image.
func newDesk(t *testing.T, broker string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "desk")
	if broker == "" {
		broker = "mqtt://127.0.0.1:1"
	}
	do(t, 0, "init", "--vendor", "acme.example", "--class", "gateway-v1", "--broker", broker, "--allow-plain", dir)
	write(t, filepath.Join(dir, "rootfs.img"), string(testImage(300_000, 1)))
	return dir
}

// testImage is content that compresses a little and is the same each time.
func testImage(n int, seed uint32) []byte {
	b := make([]byte, n)
	x := seed
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x>>24) & 0x3f
	}
	return b
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// signerOf reads a private key.
func signerOf(t *testing.T, path string) *trust.Signer {
	t.Helper()
	s, err := keys.Private(t.Context(), cli.Console{Err: io.Discard}, keys.Source{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is missing in:\n%s", p, text)
		}
	}
}

// released makes a desk with a built and signed release of the given sequence.
func released(t *testing.T, dir, name string, sequence string) (envelope string) {
	t.Helper()
	file := write(t, filepath.Join(dir, name+".toml"),
		"version = \"1.4.0\"\nsequence = "+sequence+"\n[[component]]\nname = \"rootfs\"\nfile = \"rootfs.img\"\n"+
			"compress = \"zstd\"\n[text.en]\nupdate = \"Better.\"\n")
	do(t, 0, "build", "--dir", dir, file)
	envelope = filepath.Join(dir, name+".suit")
	do(t, 0, "sign", "--dir", dir, envelope)
	return envelope
}
