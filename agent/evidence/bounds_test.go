package evidence_test

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/evidence/evidencetest"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// TestDecodeAtTheBounds: what a record may just hold is read, as it stands.
func TestDecodeAtTheBounds(t *testing.T) {
	details := map[string]string{}
	for i := range evidence.MaxDetails {
		details[fmt.Sprintf("%0*d", evidence.MaxName, i)] = ""
	}
	text, name := strings.Repeat("x", evidence.MaxText), strings.Repeat("aAzZ09.-_", 10)[:evidence.MaxName]
	fill := len(raw(t, func(m map[int]any) { m[98] = make([]byte, 3000) })) - 3000
	for what, b := range map[string][]byte{
		"text":   raw(t, func(m map[int]any) { m[13] = text }),
		"device": raw(t, func(m map[int]any) { m[5] = name }),
		"kind":   raw(t, func(m map[int]any) { m[11] = strings.Repeat("az09-", 13)[:evidence.MaxName] }),
		"detail": raw(t, func(m map[int]any) {
			m[21] = map[string]string{"k": strings.Repeat("x",
				evidence.MaxDetail)}
		}),
		"details": raw(t, func(m map[int]any) { m[21] = details }),
		"record":  raw(t, func(m map[int]any) { m[98] = make([]byte, evidence.MaxRecord-fill) }),
	} {
		r, err := evidence.Decode(b)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		switch what {
		case "text":
			err = differ(r.From, text)
		case "device":
			err = differ(r.Device, name)
		case "detail":
			err = differ(r.Detail["k"], strings.Repeat("x", evidence.MaxDetail))
		case "details":
			if !maps.Equal(r.Detail, details) {
				err = fmt.Errorf("%v", r.Detail)
			}
		case "record":
			err = differ(fmt.Sprint(len(b)), fmt.Sprint(evidence.MaxRecord))
		}
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := evidence.Decode(raw(t, func(m map[int]any) {
		m[98] = make([]byte,
			evidence.MaxRecord-fill+1)
	})); err == nil {
		t.Error("a record of a byte too many is read")
	}
	for _, bad := range []string{"_kind", "kind_", "Kind", "k ", "k:", "k/", "k`", "k{",
		strings.Repeat("k", evidence.MaxName+1)} {
		if _, err := evidence.Decode(raw(t, func(m map[int]any) { m[11] = bad })); err == nil {
			t.Errorf("kind %q is read", bad)
		}
	}
	for _, bad := range []string{"/a", "a@", "a[", "a`", "a{", "a/", "a:", "a,", "a ", "ä",
		strings.Repeat("a", evidence.MaxName+1)} {
		if _, err := evidence.Decode(raw(t, func(m map[int]any) { m[5] = bad })); err == nil {
			t.Errorf("device %q is read", bad)
		}
	}
}

func differ(got, want string) error {
	if got == want {
		return nil
	}
	return fmt.Errorf("%q, want %q", got, want)
}

// TestEveryFieldIsKept: a record and a status are read as they were made, field by field.
func TestEveryFieldIsKept(t *testing.T) {
	stamp := evidence.Stamp{Wall: time.UnixMilli(1), Quality: "quality", Uptime: time.Hour, BootID: "boot",
		Agent: "agent"}
	e := evidence.Event{Kind: evidence.KindVerdict, Reason: reason.FellBack, From: "from", To: "to", Slot: "slot",
		Component: "component",
		Manifest:  "manifest", Image: "image", Sequence: 5, Actor: "actor", Detail: map[string]string{"k": "v"}}
	h := evidence.Head{Chain: [16]byte{3}, Seq: 4, Hash: [32]byte{9}}
	b, next, err := h.Next("gw-1", e, stamp)
	if err != nil {
		t.Fatal(err)
	}
	want := evidence.Record{Chain: h.Chain, Seq: 5, Prev: h.Hash, Device: "gw-1", Stamp: stamp, Event: e}
	want.Wall = want.Wall.UTC()
	if r, err := evidence.Decode(b); err != nil || fmt.Sprintf("%#v", r) != fmt.Sprintf("%#v", want) {
		t.Errorf("%#v, %v, want\n%#v", r, err, want)
	}
	if want := (evidence.Head{Chain: h.Chain, Seq: 5, Hash: sha256.Sum256(b)}); next != want {
		t.Errorf("the head is %+v, want %+v", next, want)
	}
	s, keys := evidencetest.Keys(t)
	st := evidence.Status{Device: "gw-1", Running: "running", Version: "version", Phase: "phase", Target: "target",
		Manifest: "manifest", Sequence: 6,
		Progress: 7, Last: evidence.Outcome{Result: "result", Reason: reason.Expired, Sequence: 8,
			Time: time.UnixMilli(9).UTC()}, Problem: reason.LowBattery,
		Head: h, Stamp: stamp}
	st.Wall = st.Wall.UTC()
	msg, err := evidence.SignStatus(st, s)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := evidence.VerifyStatus(msg, keys); err != nil || !reflect.DeepEqual(got, st) {
		t.Errorf("%+v, %v, want\n%+v", got, err, st)
	}
}

// TestTextsAreCut: a text is cut at its bound, between two characters and with a mark; one that fits is kept.
func TestTextsAreCut(t *testing.T) {
	h := evidence.Head{Chain: [16]byte{3}, Seq: 4}
	for in, want := range map[string]string{
		strings.Repeat("x", 144):               strings.Repeat("x", 144),
		strings.Repeat("x", 145):               strings.Repeat("x", 141) + "…",
		strings.Repeat("x", 140) + "äöüäöü":    strings.Repeat("x", 140) + "…",
		strings.Repeat("ä", 72):                strings.Repeat("ä", 72),
		strings.Repeat("ä", 73):                strings.Repeat("ä", 70) + "…",
		"\x1b[2J":                              " [2J",
		"a\x7fb":                               "a b",
		"a\x1bb\x7fc\nd":                       "a b c d",
		" ~":                                   " ~",
		"a\u202eb\xffc\ue000":                  "a\ufffdb\ufffdc\ufffd",
		"plain, and \u00e4 character":          "plain, and \u00e4 character",
		strings.Repeat("x", 143) + "\x1b":      strings.Repeat("x", 143) + " ",
		strings.Repeat("x", 143) + "\u202e...": strings.Repeat("x", 141) + "…",
	} {
		b, _, err := h.Next("gw-1", evidence.Event{Kind: evidence.KindStart, Actor: in}, evidence.Stamp{})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := evidence.Decode(b); err != nil || r.Actor != want {
			t.Errorf("%q is kept as %q (%v), want %q", in, r.Actor, err, want)
		}
	}
}

// TestDetailsAreBounded: sixteen details are kept; of more, fifteen and how many were not. Details that become the same
// name count among those. Where a record would be too long, all values are cut to half, as often as needed.
func TestDetailsAreBounded(t *testing.T) {
	h := evidence.Head{Chain: [16]byte{3}, Seq: 4}
	keep := func(d map[string]string) map[string]string {
		b, _, err := h.Next("gw-1", evidence.Event{Kind: evidence.KindStart, Detail: d}, evidence.Stamp{})
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > evidence.MaxRecord {
			t.Errorf("%d bytes", len(b))
		}
		r, err := evidence.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		return r.Detail
	}
	some := func(n, long int) map[string]string {
		d := map[string]string{}
		for i := range n {
			d[fmt.Sprintf("k%02d", i)] = strings.Repeat("v", long)
		}
		return d
	}
	if d := keep(nil); d != nil {
		t.Errorf("no details are kept as %v", d)
	}
	if d := keep(some(16, 1)); !maps.Equal(d, some(16, 1)) {
		t.Errorf("16 details are kept as %v", d)
	}
	want := some(15, 1)
	want["dropped"] = "2"
	if d := keep(some(17, 1)); !maps.Equal(d, want) {
		t.Errorf("17 details are kept as %v", d)
	}
	if d := keep(map[string]string{"a\x01": "1", "a\x02": "2", "b": "3"}); !maps.Equal(d,
		map[string]string{"a ": "1", "b": "3", "dropped": "1"}) {
		t.Errorf("two of the same name are kept as %v", d)
	}
	twins := some(15, 1)
	twins["a\x01"], twins["a\x02"] = "1", "2"
	if d := keep(twins); len(d) != 16 || d["dropped"] != "2" || d["a "] != "1" || d["k14"] != "" {
		t.Errorf("two of the same name among 17 are kept as %v", d)
	}
	full := some(14, 1)
	full["a\x01"], full["a\x02"] = "1", "2" // 15 names of 16 details
	if d := keep(full); len(d) != 16 || d["dropped"] != "1" || d["k13"] != "v" {
		t.Errorf("two of the same name among 16 are kept as %v", d)
	}
	for _, v := range keep(some(16, 1000)) {
		if v != strings.Repeat("v", 125)+"…" { // 256 bytes each would be more than a record may have
			t.Errorf("a long detail is kept as %q, %d bytes", v, len(v))
		}
	}
	for _, v := range keep(some(3, 1000)) {
		if v != strings.Repeat("v", 253)+"…" {
			t.Errorf("a long detail is kept as %q, %d bytes", v, len(v))
		}
	}
}

// TestTimesAreBounded: a time before 1970 or after 9999 is not known, an uptime below zero is none.
func TestTimesAreBounded(t *testing.T) {
	end := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		wall time.Time
		up   time.Duration
		want evidence.Stamp
	}{
		{time.UnixMilli(1), 1999 * time.Microsecond, evidence.Stamp{Wall: time.UnixMilli(1).UTC(),
			Uptime: time.Millisecond}},
		{time.UnixMilli(0), 0, evidence.Stamp{}},
		{time.UnixMilli(-1), -time.Hour, evidence.Stamp{}},
		{end.Add(-time.Millisecond), 0, evidence.Stamp{Wall: end.Add(-time.Millisecond)}},
		{end, 1<<63 - 1, evidence.Stamp{Uptime: 1 << 42 * time.Millisecond}},
	} {
		b, _, err := evidence.Begin("gw-1", [16]byte{1}, "", nil, evidence.Stamp{Wall: c.wall, Uptime: c.up})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := evidence.Decode(b); err != nil || r.Stamp != c.want {
			t.Errorf("%v and %v are read as %+v (%v)", c.wall, c.up, r.Stamp, err)
		}
	}
	r, err := evidence.Decode(raw(t, func(m map[int]any) { m[6], m[8] = uint64(1)<<63, uint64(1)<<63 }))
	if err != nil || !r.Wall.IsZero() || r.Uptime != 1<<42*time.Millisecond {
		t.Errorf("times that cannot be are read as %+v (%v)", r.Stamp, err)
	}
	if r, err = evidence.Decode(raw(t, func(m map[int]any) { m[6] = end.UnixMilli() })); err != nil ||
		!r.Wall.IsZero() {
		t.Errorf("the year 10000 is read as %v (%v)", r.Wall, err)
	}
	if r, err = evidence.Decode(raw(t, func(m map[int]any) { m[6] = end.UnixMilli() - 1 })); err != nil ||
		r.Wall != end.Add(-time.Millisecond) {
		t.Errorf("the end of the year 9999 is read as %v (%v)", r.Wall, err)
	}
}

