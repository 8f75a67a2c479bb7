package root_test

import (
	"bytes"
	"errors"
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
		if _, err := keys.NewPair(in(name), "esp256"); err != nil {
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
	if err := root.Sign(c, in("root-1.cbor"), "", in("alice.pem")); err != nil {
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
	if err := root.Sign(c, in("root-1.cbor"), "", in("bob.pem")); err != nil {
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
	if err := root.Sign(c, in("root-1.cbor"), "", in("alice.pem")); err != nil {
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
	if _, err := keys.NewPair(in("eve"), "esp256"); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"eve.pem", "alice.pem"} {
		_ = root.Sign(c, in("root-1.cbor"), "", in(key)) // what it says of eve's is another test's
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
			err = root.Sign(c, in(name), "", in(key))
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
