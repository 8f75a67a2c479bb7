package trust_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/veraison/go-cose"
)

var payload = []byte{0x82, 0x2f, 0x41, 0x00}

// enc encodes deterministically, for messages that no honest signer makes.
func enc(t testing.TB, v any) []byte {
	t.Helper()
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	b, err := mode.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sign1 signs with any headers: the protected map as it is written, the payload attached or not.
func sign1(t testing.TB, s *trust.Signer, protected, unprotected map[any]any, attach bool) []byte {
	t.Helper()
	prot := enc(t, protected)
	if len(protected) == 0 {
		prot = []byte{}
	}
	sig := rawSign(t, s, enc(t, []any{"Signature1", prot, []byte{}, payload}))
	var p any
	if attach {
		p = payload
	}
	if unprotected == nil {
		unprotected = map[any]any{}
	}
	return enc(t, cbor.Tag{Number: 18, Content: []any{prot, unprotected, p, sig}})
}

// rawSign makes the bare signature over to-be-signed bytes. The signer under test makes complete
// messages only, so the test goes through the standard library.
func rawSign(t testing.TB, s *trust.Signer, tbs []byte) []byte {
	t.Helper()
	b, err := s.MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	priv := parsePKCS8(t, b)
	alg := map[int64]cose.Algorithm{trust.ESP256: cose.AlgorithmES256, trust.ESP384: cose.AlgorithmES384,
		trust.Ed25519: cose.AlgorithmEdDSA}
	cs, err := cose.NewSigner(alg[s.Key().Alg()], priv)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := cs.Sign(random{}, tbs)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// sign98 makes a detached COSE_Sign with one signature per signer.
func sign98(t testing.TB, body map[any]any, attach bool, signers ...*trust.Signer) []byte {
	t.Helper()
	prot := []byte{}
	if len(body) > 0 {
		prot = enc(t, body)
	}
	return sign98As(t, prot, prot, map[any]any{}, attach, signers...)
}

// sign98As writes one protected body header and signs another.
func sign98As(t testing.TB, written, prot []byte, unprotected map[any]any, attach bool,
	signers ...*trust.Signer) []byte {
	t.Helper()
	sigs := []any{}
	for _, s := range signers {
		sp := enc(t, map[any]any{1: s.Key().Alg()})
		tbs := enc(t, []any{"Signature", prot, sp, []byte{}, payload})
		sigs = append(sigs, []any{sp, map[any]any{4: unhex(t, s.Key().ID())}, rawSign(t, s, tbs)})
	}
	var p any
	if attach {
		p = payload
	}
	return enc(t, cbor.Tag{Number: 98, Content: []any{written, unprotected, p, sigs}})
}

// nested is an array n deep.
func nested(n int) any {
	var v any = 0
	for range n {
		v = []any{v}
	}
	return v
}

func block(t testing.TB, s *trust.Signer) []byte {
	t.Helper()
	b, err := s.Sign(payload, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAuthenticate(t *testing.T) {
	p256, ed, p384 := signer(t, "release-p256"), signer(t, "release-ed25519"), signer(t, "release-p384")
	foreign := signer(t, "foreign-p256")
	id := func(s ...*trust.Signer) (ids []string) {
		for _, x := range s {
			ids = append(ids, x.Key().ID())
		}
		return ids
	}
	anchors := keys(t, false, "release-p256", "release-ed25519", "release-p384")
	legacy := keys(t, true, "release-p256", "release-ed25519", "release-p384")
	damaged := block(t, p256)
	damaged[len(damaged)-1] ^= 1
	mac := enc(t, cbor.Tag{Number: 17, Content: []any{enc(t, map[int]int{1: 5}), map[int]int{}, nil, make([]byte, 32)}})
	untagged := block(t, p256)[1:]
	algOf := func(alg any) map[any]any { return map[any]any{1: alg} }

	for _, tt := range []struct {
		name   string
		keys   trust.Keys
		blocks [][]byte
		want   []string
		err    error
	}{
		{"ESP256", anchors, [][]byte{block(t, p256)}, id(p256), nil},
		{"Ed25519", anchors, [][]byte{block(t, ed)}, id(ed), nil},
		{"ESP384", anchors, [][]byte{block(t, p384)}, id(p384), nil},
		{"three signers", anchors, [][]byte{block(t, ed), block(t, p256), block(t, p384)}, id(ed, p256, p384), nil},
		{"one signer twice counts once", anchors, [][]byte{block(t, p256), block(t, p256)}, id(p256), nil},
		{"known beside foreign", anchors, [][]byte{block(t, foreign), block(t, p256)}, id(p256), nil},
		{"COSE_Sign of two", anchors, [][]byte{sign98(t, nil, false, p256, ed)}, id(p256, ed), nil},
		{"COSE_Sign with a body header",
			anchors, [][]byte{sign98(t, map[any]any{3: 0}, false, foreign, ed)}, id(ed), nil},
		{"COSE_Sign with an empty map as body header",
			anchors, [][]byte{sign98As(t, []byte{0xa0}, []byte{}, map[any]any{}, false, ed)}, id(ed), nil},
		{"COSE_Sign by others", anchors, [][]byte{sign98(t, nil, false, foreign)}, nil, trust.ErrNoSigner},
		{"COSE_Sign by nobody", anchors, [][]byte{sign98(t, nil, false)}, nil, trust.ErrMalformed},
		{"no kid", anchors, [][]byte{sign1(t, p256, algOf(-9), nil, false)}, id(p256), nil},
		{"kid of another tool",
			anchors, [][]byte{sign1(t, p256, algOf(-9), map[any]any{4: []byte("11")}, false)}, id(p256), nil},
		{"protected kid",
			anchors, [][]byte{sign1(t, p256, map[any]any{1: -9, 4: []byte("11")}, nil, false)}, id(p256), nil},
		{"crit that is understood",
			anchors, [][]byte{sign1(t, p256, map[any]any{1: -9, 2: []any{1}}, nil, false)}, id(p256), nil},
		{"ES256 where legacy is admitted", legacy, [][]byte{sign1(t, p256, algOf(-7), nil, false)}, id(p256), nil},
		{"EdDSA where legacy is admitted", legacy, [][]byte{sign1(t, ed, algOf(-8), nil, false)}, id(ed), nil},

		{"nothing", anchors, nil, nil, trust.ErrNoSigner},
		{"foreign", anchors, [][]byte{block(t, foreign)}, nil, trust.ErrNoSigner},
		{"foreign without kid", anchors, [][]byte{sign1(t, foreign, algOf(-9), nil, false)}, nil, trust.ErrSignature},
		{"damaged", anchors, [][]byte{damaged}, nil, trust.ErrSignature},
		{"kid names another anchor",
			anchors, [][]byte{sign1(t, p256, algOf(-9), map[any]any{4: unhex(t, p384.Key().ID())}, false)},
			nil, trust.ErrAlgorithm},
		{"ES256", anchors, [][]byte{sign1(t, p256, algOf(-7), nil, false)}, nil, trust.ErrAlgorithm},
		{"EdDSA", anchors, [][]byte{sign1(t, ed, algOf(-8), nil, false)}, nil, trust.ErrAlgorithm},
		{"ES384 is not a legacy form",
			legacy, [][]byte{sign1(t, p384, algOf(-35), nil, false)}, nil, trust.ErrAlgorithm},
		{"ES256 by a P-384 key", legacy, [][]byte{sign1(t, p384, algOf(-7), nil, false)}, nil, trust.ErrSignature},
		{"MAC", anchors, [][]byte{mac}, nil, trust.ErrMalformed},
		{"MAC and a stranger's", anchors, [][]byte{mac, block(t, foreign)}, nil, trust.ErrNoSigner},
		{"untagged", anchors, [][]byte{untagged}, nil, trust.ErrMalformed},
		{"attached payload", anchors, [][]byte{sign1(t, p256, algOf(-9), nil, true)}, nil, trust.ErrMalformed},
		{"attached payload in COSE_Sign", anchors, [][]byte{sign98(t, nil, true, p256)}, nil, trust.ErrMalformed},
		{"unprotected algorithm", anchors, [][]byte{sign1(t, p256, nil, algOf(-9), false)}, nil, trust.ErrMalformed},
		{"algorithm in both headers",
			anchors, [][]byte{sign1(t, p256, algOf(-9), algOf(-9), false)}, nil, trust.ErrMalformed},
		{"no algorithm", anchors, [][]byte{sign1(t, p256, nil, nil, false)}, nil, trust.ErrMalformed},
		{"text algorithm", anchors, [][]byte{sign1(t, p256, algOf("ESP256"), nil, false)}, nil, trust.ErrMalformed},
		{"unknown crit", anchors, [][]byte{sign1(t, p256, map[any]any{1: -9, 2: []any{300}, 300: 1}, nil, false)},
			nil, trust.ErrMalformed},
		{"crit without its header",
			anchors, [][]byte{sign1(t, p256, map[any]any{1: -9, 2: []any{16}}, nil, false)}, nil, trust.ErrMalformed},
		{"crit typ, which no block's reader checks",
			anchors, [][]byte{sign1(t, p256, map[any]any{1: -9, 2: []any{16}, 16: "x"}, nil, false)},
			nil, trust.ErrMalformed},
		{"unknown crit in the body of a COSE_Sign",
			anchors, [][]byte{sign98(t, map[any]any{2: []any{300}, 300: 1}, false, p256)}, nil, trust.ErrMalformed},
		{"unprotected algorithm in the body of a COSE_Sign",
			anchors, [][]byte{sign98As(t, []byte{}, []byte{}, algOf(-9), false, p256)}, nil, trust.ErrMalformed},
		{"kid in both headers",
			anchors, [][]byte{sign1(t, p256, map[any]any{1: -9, 4: []byte("a")}, map[any]any{4: []byte("b")}, false)},
			nil, trust.ErrMalformed},
		{"deeply nested header",
			anchors, [][]byte{sign1(t, p256, algOf(-9), map[any]any{99: nested(9)}, false)}, nil, trust.ErrMalformed},
		{"trailing byte", anchors, [][]byte{append(block(t, p256), 0)}, nil, trust.ErrMalformed},
		{"garbage", anchors, [][]byte{{0xff}}, nil, trust.ErrMalformed},
		{"empty block", anchors, [][]byte{{}}, nil, trust.ErrMalformed},
		{"too large",
			anchors, [][]byte{sign1(t, p256, algOf(-9), map[any]any{99: make([]byte, trust.MaxBlock)}, false)},
			nil, trust.ErrMalformed},
		{"too many signatures",
			anchors, [][]byte{sign98(t, nil, false, p256, p256, p256, p256, p256, p256, p256, p256, p256)},
			nil, trust.ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.keys.Authenticate(payload, tt.blocks)
			if !errors.Is(err, tt.err) || err != nil && tt.err == nil {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if len(got) != len(tt.want) {
				t.Fatalf("signers %v, want %v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("signer %d is %s, want %s", i, got[i], tt.want[i])
				}
			}
		})
	}
}

func TestAuthenticateBindsPayload(t *testing.T) {
	p256 := signer(t, "release-p256")
	anchors := keys(t, false, "release-p256")
	if _, err := anchors.Authenticate([]byte("other"), [][]byte{block(t, p256)}); !errors.Is(err, trust.ErrSignature) {
		t.Errorf("another payload: %v", err)
	}
	// A message of ours is bound to its kind and must not pass for an envelope's block.
	aad, err := p256.Sign(payload, []byte("ratchet/evidence/v1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := anchors.Authenticate(payload, [][]byte{aad}); !errors.Is(err, trust.ErrSignature) {
		t.Errorf("a block with external data: %v", err)
	}
}

func TestSignIsDeterministic(t *testing.T) {
	for _, n := range []string{"release-p256", "release-ed25519", "release-p384"} {
		if s := signer(t, n); !bytes.Equal(block(t, s), block(t, s)) {
			t.Errorf("%s: two signatures over the same bytes differ", n)
		}
	}
}

func TestVerify1(t *testing.T) {
	aad, typ := []byte("ratchet/evidence/v1"), "ratchet-evidence"
	for _, n := range []string{"release-p256", "release-ed25519", "release-p384"} {
		s, k := signer(t, n), keys(t, false, n)
		msg, err := s.Sign1(payload, aad, typ)
		if err != nil {
			t.Fatal(err)
		}
		got, id, err := k.Verify1(msg, aad, typ)
		if err != nil || id != s.Key().ID() || !bytes.Equal(got, payload) {
			t.Fatalf("%s: payload %x signer %s: %v", n, got, id, err)
		}
		if _, _, err := keys(t, false, "foreign-p256").Verify1(msg, aad, typ); !errors.Is(err, trust.ErrNoSigner) {
			t.Errorf("%s: other anchors: %v", n, err)
		}
		if _, _, err := k.Verify1(msg, []byte("ratchet/status/v1"), typ); !errors.Is(err, trust.ErrSignature) {
			t.Errorf("%s: other external data: %v", n, err)
		}
		for _, other := range []string{"ratchet-status", ""} {
			if _, _, err := k.Verify1(msg, aad, other); !errors.Is(err, trust.ErrMalformed) {
				t.Errorf("%s: typ %q: %v", n, other, err)
			}
		}
		for i := range msg {
			bad := bytes.Clone(msg)
			bad[i] ^= 0x10
			// Only the kid, an unprotected hint, may change without a refusal.
			if p, _, err := k.Verify1(bad, aad, typ); err == nil && !bytes.Equal(p, payload) {
				t.Fatalf("%s: byte %d changed, payload %x accepted", n, i, p)
			}
		}
		if _, _, err := k.Verify1(block(t, s), aad, typ); !errors.Is(err, trust.ErrMalformed) {
			t.Errorf("%s: a detached block as a message: %v", n, err)
		}
	}
}

func FuzzAuthenticate(f *testing.F) {
	p256, ed := signer(f, "release-p256"), signer(f, "release-ed25519")
	f.Add(block(f, p256), block(f, ed))
	f.Add(sign98(f, map[any]any{3: 0}, false, p256, ed), []byte{})
	f.Add(sign1(f, p256, map[any]any{1: -9, 2: []any{300}, 300: 1}, nil, false), []byte{0xd1})
	f.Add(sign1(f, p256, map[any]any{1: -9}, map[any]any{7: []any{[]byte{}, map[any]any{}, []byte{1}}}, false),
		[]byte{0xd8, 0x62})
	anchors := keys(f, true, "release-p256", "release-ed25519", "release-p384")
	f.Fuzz(func(t *testing.T, a, b []byte) {
		signers, err := anchors.Authenticate(payload, [][]byte{a, b})
		if (err == nil) != (len(signers) > 0) {
			t.Fatalf("%d signers and error %v", len(signers), err)
		}
		if signers, err := anchors.Authenticate([]byte("never signed"), [][]byte{a, b}); err == nil {
			t.Fatalf("%v signed what nobody signed", signers)
		}
		if _, _, err := anchors.Verify1(a, []byte("ratchet/never/v1"), "never"); err == nil {
			t.Fatal("a message of a kind that nobody made verifies")
		}
	})
}
