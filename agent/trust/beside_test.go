package trust_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/trust"
)

// An envelope may carry blocks for others: MACs, algorithms and structures that are not known here, sizes that are not
// read. They count for nobody, and keep no signature that holds from counting, wherever they stand; alone they are
// refused, and a threshold is never met by them.
func TestBlocksForOthersArePassedOver(t *testing.T) {
	p256, ed, foreign := signer(t, "release-p256"), signer(t, "release-ed25519"), signer(t, "foreign-p256")
	anchors := keys(t, false, "release-p256", "release-ed25519")
	algOf := func(alg any) map[any]any { return map[any]any{1: alg} }
	tagged := func(tag uint64, parts ...any) []byte { return enc(t, cbor.Tag{Number: tag, Content: parts}) }
	head := enc(t, map[int]int{1: 5})
	rooted := anchor(t, root(t, spec(t), who(t, "alice", trust.ESP384), who(t, "bob"))).Release(trust.Scope{})
	release := who(t, "release")
	for name, other := range map[string][]byte{
		"COSE_Mac0":                     tagged(17, head, map[int]int{}, nil, make([]byte, 32)),
		"COSE_Mac":                      tagged(97, head, map[int]int{}, nil, make([]byte, 32), []any{}),
		"another tag":                   tagged(61, head, map[int]int{}, nil, make([]byte, 32)),
		"no tag":                        block(t, foreign)[1:],
		"no tag, of ours":               block(t, p256)[1:],
		"ML-DSA-87":                     sign1(t, foreign, algOf(-50), map[any]any{99: make([]byte, 4627)}, false),
		"as long as an envelope allows": sign1(t, foreign, algOf(-50), map[any]any{99: make([]byte, 16000)}, false),
		"HSS-LMS":                       sign1(t, foreign, algOf(-46), nil, false),
		"an algorithm by name":          sign1(t, foreign, algOf("future"), nil, false),
		"a critical header of later":    sign1(t, foreign, map[any]any{1: -9, 2: []any{900}, 900: 1}, nil, false),
		"an attached payload":           sign1(t, foreign, algOf(-9), nil, true),
		"an unprotected algorithm":      sign1(t, foreign, nil, algOf(-9), false),
		"COSE_Sign of others":           sign98(t, nil, false, foreign, foreign),
		"no COSE":                       {0xd2, 0x01},
		"no CBOR":                       {0xff, 0xff},
		"nothing":                       {},
	} {
		for place, blocks := range map[string][][]byte{
			"before": {other, block(t, p256), block(t, ed)}, "between": {block(t, p256), other, block(t, ed)},
			"behind": {block(t, p256), block(t, ed), other}, "around": {other, block(t, p256), other, block(t, ed)},
		} {
			got, err := anchors.Authenticate(payload, blocks)
			if err != nil || len(got) != 2 {
				t.Errorf("%s %s: signers %v, %v", name, place, got, err)
			}
		}
		if got, err := anchors.Authenticate(payload, [][]byte{other}); err == nil || len(got) > 0 {
			t.Errorf("%s alone: %v", name, got)
		}
		if got, err := rooted.Authenticate(payload, append(envelope(t, release), other)); err != nil ||
			!slices.Equal(got, []string{release.ID()}) {
			t.Errorf("%s beside a release signer of a root: %v, %v", name, got, err)
		}
		if _, err := rooted.Authenticate(payload, [][]byte{other, other, other}); err == nil {
			t.Errorf("%s meets a threshold", name)
		}
	}
	// What counts costs a verification each, and is bounded; what does not count is not.
	many := [][]byte{sign98(t, nil, false, p256, p256, p256, p256, p256), sign98(t, nil, false, ed, ed, ed, ed)}
	if _, err := anchors.Authenticate(payload, many); !errors.Is(err, trust.ErrMalformed) {
		t.Errorf("nine signatures: %v", err)
	}
	foreigners := bytes.Repeat([]byte{1}, 7)
	blocks := [][]byte{block(t, p256)}
	for range foreigners {
		blocks = append(blocks, sign1(t, foreign, algOf(-50), nil, false))
	}
	if got, err := anchors.Authenticate(payload, blocks); err != nil || len(got) != 1 {
		t.Errorf("seven by another algorithm: %v, %v", got, err)
	}
}
