package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"

	"github.com/ratchet-ota/ratchet/agent/cipher"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
)

// gateway is what a device that takes the full release is.
const gateway = `
vendor = "acme.example"
class = "gateway-v1"
device = ["6ba7b810-9dad-11d1-80b4-00c04fd430c8"]
version = "1.3"
floor = 13
time = 2026-03-01T12:00:00Z
slot = 0
slot_size = 1048576
battery_mwh = 500
components = ["rootfs", "boot", ["app", "config"]]
`

// checked is a built and signed full release, and the facts of a device for it.
func checked(t *testing.T) (dir, envelope, facts string) {
	t.Helper()
	dir, file := workshop(t)
	do(t, 0, "build", file)
	envelope = filepath.Join(dir, "full.suit")
	do(t, 0, "sign", "--key", alice, envelope)
	write(t, filepath.Join(dir, "boot-b"), string(read(t, filepath.Join(dir, "boot-b.img"))))
	return dir, envelope, write(t, filepath.Join(dir, "facts.toml"), gateway)
}

func TestCheckAccepts(t *testing.T) {
	dir, envelope, facts := checked(t)
	out, _ := do(t, 0, "check", envelope, "--key", alicePub, "--facts", facts, "--payloads", dir)
	contains(t, out, "sequence    14", "shared-sequence (3)", "install (20)", "validate (7)",
		"condition-component-slot", "fails   for slot 0, the target is slot 1", "directive-fetch", "binds",
		"rootfs: sha256:", "boot: sha256:", "app/config: sha256:", "written to slot 1 in memory and read back",
		"accepted: the device would install it in slot 1 and try it.")
	if strings.Contains(out, "not looked at") {
		t.Errorf("a payload was passed over:\n%s", out)
	}
	out, _ = do(t, 0, "check", "--key", alicePub, "--facts", facts, envelope)
	contains(t, out, "its payload was not looked at", "app/config: sha256:", "read back")
	// Nothing is left behind, and nothing changed.
	if b, _ := filepath.Glob(filepath.Join(dir, ".*")); len(b) > 0 {
		t.Errorf("left behind: %v", b)
	}
}

// What another device would say, with the SUIT code and the place of the command.
func TestCheckRefuses(t *testing.T) {
	_, envelope, facts := checked(t)
	for _, c := range []struct {
		name, from, to string // a change of the facts
		want           []string
	}{
		{"vendor", `"acme.example"`,
			`"other.example"`, []string{"reason: wrong-vendor", "SUIT code: 10 (condition-failed)",
				"section: 3 (shared-sequence)", "refuses"}},
		{"class", `"gateway-v1"`, `"toaster"`, []string{"reason: wrong-class", "SUIT code: 10", "offset: "}},
		{"device", "d430c8", "d430c9", []string{"reason: wrong-device", "SUIT code: 10"}},
		{"version", `"1.3"`, `"2.0"`, []string{"reason: version-condition", "SUIT code: 10"}},
		{"version as a list", `"1.3"`, `[1, 1]`, []string{"reason: version-condition"}},
		{"no version", `version = "1.3"`, "", []string{"reason: version-condition"}},
		{"floor", "floor = 13", "floor = 15",
			[]string{"reason: sequence-below-floor", "SUIT code: 4 (unauthorised)", "offset: none"}},
		{"expired", "2026", "2031", []string{"reason: expired", "SUIT code: 10"}},
		{"clock", "time = 2026-03-01T12:00:00Z", "", []string{"reason: clock-unknown", "SUIT code: 10"}},
		{"battery", "battery_mwh = 500", "battery_mwh = 499", []string{"reason: low-battery", "SUIT code: 10"}},
		{"battery unknown", "battery_mwh = 500", "", []string{"reason: low-battery"}},
		{"slot size", "1048576", "4096",
			[]string{"reason: image-too-large", "SUIT code: 11 (operation-failed)", "section: 20 (install)"}},
		{"slot size of one", "slot_size = 1048576", "slot_size = {boot = 15}",
			[]string{"reason: image-too-large", "boot has 16 bytes", "section: 20 (install)"}},
		{"component", `, ["app", "config"]`,
			"", []string{"reason: slot-missing", "SUIT code: 6 (component-unsupported)"}},
	} {
		changed := write(t, facts+".changed", strings.Replace(gateway, c.from, c.to, 1))
		out, _ := do(t, cli.ExitRefused, "check", envelope, "--key", alicePub, "--facts", changed)
		contains(t, out, c.want...)
		if t.Failed() {
			t.Fatalf("%s:\n%s", c.name, out)
		}
	}
	// The other slot gets the other image.
	changed := write(t, facts+".changed", strings.Replace(gateway, "slot = 0", "slot = 1", 1))
	out, _ := do(t, 0, "check", envelope, "--key", alicePub, "--facts", changed)
	contains(t, out, "install it in slot 0", manifest.Sum([]byte("boot image for a")).String())
	out, _ = do(t, cli.ExitRefused, "check", envelope, "--key", bobPub, "--facts", facts)
	contains(t, out, "reason: signer-unknown", "SUIT code: 4 (unauthorised)", "offset: none")
	golden, err := signerOf(t, "../../testdata/suit/keys/release-p256.pem").Key().MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	key := write(t, facts+".pem", string(golden))
	for file, want := range map[string][]string{
		"refused-command-31": {"reason: manifest-unsupported", "SUIT code: 5 (command-unsupported)",
			"section: 20 (install)", "offset: 20"},
		"refused-invoke":           {"SUIT code: 5", "section: 9 (invoke)", "offset: 1"},
		"hostile-garbage-manifest": {"reason: envelope-malformed", "SUIT code: 1 (cbor-parse)"},
		"severed-install": {"reason: manifest-unsupported", "SUIT code: 9 (severing-unsupported)",
			"section: 20 (install)\noffset: none"},
		"hostile-step-bomb": {"reason: manifest-unsupported", "SUIT code: 11", "section: 20 (install)", "offset: 67"},
	} {
		changed := write(t, facts+".changed", `vendor = "ratchet.example"`+"\nclass = \"gateway-1\"\n")
		out, _ := do(t, cli.ExitRefused, "check", "../../testdata/suit/"+file+".suit", "--key", key, "--facts", changed)
		contains(t, out, want...)
	}
}

