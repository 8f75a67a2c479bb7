package main

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// gadget is a device as the desk sees it: a key and records.
type gadget struct {
	id      string
	signer  *trust.Signer
	mu      sync.Mutex
	head    evidence.Head
	records [][]byte // signed; of the present chain, the first has number 1
	chains  byte
}

func newGadget(t *testing.T, id string) *gadget {
	t.Helper()
	s, err := trust.Generate(trust.ESP256)
	if err != nil {
		t.Fatal(err)
	}
	g := &gadget{id: id, signer: s}
	g.begin(t, "", nil)
	return g
}

// enroll makes the desk know the gadget's key.
func (g *gadget) enroll(t *testing.T, dir string) string {
	t.Helper()
	pem, err := g.signer.Key().MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, filepath.Join(t.TempDir(), "device.pem"), string(pem))
	do(t, 0, "enroll", "--dir", dir, g.id, file)
	return file
}

func stamp(uptime time.Duration) evidence.Stamp {
	return evidence.Stamp{Wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(uptime), Quality: "synced", Uptime: uptime, BootID: "boot-1", Agent: "1.0"}
}

func (g *gadget) begin(t *testing.T, why reason.Reason, last *evidence.Head) {
	t.Helper()
	g.chains++
	rec, head, err := evidence.Begin(g.id, [16]byte{g.chains}, why, last, stamp(0))
	if err != nil {
		t.Fatal(err)
	}
	g.records = nil
	g.add(t, rec, head)
}

func (g *gadget) add(t *testing.T, rec []byte, head evidence.Head) {
	t.Helper()
	msg, err := evidence.Sign(rec, g.signer)
	if err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.records, g.head = append(g.records, msg), head
}

// live makes n more records.
func (g *gadget) live(t *testing.T, n int) {
	t.Helper()
	for range n {
		rec, head, err := g.head.Next(g.id, evidence.Event{Kind: evidence.KindPhase, From: "idle", To: "preparing", Slot: "b"}, stamp(time.Duration(len(g.records))*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		g.add(t, rec, head)
	}
}

// status is a signed status.
func (g *gadget) status(t *testing.T, change func(*evidence.Status)) []byte {
	t.Helper()
	st := evidence.Status{Device: g.id, Running: "a", Version: "1.3.0", Phase: "idle", Head: g.head, Stamp: stamp(time.Minute)}
	if change != nil {
		change(&st)
	}
	msg, err := evidence.SignStatus(st, g.signer)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

func (g *gadget) topic(leaf string) string { return "ratchet/v1/device/" + g.id + "/" + leaf }

// answer makes the gadget send its records again, from what it still has on.
func (g *gadget) answer(t *testing.T, s *server, has uint64) (asked func() []uint64) {
	t.Helper()
	var list []uint64
	err := s.Subscribe(g.topic("resend"), 1, func(_ *mochi.Client, _ packets.Subscription, p packets.Packet) {
		var from uint64
		if cbor.Unmarshal(p.Payload, &from) != nil {
			return
		}
		g.mu.Lock()
		list = append(list, from)
		records := g.records[min(max(from, has)-1, uint64(len(g.records))):]
		g.mu.Unlock()
		go func() {
			for _, r := range records {
				_ = s.Publish(g.topic("evidence"), r, false, 1)
			}
		}()
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() []uint64 {
		g.mu.Lock()
		defer g.mu.Unlock()
		return append([]uint64(nil), list...)
	}
}
