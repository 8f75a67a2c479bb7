package evidence_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/evidence/evidencetest"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

func TestRecordRoundTrip(t *testing.T) {
	c := evidencetest.Begin(t, "gw-1", 1, "", nil)
	e := evidence.Event{
		Kind: evidence.KindVerdict, Reason: reason.HealthFailed, From: "trial", To: "reverting", Slot: "b",
		Component: "rootfs", Manifest: "sha256:" + strings.Repeat("ab", 32),
		Image: "sha512:" + strings.Repeat("cd", 64), Sequence: 7, Actor: "network",
		Detail: map[string]string{"check": "unit sshd.service", "error": "exit status 1"},
	}
	c.Add(e)
	r, err := evidence.Decode(c.Recs[1])
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(r.Event) != fmt.Sprint(e) || r.Stamp != evidencetest.Stamp() || r.Device != "gw-1" || r.Seq != 2 ||
		r.Chain != [16]byte{1} {
		t.Errorf("decoded %+v", r)
	}
	if r.Prev != sha256.Sum256(c.Recs[0]) || c.Head().Hash != sha256.Sum256(c.Recs[1]) {
		t.Error("the chain is not one of hashes over encoded records")
	}
	if h, err := evidence.HeadOf(c.Recs[1]); err != nil || h != *c.Head() {
		t.Errorf("HeadOf: %+v, %v", h, err)
	}
	if again, _, _ := c.Heads[0].Next("gw-1", e, evidencetest.Stamp()); !bytes.Equal(again, c.Recs[1]) {
		t.Error("the encoding is not deterministic")
	}
	last := *c.Head()
	r, err = evidence.Decode(evidencetest.Begin(t, "gw-1", 2, reason.JournalLost, &last).Recs[0])
	if err != nil || r.Last == nil || *r.Last != last || r.Reason != reason.JournalLost ||
		r.Kind != evidence.KindChain {
		t.Errorf("first record of a new chain: %+v, %v", r, err)
	}
}

// TestAnyEventFits: texts from outside must not keep a transition from being recorded.
func TestAnyEventFits(t *testing.T) {
	hostile := strings.Repeat("\x1b[2J\u202eevil\xff\n", 200)
	e := evidence.Event{
		Kind: evidence.Kind(strings.Repeat("k", evidence.MaxName)), Reason: reason.Reason(strings.Repeat("r", 48)),
		From: hostile, To: hostile, Slot: hostile, Component: hostile, Manifest: hostile, Image: hostile,
		Sequence: 1<<64 - 1, Actor: hostile, Detail: map[string]string{},
	}
	for i := range 40 {
		e.Detail[fmt.Sprintf("%02d%s", i, hostile)] = hostile
	}
	device := strings.Repeat("d", evidence.MaxName)
	h := evidence.Head{Chain: [16]byte{0xff}, Seq: 1<<64 - 2, Hash: [32]byte{0xff}}
	rec, _, err := h.Next(device, e,
		evidence.Stamp{Wall: time.Unix(1<<40, 0), Quality: hostile, Uptime: 1<<63 - 1, BootID: hostile, Agent: hostile})
	if err != nil {
		t.Fatal(err)
	}
	if len(rec) > evidence.MaxRecord {
		t.Errorf("record of %d bytes", len(rec))
	}
	r, err := evidence.Decode(rec)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Detail) != evidence.MaxDetails || r.Detail["dropped"] != "25" {
		t.Errorf("%d details, dropped %q", len(r.Detail), r.Detail["dropped"])
	}
	if all := fmt.Sprint(r); strings.ContainsAny(all, "\x1b\n\u202e") || !strings.HasSuffix(r.From, "…") ||
		len(r.From) > evidence.MaxText {
		t.Errorf("not made printable: %q", all)
	}
	if !r.Wall.IsZero() {
		t.Errorf("a time beyond the year 9999 became %v", r.Wall)
	}
	s, _ := evidencetest.Keys(t)
	if signed := evidencetest.Sign(t, s, rec); len(signed) > evidence.MaxSigned {
		t.Errorf("signed record of %d bytes", len(signed))
	}
}

