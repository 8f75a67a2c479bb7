package agent_test

import (
	"encoding/binary"
	"hash/crc32"
	"reflect"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/life"
)

// FuzzRecord: whatever a journal holds under "record", it is a record that this version can act on,
// or an error that leads into boot-safe mode.
func FuzzRecord(f *testing.F) {
	good, err := life.Record{Phase: life.Trial, Target: "B", Digest: "sha256:00", Boots: 2, Ext: life.Ext{BootID: "x",
		Images: []life.SlotImage{{Component: "rootfs", Alg: -16, Digest: make([]byte, 32), Size: 1}}}}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	newer, err := cbor.Marshal(map[int]any{1: "trial", 2: "B", 3: "", 4: 1, 5: map[int]any{1: 7, 99: "new"}, 6: "new"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(newer)
	f.Add([]byte{})
	f.Add([]byte{0xbf, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := life.DecodeRecord(b)
		if err != nil {
			return
		}
		if !r.Phase.Known() || r.Phase != life.Idle && r.Target == "" || r.Boots < 0 {
			t.Fatalf("%x is taken as %+v", b, r)
		}
		life.Reconcile(life.View{HaveRecord: true, Record: r, Runs: life.RunsTarget, BootValid: true, MaxBoots: 4})
		again, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := life.DecodeRecord(again); err != nil || !reflect.DeepEqual(back, r) {
			t.Errorf("%+v is stored as %+v (%v)", r, back, err)
		}
	})
}

// TestNewerRecord: a newer agent's extension is passed over, and the frozen core is read.
func TestNewerRecord(t *testing.T) {
	b, err := cbor.Marshal(map[int]any{1: "trial", 2: "B", 3: "sha256:00", 4: 1, 5: map[int]any{1: 7, 99: "new"}, 6: "new"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := life.DecodeRecord(b)
	if err != nil || r.Phase != life.Trial || r.Target != "B" || r.Digest != "sha256:00" || r.Boots != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	b, err = cbor.Marshal(map[int]any{1: "downloading-by-mail", 2: "B", 3: "", 4: 0})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := life.DecodeRecord(b); err == nil {
		t.Error("a phase that nobody knows is taken")
	}
}

// FuzzQuarantine: a copy of the quarantine file is read or passed over.
func FuzzQuarantine(f *testing.F) {
	seal := func(body []byte) []byte {
		b := append([]byte("RQ01"), 0, 0, 0, 0)
		binary.LittleEndian.PutUint32(b[4:], crc32.ChecksumIEEE(body))
		return append(b, body...)
	}
	body, err := cbor.Marshal(map[int]any{1: 3, 2: []any{map[int]any{1: "sha256:00", 2: []string{"sha256:11"}, 3: "health-failed"}}, 3: map[string]int{"sha256:00": 2}, 5: 7})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body, true)
	f.Add([]byte{0xa0}, true)
	f.Add([]byte("RQ01"), false)
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		if sealed {
			b = seal(b) // as the checksum is no secret, a hostile copy has a good one
		}
		if n, err := agent.DecodeQuarantine(b); err == nil && n > len(b) {
			t.Errorf("%d entries in %d bytes", n, len(b))
		}
	})
}
