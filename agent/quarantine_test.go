package agent_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/journal"
)

// TestQuarantineOutlivesTheJournal: a sick image stays quarantined after a restart, under another manifest and without
// the journal, too (loop 11).
func TestQuarantineOutlivesTheJournal(t *testing.T) {
	for _, lost := range []bool{false, true} {
		bubble(t, 611, func(r *rig) {
			r.sick[2] = true
			r.play(r.release(2, 2))
			r.is("A", 1, "health-failed")
			if lost {
				r.mem = journal.NewMemory()
			}
			if n := r.play(r.release(3, 2)); n != 0 {
				t.Errorf("journal lost=%v: the quarantined image made the device boot %d times", lost, n)
			}
			r.is("A", 1, "refuse slot= seq=3 quarantined")
		})
	}
}

// barred are the manifests that status says are quarantined.
func (r *rig) barred() (out []string) {
	r.awake(func(ctx context.Context, a *agent.Agent) {
		for _, line := range a.Console().Status(ctx).Advice {
			if d, ok := strings.CutPrefix(line, "Quarantined on this device: "); ok {
				out = append(out, d)
			}
		}
	})
	return out
}

// TestQuarantineHolds64: the file holds 64 entries (docs/formats/state.md); one more pushes out the oldest.
func TestQuarantineHolds64(t *testing.T) {
	bubble(t, 612, func(r *rig) {
		name := func(i int) string { return fmt.Sprintf("sha256:%064x", i) }
		var entries []any
		for i := range 63 {
			entries = append(entries, map[int]any{1: name(i), 2: []string{name(1000 + i)}, 3: "health-failed"})
		}
		body, err := cbor.Marshal(map[int]any{1: 1, 2: entries})
		if err != nil {
			t.Fatal(err)
		}
		r.w.PutFile("/state/quarantine.1",
			append(binary.LittleEndian.AppendUint32([]byte("RQ01"), crc32.ChecksumIEEE(body)), body...))
		if n := len(r.barred()); n != 63 {
			t.Fatalf("%d are quarantined at the beginning", n)
		}
		r.sick[2], r.sick[3] = true, true
		has := func(want int, oldest bool, what string) {
			t.Helper()
			all := r.barred()
			if len(all) != want || strings.Contains(strings.Join(all, " "), name(0)) != oldest ||
				!strings.Contains(strings.Join(all, " "), name(1)) {
				t.Errorf("%s: %d are quarantined, the oldest still: %v; want %d, %v",
					what, len(all), !oldest, want, oldest)
			}
		}
		r.play(r.release(2, 2))
		has(64, true, "the 64th")
		r.play(r.release(3, 3))
		has(64, false, "the 65th")
		if n := r.play(r.release(4, 2), r.release(5, 3)); n != 0 {
			t.Errorf("the newest two made the device boot %d times", n)
		}
	})
}
