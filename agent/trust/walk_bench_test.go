package trust_test

import (
	"testing"

	"github.com/ratchet-ota/ratchet/agent/trust"
)

// What roots cost: go test -bench . -benchmem
func BenchmarkWalk(b *testing.B) {
	c := newChain(b)
	long := [][]byte{c.v1}
	r := c.r1
	for range 50 {
		next := root(b, r.Next(r.Spec()), c.alice, c.bob)
		long = append(long, next)
		var err error
		if r, err = trust.Walk(r, bundleOf(b, long...)); err != nil {
			b.Fatal(err)
		}
	}
	for name, roots := range map[string][][]byte{"three versions": {c.v1, c.v2, c.v3}, "fifty rotations": long} {
		msg := enc(b, roots)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(msg)))
			for b.Loop() {
				bundle, err := trust.ParseBundle(msg)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := trust.Walk(c.r1, bundle); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	// The costliest that a stranger can send: as many versions as fit, each with signatures that name
	// a signer and do not hold.
	bad := cosign(b, "root", document(b, "root", payload), c.alice, c.bob, c.carol)
	bad[len(bad)-1] ^= 1
	flood := [][]byte{c.v1}
	for size := len(c.v1); size+len(bad) < trust.MaxBundle-4096 &&
		len(flood) < trust.MaxVersions; size += len(bad) + 3 {
		flood = append(flood, bad)
	}
	msg := enc(b, flood)
	b.Run("hostile", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(msg)))
		for b.Loop() {
			bundle, err := trust.ParseBundle(msg)
			if err == nil {
				_, err = trust.Walk(c.r1, bundle)
			}
			if err == nil {
				b.Fatal("taken")
			}
		}
	})
}
