package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/root"
)

// A root from nothing: everything that init makes is used, and devices take the bundle.
func TestRootInit(t *testing.T) {
	dir := newDesk(t, "")
	release := read(t, filepath.Join(dir, "keys/release.pub.pem"))
	out, _ := do(t, 0, "root", "init", "--dir", dir, "--hybrid", "--development")
	contains(t, out, "Root 1 of acme.example, for development", "root       1 of root (", "pair), generation 1",
		"ML-DSA-65", "ends at version 1 now")
	if !bytes.Equal(release, read(t, filepath.Join(dir, "keys/release.pub.pem"))) {
		t.Error("the release key was replaced")
	}
	r, err := root.ReadTrusted(filepath.Join(dir, root.BundleName))
	if err != nil || r.Version() != 1 || !r.Development() || len(r.Role(trust.RoleRoot)[0].Members[0].Keys) != 2 {
		t.Fatalf("%+v, %v", r.Spec(), err)
	}
	for _, key := range []string{"root.pem", "root-ml-dsa.pem", "pulse.pem"} {
		if st, err := os.Stat(filepath.Join(dir, "keys", key)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", key, st, err)
		}
	}
	_, errs := do(t, cli.ExitFailed, "root", "init", "--dir", dir)
	contains(t, errs, "root.toml exists already and is not overwritten")
	out, _ = do(t, 0, "root", "show", filepath.Join(dir, root.BundleName))
	contains(t, out, "1 version,", "good to version 1")
}

