package report_test

import (
	"log/slog"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/internal/view"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/report"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// FuzzResend: a request sets the drain back, never forward.
func FuzzResend(f *testing.F) {
	for _, s := range []string{"", "\x00", "\x01", "\x05", "\x18\x63", "\x1b\xff\xff\xff\xff\xff\xff\xff\xff", "\x20",
		"\x81\x01", "\xfb?\xf0\x00\x00\x00\x00\x00\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := store.Open(journal.NewMemory(), "dev-1", 1<<20,
			func() evidence.Stamp { return evidence.Stamp{Quality: "unknown"} })
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Commit(nil, nil, store.PutSent{Seq: 10}); err != nil {
			t.Fatal(err)
		}
		r := report.New(report.Options{Store: st, View: view.New(sim.New(1).Clock()),
			Log: slog.New(slog.DiscardHandler)})
		if err := r.Resend(b); err != nil || st.Sent() > 10 {
			t.Errorf("evidence counts as sent up to %d: %v", st.Sent(), err)
		}
	})
}
