package export_test

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/evidence/evidencetest"
	"github.com/ratchet-ota/ratchet/agent/evidence/export"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// verify returns the numbers of the good records too.
func verify(b []byte, keys trust.Keys) (export.Summary, []uint64, error) {
	var seqs []uint64
	s, err := export.Verify(bytes.NewReader(b), keys, func(r evidence.Record) error {
		seqs = append(seqs, r.Seq)
		return nil
	})
	return s, seqs, err
}

func TestExport(t *testing.T) {
	s, keys := evidencetest.Keys(t)
	c := evidencetest.Begin(t, "gw-1", 1, "", nil).Grow(8)
	c.Add(evidence.Event{Kind: evidence.KindDecision, Reason: reason.LowBattery})
	sum, seqs, err := verify(evidencetest.Sign(t, s, c.Recs...), keys)
	if err != nil {
		t.Fatal(err)
	}
	if sum.Device != "gw-1" || sum.Signer != s.Key().ID() || sum.Records != 10 || len(seqs) != 10 ||
		len(sum.Chains) != 1 ||
		sum.Reasons[reason.LowBattery] != 1 || len(sum.Reasons) != 1 || sum.Missing() != 0 || sum.Duplicates != 0 {
		t.Errorf("summary %+v of %v", sum, seqs)
	}
	if ch := sum.Chains[0]; ch.First != 1 || ch.Last != 10 || ch.Head != *c.Head() || ch.Records != 10 ||
		ch.Known != nil {
		t.Errorf("chain %+v", ch)
	}
	// Whatever way the bytes arrive in.
	one, err := export.Verify(iotest.OneByteReader(bytes.NewReader(evidencetest.Sign(t, s, c.Recs...))), keys, nil)
	if err != nil || one.Records != 10 {
		t.Errorf("byte by byte: %d records, %v", one.Records, err)
	}
}

func TestExportSaysWhatIsMissing(t *testing.T) {
	s, keys := evidencetest.Keys(t)
	c := evidencetest.Begin(t, "gw-1", 1, "", nil).Grow(19)
	r := c.Recs
	for _, test := range []struct {
		name       string
		recs       [][]byte
		first      uint64
		gaps       []export.Gap
		missing    uint64
		duplicates int
	}{
		{"pruned beginning", r[5:], 6, nil, 5, 0},
		{"one record only", r[7:8], 8, nil, 7, 0},
		{"gap", slices.Concat(r[:4], r[6:]), 1, []export.Gap{{5, 6}}, 2, 0},
		{"gaps and pruned", slices.Concat(r[2:4], r[5:9], r[12:]), 3, []export.Gap{{5, 5}, {10, 12}}, 6, 0},
		{"sent twice", slices.Concat(r[:4], r[3:4], r[3:]), 1, nil, 0, 2},
	} {
		sum, seqs, err := verify(evidencetest.Sign(t, s, test.recs...), keys)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		ch := sum.Chains[0]
		if ch.First != test.first || !slices.Equal(ch.Gaps, test.gaps) || sum.Missing() != test.missing ||
			sum.Duplicates != test.duplicates {
			t.Errorf("%s: %+v", test.name, sum)
		}
		if len(seqs) != len(test.recs)-test.duplicates || !slices.IsSorted(seqs) {
			t.Errorf("%s: records %v", test.name, seqs)
		}
	}
}

