package manifest_test

import (
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// What the costliest envelopes cost, beside an ordinary one: go test -bench . -benchmem
func BenchmarkCost(b *testing.B) {
	var hostile seq
	for range 64 {
		hostile = append(hostile, 15, list{nest(14, 15), nest(15, list{nest(14, 15), nest(14, 15), nil})})
	}
	components := list{}
	for _, n := range []string{"rootfs", "boot", "3", "4", "5", "6", "7", "8"} {
		components = append(components, list{[]byte(n)})
	}
	deep := seq{12, true, 32, nest(12, true, 32, nest(12, true, 32, nest(12, true, 14, 15, 14, 15)))}
	for name, env := range map[string][]byte{
		"release":   made(release(), "release-p256")(b),
		"branches":  craft{install: hostile}.build(b),
		"step bomb": craft{components: components, shared: twoID, install: deep}.build(b),
	} {
		keys := anchors(b)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e, err := manifest.Parse(env)
				if err != nil {
					b.Fatal(err)
				}
				m, err := manifest.Verify(e, keys)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = m.Resolve(device()) // refused or not, it ends
			}
		})
	}
}
