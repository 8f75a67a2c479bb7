package evidence_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/evidence/evidencetest"
	"github.com/ratchet-ota/ratchet/agent/evidence/export"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

var update = flag.Bool("update", false, "rewrite the vectors")

const vectors = "../../testdata/evidence"

// TestVectors: the bytes of records, of an export and of a status are a format that others read.
// A difference is a change of the format; it needs a new number or a mistake undone.
func TestVectors(t *testing.T) {
	pem, err := os.ReadFile(filepath.Join(vectors, "device.pem"))
	if err != nil && *update {
		s, err := trust.Generate(trust.Ed25519)
		if err != nil {
			t.Fatal(err)
		}
		if pem, err = s.MarshalPEM(); err != nil {
			t.Fatal(err)
		}
		compare(t, "device.pem", pem)
	} else if err != nil {
		t.Fatal(err)
	}
	s, err := trust.ParsePrivate(pem)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := s.Key().MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "device.pub.pem", pub)

	old := evidencetest.Begin(t, "gw-17", 0xa1, "", nil)
	old.Add(evidence.Event{Kind: evidence.KindStart, To: "idle", Slot: "a",
		Detail: map[string]string{"config": "sha256:00"}})
	old.Add(evidence.Event{
		Kind: evidence.KindDecision, Reason: reason.LowBattery, Manifest: example("m"), Sequence: 7, Actor: "network",
		Detail: map[string]string{"battery": "12 %", "outcome": "defer"},
	})
	old.Add(evidence.Event{Kind: evidence.KindPhase, From: "idle", To: "preparing", Slot: "b", Component: "rootfs",
		Manifest: example("m"), Image: example("i"), Sequence: 7})
	next := evidencetest.Begin(t, "gw-17", 0xb2, reason.JournalLost, old.Head())
	next.Add(evidence.Event{Kind: evidence.KindVerdict, Reason: reason.HealthFailed, From: "trial", To: "reverting",
		Slot: "b", Sequence: 7, Detail: map[string]string{"check": "http", "error": "status 503"}})

	var text bytes.Buffer
	all := append(append([][]byte{}, old.Recs...), next.Recs...)
	for _, rec := range all {
		h, err := evidence.HeadOf(rec)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "chain  %s\nseq    %d\nrecord %s\nsha256 %s\n\n", hex.EncodeToString(h.Chain[:]), h.Seq,
			hex.EncodeToString(rec), hex.EncodeToString(h.Hash[:]))
	}
	compare(t, "records.txt", text.Bytes())
	whole := evidencetest.Sign(t, s, all...)
	compare(t, "export.cbor", whole)
	st := exampleStatus()
	st.Device, st.Head = "gw-17", *next.Head()
	status, err := evidence.SignStatus(st, s)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "status.cbor", status)

	keys, err := trust.NewKeys([]trust.Key{s.Key()}, false)
	if err != nil {
		t.Fatal(err)
	}
	if sum, err := export.Verify(bytes.NewReader(whole), keys, nil); err != nil || sum.Records != 6 ||
		sum.Missing() != 0 {
		t.Errorf("%+v, %v", sum, err)
	}
}

func example(s string) string {
	return "sha256:" + hex.EncodeToString(bytes.Repeat([]byte(s), 32))
}

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join(vectors, name)
	if *update {
		if err := os.MkdirAll(vectors, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: differs (%v); got\n%x", name, err, got)
	}
}
