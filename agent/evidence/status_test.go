package evidence_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/evidence/evidencetest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

func exampleStatus() evidence.Status {
	return evidence.Status{
		Device: "gw-1", Running: "a", Version: "1.4.0", Phase: "writing", Target: "b",
		Manifest: "sha256:" + strings.Repeat("ab", 32), Sequence: 7, Progress: 42,
		Last: evidence.Outcome{Result: "reverted", Reason: reason.HealthFailed, Sequence: 6,
			Time: time.Date(2026, 11, 20, 1, 2, 3, 4e6, time.UTC)},
		Problem: reason.FloorPending,
		Head:    evidence.Head{Chain: [16]byte{1}, Seq: 9, Hash: [32]byte{2}}, Stamp: evidencetest.Stamp(),
	}
}

func TestStatus(t *testing.T) {
	s, keys := evidencetest.Keys(t)
	for name, st := range map[string]evidence.Status{"full": exampleStatus(), "new device": {Device: "gw-1"}} {
		msg, err := evidence.SignStatus(st, s)
		if err != nil {
			t.Fatal(err)
		}
		got, signer, err := evidence.VerifyStatus(msg, keys)
		if err != nil || !reflect.DeepEqual(got, st) || signer != s.Key().ID() {
			t.Errorf("%s: %+v by %s, %v", name, got, signer, err)
		}
	}
}

func TestStatusIsMadeSafe(t *testing.T) {
	s, keys := evidencetest.Keys(t)
	hostile := strings.Repeat("\x1b[2J", 100)
	msg, err := evidence.SignStatus(evidence.Status{
		Device: "gw-1", Running: hostile, Version: hostile, Phase: hostile, Target: hostile, Manifest: hostile,
		Progress: 1000, Last: evidence.Outcome{Result: hostile},
		Stamp: evidence.Stamp{Quality: hostile, BootID: hostile, Agent: hostile},
	}, s)
	if err != nil {
		t.Fatal(err)
	}
	st, _, err := evidence.VerifyStatus(msg, keys)
	if err != nil || st.Progress != 100 || strings.Contains(st.Running+st.Last.Result, "\x1b") {
		t.Errorf("%+v, %v", st, err)
	}
	for name, bad := range map[string]evidence.Status{
		"no device": {}, "device": {Device: "a/#"}, "problem": {Device: "a", Problem: "No"},
		"reason": {Device: "a", Last: evidence.Outcome{Result: "x", Reason: "No"}},
	} {
		if _, err := evidence.SignStatus(bad, s); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

func TestVerifyStatusRefuses(t *testing.T) {
	s, keys := evidencetest.Keys(t)
	other, _ := evidencetest.Keys(t)
	msg := func(s *trust.Signer, typ, aad string, m map[int]any) []byte {
		b, err := cbor.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if b, err = s.Sign1(b, []byte(aad), typ); err != nil {
			t.Fatal(err)
		}
		return b
	}
	const typ, aad = evidence.TypeStatus, "ratchet/status/v1"
	ok := map[int]any{1: 1, 2: "gw-1", 77: "newer"}
	if _, _, err := evidence.VerifyStatus(msg(s, typ, aad, ok), keys); err != nil {
		t.Fatalf("a key of a newer version: %v", err)
	}
	for name, test := range map[string]struct {
		msg  []byte
		want error
	}{
		"unknown key":  {msg(other, typ, aad, ok), trust.ErrNoSigner},
		"other typ":    {msg(s, evidence.TypeEvidence, aad, ok), trust.ErrMalformed},
		"other aad":    {msg(s, typ, "ratchet/evidence/v1", ok), trust.ErrSignature},
		"newer format": {msg(s, typ, aad, map[int]any{1: 2, 2: "gw-1"}), evidence.ErrMalformed},
		"no device":    {msg(s, typ, aad, map[int]any{1: 1}), evidence.ErrMalformed},
		"reason":       {msg(s, typ, aad, map[int]any{1: 1, 2: "gw-1", 11: "NO"}), evidence.ErrMalformed},
		"long text": {msg(s, typ, aad, map[int]any{1: 1, 2: "gw-1", 3: strings.Repeat("x", 145)}),
			evidence.ErrMalformed},
		"head": {msg(s, typ, aad, map[int]any{1: 1, 2: "gw-1", 12: []any{[]byte{1}, 1, []byte{1}}}),
			evidence.ErrMalformed},
		"outcome": {msg(s, typ, aad, map[int]any{1: 1, 2: "gw-1", 10: []any{"x"}}), evidence.ErrMalformed},
		"large": {msg(s, typ, aad, map[int]any{1: 1, 2: "gw-1", 99: make([]byte, evidence.MaxSigned)}),
			evidence.ErrMalformed},
		"nothing":        {nil, trust.ErrMalformed},
		"progress above": {msg(s, typ, aad, map[int]any{1: 1, 2: "gw-1", 9: -1}), evidence.ErrMalformed},
	} {
		if _, _, err := evidence.VerifyStatus(test.msg, keys); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}
