package evidence_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/evidence/evidencetest"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// TestLastHeadIsChecked: a new chain names the head of another one, whole, or none.
func TestLastHeadIsChecked(t *testing.T) {
	first := func(head ...any) []byte {
		return raw(t, func(m map[int]any) {
			m[2], m[3], m[11], m[22] = bytes.Repeat([]byte{5}, 16), 1, "chain", head
			delete(m, 4)
		})
	}
	other := bytes.Repeat([]byte{7}, 16)
	if r, err := evidence.Decode(first(other, 3, make([]byte, 32))); err != nil || r.Last == nil || r.Last.Seq != 3 ||
		!bytes.Equal(r.Last.Chain[:], other) {
		t.Errorf("%+v, %v", r.Last, err)
	}
	for name, b := range map[string][]byte{
		"short chain": first(other[:15], 3, make([]byte, 32)), "short hash": first(other, 3, make([]byte, 31)),
		"number zero": first(other, 0, make([]byte, 32)),
		"own chain":   first(bytes.Repeat([]byte{5}, 16), 3, make([]byte, 32)),
	} {
		if _, err := evidence.Decode(b); err == nil {
			t.Errorf("%s: read", name)
		}
	}
	for name, last := range map[string]evidence.Head{"number zero": {Chain: [16]byte{9}},
		"own chain": {Chain: [16]byte{1}, Seq: 3}} {
		if _, _, err := evidence.Begin("gw-1", [16]byte{1}, "", &last, evidence.Stamp{}); err == nil {
			t.Errorf("begun after %s", name)
		}
	}
}

// TestVerify: a signed record is read by whoever has the device's key, as what it is.
func TestVerify(t *testing.T) {
	s, keys := evidencetest.Keys(t)
	_, others := evidencetest.Keys(t)
	c := evidencetest.Begin(t, "gw-1", 1, "", nil).Grow(1)
	msg, err := evidence.Sign(c.Recs[1], s)
	if err != nil {
		t.Fatal(err)
	}
	r, h, signer, err := evidence.Verify(msg, keys)
	if err != nil || h != *c.Head() || signer != s.Key().ID() || r.Seq != 2 || r.Device != "gw-1" {
		t.Errorf("%+v, %+v, %s, %v", r, h, signer, err)
	}
	if _, _, _, err := evidence.Verify(msg, others); !errors.Is(err, trust.ErrNoSigner) {
		t.Errorf("another device's key: %v", err)
	}
	none, err := s.Sign1([]byte("no record"), []byte("ratchet/evidence/v1"), evidence.TypeEvidence)
	if err != nil {
		t.Fatal(err)
	}
	if r, h, signer, err := evidence.Verify(none, keys); !errors.Is(err, evidence.ErrMalformed) || r.Seq != 0 ||
		h.Seq != 0 || signer != "" {
		t.Errorf("what is no record: %+v, %+v, %s, %v", r, h, signer, err)
	}
	if _, err := evidence.HeadOf([]byte("no record")); !errors.Is(err, evidence.ErrMalformed) {
		t.Errorf("the head of what is no record: %v", err)
	}
}

// TestFirst: an export is read record by record; where it ends within one, that is said.
func TestFirst(t *testing.T) {
	s, _ := evidencetest.Keys(t)
	c := evidencetest.Begin(t, "gw-1", 1, "", nil).Grow(1)
	one, both := evidencetest.Sign(t, s, c.Recs[0]), evidencetest.Sign(t, s, c.Recs...)
	if item, err := evidence.First(both); err != nil || !bytes.Equal(item, one) ||
		!bytes.HasPrefix(both, item) {
		t.Errorf("%d bytes of %d, %v", len(item), len(one), err)
	}
	if _, err := evidence.First(one[:len(one)-1]); !errors.Is(err, io.ErrUnexpectedEOF) ||
		!errors.Is(err, evidence.ErrMalformed) {
		t.Errorf("a record that is cut off: %v", err)
	}
	deep := slices.Concat(bytes.Repeat([]byte{0x81}, 20), []byte{0})
	if _, err := evidence.First(deep); !errors.Is(err, evidence.ErrMalformed) {
		t.Errorf("what is too deep: %v", err)
	}
}

// TestSignedIsBounded: what would be longer than a reader takes is not signed; what is as long is read.
func TestSignedIsBounded(t *testing.T) {
	s, err := trust.Generate(trust.MLDSA65) // its signatures are long
	if err != nil {
		t.Fatal(err)
	}
	record := func(n int) []byte { return raw(t, func(m map[int]any) { m[98] = make([]byte, n) }) }
	n := 1000 + evidence.MaxSigned - len(evidencetest.Sign(t, s, record(1000)))
	if msg, err := evidence.Sign(record(n), s); err != nil || len(msg) != evidence.MaxSigned {
		t.Errorf("%d bytes are signed, %v", len(msg), err)
	}
	if _, err := evidence.Sign(record(n+1), s); err == nil {
		t.Error("a byte more is signed")
	}

	signer, keys := evidencetest.Keys(t)
	signed := func(n int) []byte {
		b, err := cbor.Marshal(map[int]any{1: 1, 2: "gw-1", 99: make([]byte, n)})
		if err != nil {
			t.Fatal(err)
		}
		if b, err = signer.Sign1(b, []byte("ratchet/status/v1"), evidence.TypeStatus); err != nil {
			t.Fatal(err)
		}
		return b
	}
	n = 4000 + evidence.MaxSigned - len(signed(4000))
	if _, _, err := evidence.VerifyStatus(signed(n), keys); err != nil {
		t.Errorf("a status of %d bytes: %v", len(signed(n)), err)
	}
	if _, _, err := evidence.VerifyStatus(signed(n+1), keys); !errors.Is(err, evidence.ErrMalformed) {
		t.Errorf("a status of %d bytes: %v", len(signed(n+1)), err)
	}
}

// TestStatusOfAnother: what an agent that is not this one signed is bounded as well.
func TestStatusOfAnother(t *testing.T) {
	s, keys := evidencetest.Keys(t)
	read := func(m map[int]any) (evidence.Status, error) {
		m[1], m[2] = 1, "gw-1"
		b, err := cbor.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if b, err = s.Sign1(b, []byte("ratchet/status/v1"), evidence.TypeStatus); err != nil {
			t.Fatal(err)
		}
		st, _, err := evidence.VerifyStatus(b, keys)
		return st, err
	}
	if st, err := read(map[int]any{9: 101}); err != nil || st.Progress != 100 {
		t.Errorf("progress of 101 is read as %d, %v", st.Progress, err)
	}
	if _, err := read(map[int]any{10: []any{"failed", "No Reason", 1, 1}}); !errors.Is(err, evidence.ErrMalformed) {
		t.Errorf("an outcome for no reason: %v", err)
	}
}