// TestNewChain (I10): a loss shows as a new chain with its reason and the last known head.
func TestNewChain(t *testing.T) {
	s, keys := evidencetest.Keys(t)
	old := evidencetest.Begin(t, "gw-1", 1, "", nil).Grow(9)
	for _, test := range []struct {
		name    string
		known   *evidence.Head
		export  int // records of the old chain in the export
		missing uint64
		forgot  uint64
	}{
		{"knew the end", old.Head(), 10, 0, 0},
		{"knew an earlier one", &old.Heads[6], 10, 0, 3},
		{"knew nothing", nil, 10, 0, 0},
		{"the end is missing", old.Head(), 7, 3, 0},
	} {
		next := evidencetest.Begin(t, "gw-1", 2, reason.JournalLost, test.known).Grow(2)
		sum, _, err := verify(evidencetest.Sign(t, s, slices.Concat(old.Recs[:test.export], next.Recs)...), keys)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		ch := sum.Chains[len(sum.Chains)-1]
		if len(sum.Chains) != 2 || ch.Why != reason.JournalLost || ch.First != 1 || ch.Forgot != test.forgot ||
			sum.Missing() != test.missing || (ch.Known == nil) != (test.known == nil) ||
			ch.Known != nil && *ch.Known != *test.known {
			t.Errorf("%s: %+v", test.name, sum)
		}
	}
	// The beginning of the new chain is gone too.
	next := evidencetest.Begin(t, "gw-1", 2, reason.JournalLost, old.Head()).Grow(5)
	sum, _, err := verify(evidencetest.Sign(t, s, slices.Concat(old.Recs, next.Recs[3:])...), keys)
	if err != nil || sum.Chains[1].First != 4 || sum.Chains[1].Why != "" || sum.Missing() != 3 {
		t.Errorf("new chain without beginning: %+v, %v", sum, err)
	}
}

func TestExportBreaks(t *testing.T) {
	s, keys := evidencetest.Keys(t)
	other, _ := evidencetest.Keys(t)
	both, err := trust.NewKeys([]trust.Key{s.Key(), other.Key()}, false)
	if err != nil {
		t.Fatal(err)
	}
	c := evidencetest.Begin(t, "gw-1", 1, "", nil).Grow(5)
	good := evidencetest.Sign(t, s, c.Recs...)
	at := func(n int) int64 { return int64(len(evidencetest.Sign(t, s, c.Recs[:n]...))) }

	// Another history from record 4 on, by whoever holds the key.
	fork := c.Fork(3)
	for range 3 {
		fork.Add(evidence.Event{Kind: evidence.KindVerdict, Reason: reason.HealthFailed})
	}
	foreign := evidencetest.Begin(t, "gw-2", 1, "", nil).Grow(5)
	flipped := bytes.Clone(good)
	flipped[at(3)-70] ^= 1 // in the signed bytes of record 3
	forkedHead := *c.Head()
	forkedHead.Hash[0] ^= 1
	status, err := evidence.SignStatus(evidence.Status{Device: "gw-1"}, s)
	if err != nil {
		t.Fatal(err)
	}

	for _, test := range []struct {
		name   string
		export []byte
		keys   trust.Keys
		want   error
		after  uint64 // last good record
		offset int64
	}{
		{"nothing", nil, keys, export.ErrEmpty, 0, 0},
		{"replaced record", evidencetest.Sign(t, s, slices.Concat(c.Recs[:3], fork.Recs[3:4], c.Recs[4:])...), keys,
			export.ErrForged, 4, int64(len(evidencetest.Sign(t, s, slices.Concat(c.Recs[:3], fork.Recs[3:4])...)))},
		{"fork",
			evidencetest.Sign(t, s, slices.Concat(c.Recs[:4], fork.Recs[3:])...), keys, export.ErrForked, 4, at(4)},
		{"fork in a new chain",
			evidencetest.Sign(t, s, slices.Concat(c.Recs, evidencetest.Begin(t, "gw-1", 2,
				reason.JournalLost, &forkedHead).Recs)...), keys, export.ErrForked, 6, at(6)},
		{"backwards",
			evidencetest.Sign(t, s, slices.Concat(c.Recs[:5], c.Recs[2:])...), keys, export.ErrOrder, 5, at(5)},
		{"back to a chain",
			evidencetest.Sign(t, s, slices.Concat(c.Recs[:3],
				evidencetest.Begin(t, "gw-1", 2, "", nil).Recs, c.Recs[3:])...), keys, export.ErrOrder, 1, -1},
		{"foreign device",
			evidencetest.Sign(t, s, slices.Concat(c.Recs[:2], foreign.Recs[2:])...), keys, export.ErrDevice, 2, at(2)},
		{"another known key",
			append(evidencetest.Sign(t, s, c.Recs[:2]...), evidencetest.Sign(t, other, c.Recs[2:]...)...), both,
			export.ErrDevice, 2, at(2)},
		{"unknown key", append(evidencetest.Sign(t, s, c.Recs[:2]...), evidencetest.Sign(t, other, c.Recs[2:]...)...),
			keys, trust.ErrNoSigner, 2, at(2)},
		{"altered", flipped, keys, trust.ErrSignature, 2, at(2)},
		{"a status among the records",
			append(evidencetest.Sign(t, s, c.Recs[:2]...), status...), keys, trust.ErrMalformed, 2, at(2)},
		{"unsigned record",
			append(evidencetest.Sign(t, s, c.Recs[:2]...), c.Recs[2]...), keys, trust.ErrMalformed, 2, at(2)},
		{"cut off", good[:len(good)-1], keys, evidence.ErrMalformed, 5, at(5)},
		{"garbage", append(bytes.Clone(good[:at(2)]), 0xff, 0xff), keys, evidence.ErrMalformed, 2, at(2)},
		{"endless item",
			append(append(bytes.Clone(good[:at(2)]), 0x5a, 0x7f, 0xff, 0xff, 0xff), make([]byte, 1<<20)...), keys,
			evidence.ErrMalformed, 2, at(2)},
	} {
		sum, seqs, err := verify(test.export, test.keys)
		var b *export.BreakError
		if !errors.Is(err, test.want) || !errors.As(err, &b) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
			continue
		}
		if b.Seq != test.after || test.offset >= 0 && b.Offset != test.offset {
			t.Errorf("%s: breaks after %d at byte %d, want %d at %d",
				test.name, b.Seq, b.Offset, test.after, test.offset)
		}
		if sum.Records != len(seqs) || len(seqs) > 0 && seqs[len(seqs)-1] != test.after {
			t.Errorf("%s: %d records counted, handed over %v", test.name, sum.Records, seqs)
		}
	}
	_, _, err = verify(evidencetest.Sign(t, s, slices.Concat(c.Recs[:4], fork.Recs[3:])...), keys)
	if want := "breaks after record 4 of chain 01000000, at byte "; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v does not say %q", err, want)
	}
}

