package evidence_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/evidence/evidencetest"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

func FuzzDecode(f *testing.F) {
	c := evidencetest.Begin(f, "gw-1", 1, "", nil).Grow(2)
	c.Add(evidence.Event{Kind: evidence.KindHealth, Reason: reason.HealthFailed,
		Detail: map[string]string{"check": "tcp", "b": ""}})
	for _, r := range append(c.Recs, evidencetest.Begin(f, "gw-1", 2, reason.JournalLost, c.Head()).Recs...) {
		f.Add(r)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := evidence.Decode(b)
		if err != nil {
			if !errors.Is(err, evidence.ErrMalformed) {
				t.Errorf("error wraps no sentinel: %v", err)
			}
			return
		}
		for _, s := range []string{r.From, r.To, r.Slot, r.Component, r.Manifest, r.Image, r.Actor,
			r.Quality, r.BootID, r.Agent} {
			if len(s) > evidence.MaxText || strings.ContainsAny(s, "\x00\x1b\n\r\u202e") {
				t.Errorf("unbounded or unsafe text %q", s)
			}
		}
		// What was decoded can be recorded, and then decodes to the same.
		var again []byte
		if r.Seq == 1 {
			again, _, err = evidence.Begin(r.Device, r.Chain, r.Reason, r.Last, r.Stamp)
			r.Event = evidence.Event{Kind: r.Kind, Reason: r.Reason}
		} else {
			again, _, err = evidence.Head{Chain: r.Chain, Seq: r.Seq - 1, Hash: r.Prev}.Next(r.Device, r.Event, r.Stamp)
		}
		if err != nil {
			t.Fatalf("cannot record again: %v", err)
		}
		got, err := evidence.Decode(again)
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("decoded again: %+v, %v, want %+v", got, err, r)
		}
	})
}

func FuzzVerifyStatus(f *testing.F) {
	s, keys := evidencetest.Keys(f)
	for _, st := range []evidence.Status{exampleStatus(), {Device: "gw-1"}} {
		msg, err := evidence.SignStatus(st, s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(msg)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if st, _, err := evidence.VerifyStatus(b, keys); err == nil && (st.Device == "" || st.Progress > 100) {
			t.Errorf("%+v", st)
		}
	})
}

// FuzzStatusPayload reaches what stands behind the signature.
func FuzzStatusPayload(f *testing.F) {
	s, keys := evidencetest.Keys(f)
	f.Add([]byte{0xa2, 1, 1, 2, 0x64, 'g', 'w', '-', '1'})
	f.Fuzz(func(t *testing.T, b []byte) {
		msg, err := s.Sign1(b, []byte("ratchet/status/v1"), evidence.TypeStatus)
		if err != nil {
			return
		}
		st, _, err := evidence.VerifyStatus(msg, keys)
		if err != nil {
			return
		}
		again, err := evidence.SignStatus(st, s)
		if err != nil {
			t.Fatalf("cannot sign again: %v", err)
		}
		if got, _, err := evidence.VerifyStatus(again, keys); err != nil || !reflect.DeepEqual(got, st) {
			t.Errorf("%+v, %v, want %+v", got, err, st)
		}
	})
}