// A team rotates: two of three sign the same file, nothing changes before the last of them.
func TestTeamRotatesTheRoot(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for name, alg := range map[string]string{"alice": "esp384", "bob": "esp256", "carol": "ed25519",
		"carol-ml-dsa": "ml-dsa-65", "dave": "esp256", "ship": "esp256", "plan": "esp256"} {
		do(t, 0, "keys", "new", "--alg", alg, in(name))
	}
	_, errs := do(t, cli.ExitFailed, "keys", "new", in("alice"))
	contains(t, errs, "file exists")
	file := func(signers, threshold, more string) {
		text := "name = \"acme\"\nexpires = 2099-01-01T00:00:00Z\n" +
			"algorithms = [\"esp256\", \"ed25519\", \"esp384\", \"ml-dsa-65\"]\n" + more
		for _, s := range strings.Split(signers+" ship plan", " ") {
			text += "[signer." + s + "]\nkey = \"" + s + ".pub.pem\"\n"
			if s == "carol" {
				text += "ml-dsa = \"carol-ml-dsa.pub.pem\"\n"
			}
		}
		text += "[[role]]\nname = \"root\"\nthreshold = " + threshold + "\nsigners = [\"" +
			strings.ReplaceAll(signers, " ", "\", \"") + "\"]\n"
		text += "[[role]]\nname = \"release\"\nthreshold = 1\nsigners = [\"ship\"]\nvendors = [\"acme.example\"]\n" +
			"classes = [\"gateway-v1\"]\n"
		text += "[[role]]\nname = \"campaign\"\nthreshold = 1\nsigners = [\"plan\"]\n[component.rootfs]\nmin = 3\n"
		write(t, in(root.FileName), text)
	}
	file("alice bob carol", "2", "")
	out, _ := do(t, 0, "root", "rotate", "--dir", dir)
	contains(t, out, "Root 1 of acme", "0 of 2 needed; not yet: alice",
		"rootfs: 3 to 18446744073709551615", "for class ")
	out, _ = do(t, 0, "root", "sign", "--key", in("alice.pem"), in("root-1.cbor"))
	contains(t, out, "1 of 2 needed; not yet: bob")
	if _, err := os.Stat(in(root.BundleName)); err == nil {
		t.Fatal("the bundle was made too early")
	}
	out, _ = do(t, 0, "root", "rotate", "--dir", dir)
	contains(t, out, "already says this", "1 of 2 needed")
	do(t, 0, "sign", "--key", in("carol.pem"), in("root-1.cbor"))
	if _, err := os.Stat(in(root.BundleName)); err == nil {
		t.Fatal("half of a pair counted")
	}
	out, _ = do(t, 0, "sign", "--key", in("carol-ml-dsa.pem"), in("root-1.cbor"))
	contains(t, out, "ends at version 1 now")
	out, _ = do(t, 0, "root", "sign", "--key", in("bob.pem"), in("root-1.cbor"))
	contains(t, out, "in "+in(root.BundleName)+" already")

	// The second version: carol leaves for dave, campaign begins anew.
	file("alice bob dave", "2", "renew = [\"campaign\"]\n")
	out, _ = do(t, 0, "root", "rotate", "--dir", dir)
	contains(t, out, "Other people sign the root", "campaign begins generation 2", "Root 2 of acme",
		"by signers of version 1: 0 of 2", "by its own signers: 0 of 2")
	do(t, 0, "root", "sign", "--key", in("carol.pem"), in("root-2.cbor"))
	do(t, 0, "root", "sign", "--key", in("carol-ml-dsa.pem"), in("root-2.cbor"))
	out, _ = do(t, 0, "root", "sign", "--key", in("dave.pem"), in("root-2.cbor"))
	contains(t, out, "by signers of version 1: 1 of 2", "by its own signers: 1 of 2")
	out, _ = do(t, 0, "root", "sign", "--key", in("bob.pem"), in("root-2.cbor"))
	contains(t, out, "ends at version 2 now")
	out, _ = do(t, 0, "root", "show", in(root.BundleName))
	contains(t, out, "Root 1 of acme", "Root 2 of acme", "2 versions,")
	out, _ = do(t, 0, "root", "show", in("root-2.cbor"))
	contains(t, out, "Devices that trust the version before it accept it")

	// What stands in the way of the next one.
	file("alice bob dave", "2", "revoked = [\"sha256:"+strings.Repeat("00", 32)+"\"]\n")
	do(t, 0, "root", "rotate", "--dir", dir)
	file("alice bob dave", "3", "")
	_, errs = do(t, cli.ExitFailed, "root", "rotate", "--dir", dir)
	contains(t, errs, "says something else; --replace")
	do(t, 0, "root", "rotate", "--dir", dir, "--replace")
	file("alice", "2", "")
	out, _ = do(t, cli.ExitRefused, "root", "rotate", "--dir", dir, "--replace")
	contains(t, out, "reason: root-refused")
	write(t, in(root.FileName),
		strings.Replace(string(read(t, in(root.FileName))), "name = \"acme\"", "name = \"evil\"", 1))
	_, errs = do(t, cli.ExitFailed, "root", "rotate", "--dir", dir)
	contains(t, errs, "root.toml:1: name: this chain is named \"acme\"")
	write(t, in("x.cbor"), "\xd8\x62nonsense")
	out, _ = do(t, cli.ExitRefused, "root", "show", in("x.cbor"))
	contains(t, out, "reason: root-refused")
	b := read(t, in(root.BundleName))
	b[len(b)-1] ^= 1
	write(t, in(root.BundleName), string(b))
	out, _ = do(t, cli.ExitRefused, "root", "rotate", "--dir", dir)
	contains(t, out, "reason: root-refused")
}

// TestKeyAsRoot: a key in place of a root is told as one, not as an attack.
func TestKeyAsRoot(t *testing.T) {
	for _, args := range [][]string{{"root", "show", alicePub},
		{"campaign", "plan", "--bundle", alicePub, "plan.toml"}} {
		out, errs := do(t, cli.ExitRefused, args...)
		contains(t, out, "reason: root-refused")
		contains(t, errs, alicePub+" is refused: it is in PEM, as keys are", "Name a root, root-N.cbor")
	}
}

