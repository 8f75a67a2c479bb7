package agent_test

import (
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/manifest/author"
)

// TestSUITReport: draft-ietf-suit-report. The report of each procedure says in the standard's words how it ended.
func TestSUITReport(t *testing.T) {
	toaster := func(m *author.Release) { m.Classes = []manifest.UUID{manifest.ClassUUID(vendor, "toaster")} }
	expires := func(m *author.Release) { m.UseBefore = time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC) }
	for _, tt := range []struct {
		name string
		sick bool
		edit []func(*author.Release)
		want manifest.Code
	}{
		{"updated", false, nil, manifest.CodeOK},
		{"updated, before it expires", false, []func(*author.Release){expires}, manifest.CodeOK},
		{"reverted", true, nil, manifest.CodeOperation},
		{"refused", false, []func(*author.Release){toaster}, manifest.CodeCondition},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, 70, func(r *rig) {
				r.sick[2] = tt.sick
				env := r.release(2, 2, tt.edit...)
				r.play(env)
				var raw []byte
				if err := r.mem.View(func(tx journal.Tx) error {
					raw = append(raw, tx.Get(journal.State, "report")...)
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				rep, err := manifest.DecodeReport(raw)
				if err != nil {
					t.Fatal(err)
				}
				got := manifest.CodeOK
				if rep.Failure != nil {
					got = rep.Failure.Reason
				}
				e, err := manifest.Parse(env)
				if err != nil {
					t.Fatal(err)
				}
				if got != tt.want || rep.Manifest != e.ClaimedDigest() || rep.URI == "" {
					t.Errorf("report %v of %v: %s, want %v", rep.Manifest, rep.URI, got, tt.want)
				}
			})
		})
	}
}
