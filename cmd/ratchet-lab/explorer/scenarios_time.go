package explorer

import (
	"time"

	"github.com/ratchet-ota/ratchet/hal"
)

// timeComes: the clock is set, five seconds after the agent was started in a boot that began without the time.
var timeComes = Event{Name: "the time comes", Times: maxBoots,
	When: func(d *Device) bool {
		_, q := d.W.Clock().Wall()
		return q == hal.TimeUnknown && d.W.Clock().Uptime() >= d.upSince+5*time.Second
	},
	Do: func(d *Device) {
		d.W.SetWall(fleetTime.Add(time.Hour), hal.TimeSynced)
		select {
		case d.stepped <- struct{}{}:
		default:
		}
	}}

// noTime: the clock stands at 1970 at each boot.
func noTime(d *Device) { d.W.SetWall(time.Unix(0, 0), hal.TimeUnknown) }

// timeScenarios are those in which boots take time, begin without the time, or cannot be told apart.
func timeScenarios() []Scenario {
	return []Scenario{
		{Name: "slow-boots", Says: "boots take nothing, half a minute, or longer than a trial may last", Slow: true,
			Quick: true, Offers: offer2, Ends: updated},
		{Name: "slow-sick", Few: true,
			Says: "the same, and the new system fails its health check", Slow: true, Offers: offer2,
			Sick: []byte{2}, Ends: sickEnd, Blames: sickBlames},
		{Name: "late-clock", Few: true,
			Says:   "the clock stands at 1970 at each boot and is set later; the offer waits",
			Bricks: []int{20}, Slow: true, Rooted: true, Setup: noTime, OnBoot: noTime,
			Events: []Event{timeComes, patient}, Ends: updated},
		{Name: "late-clock-sick", Few: true,
			Says: "the same without a root, and the new system fails its health check",
			Slow: true, Offers: offer2, Sick: []byte{2}, Setup: noTime, OnBoot: noTime, Events: []Event{timeComes},
			Ends: sickEnd, Blames: sickBlames},
		{Name: "no-boot-id", Few: true,
			Says: "there is no boot id: no boot can be told from another", Nameless: true,
			Offers: offer2, Ends: updated},
		{Name: "no-boot-id-count", Few: true,
			Says: "the same, and the loader's counting is lost in every trial boot: the " +
				"agent's own count bounds it", Nameless: true, Endless: true, Offers: offer2, OnBoot: recount,
			Events: []Event{cycledInTrial}, Ends: recountEnds, Blames: sickBlames},
	}
}
