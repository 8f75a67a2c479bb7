package agent_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/journal"
)

// bound is what the journal says was confirmed under each sequence number.
func (r *rig) bound() map[uint64]string {
	r.t.Helper()
	out := map[uint64]string{}
	err := r.mem.View(func(tx journal.Tx) error {
		return tx.Scan(journal.State, "bound/", func(k string, v []byte) bool {
			seq, ok := strings.CutPrefix(k, "bound/")
			if !ok {
				return false
			}
			var d string
			if err := cbor.Unmarshal(v, &d); err != nil || len(seq) != 8 {
				r.t.Errorf("%q holds %x: %v", k, v, err)
			}
			out[binary.BigEndian.Uint64([]byte(seq))] = d
			return true
		})
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// TestConfirmBindsTheNumber: what was confirmed under a number is remembered, so that no other manifest is
// taken under it, also where the floor cannot be read any more.
func TestConfirmBindsTheNumber(t *testing.T) {
	bubble(t, 631, func(r *rig) {
		r.sick[3] = true
		r.play(r.release(5, 2), r.release(6, 3)) // 6 was never confirmed
		if b := r.bound(); len(b) != 1 || !strings.HasPrefix(b[5], "sha256:") {
			t.Errorf("bound: %v, want number 5 only", b)
		}
		_ = r.mem.Update(func(tx journal.Tx) error { return tx.Put(journal.State, "floor", []byte{0xff}) })
		if n := r.play(r.release(5, 4)); n != 0 {
			t.Errorf("another manifest under a number that was confirmed made the device boot %d times", n)
		}
		r.is("B", 2, "refuse slot= seq=5 sequence-reused")
	})
}

// TestBoundHolds256: the 256 highest numbers are remembered (docs/formats/state.md); one more pushes out the lowest.
func TestBoundHolds256(t *testing.T) {
	bubble(t, 632, func(r *rig) {
		err := r.mem.Update(func(tx journal.Tx) error {
			for i := uint64(1); i <= 255; i++ {
				b, err := cbor.Marshal(fmt.Sprintf("sha256:%064x", i))
				if err == nil {
					err = tx.Put(journal.State, "bound/"+string(binary.BigEndian.AppendUint64(nil, i)), b)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		r.play(r.release(300, 2))
		if b := r.bound(); len(b) != 256 || b[1] == "" || b[300] == "" {
			t.Errorf("after the 256th: %d are bound, 1 and 300 to %q and %q", len(b), b[1], b[300])
		}
		r.play(r.release(301, 3))
		if b := r.bound(); len(b) != 256 || b[1] != "" || b[2] == "" || b[300] == "" || b[301] == "" {
			t.Errorf("after the 257th: %d are bound; 1, 2, 300 and 301 to %q, %q, %q and %q",
				len(b), b[1], b[2], b[300], b[301])
		}
		r.is("A", 3)
	})
}
