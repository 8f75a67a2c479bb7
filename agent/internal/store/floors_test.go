package store_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/bootctl"
)

var twoParts = life.Device{Slots: [2]bootctl.Slot{"A", "B"}, Parts: []string{"app", "rootfs"}}

// opened is a store over a journal, and a hand that writes as version 0.1 does: plain values under its keys.
func opened(t *testing.T) (*store.Store, func(key string, v any)) {
	t.Helper()
	j := journal.NewMemory()
	s, err := store.Open(j, "dev-1", 1<<20, stamp)
	if err != nil {
		t.Fatal(err)
	}
	return s, func(key string, v any) {
		b, err := cbor.Marshal(v)
		if err == nil {
			err = j.Update(func(tx journal.Tx) error { return tx.Put(journal.State, key, b) })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

type old map[int]any

func holds(sequence uint64, manifest string, components ...string) old {
	var images []old
	for _, c := range components {
		images = append(images, old{1: c, 2: -16, 3: []byte("x"), 4: 1})
	}
	return old{1: manifest, 2: sequence, 3: "", 4: images, 5: true}
}

// of are floors: a component and its number, in turns.
func of(pairs ...any) (f life.Floors) {
	for i := 0; i < len(pairs); i += 2 {
		n := pairs[i+1].(int)
		f = append(f, life.Floor{Component: pairs[i].(string), Sequence: uint64(n), Digest: fmt.Sprint("m", n)})
	}
	return f
}

// TestFloorsAndAnOlderAgent: what the version before confirmed counts for the components that it wrote, or for
// each where that is not known; it reads the highest floor, and nothing of it is lost.
func TestFloorsAndAnOlderAgent(t *testing.T) {
	ours := of("app", 9, "rootfs", 5)
	for name, tt := range map[string]struct {
		ours  life.Floors
		floor uint64 // that the old agent has written, 0: none
		held  map[string]old
		want  life.Floors
	}{
		"nothing was confirmed": {},
		"never another agent":   {floor: 7, want: of("app", 7, "rootfs", 7)},
		"never another agent, and it knows a slot": {floor: 7,
			held: map[string]old{"A": holds(7, "m7", "app")}, want: of("app", 7, "rootfs", 7)},
		"ours alone": {ours: ours, want: ours},
		"it went on with the app": {ours: ours, floor: 12, held: map[string]old{"A": holds(12, "m12", "app")},
			want: of("app", 12, "rootfs", 5)},
		"it went on twice": {ours: ours, floor: 12,
			held: map[string]old{"A": holds(12, "m12", "app"), "B": holds(11, "m11", "rootfs")},
			want: of("app", 12, "rootfs", 11)},
		"it went on, and nobody knows with what": {ours: ours, floor: 12,
			held: map[string]old{"A": holds(5, "m5", "rootfs")},
			want: of("app", 12, "rootfs", 12)},
	} {
		t.Run(name, func(t *testing.T) {
			s, put := opened(t)
			if tt.ours != nil {
				if err := s.Commit(nil, nil, life.PutFloors{Floors: tt.ours}); err != nil {
					t.Fatal(err)
				}
			}
			if tt.floor > 0 {
				put("floor", old{1: tt.floor, 2: fmt.Sprint("m", tt.floor)})
			}
			for slot, v := range tt.held {
				put("slot/"+slot, v)
			}
			got, err := s.Read(twoParts)
			if err != nil || !slices.Equal(got.Floors, tt.want) {
				t.Errorf("floors %v (%v), want %v", got.Floors, err, tt.want)
			}
		})
	}
}

// TestOlderAgentSeesTheHighestFloor: the version before refuses all that any component's floor forbids.
func TestOlderAgentSeesTheHighestFloor(t *testing.T) {
	j := journal.NewMemory()
	s, err := store.Open(j, "dev-1", 1<<20, stamp)
	if err == nil {
		err = s.Commit(nil, nil, life.PutFloors{Floors: of("app", 9, "boot", 2, "rootfs", 5)})
	}
	if err != nil {
		t.Fatal(err)
	}
	var floor struct {
		Sequence uint64 `cbor:"1,keyasint"`
		Digest   string `cbor:"2,keyasint"`
	}
	_ = j.View(func(tx journal.Tx) error { return cbor.Unmarshal(tx.Get(journal.State, "floor"), &floor) })
	if floor.Sequence != 9 || floor.Digest != "m9" {
		t.Errorf("it reads the floor %+v, want 9", floor)
	}
}

// TestBindings: a number is bound for the components that were confirmed under it; what the version before bound
// is bound for each.
func TestBindings(t *testing.T) {
	s, put := opened(t)
	bind := func(seq uint64, digest string, components ...string) {
		t.Helper()
		if err := s.Commit(nil, nil, life.Bind{Sequence: seq, Digest: digest, Components: components}); err != nil {
			t.Fatal(err)
		}
	}
	wants := func(component string, seq uint64, want string) {
		t.Helper()
		if got, ok := s.Bound(component, seq); got != want && ok || ok != (want != "") {
			t.Errorf("%s %d is bound to %q (%v), want %q", component, seq, got, ok, want)
		}
	}
	bind(7, "rootfs 7", "rootfs")
	wants("rootfs", 7, "rootfs 7")
	wants("app", 7, "")
	bind(7, "app 7", "app", "app/x")
	wants("rootfs", 7, "rootfs 7")
	wants("app", 7, "app 7")
	wants("boot", 7, "")
	put("bound/"+string(binary.BigEndian.AppendUint64(nil, 8)), "old 8")
	wants("app", 8, "old 8")
	wants("rootfs", 8, "old 8")
	for seq := uint64(100); seq < 100+256; seq++ {
		bind(seq, "app", "app")
	}
	wants("app", 7, "")
	wants("app", 100, "app")
	wants("app/x", 7, "app 7")
	wants("rootfs", 7, "rootfs 7")
}
