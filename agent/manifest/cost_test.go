package manifest_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

var (
	search     = flag.Duration("search", 0, "look for costlier envelopes for so long, and keep the worst in testdata")
	searchSeed = flag.Uint64("search-seed", 0, "seed of the search, 0 = by the clock")
)

// tape is what an envelope is made of: every decision takes a byte of it, so that a change of a byte
// is a change of a decision.
type tape struct {
	b []byte
	n int // commands so far
}

func (t *tape) next(n int) int {
	if len(t.b) == 0 || n < 2 {
		return 0
	}
	v := int(t.b[0]) % n
	t.b = t.b[1:]
	return v
}

// sequence makes commands at a depth, as far as limits allow.
func (t *tape) sequence(depth int) seq {
	s := seq{12, t.index()}
	for range 1 + t.next(manifest.MaxCommands-1) {
		if t.n++; t.n >= manifest.MaxTotal-3*manifest.MaxCommands {
			break
		}
		switch k := t.next(12); {
		case k < 3 && depth < manifest.MaxDepth:
			s = append(s, 32, nest(t.sequence(depth+1)...))
		case k < 6 && depth < manifest.MaxDepth:
			var l list
			for range 2 + t.next(manifest.MaxBranches-2) {
				l = append(l, nest(t.sequence(depth+1)...))
			}
			s = append(s, 15, l)
		case k == 6:
			s = append(s, 20, t.parameters(depth))
		case k == 7:
			s = append(s, 12, t.index())
		default:
			s = append(s, []int{1, 2, 3, 4, 5, 6, 14, 24, 25, 26, 27, 28}[t.next(12)], t.next(16))
		}
	}
	if len(s) == 2 {
		s = append(s, 14, 15)
	}
	return s
}

func (t *tape) index() any {
	switch t.next(4) {
	case 0:
		return t.next(manifest.MaxComponents)
	case 1:
		return true
	}
	var l list
	for range 1 + t.next(manifest.MaxComponents) {
		l = append(l, t.next(manifest.MaxComponents))
	}
	return l
}

func (t *tape) parameters(depth int) pars {
	p := pars{}
	for range 1 + t.next(6) {
		switch t.next(10) {
		case 0:
			p[1] = vendor[:]
		case 1:
			p[3] = pdigest(digA)
		case 2:
			p[5] = t.next(3)
		case 3:
			p[18] = make([]byte, 1+40*t.next(256))
		case 4:
			p[21] = "#p"
		case 5:
			p[22] = t.next(manifest.MaxComponents)
		case 6:
			p[28] = enc(list{1 + t.next(5), list{1, 2, 3, -1, 9, 9, 9, 9}})
		case 7:
			p[12] = t.next(2) == 0
		case 8:
			s := make([]byte, 64)
			p[3] = enc(list{manifest.SHA512, s})
		default:
			if p[5] = 1; depth > 1 {
				p[13] = t.next(2) == 0
			}
		}
	}
	return p
}

// hostile makes an envelope of a tape, nil when it is larger than envelopes are.
func hostile(b []byte) []byte {
	t := &tape{b: b}
	var names list
	for i := range manifest.MaxComponents {
		names = append(names, list{[]byte(strings.Repeat("\x00", 60) + fmt.Sprint(i))})
	}
	shared := append(identify(), t.shared()...)
	common := enc(pars{2: names, 4: nest(append(seq{12, true}, shared...)...)})
	m := pars{1: 1, 2: 7, 3: common}
	m[20], m[7] = nest(t.sequence(1)...), nest(t.sequence(1)...)
	m[16] = nest(join(seq{12, 0, 20, pars{21: "#p"}}, t.sequence(1))...)
	content := enc(m)
	env := map[any]any{int64(2): enc(list{pdigest(manifest.Sum(enc(content))), []byte("block")}), int64(3): content}
	size := len(content) + 100
	if size > manifest.MaxEnvelope {
		return nil
	}
	env["#p"] = make([]byte, max(1, (manifest.MaxEnvelope-size-1000)*t.next(2)))
	return enc(cbor.Tag{Number: 107, Content: env})
}

// shared is a sequence without side effects.
func (t *tape) shared() seq {
	var s seq
	for range t.next(20) {
		s = append(s, []int{1, 2, 5, 14, 28}[t.next(5)], 15)
	}
	return s
}

