package explorer

import (
	"context"
	"time"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/console"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

const (
	retryEvent = "a person has it tried again"
	askedNow   = "since the start"
)

// barred: idle in the old system, with an image that was left, and nobody has asked yet.
func barred(d *Device) bool {
	r := d.outcome()
	return d.fired[askedNow] == 0 && d.rec.Phase == life.Idle && d.Image() == 1 &&
		(r.Result == "reverted" || r.Reason == reason.Quarantined)
}

// retryScenarios are those in which an image that was quarantined is given back.
func retryScenarios() []Scenario {
	return []Scenario{
		{Name: "retry", Few: true,
			Says:   "what a health check asked is mended, and a person gives the image back: it is installed",
			Offers: offer2, Sick: []byte{2}, Mended: true, Asked: true,
			OnBoot: func(d *Device) { delete(d.fired, askedNow) },
			Events: []Event{{Name: retryEvent, Times: 9, When: barred, Do: func(d *Device) {
				d.fired[askedNow]++
				d.do(func(ctx context.Context, c *console.Console) { _, _ = c.Retry(ctx, "", true, "uid 0", "") })
			}}}, Ends: updated, Blames: sickBlames},
		{Name: "give-back", Few: true,
			Says:    "the power goes in every trial boot; hours later the image is given back, and installed",
			Endless: true, Offers: offer2,
			Options: func(_ *Device, o *agent.Options) { o.GiveBack = 2 * time.Hour },
			Waits:   7 * time.Hour,
			Events:  []Event{{Name: "power cycle", Times: 4, When: inPhase(life.Trial), Do: cycleAgain}, patient},
			Ends:    updated, Blames: sickBlames},
	}
}
