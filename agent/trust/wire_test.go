package trust_test

import (
	"errors"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/trust"
)

// Roots as nobody of ours writes them. Each reads like the honest one to a lenient reader.
func TestRootIsWrittenInOneWay(t *testing.T) {
	r := newChain(t).r1
	honest, _, err := trust.Payload("root", document(t, "root", payloadOf(t, r.Spec())))
	if err != nil {
		t.Fatal(err)
	}
	type fields = map[uint64]any
	read := func() (m fields) {
		if err := cbor.Unmarshal(honest, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	// key gives the first key of signer n to change.
	key := func(m fields, n int, change func(k map[any]any)) {
		keys := m[7].([]any)[n].([]any)[1].([]any)
		change(keys[0].(map[any]any))
	}
	for name, change := range map[string]func(m fields) []byte{
		"nothing changed, but for a field that nobody knows": func(m fields) []byte { m[11] = 0; return enc(t, m) },
		"a field is missing":     func(m fields) []byte { delete(m, 10); return enc(t, m) },
		"null for an empty list": func(m fields) []byte { m[10] = nil; return enc(t, m) },
		"a number as a float":    func(m fields) []byte { m[1] = 1.0; return enc(t, m) },
		"a number with a tag": func(m fields) []byte {
			m[4] = cbor.Tag{Number: 1, Content: m[4]}
			return enc(t, m)
		},
		"a time after the year 9999": func(m fields) []byte { m[5] = uint64(1) << 60; return enc(t, m) },
		"fields in another order": func(m fields) []byte {
			return append(append([]byte{honest[0]}, honest[3:]...), honest[1:3]...)
		},
		"a number in a longer way": func(m fields) []byte {
			return append([]byte{honest[0], 1, 0x18, 1}, honest[3:]...)
		},
		"a byte after the end":   func(m fields) []byte { return append(append([]byte{}, honest...), 0) },
		"a signer without a key": func(m fields) []byte { m[7].([]any)[0].([]any)[1] = []any{}; return enc(t, m) },
		"a key without algorithm": func(m fields) []byte {
			key(m, 1, func(k map[any]any) { delete(k, uint64(3)) })
			return enc(t, m)
		},
		"a key bound to the older algorithm": func(m fields) []byte {
			key(m, 1, func(k map[any]any) { k[uint64(3)] = -7 })
			return enc(t, m)
		},
		"a key with a name of its own": func(m fields) []byte {
			key(m, 1, func(k map[any]any) { k[uint64(2)] = []byte("bob") })
			return enc(t, m)
		},
		"a private key": func(m fields) []byte {
			key(m, 1, func(k map[any]any) { k[int64(-4)] = make([]byte, 32) })
			return enc(t, m)
		},
		"a point beside the curve": func(m fields) []byte {
			key(m, 1, func(k map[any]any) { k[int64(-3)] = make([]byte, 32) })
			return enc(t, m)
		},
		"a symmetric key": func(m fields) []byte {
			key(m, 1, func(k map[any]any) { k[uint64(1)] = 4 })
			return enc(t, m)
		},
		"a lattice key cut short": func(m fields) []byte {
			keys := m[7].([]any)[2].([]any)[1].([]any)
			k := keys[1].(map[any]any)
			k[int64(-1)] = k[int64(-1)].([]byte)[1:]
			return enc(t, m)
		},
		"an Ed25519 key cut short": func(m fields) []byte {
			k := m[7].([]any)[2].([]any)[1].([]any)[0].(map[any]any)
			k[int64(-2)] = k[int64(-2)].([]byte)[1:]
			return enc(t, m)
		},
		"signer numbers out of order": func(m fields) []byte {
			m[8].(map[any]any)["root"].([]any)[1].([]any)[0].([]any)[1] = []any{1, 0, 2}
			return enc(t, m)
		},
		"a signer number one too high": func(m fields) []byte {
			m[8].(map[any]any)["pulse"].([]any)[1].([]any)[0].([]any)[1] = []any{len(m[7].([]any))}
			return enc(t, m)
		},
		"a signer number that is not there": func(m fields) []byte {
			m[8].(map[any]any)["pulse"].([]any)[1].([]any)[0].([]any)[1] = []any{99}
			return enc(t, m)
		},
		"a signer number twice": func(m fields) []byte {
			m[8].(map[any]any)["root"].([]any)[1].([]any)[0].([]any)[1] = []any{0, 0, 1}
			return enc(t, m)
		},
		"a threshold beyond numbers": func(m fields) []byte {
			m[8].(map[any]any)["root"].([]any)[1].([]any)[0].([]any)[0] = uint64(1) << 63
			return enc(t, m)
		},
		"a scope with a short UUID": func(m fields) []byte {
			m[8].(map[any]any)["pulse"].([]any)[1].([]any)[0].([]any)[2] = map[int]any{1: [][]byte{{1}}}
			return enc(t, m)
		},
		"an empty list in a scope": func(m fields) []byte {
			m[8].(map[any]any)["pulse"].([]any)[1].([]any)[0].([]any)[2] = map[int]any{1: [][]byte{}}
			return enc(t, m)
		},
		"a revoked digest of another length": func(m fields) []byte {
			m[10] = []any{[]any{-16, make([]byte, 31)}}
			return enc(t, m)
		},
	} {
		if _, err := trust.ReviewRoot(document(t, "root", change(read())), r); !errors.Is(err, trust.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := trust.ReviewRoot(document(t, "root", enc(t, read())), r); err != nil {
		t.Errorf("the honest one, read and written: %v", err)
	}
}

func payloadOf(t testing.TB, s trust.RootSpec) []byte {
	t.Helper()
	msg, err := trust.BuildRoot(s)
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := trust.Payload("root", msg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Two signatures in the wrong order are two documents that say the same.
func TestDocumentOrder(t *testing.T) {
	c := newChain(t)
	h := hostile{body: typOf("root"), payload: payloadOf(t, c.r1.Spec()), aad: "ratchet/root/v1"}
	for _, p := range []person{c.alice, c.bob} {
		h.sign(t, p.keys[0], map[any]any{1: p.keys[0].Key().Alg()}, kidOf(t, p.keys[0]))
	}
	turned := h
	turned.sigs = []any{h.sigs[1], h.sigs[0]}
	good, bad := h.encode(t), turned.encode(t)
	if c.alice.ID() > c.bob.ID() {
		good, bad = bad, good
	}
	if _, err := trust.Anchor(good); err != nil {
		t.Error(err)
	}
	if _, err := trust.Anchor(bad); !errors.Is(err, trust.ErrMalformed) {
		t.Errorf("in the other order: %v", err)
	}
}

// An authority that was asked for one component says nothing of another.
func TestAuthorityOfOneComponent(t *testing.T) {
	auth := newChain(t).r1.Release(trust.Scope{Component: "rootfs"})
	signers, err := auth.Authenticate(payload, envelope(t, who(t, "release")))
	if err != nil {
		t.Fatal(err)
	}
	if err := auth.Covers(signers, "rootfs"); err != nil {
		t.Error(err)
	}
	if err := auth.Covers(signers, "boot"); !errors.Is(err, trust.ErrNoSigner) {
		t.Errorf("another component: %v", err)
	}
	if err := auth.Covers(nil, "rootfs"); !errors.Is(err, trust.ErrThreshold) {
		t.Errorf("nobody: %v", err)
	}
}
