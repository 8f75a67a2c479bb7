// Package evidencetest makes chains of records, and signs them, for tests of evidence and of who reads it.
package evidencetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// Stamp is when and by whom the records of a Chain are made.
func Stamp() evidence.Stamp {
	return evidence.Stamp{
		Wall: time.Date(2026, 11, 22, 8, 30, 0, 123e6, time.UTC), Quality: "synced",
		Uptime: 90*time.Second + 5*time.Millisecond, BootID: "6f1c0d2e", Agent: "1.0.0",
	}
}

// Chain is a device's evidence: encoded records, and their heads.
type Chain struct {
	t      testing.TB
	device string
	Recs   [][]byte
	Heads  []evidence.Head
}

// Begin makes the first record, of the chain whose id begins with id.
func Begin(t testing.TB, device string, id byte, why reason.Reason, last *evidence.Head) *Chain {
	t.Helper()
	rec, h, err := evidence.Begin(device, [16]byte{id}, why, last, Stamp())
	if err != nil {
		t.Fatal(err)
	}
	return &Chain{t, device, [][]byte{rec}, []evidence.Head{h}}
}

// Head is the head of the last record.
func (c *Chain) Head() *evidence.Head { return &c.Heads[len(c.Heads)-1] }

// Add makes one more record.
func (c *Chain) Add(e evidence.Event) *Chain {
	c.t.Helper()
	rec, h, err := c.Head().Next(c.device, e, Stamp())
	if err != nil {
		c.t.Fatal(err)
	}
	c.Recs, c.Heads = append(c.Recs, rec), append(c.Heads, h)
	return c
}

// Fork is another chain with the same first n records.
func (c *Chain) Fork(n int) *Chain {
	return &Chain{c.t, c.device, slices.Clone(c.Recs[:n]), slices.Clone(c.Heads[:n])}
}

// Grow adds n records.
func (c *Chain) Grow(n int) *Chain {
	for range n {
		c.Add(evidence.Event{Kind: evidence.KindPhase, From: "idle", To: fmt.Sprint("phase ", len(c.Recs))})
	}
	return c
}

// Keys makes a device's key.
func Keys(t testing.TB) (*trust.Signer, trust.Keys) {
	t.Helper()
	s, err := trust.Generate(trust.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := trust.NewKeys([]trust.Key{s.Key()}, false)
	if err != nil {
		t.Fatal(err)
	}
	return s, keys
}

// Sign is an export of the records.
func Sign(t testing.TB, s *trust.Signer, recs ...[]byte) []byte {
	t.Helper()
	var out []byte
	for _, r := range recs {
		b, err := evidence.Sign(r, s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b...)
	}
	return out
}
