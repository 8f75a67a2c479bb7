package agent_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/console"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/intake"
)

// held is a payload file of a technician.
type held struct {
	simSource
	closed *atomic.Int32
}

func (h held) Close() error { h.closed.Add(1); return nil }

// A stick can be taken out when the install has read it, or will not: its files are closed by then, however it ends.
func TestStickIsLetGo(t *testing.T) {
	for name, c := range map[string]struct {
		envelope func(r *rig) []byte
		wrong    bool // bytes
		from     string
		runs     string
	}{
		"installed":    {envelope: func(r *rig) []byte { return r.release(3, 3) }, runs: "B"},
		"wrong bytes":  {envelope: func(r *rig) []byte { return r.release(3, 3) }, wrong: true, runs: "A"},
		"refused":      {envelope: func(r *rig) []byte { return r.release(3, 3, foreign) }, runs: "A"},
		"no envelope":  {envelope: func(*rig) []byte { return []byte("text") }, runs: "A"},
		"another file": {envelope: func(r *rig) []byte { return r.release(3, 3) }, from: "4.img", runs: "A"},
	} {
		bubble(t, 77, func(r *rig) {
			var closed atomic.Int32
			if c.wrong {
				r.source = otherBytes
			}
			from := "3.img"
			if c.from != "" {
				from = c.from
			}
			l := console.LocalInstall{Envelope: c.envelope(r), Name: "stick", Actor: "uid 0",
				Payloads: intake.Payloads{from: held{simSource{r, "https://images.example.com/3.img"}, &closed}}}
			r.ask(func(ctx context.Context, a *agent.Agent) {
				_, _ = a.Console().Install(ctx, l, func(control.Progress) {})
				if closed.Load() == 0 {
					t.Errorf("%s: the install has ended or is about to reboot, and the file is open", name)
				}
			})
			r.play()
			if r.runs() != c.runs {
				t.Errorf("%s: runs %s\n%s", name, r.runs(), r.told())
			}
		})
	}
}
