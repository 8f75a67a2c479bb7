package keys_test

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
)

// TestNewPair: the halves belong together, and a second one does not replace them.
func TestNewPair(t *testing.T) {
	for _, word := range []string{"esp256", "ed25519", "ESP384", "ml-dsa-65"} {
		name := filepath.Join(t.TempDir(), "k")
		k, err := keys.NewPair(name, word, nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := keys.Private(t.Context(), cli.Console{}, keys.Source{Path: name + ".pem"})
		p, perr := keys.Public(name + ".pub.pem")
		if err != nil || perr != nil || s.Key().ID() != k.Key().ID() || p.ID() != k.Key().ID() {
			t.Errorf("%s: %v, %v", word, err, perr)
		}
		if _, err := keys.NewPair(name, word, nil); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s, a second time: %v", word, err)
		}
	}
	for _, word := range []string{"es256", "eddsa", "rsa", ""} {
		if _, err := keys.NewPair(filepath.Join(t.TempDir(), "k"), word, nil); !cli.IsUsage(err) {
			t.Errorf("%q: %v", word, err)
		}
	}
}

func TestAllowed(t *testing.T) {
	for words, want := range map[string][2]bool{"": {}, "ES256": {true, false}, "-8": {false, true},
		"eddsa -7": {true, true}, "esp256 ed25519": {}} {
		a, b, err := keys.Allowed(strings.Fields(words))
		if err != nil || [2]bool{a, b} != want {
			t.Errorf("%q: %v, %v, %v", words, a, b, err)
		}
	}
	if _, _, err := keys.Allowed([]string{"RS256"}); err == nil {
		t.Error("RS256 is allowed")
	}
}

// TestVerifiers: of a private key its public half is taken, with a warning; a key counts once.
func TestVerifiers(t *testing.T) {
	name := filepath.Join(t.TempDir(), "k")
	k, err := keys.NewPair(name, "esp256", nil)
	if err != nil {
		t.Fatal(err)
	}
	var warned bytes.Buffer
	c := cli.Console{Out: &warned, Err: &warned}
	a, err := keys.Verifiers(c, []string{name + ".pem"}, false, false)
	if err != nil || !strings.Contains(warned.String(), "only its public half is used") {
		t.Fatalf("%v, %s", err, warned.String())
	}
	if all, ok := a.(trust.Keys); !ok || len(all.IDs()) != 1 || all.IDs()[0] != k.Key().ID() {
		t.Errorf("%T", a)
	}
	if _, err := keys.Verifiers(c, []string{name + ".pem", name + ".pub.pem"}, false, false); err == nil {
		t.Error("the same key counts twice")
	}
}