// The lines that root.toml errors name.
func TestRootFileErrors(t *testing.T) {
	dir := t.TempDir()
	do(t, 0, "keys", "new", filepath.Join(dir, "a"))
	const head = "name = \"acme\"\nexpires = 2099-01-01T00:00:00Z\nalgorithms = [\"esp256\"]\n"
	const signer = "[signer.a]\nkey = \"a.pub.pem\"\n"
	for text, says := range map[string]string{
		"name = 1\n":                          "root.toml:1:8: name",
		"nam = \"x\"\n":                       "unknown key \"nam\"",
		"name = \"acme\"\n":                   "expires: is missing",
		head + "[signer.a]\n":                 "signer.a.key: is missing",
		head + "[signer.a]\nkey = \"none\"\n": "root.toml:5: signer.a.key: cannot read public key",
		"algorithms = [\"rsa\"]\nexpires = 2099-01-01T00:00:00Z\n": "algorithms: \"rsa\" is not one of",
		head + signer +
			"[[role]]\nname = \"rot\"\n": "root.toml:7: role[1].name: \"rot\"",
		head + signer + "[[role]]\nname = \"root\"\nsigners = [\"b\"]\n": "root.toml:8: " +
			"role[1].signers: there is no [signer.b]",
		head + signer + "[[role]]\nname = \"release\"\nclasses = [\"gateway\"]\n":      "role[1].classes",
		head + signer + "[[role]]\nname = \"release\"\nvendors = [\"Not A Domain\"]\n": "role[1].vendors",
		head + signer + "[[role]]\nname = \"root\"\nthreshold = 1\nsigners = [\"a\", \"a\"]": "root.toml:9: " +
			"role[1].signers: a is listed twice",
		head + signer + "[[role]]\nname = \"root\"\nthreshold = 4\nsigners = [\"a\"]": "root.toml:8: " +
			"role[1].threshold: 4: want 1 to 1",
		head + signer + "[[role]]\nname = \"root\"\nthreshold = 1\nsigners = [\"a\"]\n" +
			"[[role]]\nname = \"pulse\"\nthreshold = 1\nsigners = [\"a\"]": "root.toml:13: " +
			"role[2].signers: a has the role root already",
		head + signer + "[signer.b]\nkey = \"a.pub.pem\"\n": "root.toml:6: signer.b: it has a key of signer a",
		head + signer:                              "root.toml:4: signer.a: it has no role",
		strings.Replace(head, "acme", "", 1):       "root.toml:1: name: is missing",
		strings.Replace(head, "2099", "2020", 1):   "root.toml:2: expires: 2020-01-01 is past",
		head + "[component.x]\nmin = 2\nmax = 1\n": "root.toml:4: component.x: min 2 is above max 1",
	} {
		write(t, filepath.Join(dir, root.FileName), text)
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"root", "rotate", "--dir", dir},
			strings.NewReader(""), &out, &errs); code == 0 {
			t.Errorf("%q was taken", text)
		}
		contains(t, errs.String(), says)
		if strings.Contains(errs.String(), "attack") {
			t.Errorf("a slip at the desk is told as a device's:\n%s", errs.String())
		}
	}
}

