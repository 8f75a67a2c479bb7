package main

import (
	"path/filepath"
	"testing"

	"github.com/fxamacker/cbor/v2"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/ratchet-ota/ratchet/cmd/internal/fleet/fleettest"
)

// enroll makes the desk know the gadget's key.
func enroll(t *testing.T, g *fleettest.Device, dir string) string {
	t.Helper()
	pem, err := g.Signer.Key().MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, filepath.Join(t.TempDir(), "device.pem"), string(pem))
	do(t, 0, "enroll", "--dir", dir, g.ID, file)
	return file
}

// answer makes the gadget send its records again, from what it still has on.
func answer(t *testing.T, g *fleettest.Device, s *server, has uint64) (asked func() []uint64) {
	t.Helper()
	var list []uint64
	err := s.Subscribe(g.Topic("resend"), 1, func(_ *mochi.Client, _ packets.Subscription, p packets.Packet) {
		var from uint64
		if cbor.Unmarshal(p.Payload, &from) != nil {
			return
		}
		g.Mu.Lock()
		list = append(list, from)
		records := g.Records[min(max(from, has)-1, uint64(len(g.Records))):]
		g.Mu.Unlock()
		go func() {
			for _, r := range records {
				_ = s.Publish(g.Topic("evidence"), r, false, 1)
			}
		}()
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() []uint64 {
		g.Mu.Lock()
		defer g.Mu.Unlock()
		return append([]uint64(nil), list...)
	}
}
