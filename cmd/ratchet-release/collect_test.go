package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/fleet/fleettest"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
)

func TestCollect(t *testing.T) {
	t.Parallel()
	s := newServer(t, "", nil)
	dir := newDesk(t, s.url())
	out := filepath.Join(t.TempDir(), "evidence")
	g, stranger := fleettest.New(t, "gw-1"), fleettest.New(t, "gw-2")
	key := enroll(t, g, dir)
	g.Live(t, 39)
	asked := answer(t, g, s, 1)
	s.put(t, g.Topic("status"), g.Status(t, nil), true)
	file := filepath.Join(out, "gw-1.evidence")

	// The status says that there are 40: all are asked for.
	log, stop := background(t, "evidence", "collect", "--dir", dir, "-o", out)
	until(t, "40 records", func() bool { return strings.Contains(log.String(), "stored up to 40") })
	// Records come while it runs: one is lost, one comes twice, others are nobody's.
	g.Live(t, 5)
	for _, n := range []int{41, 42, 42, 44} {
		s.put(t, g.Topic("evidence"), g.Records[n-1], false)
	}
	s.put(t, g.Topic("evidence"), []byte("garbage"), false)
	s.put(t, stranger.Topic("evidence"), stranger.Records[0], false)
	until(t, "the hole to be filled", func() bool { return strings.Contains(log.String(), "stored up to 45") })
	stop()
	if got := asked(); len(got) != 2 || got[0] != 1 || got[1] != 43 {
		t.Errorf("asked for %v, want 1 and 43", got)
	}
	contains(t, log.String(), "gw-2: not enrolled", "not verified and ignored")
	text, _ := do(t, 0, "evidence", "verify", file, "--key", key)
	contains(t, text, "device   gw-1", "records  45,", "records  1 to 45", "none is missing")

	// A second run takes up where the first one ended.
	before := read(t, file)
	s.put(t, g.Topic("evidence"), g.Records[3], false)
	again, stop := background(t, "evidence", "collect", "--dir", dir, "-o", out)
	until(t, "subscription", func() bool { return strings.Contains(again.String(), "connected to") })
	for _, n := range []int{3, 45} {
		s.put(t, g.Topic("evidence"), g.Records[n-1], false)
	}
	g.Live(t, 1)
	s.put(t, g.Topic("evidence"), g.Records[45], false)
	until(t, "46 records", func() bool { return strings.Contains(again.String(), "stored up to 46") })
	stop()
	if after := read(t, file); !bytes.HasPrefix(after, before) || len(after) != len(before)+len(g.Records[45]) {
		t.Error("what was there was written again")
	}
	if _, err := os.Stat(filepath.Join(out, "gw-2.evidence")); err == nil {
		t.Error("evidence of a stranger was stored")
	}
}

// keyDir writes a gadget's public key.
func keyDir(t *testing.T, g *fleettest.Device) string {
	t.Helper()
	pem, err := g.Signer.Key().MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "k.pem"), string(pem))
	return dir
}