// TestStatusAtTheBounds: what a status may just hold is signed and read.
func TestStatusAtTheBounds(t *testing.T) {
	s, keys := evidencetest.Keys(t)
	text := strings.Repeat("x", evidence.MaxText)
	for in, want := range map[int]int{-1: 0, 0: 0, 1: 1, 100: 100, 101: 100} {
		msg, err := evidence.SignStatus(evidence.Status{Device: "gw-1", Progress: in, Version: text,
			Last: evidence.Outcome{Reason: reason.Expired, Sequence: 3}}, s)
		if err != nil {
			t.Fatal(err)
		}
		st, _, err := evidence.VerifyStatus(msg, keys)
		if err != nil || st.Progress != want || st.Version != text || st.Last != (evidence.Outcome{}) ||
			st.Head != (evidence.Head{}) {
			t.Errorf("progress %d: %+v, %v", in, st, err)
		}
	}
}

// TestDecoderIsStrict: bytes have one reading, and cannot ask for much: no name twice, no open ends, 64 pairs and
// elements, eight levels.
func TestDecoderIsStrict(t *testing.T) {
	pairs := func(n int) []byte {
		return raw(t, func(m map[int]any) {
			for i := range n - len(m) {
				m[1000+i] = 0
			}
		})
	}
	levels := func(n int) any {
		var in any = 0
		for range n {
			in = []any{in}
		}
		return in
	}
	unknown := func(v any) []byte { return raw(t, func(m map[int]any) { m[98] = v }) }
	record := raw(t, func(map[int]any) {})
	if record[0] != 0xa6 {
		t.Fatalf("a record begins with %x", record[0])
	}
	for name, b := range map[string][]byte{
		"64 pairs": pairs(64), "64 elements": unknown(make([]int, 64)), "eight levels": unknown(levels(7)),
		"a record": record,
	} {
		if _, err := evidence.Decode(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, b := range map[string][]byte{
		"65 pairs": pairs(65), "65 elements": unknown(make([]int, 65)), "nine levels": unknown(levels(8)),
		"a name twice": slices.Concat([]byte{0xa7}, record[1:], []byte{5, 0x64}, []byte("gw-2")),
		"an open end":  slices.Concat([]byte{0xbf}, record[1:], []byte{0xff}),
	} {
		if _, err := evidence.Decode(b); err == nil {
			t.Errorf("%s: read", name)
		}
	}
}

// TestRecordMayBeFull: a record of as many bytes as are allowed is kept as it is.
func TestRecordMayBeFull(t *testing.T) {
	h := evidence.Head{Chain: [16]byte{3}, Seq: 4}
	e, longest := evidence.Event{Kind: evidence.KindStart, Detail: map[string]string{}}, 0
	for i := range 15 {
		e.Detail[fmt.Sprintf("k%02d", i)] = strings.Repeat("v", evidence.MaxDetail)
	}
	for n := range 256 {
		e.Detail["last"] = strings.Repeat("v", n)
		b, _, err := h.Next("gw-1", e, evidence.Stamp{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := evidence.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		whole := len(r.Detail["k00"]) == evidence.MaxDetail
		if whole && len(b) > evidence.MaxRecord {
			t.Errorf("a record of %d bytes is made", len(b))
		}
		if !whole {
			break
		}
		longest = len(b)
	}
	if longest != evidence.MaxRecord {
		t.Errorf("records of up to %d bytes are made", longest)
	}
}

// TestWhatIsWritten: what is not known is left out of the bytes, and what is out of bounds is not written.
func TestWhatIsWritten(t *testing.T) {
	s, keys := evidencetest.Keys(t)
	end := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		wall time.Time
		want any
	}{
		{time.Time{}, nil}, {time.UnixMilli(-1), nil}, {time.UnixMilli(0), nil}, {time.UnixMilli(1), uint64(1)},
		{end, nil},
		{end.Add(time.Hour), nil}, {end.Add(-time.Millisecond), uint64(end.UnixMilli() - 1)},
	} {
		b, _, err := evidence.Begin("gw-1", [16]byte{1}, "", nil, evidence.Stamp{Wall: c.wall})
		if err != nil {
			t.Fatal(err)
		}
		var m map[int]any
		if err := cbor.Unmarshal(b, &m); err != nil || m[6] != c.want {
			t.Errorf("%v is written as %v (%v)", c.wall, m[6], err)
		}
	}
	msg, err := evidence.SignStatus(evidence.Status{Device: "gw-1", Progress: 101}, s)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := keys.Verify1(msg, []byte("ratchet/status/v1"), evidence.TypeStatus)
	if err != nil {
		t.Fatal(err)
	}
	var m map[int]any
	if err := cbor.Unmarshal(b, &m); err != nil || len(m) != 3 || m[9] != uint64(100) {
		t.Errorf("the status is written as %v (%v)", m, err)
	}
	for _, device := range []string{"a", strings.Repeat("a", evidence.MaxName)} {
		if _, _, err := evidence.Begin(device, [16]byte{1}, "", nil, evidence.Stamp{}); err != nil {
			t.Errorf("device %q: %v", device, err)
		}
	}
	if _, _, err := (evidence.Head{Seq: 1}).Next("a", evidence.Event{Kind: "k"}, evidence.Stamp{}); err != nil {
		t.Errorf("a kind of one letter: %v", err)
	}
}