// everything is a device with all components of hostile envelopes.
func everything() manifest.Device {
	d := device()
	d.Components = map[string]manifest.Target{}
	for i := range manifest.MaxComponents {
		d.Components[manifest.ComponentID{
			[]byte(strings.Repeat("\x00", 60) + fmt.Sprint(i))}.String()] = manifest.Target{Slot: 1}
	}
	return d
}

// cost is what an envelope takes all the way, its signatures excluded: the least of a few runs, and
// the bytes allocated.
func cost(env []byte) (time.Duration, uint64) {
	d := everything()
	least, bytes := time.Hour, uint64(0)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begin := time.Now()
		e, err := manifest.Parse(env)
		if err == nil {
			var m manifest.Manifest
			if m, err = manifest.Verify(e, anyone{}); err == nil {
				_, _ = m.Resolve(d)
				_ = m.Report(d)
			}
		}
		least = min(least, time.Since(begin))
		runtime.ReadMemStats(&after)
		bytes = after.TotalAlloc - before.TotalAlloc
	}
	return least, bytes
}

// TestSearchCost climbs towards the slowest and the hungriest envelope by changing tapes. It runs on
// demand: go test -run SearchCost -search 60s
func TestSearchCost(t *testing.T) {
	if *search == 0 {
		t.Skip("skipped: no -search")
	}
	if *searchSeed == 0 {
		*searchSeed = uint64(time.Now().UnixNano())
	}
	t.Logf("replay with -search-seed %d", *searchSeed)
	r := rand.New(rand.NewPCG(*searchSeed, 1))
	for _, goal := range []string{"slowest", "hungriest"} {
		// worse compares by turns, so that what else the machine does meets both.
		worse := func(a, b []byte) bool {
			ta, na := cost(a)
			tb, nb := cost(b)
			ta2, _ := cost(a)
			tb2, _ := cost(b)
			if goal == "slowest" {
				return min(ta, ta2) > min(tb, tb2)*21/20
			}
			return na > nb
		}
		var tape, env []byte
		tried := 0
		for end := time.Now().Add(*search / 2); time.Now().Before(end); tried++ {
			b := append([]byte(nil), tape...)
			if len(b) == 0 || r.IntN(30) == 0 {
				b = make([]byte, 200+r.IntN(4000))
				for i := range b {
					b[i] = byte(r.Uint32())
				}
			}
			for range 1 + r.IntN(20) {
				b[r.IntN(len(b))] = byte(r.Uint32())
			}
			if e := hostile(b); e != nil && (env == nil || worse(e, env)) {
				tape, env = b, e
			}
		}
		d, n := cost(env)
		t.Logf("%s of %d: %d bytes, %v, %d KiB allocated", goal, tried, len(env), d, n>>10)
		if err := os.WriteFile(filepath.Join(testdata, "cost", goal+".suit"), env, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// costly are the worst envelopes that were found, beside an ordinary release.
func costly(t testing.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{"release": made(release(), "release-p256")(t)}
	for _, n := range []string{"slowest", "hungriest"} {
		b, err := os.ReadFile(filepath.Join(testdata, "cost", n+".suit"))
		if err != nil {
			t.Fatal(err)
		}
		all[n] = b
	}
	var branches seq
	for range 64 {
		branches = append(branches, 15, list{nest(14, 15), nest(15, list{nest(14, 15), nest(14, 15), nil})})
	}
	all["branches"] = craft{install: branches}.build(t)
	return all
}

// The worst that was found stays within what a small device can spare while it does other things.
func TestCostIsBounded(t *testing.T) {
	for name, env := range costly(t) {
		d, n := cost(env)
		t.Logf("%s: %d bytes, %v, %d KiB allocated", name, len(env), d, n>>10)
		if d > time.Second || n > 16<<20 {
			t.Errorf("%s: %v and %d KiB", name, d, n>>10)
		}
	}
}

// What the costliest envelopes cost, beside an ordinary one: go test -bench Cost -benchmem
func BenchmarkCost(b *testing.B) {
	for name, env := range costly(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			d := everything()
			for b.Loop() {
				e, err := manifest.Parse(env)
				if err != nil {
					b.Fatal(err)
				}
				m, err := manifest.Verify(e, anyone{})
				if err != nil {
					b.Fatal(err)
				}
				_, _ = m.Resolve(d) // refused or not, it ends
			}
		})
	}
}
