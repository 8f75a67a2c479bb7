package agent_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/oldread"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// Testdata/journals-0.1 holds devices as version 0.1 left them, stopped at each point of an update. They are never
// written again: a device in the field looks like that. Of a later version, for a folder of its own:
// go test ./agent -run TestJournals -ratchet.journals testdata/journals-0.2
var writeJournals = flag.String("ratchet.journals", "", "write a dump of each point of the stories into this folder")

// glance is a device right after a commit, or right before the next one, when what was done meanwhile is not on
// record.
type glance struct {
	r       *rig
	before  bool
	rec     oldread.Record
	none    bool // there is no record
	waiting oldread.Waiting
	boot    bootctl.State
}

func (g glance) in(phase string) bool    { return !g.before && !g.none && g.rec.Phase == phase }
func (g glance) after(phase string) bool { return g.before && g.rec.Phase == phase }
func (g glance) has(key string) bool     { return g.r.stored(key) != nil }
func (g glance) idle() bool              { return !g.before && g.rec.Phase == "idle" }
func (g glance) runs(slot string) bool   { return g.r.runs() == slot }

func (r *rig) stored(key string) (b []byte) {
	_ = r.mem.View(func(tx journal.Tx) error { b = bytes.Clone(tx.Get(journal.State, key)); return nil })
	return b
}

// glance reads the journal as an old agent does.
func (r *rig) glance(before bool) glance {
	r.t.Helper()
	g := glance{r: r, before: before, rec: oldread.Record{Phase: "idle"}}
	raw := r.stored(oldread.KeyRecord)
	g.none = raw == nil
	if !g.none {
		var err error
		if g.rec, err = oldread.ReadRecord(raw); err != nil && !errors.Is(err, oldread.ErrRecord) {
			r.t.Error(err)
		}
	}
	g.waiting, _ = oldread.ReadWaiting(r.stored(oldread.KeyWaiting))
	g.boot, _ = r.backend().State(context.Background())
	return g
}

// watched calls look before and after each commit that happens.
type watched struct {
	journal.Store
	look func(before bool)
}

func (w watched) Update(fn func(journal.Tx) error) error {
	w.look(true)
	err := w.Store.Update(fn)
	if err == nil {
		w.look(false)
	}
	return err
}

// point is where a story is stopped for a dump.
type point struct {
	name string
	at   func(glance) bool // the first time
}

// oldStory is a story that is stopped at some points.
type oldStory struct {
	board  board // nil: uboot
	points []point
	play   func(*rig, *hand)
}

// TestJournals: each story comes to each of its points, an old agent reads there what the story says of it, and
// what it writes back holds all that it knew.
func TestJournals(t *testing.T) {
	names := map[string]bool{}
	for i, s := range oldStories() {
		if s.board == nil {
			s.board = uboot{}
		}
		left, dumps := s.points, map[string]string{}
		bubbleOn(t, uint64(501+i), s.board, func(r *rig) {
			h := &hand{things: map[string][]byte{}}
			r.watch(func(before bool) {
				checkOldRead(t, r)
				g := r.glance(before)
				var rest []point
				for _, p := range left {
					if !p.at(g) {
						rest = append(rest, p)
					} else if *writeJournals != "" {
						dumps[p.name] = r.dump(h)
					}
				}
				left = rest
			})
			s.play(r, h)
			for name, dump := range dumps {
				writeDump(t, name, dump+h.has()) // a permit answers a challenge of the story
			}
		})
		for _, p := range left {
			t.Errorf("no story comes to %s", p.name)
		}
		for _, p := range s.points {
			if names[p.name] {
				t.Errorf("two points are called %s", p.name)
			}
			names[p.name] = true
		}
	}
}

func writeDump(t *testing.T, name, dump string) {
	t.Helper()
	if err := os.MkdirAll(*writeJournals, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*writeJournals, name+".txt"), []byte(dump), 0o644); err != nil {
		t.Fatal(err)
	}
}

// watch looks at the device around each commit.
func (r *rig) watch(look func(before bool)) {
	r.wrap = func(o *agent.Options) {
		o.Serial = true
		o.Journal = watched{o.Journal, look}
	}
}

// checkOldRead: of what the journal holds now, an old agent reads all that has a key it knows, and writes it again.
func checkOldRead(t *testing.T, r *rig) {
	t.Helper()
	keys := []string{oldread.KeyRecord, oldread.KeyWaiting, oldread.KeyJudge,
		oldread.PrefixSlot + "A", oldread.PrefixSlot + "B"}
	for _, key := range keys {
		was := r.stored(key)
		if was == nil {
			continue
		}
		again, err := oldread.Rewrite(key, was)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := known(t, key, was), known(t, key, again); !reflect.DeepEqual(a, b) {
			t.Errorf("under %s an old agent reads\n%v, there is\n%v", key, b, a)
		}
	}
	for _, name := range r.w.Files() {
		b, _ := r.w.File(name)
		if filepath.Ext(name) == ".new" || filepath.Dir(name) != "/state" || filepath.Base(name)[0] != 'q' {
			continue
		}
		q, err := oldread.ReadQuarantine(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if again, err := q.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("an old agent reads %s as %+v (%v)", name, q, err)
		}
	}
}

// known is a stored value without the keys that came after version 0.1.
func known(t *testing.T, key string, b []byte) map[uint64]any {
	t.Helper()
	last := map[string]uint64{oldread.KeyRecord: 5, oldread.KeyWaiting: 11, oldread.KeyJudge: 3}[key]
	if last == 0 {
		last = 6 // slot/
	}
	var m map[uint64]any
	if err := cbor.Unmarshal(b, &m); err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	drop := func(m map[uint64]any, last uint64) {
		for k := range m {
			if k > last {
				delete(m, k)
			}
		}
	}
	drop(m, last)
	if key == oldread.KeyRecord {
		var core struct {
			Ext map[uint64]any `cbor:"5,keyasint"`
		}
		if err := cbor.Unmarshal(b, &core); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		drop(core.Ext, 16)
		m[5] = core.Ext
		dropOfImages(core.Ext[7])
	}
	dropOfImages(m[4])
	return m
}

// dropOfImages leaves of a list of images what version 0.1 knows of one.
func dropOfImages(v any) {
	list, _ := v.([]any)
	for _, i := range list {
		image, _ := i.(map[any]any)
		for k := range image {
			if n, ok := k.(uint64); ok && n > 4 {
				delete(image, k)
			}
		}
	}
}
