package agent_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/oldread"
	"github.com/ratchet-ota/ratchet/bootctl"
	"github.com/ratchet-ota/ratchet/transport"
)

// values are all that the journal holds.
func (r *rig) values() map[string]string {
	r.t.Helper()
	out := map[string]string{}
	err := r.mem.View(func(tx journal.Tx) error {
		for _, bucket := range []string{journal.State, journal.Evidence} {
			err := tx.Scan(bucket, "", func(k string, v []byte) bool {
				out[bucket+" "+k] = string(bytes.Clone(v))
				return true
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// keep changes a value in the journal.
func (r *rig) keep(key string, v any) {
	r.t.Helper()
	b, err := cbor.Marshal(v)
	if err == nil {
		err = r.mem.Update(func(tx journal.Tx) error { return tx.Put(journal.State, key, b) })
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// quarantineHead is what the newer copy of the quarantine file says of the evidence.
func (r *rig) quarantineHead() (newest oldread.Quarantine) {
	for _, name := range []string{"/state/quarantine.0", "/state/quarantine.1"} {
		b, _ := r.w.File(name)
		if q, err := oldread.ReadQuarantine(b); err == nil && q.Gen > newest.Gen {
			newest = q
		}
	}
	return newest
}

// TestNewerSchema: a newer agent has left its journal, at each point of an update, under a schema that this one does
// not know. Nothing of it is guessed or written. A confirmed system runs on in boot-safe mode; one on trial is left,
// for it could never be updated again, and the slot that it is left for has the agent that understands.
func TestNewerSchema(t *testing.T) {
	dumps, err := filepath.Glob(journals + "/*.txt")
	if err != nil || len(dumps) < 60 {
		t.Fatalf("%d dumps, %v", len(dumps), err)
	}
	for i, path := range dumps {
		if testing.Short() && i%8 > 0 {
			continue
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		schemas := map[string]any{"2": 2, "the highest": uint64(1<<64 - 1), "no number": "two",
			"a map": map[int]int{1: 2}}
		for name, schema := range schemas {
			if name != "2" && i%8 > 0 {
				continue
			}
			t.Run(strings.TrimSuffix(filepath.Base(path), ".txt")+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { meetsNewerSchema(t, string(raw), schema) })
			})
		}
	}
}

func meetsNewerSchema(t *testing.T, dump string, schema any) {
	r, h := takeUp(t, dump)
	r.keep("schema", schema)
	was, head := r.values(), r.quarantineHead()
	r.w.Restart()
	r.loader()
	first := bootctl.Slot(r.runs())
	other := map[bootctl.Slot]bootctl.Slot{"A": "B", "B": "A"}[first]
	before := r.state()
	modes := r.aDay(h.retained...)
	if !maps.Equal(was, r.values()) {
		t.Error("the journal was written")
	}
	if q := r.quarantineHead(); !bytes.Equal(q.Chain, head.Chain) || q.Seq != head.Seq ||
		len(q.Entries) != len(head.Entries) {
		t.Errorf("the quarantine file says %+v, said %+v", q, head)
	}
	for _, m := range modes {
		if m != control.ModeBootSafe {
			t.Fatalf("in mode %q", m)
		}
	}
	want := first
	if !before.Slots[first].Confirmed && before.Slots[other].Bootable {
		want = other
	}
	if st := r.state(); bootctl.Slot(r.runs()) != want || !st.Slots[want].Confirmed || len(modes) == 0 {
		t.Errorf("slot %s runs, want %s, %+v", r.runs(), want, st)
	}
}

// aDay is thirty hours of the device, whatever it takes of the messages, and the modes in which it was seen.
func (r *rig) aDay(msgs ...transport.Message) (modes []string) {
	r.t.Helper()
	clock := r.w.Clock()
	start, _ := clock.Wall()
	for boots := 0; r.boot(nil, func(a *agent.Agent) bool {
		if st := a.Console().Status(r.t.Context()); st.Phase != "" {
			modes = append(modes, st.Mode)
		}
		select {
		case r.inbox <- firstOf(&msgs):
		default:
		}
		now, _ := clock.Wall()
		return now.Sub(start) > 30*time.Hour
	}); boots++ {
		if boots > 10 {
			r.t.Fatal("the device reboots for ever")
		}
		r.loader()
	}
	return modes
}

// firstOf hands the messages in one after the other, and then the last again.
func firstOf(msgs *[]transport.Message) transport.Message {
	if len(*msgs) == 0 {
		return transport.Message{Kind: transport.Resend}
	}
	m := (*msgs)[0]
	if len(*msgs) > 1 {
		*msgs = (*msgs)[1:]
	}
	return m
}

// TestNewerQuarantine: the quarantine file of a newer version is not damaged, and not overwritten. Without knowing what
// is barred nothing is installed. A damaged file is damaged, whatever its first bytes say.
func TestNewerQuarantine(t *testing.T) {
	for name, tt := range map[string]struct {
		magic string
		whole bool
		safe  bool
	}{
		"the next":          {"RQ02", true, true},
		"a distant one":     {"RQ99", true, true},
		"damaged":           {"RQ02", false, false},
		"another file's":    {"XX02", true, false},
		"this version's":    {"RQ01", true, false},
		"this one, damaged": {"RQ01", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 951, func(r *rig) {
				r.play() // a first boot
				body, err := cbor.Marshal(map[int]any{1: 7, 2: []any{}, 3: map[string]int{}, 9: "new"})
				if err != nil {
					t.Fatal(err)
				}
				b := append([]byte(tt.magic), 0, 0, 0, 0)
				binary.LittleEndian.PutUint32(b[4:], crc32.ChecksumIEEE(body))
				if !tt.whole {
					b[5] ^= 1
				}
				b = append(b, body...)
				r.w.PutFile("/state/quarantine.0", b)
				r.w.PutFile("/state/quarantine.1", b)
				r.sick[2] = true
				modes := r.aDay(offered(r.release(2, 2))) // would be quarantined
				got, _ := r.w.File("/state/quarantine.0")
				again, _ := r.w.File("/state/quarantine.1")
				if kept := bytes.Equal(got, b) && bytes.Equal(again, b); kept != tt.safe {
					t.Errorf("the file is kept: %v", kept)
				}
				if mode := modes[len(modes)-1]; (mode == control.ModeBootSafe) != tt.safe {
					t.Errorf("mode %s", mode)
				}
				r.is("A", 1)
				if said := strings.Contains(r.told(), "idle>preparing"); said == tt.safe {
					t.Errorf("it was installed: %v", said)
				}
			})
		})
	}
}
