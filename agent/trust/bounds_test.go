package trust_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/trust"
)

// Endless data: what is counted is taken at its bound, and one more is not.

func TestBundleVersions(t *testing.T) {
	var roots [][]byte
	for range trust.MaxVersions {
		roots = append(roots, document(t, "root", payload))
	}
	if b, err := trust.ParseBundle(enc(t, roots)); err != nil || b.Len() != trust.MaxVersions {
		t.Errorf("%d versions: %d are read, %v", len(roots), b.Len(), err)
	}
	roots = append(roots, roots[0])
	if _, err := trust.ParseBundle(enc(t, roots)); !errors.Is(err, trust.ErrMalformed) {
		t.Errorf("%d versions: %v", len(roots), err)
	}
	if _, err := trust.ParseBundle(enc(t, [][]byte{})); !errors.Is(err, trust.ErrMalformed) {
		t.Errorf("no version: %v", err)
	}
}

func TestSignaturesOfADocument(t *testing.T) {
	r := anchor(t, root(t, spec(t), who(t, "alice", trust.ESP384), who(t, "bob")))
	h := hostile{body: typOf("pulse"), payload: payload, aad: "ratchet/pulse/v1"}
	add := func() {
		kid := make([]byte, 32)
		kid[31] = byte(len(h.sigs)) // in their order, each once
		h.sigs = append(h.sigs, []any{enc(t, map[int]int{1: -19}), map[int][]byte{4: kid}, make([]byte, 64)})
	}
	for range trust.MaxCosigned {
		add()
	}
	if _, kids, err := trust.Payload("pulse", h.encode(t)); err != nil || len(kids) != trust.MaxCosigned {
		t.Errorf("%d signatures: %d are read, %v", len(h.sigs), len(kids), err)
	}
	if _, _, err := r.Verify(trust.RolePulse, "pulse", h.encode(t)); errors.Is(err, trust.ErrMalformed) || err == nil {
		t.Errorf("%d signatures of strangers: %v", len(h.sigs), err)
	}
	add()
	if _, _, err := trust.Payload("pulse", h.encode(t)); !errors.Is(err, trust.ErrMalformed) {
		t.Errorf("%d signatures: %v", len(h.sigs), err)
	}
	if _, _, err := r.Verify(trust.RolePulse, "pulse", h.encode(t)); !errors.Is(err, trust.ErrMalformed) {
		t.Errorf("%d signatures of strangers: %v", len(h.sigs), err)
	}
}

