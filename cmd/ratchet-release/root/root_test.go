package root_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/root"
)

const team = `name = "acme"
one-person = true
expires = 2099-01-01T00:00:00Z
algorithms = ["esp256"]
[signer.alice]
key = "alice.pub.pem"
[signer.bob]
key = "bob.pub.pem"
[signer.ship]
key = "ship.pub.pem"
[[role]]
name = "root"
threshold = 2
signers = ["alice", "bob"]
[[role]]
name = "release"
threshold = 1
signers = ["ship"]
`

// desk is a folder with the keys of a team and what they agreed on.
func desk(t *testing.T) (in func(name string) string, c cli.Console, said *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	in = func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"alice", "bob", "ship"} {
		if _, err := keys.NewPair(in(name), "esp256", nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(in(root.FileName), []byte(team), 0o600); err != nil {
		t.Fatal(err)
	}
	said = &bytes.Buffer{}
	return in, cli.Console{Out: said, Err: said}, said
}

// TestTwoSign: the bundle is made by the last signature that is needed, and by no earlier one.
func TestTwoSign(t *testing.T) {
	in, c, said := desk(t)
	now := time.Now()
	if err := root.Next(c, in(""), false, now); err != nil {
		t.Fatal(err)
	}
	if err := root.Sign(t.Context(), c, in("root-1.cbor"), "", keys.Source{Path: in("alice.pem")}); err != nil {
		t.Fatal(err)
	}
	if _, err := root.ReadTrusted(in(root.BundleName)); err == nil || !strings.Contains(err.Error(), "there is none") {
		t.Errorf("after one signature: %v", err)
	}
	if !strings.Contains(said.String(), "1 of 2 needed; not yet: bob") {
		t.Errorf("it does not say who must still sign:\n%s", said.String())
	}
	if err := root.Next(c, in(""), false, now.Add(time.Hour)); err != nil {
		t.Errorf("the same root again: %v", err)
	}
	if err := root.Sign(t.Context(), c, in("root-1.cbor"), "", keys.Source{Path: in("bob.pem")}); err != nil {
		t.Fatal(err)
	}
	r, err := root.ReadTrusted(in(root.BundleName))
	if err != nil || r.Version() != 1 || len(r.Role(trust.RoleRoot)[0].Members) != 2 {
		t.Errorf("version %d, %v", r.Version(), err)
	}
}

// TestNextKeepsSignatures: a root that says something else is replaced only when that is asked for.
func TestNextKeepsSignatures(t *testing.T) {
	in, c, _ := desk(t)
	now := time.Now()
	if err := root.Next(c, in(""), false, now); err != nil {
		t.Fatal(err)
	}
	if err := root.Sign(t.Context(), c, in("root-1.cbor"), "", keys.Source{Path: in("alice.pem")}); err != nil {
		t.Fatal(err)
	}
	signed, err := os.ReadFile(in("root-1.cbor"))
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(team, "threshold = 2", "threshold = 1", 1)
	if err := os.WriteFile(in(root.FileName), []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := root.Next(c, in(""), false, now); err == nil ||
		!strings.Contains(err.Error(), "--replace drops it with its signatures") {
		t.Errorf("%v", err)
	}
	if now, err := os.ReadFile(in("root-1.cbor")); err != nil || !bytes.Equal(now, signed) {
		t.Errorf("the signed root changed: %v", err)
	}
	if err := root.Next(c, in(""), true, now); err != nil {
		t.Errorf("%v", err)
	}
}

// TestStranger: a signature of somebody whom the root does not name is no signature.
func TestStranger(t *testing.T) {
	in, c, _ := desk(t)
	if err := root.Next(c, in(""), false, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.NewPair(in("eve"), "esp256", nil); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"eve.pem", "alice.pem"} {
		_ = root.Sign(t.Context(), c, in("root-1.cbor"), "",
			keys.Source{Path: in(key)}) // what it says of eve's is another test's
	}
	if _, err := root.ReadTrusted(in(root.BundleName)); err == nil {
		t.Error("a stranger's signature made the root complete")
	}
}

// TestSignedAndRefused: a root that has its signatures, and that devices refuse all the same, is not added to the
// bundle, and whoever signs it is told.
func TestSignedAndRefused(t *testing.T) {
	in, c, _ := desk(t)
	sign := func(name string) (err error) {
		for _, key := range []string{"alice.pem", "bob.pem"} {
			err = errors.Join(err, root.Sign(t.Context(), c, in(name), "", keys.Source{Path: in(key)}))
		}
		return err
	}
	if err := errors.Join(root.Next(c, in(""), false, time.Now()), sign("root-1.cbor")); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(in(root.BundleName))
	if err != nil {
		t.Fatal(err)
	}
	r, err := root.ReadTrusted(in(root.BundleName))
	if err != nil {
		t.Fatal(err)
	}
	s := r.Next(r.Spec())
	s.Version = 3
	msg, err := trust.BuildRoot(s)
	if err == nil {
		err = os.WriteFile(in("root-3.cbor"), msg, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	var refused *cli.Refusal
	if err := sign("root-3.cbor"); !errors.As(err, &refused) || refused.Reason != reason.RootRefused || !errors.Is(err,
		trust.ErrVersion) {
		t.Errorf("version 3 after 1: %v", err)
	}
	if after, err := os.ReadFile(in(root.BundleName)); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the bundle was changed: %v", err)
	}
}

var update = flag.Bool("update", false, "rewrite the transcript")

// TestTranscript is the life of a root as its people see it: the first version, what the next one changes and voids,
// who must sign, and what is refused.
func TestTranscript(t *testing.T) {
	in, c, said := desk(t)
	names := [][2]string{{in("") + "/", ""}, {in(""), "."}}
	for _, name := range []string{"alice", "bob", "ship"} {
		k, err := keys.Public(in(name + ".pub.pem"))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, [2]string{keys.Short(k.ID()), "key of " + name})
	}
	for name, alg := range map[string]string{"carol": "ed25519", "carol-ml-dsa": "ml-dsa-65", "plan": "esp256",
		"guard": "esp256"} {
		k, err := keys.NewPair(in(name), alg, nil)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, [2]string{keys.Short(k.Key().ID()), "key of " + name})
	}
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	var story strings.Builder
	step := func(what string, err error) {
		t.Helper()
		text := said.String()
		said.Reset()
		if err != nil {
			text += "error: " + err.Error() + "\n"
		}
		fmt.Fprintf(&story, "# %s\n%s\n", what, text)
	}
	file := func(text string) {
		t.Helper()
		if err := os.WriteFile(in(root.FileName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	next := func(what string, replace bool) { step(what, root.Next(c, in(""), replace, now)) }
	sign := func(what, name, who string) {
		step(what, root.Sign(t.Context(), c, in(name), "", keys.Source{Path: in(who + ".pem")}))
	}
	first := strings.Replace(team, `algorithms = ["esp256"]`, `algorithms = ["ml-dsa-65", "esp256", "ed25519"]
development = true`, 1) + `[signer.plan]
key = "plan.pub.pem"
[signer.guard]
key = "guard.pub.pem"
[[role]]
name = "campaign"
threshold = 1
signers = ["plan"]
[[role]]
name = "pulse"
threshold = 1
signers = ["guard"]
`
	file(first)
	next("the first root", false)
	sign("Alice signs", "root-1.cbor", "alice")
	sign("Alice signs again", "root-1.cbor", "alice")
	sign("the release key signs, whose role is another", "root-1.cbor", "ship")
	next("the same again", false)
	sign("Bob signs", "root-1.cbor", "bob")
	sign("Bob signs what is complete", "root-1.cbor", "bob")

	second := strings.NewReplacer("[signer.bob]\nkey = \"bob.pub.pem\"",
		"[signer.carol]\nkey = \"carol.pub.pem\"\nml-dsa = \"carol-ml-dsa.pub.pem\"",
		`["alice", "bob"]`, `["carol", "alice"]`, "development = true",
		"development = true\nrenew = [\"campaign\"]\nrevoked = [\"sha256:"+
			strings.Repeat("22", 32)+"\", \"sha256:"+strings.Repeat("11", 32)+"\"]",
		"signers = [\"ship\"]",
		"signers = [\"ship\"]\nvendors = [\"acme.example\"]\nclasses = [\"sensor\", \"gateway\"]\n"+
			"component = \"rootfs\"",
		"[signer.guard]\nkey = \"guard.pub.pem\"\n", "",
		"[[role]]\nname = \"pulse\"\nthreshold = 1\nsigners = [\"guard\"]\n", "").Replace(first) +
		"[component.rootfs]\nmin = 3\nmax = 9\n[component.boot]\nmin = 1\n"
	file(second)
	next("the second root: Carol for Bob, nobody for the pulse", false)
	sign("Alice signs the second", "root-2.cbor", "alice")
	sign("Carol signs with half of her pair", "root-2.cbor", "carol")
	sign("and with the other half", "root-2.cbor", "carol-ml-dsa")
	sign("Bob signs as one of before", "root-2.cbor", "bob")
	step("the bundle", root.Show(c, in(root.BundleName), ""))
	step("the second root by itself", root.Show(c, in("root-2.cbor"), ""))
	if err := os.Rename(in(root.BundleName), in("away.cbor")); err != nil {
		t.Fatal(err)
	}
	step("without the bundle", root.Show(c, in("root-2.cbor"), ""))
	step("with the bundle named", root.Show(c, in("root-2.cbor"), in("away.cbor")))
	if err := os.Rename(in("away.cbor"), in(root.BundleName)); err != nil {
		t.Fatal(err)
	}
	file(strings.Replace(second, `"acme"`, `"evil"`, 1))
	next("another name", false)
	file(strings.Replace(second, "development = true", "development = false", 1))
	next("no longer for development", false)
	file(strings.Replace(second, `renew = ["campaign"]`, `renew = ["captain"]`, 1))
	next("a role that there is not", false)
	file(strings.Replace(second, "min = 3\nmax = 9", "min = 9\nmax = 3", 1))
	next("a range that is empty", false)
	file(strings.Replace(second, `renew = ["campaign"]`, `renew = ["release"]`, 1))
	next("the third root: the release role begins anew", false)
	step("beginning where there is one", root.Init(t.Context(), c, in(""), root.InitOptions{Name: "acme", Years: 1}))
	sign("a key that is not there", "root-3.cbor", "nobody")
	sign("a root that is not there", "root-9.cbor", "alice")
	sign("what is no root", root.FileName, "alice")

	got := story.String()
	for _, n := range names {
		got = strings.ReplaceAll(got, n[0], n[1])
	}
	golden := "testdata/transcript.txt"
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(golden, []byte(got), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(golden); err != nil || got != string(want) {
		t.Errorf("the transcript is (%v)\n%s", err, got)
	}
}

// TestInit: everything that a first root needs is made, and nothing that is there is overwritten.
func TestInit(t *testing.T) {
	for _, hybrid := range []bool{false, true} {
		dir := t.TempDir()
		var said bytes.Buffer
		c := cli.Console{Out: &said, Err: &said}
		if err := os.Mkdir(filepath.Join(dir, "keys"), 0o700); err != nil {
			t.Fatal(err)
		}
		ship, err := keys.NewPair(filepath.Join(dir, "keys", "release"), "esp256",
			nil) // of a desk that has released before
		if err != nil {
			t.Fatal(err)
		}
		if err := root.Init(t.Context(), c, dir,
			root.InitOptions{Name: "acme", Development: !hybrid, Hybrid: hybrid, Years: 2}); err != nil {
			t.Fatal(err)
		}
		r, err := root.ReadTrusted(filepath.Join(dir, root.BundleName))
		if err != nil {
			t.Fatal(err)
		}
		owner := r.Role(trust.RoleRoot)[0].Members[0]
		if r.Version() != 1 || r.Name() != "acme" || r.Development() == hybrid || (len(owner.Keys) == 2) != hybrid ||
			r.Role(trust.RoleRelease)[0].Members[0].ID() != ship.Key().ID() {
			t.Errorf("hybrid %v: %+v", hybrid, r.Spec())
		}
		if y := r.Spec().Expires; y.Before(time.Now().AddDate(2, 0, -2)) || y.After(time.Now().AddDate(2, 0, 1)) {
			t.Errorf("it ends on %s", y)
		}
		for _, part := range []string{"root-bundle.cbor ends at version 1 now. Build devices with it",
			"Keep the private keys in keys/ apart"} {
			if !strings.Contains(said.String(), part) {
				t.Errorf("it does not say %q:\n%s", part, said.String())
			}
		}
		if n := strings.Count(said.String(), "Root 1 of acme"); n != 1 {
			t.Errorf("it tells of the root %d times", n)
		}
		before, _ := os.ReadFile(filepath.Join(dir, root.BundleName))
		if err := root.Init(t.Context(), c, dir, root.InitOptions{Name: "acme",
			Years: 1}); err == nil || !strings.Contains(err.Error(),
			"root.toml exists already and is not overwritten") {
			t.Errorf("again: %v", err)
		}
		if after, _ := os.ReadFile(filepath.Join(dir, root.BundleName)); !bytes.Equal(before, after) {
			t.Error("the bundle was overwritten")
		}
	}
}