func TestExportStops(t *testing.T) {
	s, keys := evidencetest.Keys(t)
	whole := evidencetest.Sign(t, s, evidencetest.Begin(t, "gw-1", 1, "", nil).Grow(5).Recs...)
	mine := errors.New("mine")
	n := 0
	_, err := export.Verify(bytes.NewReader(whole), keys, func(evidence.Record) error {
		if n++; n == 3 {
			return mine
		}
		return nil
	})
	if err != mine || n != 3 {
		t.Errorf("after %d records: %v", n, err)
	}
	slow := iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(whole)))
	if _, err := export.Verify(slow, keys, nil); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("error of the reader: %v", err)
	}
}

// endless repeats one valid duplicate for ever; memory must not follow.
type endless struct {
	b  []byte
	at int
	n  int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.n <= 0 {
		return 0, io.EOF
	}
	n := copy(p, e.b[e.at:])
	e.at = (e.at + n) % len(e.b)
	e.n -= n
	return n, nil
}

func TestExportIsBounded(t *testing.T) {
	s, keys := evidencetest.Keys(t)
	item := evidencetest.Sign(t, s, evidencetest.Begin(t, "gw-1", 1, "", nil).Recs[0])
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	sum, err := export.Verify(&endless{b: item, n: len(item) * 5000}, keys, nil)
	runtime.GC()
	runtime.ReadMemStats(&after)
	if err != nil || sum.Duplicates != 4999 {
		t.Fatalf("%d duplicates, %v", sum.Duplicates, err)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 256<<10 {
		t.Errorf("%d bytes are held after %d bytes of export", grown, sum.Bytes)
	}
}

func FuzzVerify(f *testing.F) {
	s, keys := evidencetest.Keys(f)
	c := evidencetest.Begin(f, "gw-1", 1, "", nil).Grow(3)
	f.Add(evidencetest.Sign(f, s, c.Recs...))
	f.Add(evidencetest.Sign(f, s, c.Recs[1], c.Recs[3]))
	f.Add(append(evidencetest.Sign(f, s, c.Recs[0]), 0xd2, 0x84))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		sum, err := export.Verify(bytes.NewReader(b), keys, func(evidence.Record) error { n++; return nil })
		var be *export.BreakError
		if err != nil && (!errors.As(err, &be) || be.Offset > int64(len(b))) || n != sum.Records {
			t.Errorf("%d records, %+v, %v", n, sum, err)
		}
	})
}
