package agent_test

import (
	"context"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/transport"
)

// TestCounterUnreadable: while the hardware counter does not answer, nobody knows whether the root is
// the newest: a rooted device takes nothing, says why, and goes on when the counter is back.
func TestCounterUnreadable(t *testing.T) {
	bubble(t, 61, func(r *rig) {
		f := rooted(r)
		env := r.release(2, 2)
		plan, digest := f.plan(env, 2)
		r.w.SetCounter(1, false)
		if n := r.hear(doc(transport.Plan, plan),
			doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)), offered(env)); n != 0 {
			t.Errorf("a device without its counter booted %d times", n)
		}
		if story := strings.Join(r.story(), "\n"); !strings.Contains(story, "counter-unreadable") || r.runs() != "A" {
			t.Errorf("it runs %s, and says:\n%s", r.runs(), story)
		}
		r.w.SetCounter(1, true)
		r.hear(doc(transport.Pulse, f.pulse(digest, campaign.StateOpen)), offered(env))
		r.is("B", 2)
	})
}

// origin is a counter that has one.
type origin struct {
	hal.Counter
	name *string
}

func (o origin) Origin(context.Context) (string, error) { return *o.name, nil }

// TestCounterReplaced: which counter guards the device is on record, once; another one in its place
// is on record too, as such.
func TestCounterReplaced(t *testing.T) {
	bubble(t, 62, func(r *rig) {
		name := "index made at 7"
		r.options = func(o *agent.Options) { o.Counter = origin{o.Counter, &name} }
		r.play()
		r.play()
		story := strings.Join(r.story(), "\n")
		if strings.Count(story, "index made at 7") != 1 || strings.Contains(story, "counter-replaced") {
			t.Errorf("the first one:\n%s", story)
		}
		name = "index made at 9"
		r.play()
		r.play()
		if story = strings.Join(r.story(), "\n"); strings.Count(story, "counter-replaced") != 1 ||
			strings.Count(story, "index made at 9") != 1 {
			t.Errorf("the second one:\n%s", story)
		}
	})
}