// From a release to what a device takes: plan, pulse and permit, under the root of this desk.
func TestCampaignAndPermit(t *testing.T) {
	dir := newDesk(t, "")
	suit := released(t, dir, "r", "5")
	in := func(name string) string { return filepath.Join(dir, name) }
	write(t, in("plan.toml"), "manifest = \"r.suit\"\nvalid-until = 2099-01-01T00:00:00Z\nsequence = 7\n[[phase]]\n"+
		"percent = 0.07\n[[phase]]\npercent = 100.0\nnot-before = 2098-01-01T00:00:00Z\n")
	_, errs := do(t, cli.ExitFailed, "campaign", "plan", "--dir", dir, in("plan.toml"))
	contains(t, errs, "make one with `ratchet-release root init`")
	do(t, 0, "root", "init", "--dir", dir)
	key := func(role string) string { return in("keys/" + role + ".pem") }

	out, _ := do(t, 0, "campaign", "plan", "--dir", dir, in("plan.toml"))
	contains(t, out, "Plan 7 of channel stable, generation 1, until 2099-01-01", "sequence 5", "0.07 % of the devices",
		"100 % of the devices, not before 2098", "signed by 0 of 1 needed; not yet: campaign")
	out, _ = do(t, 0, "sign", "--key", key("campaign"), in("plan.cbor"))
	contains(t, out, "signed by enough of the role campaign")
	out, _ = do(t, 0, "campaign", "pulse", "--dir", dir, "--key", key("pulse"), "--phase", "2", "--state", "paused",
		"-o", in("pulse.cbor"), in("plan.cbor"))
	contains(t, out, "paused, phase 2", "signed by enough of the role pulse")

	trusted, err := root.ReadTrusted(in(root.BundleName))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := campaign.VerifyPlan(trusted, read(t, in("plan.cbor")))
	if err != nil || plan.Spec().Phases[0].BasisPoints != 7 || plan.Spec().ManifestSequence != 5 {
		t.Fatalf("%+v, %v", plan.Spec(), err)
	}
	pulse, err := campaign.VerifyPulse(trusted, read(t, in("pulse.cbor")))
	if err != nil || pulse.Spec().Plan != plan.Digest() || pulse.Spec().State != campaign.StatePaused {
		t.Fatalf("%+v, %v", pulse.Spec(), err)
	}
	// The wrong key: it signs, and the desk says that it does not count.
	out, _ = do(t, 0, "campaign", "pulse", "--dir", dir, "--key", key("campaign"), "-o", in("wrong.cbor"),
		in("plan.cbor"))
	contains(t, out, "signed by 0 of 1 needed")
	_, errs = do(t, cli.ExitUsage, "campaign", "pulse", "--dir", dir, "--phase", "3", in("plan.cbor"))
	contains(t, errs, "the plan has 2 phases")
	for _, wrong := range [][]string{{"--state", "going", "want open, paused, halted or withdrawn"},
		{"--for", "9000h", "want 1s to 744h"}, {"--for", "745h", "want 1s to 744h"}, {"--for", "0s", "want 1s to"},
		{"--sequence", "0", "count from 1"}} {
		_, errs = do(t, cli.ExitUsage, "campaign", "pulse", "--dir", dir, wrong[0], wrong[1], in("plan.cbor"))
		contains(t, errs, wrong[0], wrong[2])
	}
	do(t, 0, "campaign", "pulse", "--dir", dir, "--for", "744h", "-o", in("long.cbor"), in("plan.cbor"))

	// A plan for an envelope that no device under this root takes.
	write(t, in("revoked.toml"), string(read(t, in("plan.toml"))))
	write(t, in(root.FileName), strings.Replace(string(read(t, in(root.FileName))), "revoked = []",
		"revoked = [\""+plan.Spec().Manifest.String()+"\"]", 1))
	do(t, 0, "root", "rotate", "--dir", dir)
	do(t, 0, "root", "sign", "--key", key("root"), in("root-2.cbor"))
	out, _ = do(t, cli.ExitRefused, "campaign", "plan", "--dir", dir, in("revoked.toml"))
	contains(t, out, "reason: revoked")

	// A permit for a device that shows its challenge.
	challenge, err := campaign.Challenge{Device: "gw-1", Nonce: [16]byte{1}, RootVersion: 2,
		Journal: [16]byte{2}}.Text()
	if err != nil {
		t.Fatal(err)
	}
	out, _ = doWith(t, challenge[:30]+"\n"+challenge[30:], 0, "permit", "--dir", dir, "--challenge", "-", "--lift",
		"sequence-below-floor", "--lift", "quarantined", "--key", key("recovery"), "-o", in("permit.cbor"), suit)
	contains(t, out, "Permit for gw-1, under root 2", "lifts       quarantined",
		"signed by enough of the role recovery")
	if trusted, err = root.ReadTrusted(in(root.BundleName)); err != nil {
		t.Fatal(err)
	}
	c, _ := campaign.ParseChallenge(challenge)
	p, err := campaign.VerifyPermit(trusted, read(t, in("permit.cbor")), c)
	if err != nil || p.Spec().Manifest != plan.Spec().Manifest || time.Since(p.Spec().Issued) > time.Hour {
		t.Fatalf("%+v, %v", p.Spec(), err)
	}
	_, errs = do(t, cli.ExitUsage, "permit", "--dir", dir, "--challenge", challenge, "--lift", "wrong-class", suit)
	contains(t, errs, `--lift "wrong-class": no permit can lift that`)
	_, errs = do(t, cli.ExitUsage, "permit", "--dir", dir, "--challenge", challenge[1:], "--lift", "quarantined", suit)
	contains(t, errs, "as the device shows it")
	old, _ := campaign.Challenge{Device: "gw-1", Nonce: [16]byte{1}, RootVersion: 1}.Text()
	out, errs = do(t, cli.ExitRefused, "permit", "--dir", dir, "--challenge", old, "--lift", "quarantined", suit)
	contains(t, out, "reason: permit-void")
	contains(t, errs, "give the device the bundle", "correct this here")
}

