// Package fleettest is a device as the desk sees it, for tests: a key, records of one chain, and a status.
package fleettest

import (
	"sync"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/transport/wire"
)

// Device is a device as the desk sees it: a key and records.
type Device struct {
	ID      string
	Signer  *trust.Signer
	Mu      sync.Mutex // of records and head
	Head    evidence.Head
	Records [][]byte // signed; of the present chain, the first has number 1
	chains  byte
}

// New is a device that has begun its first chain.
func New(t *testing.T, id string) *Device {
	t.Helper()
	s, err := trust.Generate(trust.ESP256)
	if err != nil {
		t.Fatal(err)
	}
	return Twin(t, id, s, 0, "")
}

// Twin is a device with a key of another one; chain numbers the chain before its first.
func Twin(t *testing.T, id string, s *trust.Signer, chain byte, why reason.Reason) *Device {
	t.Helper()
	g := &Device{ID: id, Signer: s, chains: chain}
	g.Begin(t, why, nil)
	return g
}

func stamp(uptime time.Duration) evidence.Stamp {
	return evidence.Stamp{Wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(uptime), Quality: "synced",
		Uptime: uptime, BootID: "boot-1", Agent: "1.0"}
}

// Begin begins another chain; last is the head of the one before, or nil.
func (g *Device) Begin(t *testing.T, why reason.Reason, last *evidence.Head) {
	t.Helper()
	g.chains++
	rec, head, err := evidence.Begin(g.ID, [16]byte{g.chains}, why, last, stamp(0))
	if err != nil {
		t.Fatal(err)
	}
	g.Records = nil
	g.add(t, rec, head)
}

func (g *Device) add(t *testing.T, rec []byte, head evidence.Head) {
	t.Helper()
	msg, err := evidence.Sign(rec, g.Signer)
	if err != nil {
		t.Fatal(err)
	}
	g.Mu.Lock()
	defer g.Mu.Unlock()
	g.Records, g.Head = append(g.Records, msg), head
}

// Live makes n more records.
func (g *Device) Live(t *testing.T, n int) {
	t.Helper()
	for range n {
		rec, head, err := g.Head.Next(g.ID, evidence.Event{Kind: evidence.KindPhase, From: "idle",
			To: "preparing", Slot: "b"}, stamp(time.Duration(len(g.Records))*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		g.add(t, rec, head)
	}
}

// Status is a signed status.
func (g *Device) Status(t *testing.T, change func(*evidence.Status)) []byte {
	t.Helper()
	st := evidence.Status{Device: g.ID, Running: "a", Version: "1.3.0", Phase: "idle", Head: g.Head,
		Stamp: stamp(time.Minute)}
	if change != nil {
		change(&st)
	}
	msg, err := evidence.SignStatus(st, g.Signer)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// Topic is where the device publishes what leaf names.
func (g *Device) Topic(leaf string) string { return wire.DeviceTopic(g.ID, leaf) }