// TestSigningStopsAtTheBound: nobody makes what no device reads; who has signed may sign again.
func TestSigningStopsAtTheBound(t *testing.T) {
	msg := document(t, "pulse", payload)
	var first *trust.Signer
	for range trust.MaxCosigned {
		s, err := trust.Generate(trust.Ed25519)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = s
		}
		if msg, err = trust.SignDocument("pulse", msg, s); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := trust.SignDocument("pulse", msg, first); err != nil {
		t.Errorf("the same signer once more: %v", err)
	}
	one, err := trust.Generate(trust.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trust.SignDocument("pulse", msg, one); err == nil {
		t.Error("one signature too many was made")
	}
}

// TestRootBounds: a root is built and read at each bound. TestRootRefusesToBe goes one beyond.
func TestRootBounds(t *testing.T) {
	many := func(n int) (out []person) {
		for i := range n {
			out = append(out, who(t, fmt.Sprint("signer-", i)))
		}
		return out
	}
	scoped := func(g trust.Grant, s trust.Scope) trust.Grant { g.Scope = s; return g }
	for name, change := range map[string]func(s *trust.RootSpec){
		"signers": func(s *trust.RootSpec) {
			*s = with(*s, trust.RoleRelease, grant(trust.MaxMembers-6, many(trust.MaxMembers-6)...))
		},
		"components": func(s *trust.RootSpec) { s.Components = named(trust.MaxComponents) },
		"revoked": func(s *trust.RootSpec) {
			for i := range trust.MaxRevoked {
				s.Revoked = append(s.Revoked, fmt.Sprintf("sha256:%064x", i))
			}
		},
		"grants": func(s *trust.RootSpec) {
			var all []trust.Grant
			for i, p := range many(trust.MaxGrants) {
				all = append(all, scoped(grant(1, p), trust.Scope{Component: fmt.Sprint("part-", i)}))
			}
			*s = with(*s, trust.RoleRelease, all...)
		},
		"classes of a scope": func(s *trust.RootSpec) {
			var ids [][16]byte
			for i := range trust.MaxScope {
				ids = append(ids, [16]byte{byte(i + 1)})
			}
			*s = with(*s, trust.RoleRelease, scoped(grant(1, who(t, "eve")), trust.Scope{Vendors: ids, Classes: ids}))
		},
		"name":                      func(s *trust.RootSpec) { s.Name = strings.Repeat("~", trust.MaxName) },
		"a name with a space in it": func(s *trust.RootSpec) { s.Name = "a fleet" },
		"a range of one number": func(s *trust.RootSpec) {
			s.Components = map[string]trust.SequenceRange{"rootfs": {Min: 7, Max: 7}}
		},
		"the longest component": func(s *trust.RootSpec) {
			s.Components = map[string]trust.SequenceRange{strings.Repeat("!", 964) + "~": {Min: 7, Max: 7}}
		},
		"the last second":  func(s *trust.RootSpec) { s.Expires = time.Unix(253402300799, 0).UTC() },
		"older algorithms": func(s *trust.RootSpec) { s.Algorithms = append(s.Algorithms, -8, -7) },
		"the first algorithm": func(s *trust.RootSpec) {
			s.Algorithms = []int64{trust.ESP384, trust.MLDSA65, trust.Ed25519, trust.ESP256}
		},
		"all kinds of digests": func(s *trust.RootSpec) {
			s.Revoked = []string{"sha256:" + strings.Repeat("0a", 32), "sha384:" + strings.Repeat("0b", 48),
				"sha512:" + strings.Repeat("0c", 64)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec(t)
			change(&s)
			msg, err := trust.BuildRoot(s)
			if err != nil {
				t.Fatal(err)
			}
			v, err := trust.ReviewRoot(msg, trust.Root{})
			if err != nil || fmt.Sprint(v.Spec.Revoked) != fmt.Sprint(s.Revoked) ||
				len(v.Spec.Members) != len(s.Members) || v.Spec.Name != s.Name || !v.Spec.Expires.Equal(s.Expires) {
				t.Errorf("it reads as %+v, %v", v.Spec, err)
			}
		})
	}
	for name, change := range map[string]func(s *trust.RootSpec){
		"a longer name": func(s *trust.RootSpec) {
			s.Name = strings.Repeat("x", trust.MaxName+1)
		},
		"a name behind a space":                     func(s *trust.RootSpec) { s.Name = " fleet" },
		"a name beyond ASCII":                       func(s *trust.RootSpec) { s.Name = "fleet\x7f" },
		"a name that begins with what is invisible": func(s *trust.RootSpec) { s.Name = "\x1ffleet" },
		"a signer's name":                           func(s *trust.RootSpec) { s.Members[0].Name = "a\x1b[2J" },
		"the second after the last": func(s *trust.RootSpec) {
			s.Expires = time.Unix(253402300800, 0).UTC()
		},
		"a component from the root": func(s *trust.RootSpec) {
			s.Components = map[string]trust.SequenceRange{"/app": {}}
		},
		"a component of nothing": func(s *trust.RootSpec) {
			s.Components = map[string]trust.SequenceRange{"app/": {}}
		},
		"a component with a space": func(s *trust.RootSpec) {
			s.Components = map[string]trust.SequenceRange{"a b": {}}
		},
		"a component that begins with a space": func(s *trust.RootSpec) {
			s.Components = map[string]trust.SequenceRange{" ab": {}}
		},
		"a component beyond ASCII": func(s *trust.RootSpec) {
			s.Components = map[string]trust.SequenceRange{"a\x7f": {}}
		},
		"a longer component": func(s *trust.RootSpec) {
			s.Components = map[string]trust.SequenceRange{strings.Repeat("x", 966): {}}
		},
		"a component of a grant": func(s *trust.RootSpec) {
			*s = with(*s, trust.RoleRelease, scoped(grant(1, who(t, "eve")), trust.Scope{Component: "a b"}))
		},
		"digits in capitals": func(s *trust.RootSpec) {
			s.Revoked = []string{"sha256:" + strings.Repeat("0A", 32)}
		},
		"no digits": func(s *trust.RootSpec) {
			s.Revoked = []string{"sha256:" + strings.Repeat("0z", 32)}
		},
		"digits of another algorithm": func(s *trust.RootSpec) {
			s.Revoked = []string{"sha384:" + strings.Repeat("0a", 32)}
		},
		"the same algorithm twice": func(s *trust.RootSpec) {
			s.Algorithms = []int64{trust.ESP384, trust.MLDSA65, trust.Ed25519, trust.Ed25519, trust.ESP256}
		},
		"the first two algorithms": func(s *trust.RootSpec) {
			s.Algorithms = []int64{trust.MLDSA65, trust.ESP384, trust.Ed25519, trust.ESP256}
		},
		"a vendor twice": func(s *trust.RootSpec) {
			*s = with(*s, trust.RoleRelease,
				scoped(grant(1, who(t, "eve")), trust.Scope{Vendors: [][16]byte{{1}, {1}}}))
		},
		"a root role for a class": func(s *trust.RootSpec) {
			*s = with(*s, trust.RoleRoot,
				scoped(grant(1, who(t, "alice", trust.ESP384)), trust.Scope{Classes: [][16]byte{{1}}}))
		},
		"a signer whose second key is another one": func(s *trust.RootSpec) {
			for i, m := range s.Members {
				if len(m.Keys) == 2 {
					s.Members[i].Keys = m.Keys[:1]
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec(t)
			change(&s)
			if _, err := trust.BuildRoot(s); err == nil {
				t.Error("it is built")
			}
		})
	}
}

func named(n int) map[string]trust.SequenceRange {
	out := map[string]trust.SequenceRange{}
	for i := range n {
		out[fmt.Sprint("part-", i)] = trust.SequenceRange{Min: 1, Max: 2}
	}
	return out
}

// TestKinds: the kind of a document is a word, and it says something.
func TestKinds(t *testing.T) {
	for kind, ok := range map[string]bool{"plan": true, "a-b": true, strings.Repeat("k", 32): true,
		strings.Repeat("k", 33): false, "": false, "Plan": false, "pl4n": false, "a/b": false, "p\x00": false} {
		if _, err := trust.BuildDocument(kind, payload); (err == nil) != ok {
			t.Errorf("kind %q: %v", kind, err)
		}
	}
	if _, err := trust.BuildDocument("plan", nil); err == nil {
		t.Error("a document that says nothing was built")
	}
}

// TestMessageBytes: a document of MaxMessage bytes is built and read, one byte more is not.
func TestMessageBytes(t *testing.T) {
	over := len(document(t, "pulse", make([]byte, 1<<15))) - 1<<15
	largest := make([]byte, trust.MaxMessage-over)
	msg := document(t, "pulse", largest)
	if len(msg) != trust.MaxMessage {
		t.Fatalf("%d bytes", len(msg))
	}
	if p, _, err := trust.Payload("pulse", msg); err != nil || len(p) != len(largest) {
		t.Errorf("at the bound: %v", err)
	}
	if _, err := trust.BuildDocument("pulse", append(largest, 0)); err == nil {
		t.Error("one byte too many was built")
	}
	beyond := hostile{body: typOf("pulse"), payload: append(largest, 0)}.encode(t)
	if len(beyond) < trust.MaxMessage {
		t.Fatalf("%d bytes", len(beyond))
	}
	if _, _, err := trust.Payload("pulse", beyond); !errors.Is(err, trust.ErrMalformed) ||
		!strings.Contains(err.Error(), "at most") {
		t.Errorf("beyond: %v", err)
	}
}

// TestBundleBytes: a bundle of MaxBundle bytes is read, one byte more is not.
func TestBundleBytes(t *testing.T) {
	sized := func(last int) []byte {
		var roots [][]byte
		for range 8 {
			roots = append(roots, document(t, "root", make([]byte, 60<<10)))
		}
		return enc(t, append(roots, document(t, "root", make([]byte, last))))
	}
	fill := 4096
	fill += trust.MaxBundle - len(sized(fill))
	if b := sized(fill); len(b) != trust.MaxBundle {
		t.Fatalf("%d bytes", len(b))
	} else if _, err := trust.ParseBundle(b); err != nil {
		t.Errorf("at the bound: %v", err)
	} else if roots, err := trust.SplitBundle(b); err != nil || len(roots) != 9 {
		t.Errorf("at the bound: %d roots, %v", len(roots), err)
	}
	if _, err := trust.ParseBundle(sized(fill + 1)); !errors.Is(err, trust.ErrMalformed) {
		t.Errorf("beyond: %v", err)
	}
	if _, err := trust.SplitBundle(sized(fill + 1)); !errors.Is(err, trust.ErrMalformed) {
		t.Errorf("beyond, split: %v", err)
	}
}

// TestManyKeys: sixteen anchors, and eight signatures over one payload.
func TestManyKeys(t *testing.T) {
	var signers []*trust.Signer
	var keys []trust.Key
	for range trust.MaxKeys + 1 {
		s, err := trust.Generate(trust.Ed25519)
		if err != nil {
			t.Fatal(err)
		}
		signers, keys = append(signers, s), append(keys, s.Key())
	}
	if _, err := trust.NewKeys(keys, false); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("one key too many: %v", err)
	}
	k, err := trust.NewKeys(keys[:trust.MaxKeys], false)
	if err != nil {
		t.Fatal(err)
	}
	var blocks [][]byte
	for _, s := range signers[:trust.MaxSignatures] {
		blocks = append(blocks, block(t, s))
	}
	if ids, err := k.Authenticate(payload, blocks); err != nil || len(ids) != trust.MaxSignatures {
		t.Errorf("%d signatures: %v, %v", len(blocks), ids, err)
	}
	blocks = append(blocks, block(t, signers[trust.MaxSignatures]))
	if _, err := k.Authenticate(payload, blocks); !errors.Is(err, trust.ErrMalformed) {
		t.Errorf("one signature too many: %v", err)
	}
}

// TestBlockBytes: a detached block of MaxBlock bytes is read, one byte more is not.
func TestBlockBytes(t *testing.T) {
	s := signer(t, "release-ed25519")
	k, err := trust.NewKeys([]trust.Key{s.Key()}, false)
	if err != nil {
		t.Fatal(err)
	}
	sized := func(n int) []byte {
		return sign1(t, s, map[any]any{1: s.Key().Alg()}, map[any]any{33: make([]byte, n)}, false)
	}
	fill := 3000
	fill += trust.MaxBlock - len(sized(fill))
	if b := sized(fill); len(b) != trust.MaxBlock {
		t.Fatalf("%d bytes", len(b))
	} else if _, err := k.Authenticate(payload, [][]byte{b}); err != nil {
		t.Errorf("at the bound: %v", err)
	}
	if _, err := k.Authenticate(payload, [][]byte{sized(fill + 1)}); !errors.Is(err, trust.ErrMalformed) {
		t.Errorf("beyond: %v", err)
	}
}

// TestMessageOfOneBytes: a message with its payload, of MaxMessage bytes, is read, one byte more is not.
func TestMessageOfOneBytes(t *testing.T) {
	s := signer(t, "release-ed25519")
	k, err := trust.NewKeys([]trust.Key{s.Key()}, false)
	if err != nil {
		t.Fatal(err)
	}
	sized := func(n int) []byte {
		b, err := s.Sign1(make([]byte, n), nil, "x")
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	fill := 60 << 10
	fill += trust.MaxMessage - len(sized(fill))
	if _, _, err := k.Verify1(sized(fill), nil, "x"); err != nil {
		t.Errorf("at the bound: %v", err)
	}
	if _, _, err := k.Verify1(sized(fill+1), nil, "x"); !errors.Is(err, trust.ErrMalformed) {
		t.Errorf("beyond: %v", err)
	}
}

// TestKeyFileBytes: a key file of MaxPEM bytes is read, one byte more is not; nothing but one key is in it.
func TestKeyFileBytes(t *testing.T) {
	good, err := signer(t, "release-p256").Key().MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	sized := func(n int) []byte { return append(bytes.Repeat([]byte("\n"), n-len(good)), good...) }
	if _, err := trust.ParsePublic(sized(trust.MaxPEM)); err != nil {
		t.Errorf("at the bound: %v", err)
	}
	if _, err := trust.ParsePublic(sized(trust.MaxPEM + 1)); err == nil {
		t.Error("beyond")
	}
	block, _ := pem.Decode(good)
	block.Headers = map[string]string{"Proc-Type": "4,ENCRYPTED"}
	if _, err := trust.ParsePublic(pem.EncodeToMemory(block)); err == nil ||
		!strings.Contains(err.Error(), "encrypted") {
		t.Errorf("a block with headers: %v", err)
	}
	if _, err := trust.ParsePublic(append(good, 'x')); err == nil {
		t.Error("a byte behind the key was taken")
	}
	if _, err := (trust.Key{}).MarshalPEM(); err == nil {
		t.Error("no key was written")
	}
}