func TestPlanFileErrors(t *testing.T) {
	dir := newDesk(t, "")
	released(t, dir, "r", "5")
	do(t, 0, "root", "init", "--dir", dir)
	const head = "manifest = \"r.suit\"\nvalid-until = 2099-01-01T00:00:00Z\n"
	const all = "[[phase]]\npercent = 100.0\n"
	for text, want := range map[string]struct {
		code int
		says string
	}{
		"manifest = \"r.suit\"\n" + all:        {cli.ExitFailed, "valid-until: is missing"},
		"valid-until = 2099-01-01T00:00:00Z\n": {cli.ExitFailed, "manifest: is missing"},
		head + "[[phase]]\npercent = 0.005\n":  {cli.ExitFailed, "plan.toml:4: phase[1].percent: 0.005"},
		head + "[[phase]]\npercent = 101.0\n":  {cli.ExitFailed, "phase[1].percent: 101"},
		head + "classes = [\" x\"]\n" + all:    {cli.ExitFailed, "plan.toml:3: classes"},
		head + "classes = [\"sensor\"]\n":      {cli.ExitRefused, "phase: is missing"},
		head + "channel = \"a/b\"\n" + all:     {cli.ExitRefused, "channel"},
		head + all + "[[phase]]\npercent = 9.0\n": {cli.ExitRefused,
			"plan.toml:6: phase[2].percent: 9 is less than the 100"},
		head + "[[phase]]\npercent = 1.0\nnot-before = 2098-01-01T00:00:00Z\n" + all: {cli.ExitRefused,
			"plan.toml:6: phase[2].not-before: it begins before"},
		strings.Replace(head, "r.suit", "x", 1): {cli.ExitFailed, "cannot read envelope"},
		strings.Replace(head, "2099", "1999", 1) + all: {cli.ExitRefused,
			"plan.toml:2: valid-until: 1999-01-01 00:00 UTC is past"},
	} {
		write(t, filepath.Join(dir, "plan.toml"), text)
		_, errs := do(t, want.code, "campaign", "plan", "--dir", dir, filepath.Join(dir, "plan.toml"))
		contains(t, errs, want.says)
		if strings.Contains(errs, "newer one") {
			t.Errorf("a slip at the desk is told as a device's:\n%s", errs)
		}
	}
	// Signed by a stranger.
	write(t, filepath.Join(dir, "s.toml"),
		strings.Replace(string(read(t, filepath.Join(dir, "r.toml"))), "sequence = 5", "sequence = 6", 1))
	do(t, 0, "build", "--dir", dir, filepath.Join(dir, "s.toml"))
	do(t, 0, "sign", "--key", alice, filepath.Join(dir, "s.suit"))
	write(t, filepath.Join(dir, "plan.toml"), strings.Replace(head, "r.suit", "s.suit", 1)+all)
	out, _ := do(t, cli.ExitRefused, "campaign", "plan", "--dir", dir, filepath.Join(dir, "plan.toml"))
	contains(t, out, "reason: signer-unknown")
}
