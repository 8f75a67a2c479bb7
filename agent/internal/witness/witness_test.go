package witness_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/internal/witness"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/hal/sim"
)

// TestKeepsWhatOthersHaveSeen: over a restart, and it writes only what is new.
func TestKeepsWhatOthersHaveSeen(t *testing.T) {
	w := sim.New(1)
	f, lost := witness.Open(w.FS(), "/state")
	if lost || f.Head() != nil || f.Used("x") {
		t.Fatalf("a new device has seen something: %v, %v", lost, f.Head())
	}
	head := evidence.Head{Chain: [16]byte{1}, Seq: 7, Hash: [32]byte{2}}
	floors := life.Floors{{Component: "rootfs", Sequence: 5}}
	for range 2 {
		if err := f.Note(head, "fleet", 3, floors); err != nil {
			t.Fatal(err)
		}
	}
	before := w.Ops()
	if err := f.Note(head, "fleet", 3, floors); err != nil || w.Ops() != before {
		t.Errorf("the same head is written again: %d operations, %v", w.Ops()-before, err)
	}
	for i := range 20 {
		if err := f.Use(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	f, lost = witness.Open(w.FS(), "/state")
	name, newest := f.Newest()
	if lost || f.Head() == nil || *f.Head() != head || name != "fleet" || newest != 3 ||
		f.Floors().Of("rootfs").Sequence != 5 || !f.Used("19") || !f.Used("4") || f.Used("3") {
		t.Errorf("after a restart: %v, %+v, %s %d, %+v", lost, f.Head(), name, newest, f.Floors())
	}
	b, _ := w.File("/state/witness")
	b = append([]byte(nil), b...)
	b[len(b)-1] ^= 1
	if err := hal.ReplaceFile(w.FS(), "/state/witness", b); err != nil {
		t.Fatal(err)
	}
	if f, lost := witness.Open(w.FS(), "/state"); !lost || f.Head() != nil {
		t.Errorf("a damaged file is read: %v, %v", lost, f.Head())
	}
}

// FuzzWitness: whatever stands in the file, it is read or refused.
func FuzzWitness(f *testing.F) {
	f.Add([]byte{0xa0})
	f.Add([]byte{0xa3, 1, 0x41, 0, 2, 1, 3, 0x41, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		b := append([]byte("RW01"), 0, 0, 0, 0)
		binary.LittleEndian.PutUint32(b[4:], crc32.ChecksumIEEE(body))
		if d, err := witness.Decode(append(b, body...)); err == nil && d.Seq > 0 && len(d.Chain) != 0 &&
			(len(d.Chain) != 16 || len(d.Hash) != 32) {
			t.Fatalf("%+v", d)
		}
	})
}