func TestCheckPayloads(t *testing.T) {
	dir, envelope, facts := checked(t)
	boot := string(read(t, filepath.Join(dir, "boot-b")))
	run := func(code int, parts ...string) {
		t.Helper()
		out, err := do(t, code, "check", envelope, "--key", alicePub, "--facts", facts, "--payloads", dir)
		contains(t, out+err, parts...)
	}
	write(t, filepath.Join(dir, "boot-b"), "boot image for x")
	run(cli.ExitRefused, "reason: image-corrupt", "SUIT code: 10 (condition-failed)",
		"section: 20 (install)", "offset: 11")
	write(t, filepath.Join(dir, "boot-b"), boot[:5])
	run(cli.ExitRefused, "reason: image-corrupt", "SUIT code: 11 (operation-failed)", "offset: 9")
	write(t, filepath.Join(dir, "boot-b"), boot+"x")
	run(cli.ExitRefused, "reason: image-corrupt", "SUIT code: 11 (operation-failed)")
	if err := os.Remove(filepath.Join(dir, "boot-b")); err != nil {
		t.Fatal(err)
	}
	run(cli.ExitRefused, "reason: source-gone", "SUIT code: 11 (operation-failed)", "does not have boot-b")
}

// An encrypted release goes through with the right key, and fails before a byte is written without.
func TestCheckEncrypted(t *testing.T) {
	dir := t.TempDir()
	image := testImage(300_000, 3)
	var payload bytes.Buffer
	var key [2]string
	var to cipher.Key
	for i := range key {
		s, err := trust.Generate(trust.ESP256)
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.MarshalPEM()
		if err != nil {
			t.Fatal(err)
		}
		key[i] = write(t, filepath.Join(dir, "device"+string(rune('0'+i))+".pem"), string(b))
		if i == 0 {
			if to, err = cipher.ParseKey(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	public, err := to.Public()
	if err != nil {
		t.Fatal(err)
	}
	info, err := cipher.Seal(&payload, bytes.NewReader(image), manifest.A128GCM, []cipher.Key{public}, nil)
	if err != nil {
		t.Fatal(err)
	}
	vendor := manifest.VendorUUID("acme.example")
	env, err := author.Build(author.Release{Vendor: vendor,
		Classes: []manifest.UUID{manifest.ClassUUID(vendor, "gateway-v1")}, Sequence: 14,
		Components: []author.Component{{Name: "rootfs",
			Images: []author.Image{{Slot: author.AnySlot, Digest: manifest.Sum(image), Size: int64(len(image)),
				URI: "https://img.example/rootfs.enc", PayloadSize: int64(payload.Len()), Encryption: info}}}}})
	if err != nil {
		t.Fatal(err)
	}
	envelope := write(t, filepath.Join(dir, "encrypted.suit"), string(env))
	do(t, 0, "sign", "--key", alice, envelope)
	do(t, 0, "verify", envelope, "--key", alicePub, "--payloads", dir)
	write(t, filepath.Join(dir, "rootfs.enc"), payload.String())
	facts := write(t, filepath.Join(dir, "facts.toml"),
		"vendor = \"acme.example\"\nclass = \"gateway-v1\"\ncomponents = [\"rootfs\"]\n")
	args := []string{"check", envelope, "--key", alicePub, "--facts", facts, "--payloads", dir}
	out, _ := do(t, 0, append(args, "--decrypt-key", key[0])...)
	contains(t, out, "directive-copy", "decrypted (A128GCM)", "encrypted; written to slot 1 in memory and read back")
	out, _ = do(t, 0, args...)
	contains(t, out, "no --decrypt-key given", "not looked at")
	out, _ = do(t, cli.ExitRefused, append(args, "--decrypt-key", key[1])...)
	contains(t, out, "reason: decryption-key-missing", "SUIT code: 11", "section: 20 (install)", "offset: 7")
	b := payload.Bytes()
	b[1000] ^= 1
	write(t, filepath.Join(dir, "rootfs.enc"), string(b))
	out, _ = do(t, cli.ExitRefused, append(args, "--decrypt-key", key[0])...)
	contains(t, out, "reason: image-corrupt", "SUIT code: 11", "section: 20 (install)")
	_, stderr := do(t, cli.ExitFailed, append(args, "--decrypt-key", alicePub)...)
	contains(t, stderr, "public key")
}

// rootFor makes a bundle whose release role is alice, or alice and bob.
func rootFor(t *testing.T, dir string, threshold int, change func(*trust.RootSpec)) string {
	t.Helper()
	root, err := trust.Generate(trust.ESP384)
	if err != nil {
		t.Fatal(err)
	}
	s := trust.RootSpec{Version: 1, Name: "fleet", Issued: time.Unix(1, 0).UTC(),
		Expires:    time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC),
		Algorithms: []int64{trust.ESP384, trust.Ed25519, trust.ESP256}, Roles: map[trust.Role]trust.RoleSpec{}}
	give := func(role trust.Role, threshold int, keys ...*trust.Signer) {
		g := trust.Grant{Threshold: threshold}
		for i, k := range keys {
			m := trust.Member{Name: string(role) + string(rune('0'+i)), Keys: []trust.Key{k.Key()}}
			s.Members, g.Members = append(s.Members, m), append(g.Members, m)
		}
		s.Roles[role] = trust.RoleSpec{Generation: 1, Grants: []trust.Grant{g}}
	}
	give(trust.RoleRoot, 1, root)
	give(trust.RoleRelease, threshold, signerOf(t, alice), signerOf(t, bob))
	for _, r := range []trust.Role{trust.RoleCampaign, trust.RolePulse, trust.RoleRecovery} {
		k, err := trust.Generate(trust.Ed25519)
		if err != nil {
			t.Fatal(err)
		}
		give(r, 1, k)
	}
	if change != nil {
		change(&s)
	}
	b, err := trust.BuildRoot(s)
	if err == nil {
		b, err = trust.SignRoot(b, root)
	}
	if err == nil {
		b, err = trust.BuildBundle(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return write(t, filepath.Join(dir, "root.cbor"), string(b))
}

func TestCheckAgainstARoot(t *testing.T) {
	dir, envelope, facts := checked(t)
	run := func(code int, root string, parts ...string) {
		t.Helper()
		out, _ := do(t, code, "check", envelope, "--root", root, "--facts", facts)
		contains(t, out, parts...)
	}
	run(0, rootFor(t, dir, 1, nil), "root: version 1 of fleet", "accepted")
	run(cli.ExitRefused, rootFor(t, dir, 2, nil), "reason: signer", "SUIT code: 4 (unauthorised)")
	run(cli.ExitRefused, rootFor(t, dir, 1, func(s *trust.RootSpec) {
		s.Components = map[string]trust.SequenceRange{"boot": {Min: 15, Max: 100}}
	}), "reason: sequence-out-of-range", "SUIT code: 4 (unauthorised)")
	run(cli.ExitRefused, rootFor(t, dir, 1, func(s *trust.RootSpec) {
		e, err := manifest.Parse(read(t, envelope))
		if err != nil {
			t.Fatal(err)
		}
		s.Revoked = []string{e.ClaimedDigest().String()}
	}), "reason: revoked", "SUIT code: 4 (unauthorised)")
	run(cli.ExitRefused, rootFor(t, dir, 1,
		func(s *trust.RootSpec) { s.Expires = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }), "reason: root-expired")
	run(cli.ExitRefused, envelope, "reason: root-refused")
	do(t, 0, "sign", "--key", bob, envelope)
	run(0, rootFor(t, dir, 2, nil), "accepted")
}

func TestFactsRefused(t *testing.T) {
	dir, envelope, _ := checked(t)
	for text, want := range map[string]string{
		"vender = 1":                         `unknown key "vender"`,
		"vendor = 1":                         "want a UUID",
		"vendor = \"not a domain\"":          "vendor",
		"class = \"gateway\"":                "class",
		"device = [\"x\"]":                   "device",
		"version = 1":                        "version",
		"version = [1, \"2\"]":               "version",
		"version = \"1.2.3.4\"":              "version",
		"floor = -1":                         "less than 0",
		"floor = \"1\"":                      "floor",
		"time = \"noon\"":                    "time",
		"time = 2026-03-01T12:00:00":         "has no time zone",
		"slot = 2":                           "0 or 1",
		"slot_size = 0":                      "more than 0",
		"slot_size = {rootfs = -1}":          "more than 0",
		"battery_mwh = -1":                   "less than 0",
		"allow_algs = [\"RS256\"]":           "RS256",
		"components = 1":                     "components",
		"components = [[]]":                  "components",
		"components = [\"a//b\"]":            "components",
		"vendor = \"a.example\"\nclass = \"": "facts.toml:2",
	} {
		f := write(t, filepath.Join(dir, "facts.toml"), text)
		_, err := do(t, cli.ExitFailed, "check", envelope, "--key", alicePub, "--facts", f)
		contains(t, err, want)
	}
	f := write(t, filepath.Join(dir, "facts.toml"), "")
	_, err := do(t, cli.ExitFailed, "check", filepath.Join(dir, "nowhere"), "--key", alicePub, "--facts", f)
	contains(t, err, "cannot read envelope")
	_, err = do(t, cli.ExitUsage, "check", envelope, "--key", alicePub, "--facts", f, "--payloads",
		filepath.Join(dir, "nowhere"))
	contains(t, err, "not a directory")
	_, err = do(t, cli.ExitFailed, "check", envelope, "--key", alicePub, "--facts", filepath.Join(dir, "nowhere"))
	contains(t, err, "cannot read facts")
}

// es256 signs with the older identifier of ESP256, as the examples of the standard do.
type es256 struct{ key *ecdsa.PrivateKey }

func (s es256) Sign(payload, aad []byte) ([]byte, error) {
	signer, err := cose.NewSigner(cose.AlgorithmES256, s.key)
	if err != nil {
		return nil, err
	}
	m := cose.NewSign1Message()
	m.Headers.Protected.SetAlgorithm(cose.AlgorithmES256)
	m.Payload = payload
	if err := m.Sign(rand.Reader, aad, signer); err != nil {
		return nil, err
	}
	m.Payload = nil
	return m.MarshalCBOR()
}

func TestVerifyOlderAlgorithms(t *testing.T) {
	dir, file := workshop(t)
	do(t, 0, "build", file)
	envelope := filepath.Join(dir, "full.suit")
	block, _ := pem.Decode(read(t, alice))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	env, err := author.Sign(read(t, envelope), es256{key.(*ecdsa.PrivateKey)})
	if err != nil {
		t.Fatal(err)
	}
	write(t, envelope, string(env))
	out, _ := do(t, cli.ExitRefused, "verify", envelope, "--key", alicePub)
	contains(t, out, "reason: algorithm-not-allowed", "offset: none")
	for _, word := range []string{"ES256", "es256", "-7"} {
		do(t, 0, "verify", envelope, "--key", alicePub, "--allow-alg", word)
	}
	do(t, 0, "verify", envelope, "--key", bobPub, "--key", alicePub, "--allow-alg", "ES256")
	do(t, cli.ExitRefused, "verify", envelope, "--key", alicePub, "--allow-alg", "EdDSA")
	do(t, 0, "verify", envelope, "--key", alicePub, "--legacy")
	_, stderr := do(t, cli.ExitUsage, "verify", envelope, "--key", alicePub, "--allow-alg", "HS256")
	contains(t, stderr, "HS256")
	facts := write(t, filepath.Join(dir, "facts.toml"), gateway)
	do(t, cli.ExitRefused, "check", envelope, "--key", alicePub, "--facts", facts)
	facts = write(t, filepath.Join(dir, "facts.toml"), gateway+"allow_algs = [-7]\n")
	do(t, 0, "check", envelope, "--key", alicePub, "--facts", facts)
	// Both kinds at once, and two signers.
	do(t, 0, "sign", "--key", bob, envelope)
	do(t, 0, "verify", envelope, "--key", bobPub, "--key", alicePub, "--allow-alg", "ES256", "--min", "2")
	do(t, cli.ExitRefused, "verify", envelope, "--key", bobPub, "--key", alicePub, "--min", "2")
}

func TestVerifyWithCOSEKeys(t *testing.T) {
	dir, file := workshop(t)
	do(t, 0, "build", file)
	envelope := filepath.Join(dir, "full.suit")
	do(t, 0, "sign", "--key", alice, envelope)
	do(t, 0, "sign", "--key", bob, envelope)
	enc := func(m map[int]any) string {
		b, err := cbor.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return write(t, filepath.Join(dir, "key.cbor"), string(b))
	}
	point, err := signerOf(t, alice).Key().Public().(*ecdsa.PublicKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	do(t, 0, "verify", envelope, "--key",
		enc(map[int]any{1: 2, 2: []byte("alice"), 3: -9, -1: 1, -2: point[1:33], -3: point[33:]}))
	do(t, 0, "verify", envelope, "--key",
		enc(map[int]any{1: 1, -1: 6, -2: []byte(signerOf(t, bob).Key().Public().(ed25519.PublicKey))}))
	for _, bad := range []map[int]any{
		{1: 2, -1: 1, -2: point[1:33], -3: point[1:33]}, {1: 2, -1: 3, -2: point[1:33], -3: point[33:]},
		{1: 4, -1: []byte("secret")}, {1: 1, -1: 6, -2: []byte{1}},
	} {
		_, stderr := do(t, cli.ExitFailed, "verify", envelope, "--key", enc(bad))
		contains(t, stderr, "cannot read public key")
	}
	_, stderr := do(t, 0, "verify", envelope, "--key", alice)
	contains(t, stderr, "only its public half is used")
}

// Other people's envelopes are verified although a device of this profile would refuse them.
func TestVerifyOutsideOfTheProfile(t *testing.T) {
	dir := t.TempDir()
	golden, err := signerOf(t, "../../testdata/suit/keys/release-p256.pem").Key().MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	key := write(t, filepath.Join(dir, "golden.pem"), string(golden))
	out, _ := do(t, 0, "verify", "../../testdata/suit/refused-invoke.suit", "--key", key)
	contains(t, out, "digests and signatures are good",
		"note        devices refuse it: manifest refused (command-unsupported): invoke is not supported")
	do(t, cli.ExitFailed, "verify", "../../testdata/suit/refused-invoke.suit", "--key", key, "--payloads", dir)
	do(t, cli.ExitRefused, "verify", "../../testdata/suit/hostile-severable-changed.suit", "--key", key)
	do(t, cli.ExitRefused, "verify", "../../testdata/suit/hostile-unknown-manifest-key.suit", "--key", key)
}

// Signed reports of devices are shown like envelopes.
func TestInspectReport(t *testing.T) {
	out, _ := do(t, 0, "inspect", "../../testdata/suit/report-failed.cbor")
	contains(t, out, "COSE_Sign1", "application/suit-report+cose", "/ reason / 7: 10 / condition-failed /",
		"/ SUIT report, signature not verified here /", "/ within the profile /")
}
