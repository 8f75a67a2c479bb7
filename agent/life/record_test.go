package life_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/fxamacker/cbor/v2"

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
	b, err := cbor.Marshal(map[int]any{1: "trial", 2: "B", 3: "sha256:00", 4: 1,
		5: map[int]any{1: 7, 99: "new"}, 6: "new"})
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

// TestRecordIsRefused: what is no record of a version that this one knows leads into boot-safe mode, at the bounds,
// too.
func TestRecordIsRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		rec  map[int]any
		want bool
	}{
		{"a trial", map[int]any{1: "trial", 2: "B", 3: "", 4: 0}, true},
		{"no target", map[int]any{1: "trial", 2: "", 3: "", 4: 0}, false},
		{"idle without a target", map[int]any{1: "idle", 2: "", 3: "", 4: 0}, true},
		{"boots below zero", map[int]any{1: "idle", 2: "", 3: "", 4: -1}, false},
		{"no phase", map[int]any{2: "B"}, false},
		{"as large as a record may be", map[int]any{1: "idle", 6: make([]byte, 8<<10-11)}, true},
		{"larger", map[int]any{1: "idle", 6: make([]byte, 8<<10-10)}, false},
	} {
		b, err := cbor.Marshal(c.rec)
		if err != nil {
			t.Fatal(err)
		}
		_, err = life.DecodeRecord(b)
		if (err == nil) != c.want || err != nil && !errors.Is(err, life.ErrRecord) {
			t.Errorf("%s (%d bytes): %v", c.name, len(b), err)
		}
	}
	if _, err := life.DecodeRecord([]byte("no CBOR")); !errors.Is(err, life.ErrRecord) {
		t.Errorf("no CBOR: %v", err)
	}
	for n, want := range map[int]bool{8000: true, 8 << 10: false} {
		r := life.Record{Phase: life.Idle, Ext: life.Ext{Images: []life.SlotImage{{Digest: make([]byte, n)}}}}
		if _, err := r.Encode(); (err == nil) != want {
			t.Errorf("a record with %d bytes in it is stored: %v", n, err)
		}
	}
	if got := images[0].Text(); got != "sha256:696d6167652032" {
		t.Errorf("an image is spelled %s", got)
	}
}