func TestCannotRecord(t *testing.T) {
	h := *evidencetest.Begin(t, "gw-1", 1, "", nil).Head()
	ok := evidence.Event{Kind: evidence.KindStart}
	for name, f := range map[string]func() ([]byte, evidence.Head, error){
		"no device":    func() ([]byte, evidence.Head, error) { return h.Next("", ok, evidencetest.Stamp()) },
		"device/topic": func() ([]byte, evidence.Head, error) { return h.Next("a/b", ok, evidencetest.Stamp()) },
		"long device": func() ([]byte, evidence.Head, error) {
			return h.Next(strings.Repeat("a", 65), ok, evidencetest.Stamp())
		},
		"no kind": func() ([]byte, evidence.Head, error) { return h.Next("a", evidence.Event{}, evidencetest.Stamp()) },
		"chain by hand": func() ([]byte, evidence.Head, error) {
			return h.Next("a", evidence.Event{Kind: evidence.KindChain}, evidencetest.Stamp())
		},
		"no reason": func() ([]byte, evidence.Head, error) {
			return h.Next("a", evidence.Event{Kind: "x", Reason: "No"}, evidencetest.Stamp())
		},
		"no head": func() ([]byte, evidence.Head, error) { return evidence.Head{}.Next("a", ok, evidencetest.Stamp()) },
		"last number": func() ([]byte, evidence.Head, error) {
			return evidence.Head{Seq: 1<<64 - 1}.Next("a", ok, evidencetest.Stamp())
		},
		"its own chain": func() ([]byte, evidence.Head, error) {
			return evidence.Begin("a", h.Chain, "", &h, evidencetest.Stamp())
		},
		"begin no device": func() ([]byte, evidence.Head, error) {
			return evidence.Begin("", h.Chain, "", nil, evidencetest.Stamp())
		},
	} {
		if _, _, err := f(); err == nil {
			t.Errorf("%s: recorded", name)
		}
	}
}

// raw encodes a record by hand, so that Decode meets what Next never makes.
func raw(t testing.TB, change func(m map[int]any)) []byte {
	t.Helper()
	m := map[int]any{1: 1, 2: make([]byte, 16), 3: 2, 4: make([]byte, 32), 5: "gw-1", 11: "start"}
	change(m)
	b, err := cbor.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecodeRefuses(t *testing.T) {
	newer := raw(t, func(m map[int]any) { m[99] = "of a newer agent"; m[-5] = []int{1} })
	if _, err := evidence.Decode(newer); err != nil {
		t.Errorf("a key of a newer version: %v", err)
	}
	many := map[string]string{}
	for i := range 17 {
		many[fmt.Sprint(i)] = ""
	}
	for name, b := range map[string][]byte{
		"nothing":             nil,
		"no map":              {0x80},
		"trailing byte":       append(raw(t, func(map[int]any) {}), 0),
		"newer format":        raw(t, func(m map[int]any) { m[1] = 2 }),
		"no format":           raw(t, func(m map[int]any) { delete(m, 1) }),
		"short chain":         raw(t, func(m map[int]any) { m[2] = make([]byte, 15) }),
		"number zero":         raw(t, func(m map[int]any) { m[3] = 0 }),
		"first with previous": raw(t, func(m map[int]any) { m[3] = 1; m[11] = "chain" }),
		"first of other kind": raw(t, func(m map[int]any) { m[3] = 1; delete(m, 4) }),
		"chain in the middle": raw(t, func(m map[int]any) { m[11] = "chain" }),
		"no previous":         raw(t, func(m map[int]any) { delete(m, 4) }),
		"short previous":      raw(t, func(m map[int]any) { m[4] = make([]byte, 31) }),
		"last in the middle": raw(t, func(m map[int]any) {
			m[22] = []any{bytes.Repeat([]byte{7}, 16), 1, make([]byte, 32)}
		}),
		"last of own chain": raw(t, func(m map[int]any) {
			m[3], m[11] = 1, "chain"
			delete(m, 4)
			m[22] = []any{make([]byte, 16), 1, make([]byte, 32)}
		}),
		"no device":       raw(t, func(m map[int]any) { m[5] = "" }),
		"device as topic": raw(t, func(m map[int]any) { m[5] = "a/+" }),
		"no kind":         raw(t, func(m map[int]any) { m[11] = "" }),
		"reason":          raw(t, func(m map[int]any) { m[12] = "Not Kebab" }),
		"long text":       raw(t, func(m map[int]any) { m[13] = strings.Repeat("x", evidence.MaxText+1) }),
		"long detail": raw(t, func(m map[int]any) {
			m[21] = map[string]string{"k": strings.Repeat("x", evidence.MaxDetail+1)}
		}),
		"long detail key": raw(t, func(m map[int]any) {
			m[21] = map[string]string{strings.Repeat("x", evidence.MaxName+1): ""}
		}),
		"many details":     raw(t, func(m map[int]any) { m[21] = many }),
		"large":            raw(t, func(m map[int]any) { m[98] = make([]byte, evidence.MaxRecord) }),
		"twice the key":    {0xa2, 0x01, 0x01, 0x01, 0x01},
		"indefinite":       {0xbf, 0x01, 0x01, 0xff},
		"text not UTF-8":   raw(t, func(m map[int]any) { m[13] = cbor.RawMessage{0x61, 0xff} }),
		"claims much":      {0xa1, 0x02, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"claims many":      {0xbb, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"nested too deep":  append(bytes.Repeat([]byte{0xa1, 0x18, 0x63}, 500), 0x00),
		"text as a number": raw(t, func(m map[int]any) { m[13] = 5 }),
	} {
		if _, err := evidence.Decode(b); err == nil || !strings.HasPrefix(err.Error(), "cannot decode record: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSignsOnlyRecords(t *testing.T) {
	s, _ := evidencetest.Keys(t)
	if _, err := evidence.Sign([]byte("anything"), s); err == nil {
		t.Error("signed something that is no record")
	}
}
