package trust_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/trust"
)

var update = flag.Bool("update", false, "rewrite the vectors")

const goldenDir = "../../testdata/trust"

// verdict names the sentinel of an error.
func verdict(err error) string {
	for _, v := range []struct {
		word string
		err  error
	}{
		{"threshold", trust.ErrThreshold}, {"no-signer", trust.ErrNoSigner}, {"signature", trust.ErrSignature},
		{"algorithm", trust.ErrAlgorithm}, {"replay", trust.ErrReplay}, {"fork", trust.ErrFork},
		{"version", trust.ErrVersion},
		{"empty", trust.ErrEmpty}, {"malformed", trust.ErrMalformed},
	} {
		if errors.Is(err, v.err) {
			return v.word
		}
	}
	if err != nil {
		return err.Error()
	}
	return "taken"
}

// TestGolden: the bytes of roots and bundles are a format that others read, and that devices in the
// field will be sent for as long as they live. A difference is a change of the format.
func TestGolden(t *testing.T) {
	c := newChain(t)
	mallory := who(t, "mallory")
	own := c.r1.Next(with(c.r1.Spec(), trust.RoleRoot, grant(1, mallory)))
	half := person{Member: c.carol.Member, keys: c.carol.keys[:1]}
	jump := c.r1.Next(c.r1.Spec())
	jump.Version = 9
	ended := c.r1.Next(c.r1.Spec())
	ended.Issued, ended.Expires = issued, issued.AddDate(0, 0, 1)
	var index strings.Builder
	index.WriteString("# bundle\tverdict of a device that trusts root-1\tversion afterwards\n")
	for _, v := range []struct {
		name  string
		roots [][]byte
	}{
		{"bundle", [][]byte{c.v1, c.v2, c.v3}},
		{"bundle-first", [][]byte{c.v1}},
		{"bundle-expired", [][]byte{c.v1, root(t, ended, c.alice, c.bob)}},
		{"hostile-skipped", [][]byte{c.v1, c.v3}},
		{"hostile-fast-forward", [][]byte{c.v1, root(t, jump, c.alice, c.bob)}},
		{"hostile-one-signer", [][]byte{c.v1, root(t, c.r1.Next(c.r1.Spec()), c.alice)}},
		{"hostile-stripped-half", [][]byte{c.v1, root(t, c.r1.Next(c.r1.Spec()), c.alice, half)}},
		{"hostile-own-signer", [][]byte{c.v1, root(t, own, mallory)}},
		{"hostile-old-signers-only", [][]byte{c.v1, root(t, own, c.alice, c.bob)}},
		{"hostile-without-first", [][]byte{c.v2, c.v3}},
	} {
		b := enc(t, v.roots)
		golden(t, v.name+".cbor", b)
		bundle, err := trust.ParseBundle(b)
		if err != nil {
			t.Fatal(err)
		}
		r, err := trust.Walk(c.r1, bundle)
		fmt.Fprintf(&index, "%s.cbor\t%s\t%d\n", v.name, verdict(err), r.Version())
	}
	golden(t, "root-1.cbor", c.v1)
	golden(t, "INDEX.tsv", []byte(index.String()))
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join(goldenDir, name)
	if *update {
		if err := os.MkdirAll(goldenDir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: differs (%v)", name, err)
	}
}
