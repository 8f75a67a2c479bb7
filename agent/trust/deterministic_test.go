package trust_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/trust"
)

// TestDecodeLimits: how deep and how long a document may be, at the bound and one beyond.
func TestDecodeLimits(t *testing.T) {
	wide := func(n int) []any {
		out := make([]any, n)
		for i := range out {
			out[i] = i % 7
		}
		return out
	}
	pairs := func(n int) map[int]int {
		out := map[int]int{}
		for i := range n {
			out[i] = i
		}
		return out
	}
	for name, tt := range map[string]struct {
		v  any
		ok bool
	}{
		"eight deep":    {nested(8), true},
		"nine deep":     {nested(9), false},
		"1024 elements": {wide(1024), true},
		"1025 elements": {wide(1025), false},
		"1024 pairs":    {pairs(1024), true},
		"1025 pairs":    {pairs(1025), false},
	} {
		b, err := trust.Encode(tt.v)
		if err != nil {
			t.Fatal(err)
		}
		var got any
		if err := trust.Decode(b, &got); (err == nil) != tt.ok || err != nil && !errors.Is(err, trust.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOneWayToWrite: what means the same and is written otherwise is refused.
func TestOneWayToWrite(t *testing.T) {
	for name, b := range map[string][]byte{
		"a key twice":             {0xa2, 0x01, 0x01, 0x01, 0x01},
		"an array without length": {0x9f, 0x01, 0xff},
		"a tag":                   {0xd8, 0x63, 0x01},
		"a number in two bytes":   {0x18, 0x01},
		"keys out of order":       {0xa2, 0x02, 0x01, 0x01, 0x01},
		"a byte behind the end":   {0x01, 0x01},
		"nothing":                 {},
	} {
		var got any
		if err := trust.Decode(b, &got); !errors.Is(err, trust.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var known struct {
		A int `cbor:"1,keyasint"`
	}
	if err := trust.Decode([]byte{0xa2, 0x01, 0x01, 0x02, 0x01}, &known); !errors.Is(err, trust.ErrMalformed) {
		t.Errorf("a field that nobody knows: %v", err)
	}
	if err := trust.Decode([]byte{0xa1, 0x01, 0x01}, &known); err != nil || known.A != 1 {
		t.Errorf("as it is written: %v", err)
	}
}

// TestBlockForm: deep, long, doubled and endless headers of a block refuse the whole before they are read.
func TestBlockForm(t *testing.T) {
	s := signer(t, "release-ed25519")
	k := keys(t, false, "release-ed25519")
	with := func(v any) []byte {
		return sign1(t, s, map[any]any{1: s.Key().Alg()}, map[any]any{33: v}, false)
	}
	body := func(v any) []byte {
		return sign98As(t, []byte{}, []byte{}, map[any]any{33: v}, false, s)
	}
	endless := func(b []byte) []byte {
		return bytes.Replace(b, []byte{0x18, 0x21, 0x81, 0x01}, []byte{0x18, 0x21, 0x9f, 0x01, 0xff}, 1)
	}
	long := func(n int) []any { return make([]any, n) }
	many := func(n int) map[any]any {
		out := map[any]any{}
		for i := range n {
			out[i] = i
		}
		return out
	}
	for _, tt := range []struct {
		name string
		b    []byte
		ok   bool
	}{
		{"64 elements", with(long(64)), true}, {"65 elements", with(long(65)), false},
		{"64 pairs", with(many(64)), true}, {"65 pairs", with(many(65)), false},
		{"deep", with(nested(6)), true}, {"too deep", with(nested(7)), false},
		{"64 elements, COSE_Sign", body(long(64)), true}, {"65 elements, COSE_Sign", body(long(65)), false},
		{"deep, COSE_Sign", body(nested(6)), true}, {"too deep, COSE_Sign", body(nested(7)), false},
		{"without length", endless(with([]any{1})), false},
		{"without length, COSE_Sign", endless(body([]any{1})), false},
		{"with length", with([]any{1}), true},
		{"empty", nil, false},
	} {
		if _, err := k.Authenticate(payload, [][]byte{tt.b}); (err == nil) != tt.ok ||
			err != nil && !errors.Is(err, trust.ErrMalformed) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	doubled := enc(t, cbor.Tag{Number: 18, Content: []any{[]byte{0xa1, 0x01, 0x32},
		cbor.RawMessage{0xa2, 0x18, 0x21, 0x01, 0x18, 0x21, 0x01}, nil, make([]byte, 64)}})
	if _, err := k.Authenticate(payload, [][]byte{doubled}); !errors.Is(err, trust.ErrMalformed) {
		t.Errorf("a header twice: %v", err)
	}
}

// TestSignatureBesideAGoodOne: a signature of a COSE_Sign with headers that are not understood refuses the whole, as a
// block would.
func TestSignatureBesideAGoodOne(t *testing.T) {
	s := signer(t, "release-ed25519")
	var good struct {
		_          struct{} `cbor:",toarray"`
		Protected  []byte
		Header     map[int]any
		Payload    []byte
		Signatures []any
	}
	if err := cbor.Unmarshal(sign98(t, nil, false, s)[2:], &good); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		protected, unprotected map[any]any
		ok                     bool
	}{
		"a stranger's":                          {map[any]any{1: -9}, map[any]any{4: []byte("11")}, true},
		"a critical header":                     {map[any]any{1: -9, 2: []any{300}, 300: 1}, map[any]any{}, false},
		"an algorithm that is signed by nobody": {map[any]any{3: 0}, map[any]any{1: -9}, false},
	} {
		other := []any{enc(t, tt.protected), tt.unprotected, make([]byte, 64)}
		b := enc(t, cbor.Tag{Number: 98, Content: []any{[]byte{}, good.Header, nil, append(good.Signatures, other)}})
		ids, err := keys(t, false, "release-ed25519").Authenticate(payload, [][]byte{b})
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, trust.ErrMalformed) {
			t.Errorf("%s: %v, %v", name, ids, err)
		}
	}
}

// TestUntaggedIsTold: who signs with a MAC or leaves the tag out is told that, not that the CBOR is at fault.
func TestUntaggedIsTold(t *testing.T) {
	s := signer(t, "release-ed25519")
	_, err := keys(t, false, "release-ed25519").Authenticate(payload, [][]byte{block(t, s)[1:]})
	if !errors.Is(err, trust.ErrMalformed) || !strings.Contains(err.Error(), "untagged blocks are not accepted") {
		t.Error(err)
	}
}
