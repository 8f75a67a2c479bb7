package trust_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/trust"
)

// spoil breaks the last signature of a document.
func spoil(msg []byte) []byte {
	b := bytes.Clone(msg)
	b[len(b)-1] ^= 1
	return b
}

// began is a chain from an anchor on, with what followed it one by one.
func began(t testing.TB, anchor []byte, then ...[]byte) trust.Chain {
	t.Helper()
	c, err := trust.NewChain(anchor)
	for _, msg := range then {
		if err == nil {
			c, err = c.Take(msg)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestChainTakesOnlyWhatIsWhole: of a bundle every signature must hold, also those of versions that are trusted
// already; a single version is taken where it follows. What is refused leaves the chain as it was.
func TestChainTakesOnlyWhatIsWhole(t *testing.T) {
	c := newChain(t)
	other := root(t, c.r1.Next(c.r1.Spec(), trust.RolePulse), c.alice, c.bob) // in the place of version 2
	for name, tt := range map[string]struct {
		from trust.Chain
		msg  []byte
		to   uint64
		want error // nil: it is taken
	}{
		"a bundle":                    {began(t, c.v1), enc(t, [][]byte{c.v1, c.v2, c.v3}), 3, nil},
		"a bundle from the second on": {began(t, c.v2), enc(t, [][]byte{c.v1, c.v2, c.v3}), 3, nil},
		"broken before the trusted version": {began(t, c.v1, c.v2), enc(t, [][]byte{c.v1, spoil(c.v2), c.v3}), 2,
			trust.ErrNoSigner},
		"broken at the first": {began(t, c.v1, c.v2), enc(t, [][]byte{spoil(c.v1), c.v2, c.v3}), 2, trust.ErrNoSigner},
		"broken before the image's own": {began(t, c.v2), enc(t, [][]byte{spoil(c.v1), c.v2, c.v3}), 2,
			trust.ErrNoSigner},
		"broken at the new one": {began(t, c.v1, c.v2), enc(t, [][]byte{c.v1, c.v2, spoil(c.v3)}), 2,
			trust.ErrNoSigner},
		"nothing new":            {began(t, c.v1, c.v2), enc(t, [][]byte{c.v1, c.v2}), 2, trust.ErrReplay},
		"another chain":          {began(t, c.v1, c.v2), enc(t, [][]byte{c.v1, other, c.v3}), 2, trust.ErrFork},
		"the next one":           {began(t, c.v1), c.v2, 2, nil},
		"the next of a bundle":   {began(t, enc(t, [][]byte{c.v1, c.v2})), c.v3, 3, nil},
		"the next one, broken":   {began(t, c.v1), spoil(c.v2), 1, trust.ErrNoSigner},
		"before the one between": {began(t, c.v1), c.v3, 1, trust.ErrNoSigner},
		"one that is known":      {began(t, c.v1, c.v2), c.v1, 2, trust.ErrReplay},
		"in place of a known":    {began(t, c.v1, c.v2), other, 2, trust.ErrVersion},
		"no root":                {began(t, c.v1), []byte{0xd8, 0x62, 0}, 1, trust.ErrMalformed},
		"nothing":                {began(t, c.v1), nil, 1, trust.ErrEmpty},
	} {
		got, err := tt.from.Take(tt.msg)
		if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) || got.Newest().Version() != tt.to {
			t.Errorf("%s: version %d, %v; want %d, %v", name, got.Newest().Version(), err, tt.to, tt.want)
		}
	}
	whole := began(t, c.v1, c.v2, c.v3)
	if !bytes.Equal(whole.Message(2), c.v2) || whole.Message(0) != nil || whole.Message(4) != nil ||
		whole.First() != 1 || len(whole.Roots()) != 3 {
		t.Error("the chain does not hold the versions that it took")
	}
	if _, err := (trust.Chain{}).Take(c.v1); err == nil {
		t.Error("a chain without an anchor takes a root")
	}
}