func TestEvidenceVerify(t *testing.T) {
	g := fleettest.New(t, "gw-1")
	g.Live(t, 9)
	key := filepath.Join(keyDir(t, g), "k.pem")
	dir := t.TempDir()
	export := func(records ...[]byte) string {
		return write(t, filepath.Join(dir, "x"), string(bytes.Join(records, nil)))
	}
	out, _ := do(t, 0, "evidence", "verify", export(g.Records...), "--key", key)
	contains(t, out, "none is missing")
	out, _ = doWith(t, string(bytes.Join(g.Records, nil)), 0, "evidence", "verify", "-", "--key", key, "--history")
	contains(t, out, "     1  2026-03-01T12:00:00Z   chain", "    10  2026")

	out, err := do(t, cli.ExitIncomplete, "evidence", "verify",
		export(append(g.Records[:3:3], g.Records[5:]...)...), "--key", key)
	contains(t, out, "MISSING  4 to 5")
	contains(t, err, "2 records are missing")
	out, _ = do(t, cli.ExitIncomplete, "evidence", "verify", export(g.Records[4:]...), "--key", key)
	contains(t, out, "MISSING  1 to 4, before")

	for _, c := range []struct {
		name, reason string
		records      [][]byte
	}{
		{"altered", "signature-invalid", [][]byte{g.Records[0], altered(g.Records[1])}},
		{"another key", "signer-unknown", fleettest.New(t, "gw-1").Records},
		{"order", "envelope-malformed", [][]byte{g.Records[0], g.Records[2], g.Records[1]}},
		{"garbage", "envelope-malformed", [][]byte{g.Records[0], []byte("\xff")}},
		{"cut", "envelope-malformed", [][]byte{g.Records[0], g.Records[1][:50]}},
	} {
		out, err := do(t, cli.ExitRefused, "evidence", "verify", export(c.records...), "--key", key)
		contains(t, out, "reason: "+c.reason)
		if contains(t, err, "x is refused"); c.name != "another key" {
			contains(t, out, "Good before that:", "records  1")
		}
	}
	_, err = do(t, cli.ExitFailed, "evidence", "verify", export(), "--key", key)
	contains(t, err, "holds no record")
}

func altered(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

func TestEnroll(t *testing.T) {
	dir := newDesk(t, "")
	a, b := filepath.Join(keyDir(t, fleettest.New(t, "x")), "k.pem"),
		filepath.Join(keyDir(t, fleettest.New(t, "x")), "k.pem")
	do(t, 0, "enroll", "--dir", dir, "gw-1", a)
	out, _ := do(t, 0, "enroll", "--dir", dir, "gw-1", a)
	contains(t, out, "already")
	_, err := do(t, 1, "enroll", "--dir", dir, "gw-1", b)
	contains(t, err, "another key", "--replace")
	doWith(t, string(read(t, b)), 0, "enroll", "--dir", dir, "--replace", "gw-1", "-")
	if !bytes.Equal(read(t, filepath.Join(dir, "devices", "gw-1.pem")), read(t, b)) {
		t.Error("the key was not replaced")
	}
	_, err = do(t, 2, "enroll", "--dir", dir, "../gw", a)
	contains(t, err, "device id")
	_, err = do(t, 1, "enroll", "--dir", dir, "gw-2", alice)
	contains(t, err, "private key")
	write(t, filepath.Join(dir, "devices", "gw-3.pem"), "garbage")
	_, err = do(t, 1, "enroll", "--dir", dir, "gw-3", a)
	contains(t, err, "--replace")
}

func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "desk")
	out, _ := do(t, 0, "init", "--alg", "ed25519", "--vendor", "acme.example", "--class", "a", "--class",
		"b \"quoted\"", dir)
	contains(t, out, "Next:", "release.pub.pem to each device", `vendor = ["acme.example"], class = ["a"]`, "Ed25519")
	for name, mode := range map[string]os.FileMode{
		"keys": 0o700, "keys/release.pem": 0o600, "keys/release.pub.pem": 0o644, "ratchet-release.toml": 0o644,
		"release.toml": 0o644, "images": 0o755, "devices": 0o755,
	} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	d, err := workspace.Load(dir)
	if err != nil || len(d.Vendor.Classes) != 2 || d.Vendor.Classes[1] != "b \"quoted\"" {
		t.Errorf("%+v, %v", d.Vendor, err)
	}
	key := read(t, filepath.Join(dir, "keys/release.pem"))
	_, stderr := do(t, 1, "init", dir)
	contains(t, stderr, "exists already and is not overwritten")
	if !bytes.Equal(key, read(t, filepath.Join(dir, "keys/release.pem"))) {
		t.Error("the key was overwritten")
	}
	for _, bad := range [][]string{
		{"--vendor", "Acme"}, {"--channel", "a/b"}, {"--broker", "http://x"}, {"--broker", "mqtt://x"},
		{"--base-url", "x"}, {"--class", " x"}, {"--alg", "rsa"},
	} {
		dir := filepath.Join(t.TempDir(), "x")
		do(t, 2, append(append([]string{"init"}, bad...), dir)...)
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%v left a directory", bad)
		}
	}
}
