package explorer

import (
	"strings"

	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/hal"
)

func bootScenarios() []Scenario {
	return []Scenario{
		{Name: "unproven", Says: "the loader says one slot, / is the other: nothing is written", Bricks: []int{5},
			Offers: offer2, Wrong: true, Ends: []End{{Image: 1}}},
		{Name: "corrupt-metadata", Says: "the boot metadata is nonsense at the start: the running slot is restored",
			Quick: true, Ruined: true, Offers: offer2,
			Setup: func(d *Device) { d.somebodyRuins() }, Ends: updated,
			Blames: []reason.Reason{reason.BootMetadataInvalid}},
		{Name: "tries-drain", Says: "a person power-cycles an idle device again and again: its slot stays bootable",
			Bricks: []int{1, 13}, Endless: true,
			Events: []Event{{Name: "power cycle", Times: 12, When: inPhase(life.Idle),
				Do: cycleAgain}},
			OnBoot: func(d *Device) {
				if d.Image() != 1 {
					d.breach("end", "the other slot was started after %d boots of a healthy one", d.boots)
				}
			}, Ends: []End{{Image: 1}}},
		{Name: "tries-drain-sick", Says: "the same behind a sick update: its slot does not come back", Bricks: []int{1},
			Endless: true, Offers: offer2, Sick: []byte{2},
			Events: []Event{{Name: "power cycle", Times: 5, When: quiet("reverted"),
				Do: cycleAgain}}, Ends: sickEnd, Blames: sickBlames},
		{Name: "cycled-in-trial",
			Says:   "a person power-cycles the device in every trial boot: bounded by the loader's tries",
			Bricks: []int{10}, Endless: true, Offers: offer2,
			Events: []Event{cycledInTrial},
			Ends: []End{{Image: 1, Result: "reverted", Reason: reason.TrialBootsExhausted},
				{Image: 1, Result: "reverted", Reason: reason.FellBack}},
			Blames: sickBlames},
		{Name: "lost-decrement",
			Says:   "the loader's counting is lost in every trial boot: bounded by the agent's own count",
			Bricks: []int{10}, Endless: true, Offers: offer2,
			OnBoot: recount, Events: []Event{cycledInTrial}, Ends: recountEnds, Blames: sickBlames},
		{Name: "never-tried",
			Says:   "the loader starts the old slot once although the new one is armed",
			Bricks: []int{15}, Offers: offer2,
			Bypass: func(d *Device) string {
				if d.rec.Phase == life.Rebooting && d.fired["bypassed"] == 0 {
					d.fired["bypassed"]++
					return "A"
				}
				return ""
			}, Ends: updated, Blames: []reason.Reason{reason.NeverTried}},
		{Name: "confirmed-by-others",
			Says: "another program confirms the slot in the middle of its trial", Bricks: []int{17}, Offers: offer2,
			Events: []Event{{Name: "external", Times: 3, When: inPhase(life.Trial), Do: func(d *Device) {
				d.proven[d.Runs()] = d.Image()
				d.somebodyConfirms(d.Runs())
			}}}, Ends: []End{{Image: 2, Result: "updated", Reason: reason.ConfirmedExternally},
				{Image: 2, Result: "updated", Cut: true}}},
		{Name: "second-writer", Says: "another program changes the metadata without the lock while the agent arms",
			Bricks: []int{27}, Offers: offer2,
			OnOpen: func(d *Device, path string, a hal.Access) error {
				if d.metadata(path) && d.rec.Phase == life.Arming && a == hal.ReadOnly && d.fired["opened"] < 3 {
					if d.fired["opened"]++; d.fired["opened"] == 3 {
						d.somebodySets(map[string]string{"foreign": "changed"})
					}
				}
				return nil
			}, Ends: []End{{Image: 2, Result: "updated"}, {Image: 1, Result: "failed", Reason: reason.ArmNotLanded}},
			Blames: []reason.Reason{reason.ArmNotLanded}},
		{Name: "no-reboot", Says: "the machine does not reboot when it is told to: the slot does not stay armed",
			Bricks: []int{8, 14}, Offers: offer2, NoReboot: true,
			Ends: []End{{Image: 1, Result: "reverted", Reason: reason.RebootFailed},
				{Image: 2, Result: "updated", Cut: true},
				{Image: 2, Result: "stuck", Reason: reason.RevertImpossible, Cut: true},
				{Image: 2, Result: "reverted", Reason: reason.RebootFailed, Cut: true}},
			Blames: []reason.Reason{reason.RebootFailed, reason.RevertImpossible}},
		{Name: "no-disable", Says: "the sick slot cannot be disabled on the way back; in idle it can",
			Bricks: []int{14}, Offers: offer2, Sick: []byte{2},
			OnOpen: failIn(life.Reverting, 1000), Ends: sickEnd, Blames: sickBlames},
		{Name: "no-confirm", Says: "confirming fails again and again after health has passed: the slot is not disabled",
			Bricks: []int{16}, Offers: offer2,
			OnOpen: failIn(life.Confirming, 5), Ends: []End{{Image: 2, Result: "updated"},
				// Rebooting unconfirmed has used up the only try, and the cut another one.
				{Image: 1, Result: "reverted", Reason: reason.FellBack, Cut: true, OneTry: true},
				{Image: 1, Result: "reverted", Reason: reason.TrialBootsExhausted, Cut: true, OneTry: true}},
			Blames: []reason.Reason{reason.Quarantined}},
		{Name: "revert-into-nothing",
			Says: "the old slot was disabled by somebody in the trial of a sick system: " +
				"there is no way back, and the device runs on",
			Bricks: []int{4}, Offers: offer2, Sick: []byte{2},
			Events: []Event{{Name: "the old slot is disabled", Times: 9, When: inPhase(life.Trial),
				Do: func(d *Device) {
					d.somebodyDisables("A")
					delete(d.proven, "A")
					d.proven["B"] = 2 // all there is
					d.fired["external"]++
				}}},
			Alone: true, Ends: []End{{Image: 2, Result: "stuck", Reason: reason.RevertImpossible}},
			// Cuts used up the tries of the one slot that is left: nothing is on in the metadata.
			Blames: append([]reason.Reason{reason.RevertImpossible, reason.BootMetadataInvalid}, sickBlames...)},
		{Name: "stray-armed",
			Says:   "another program has armed the other slot, and the old one runs: it does not stay armed",
			Bricks: []int{8}, Setup: func(d *Device) { d.somebodyArms("B") },
			Ends: []End{{Image: 1}, {Image: oldImage, Cut: true}}},
		{Name: "offer-on-trial",
			Says: "somebody armed the other slot; an offer comes while it is on trial: " +
				"the only good slot is not written",
			Bricks: []int{3}, Offers: []Release{{Sequence: 3, Image: 3}},
			Setup: func(d *Device) { d.armedBySomebody() }, Ends: []End{{Image: 3, Result: "updated"}}},
		{Name: "offer-on-sick-trial", Says: "the same with a sick system: it is left, then the offer is installed",
			Bricks: []int{3}, Offers: []Release{{Sequence: 3, Image: 3}}, Sick: []byte{2},
			Setup: func(d *Device) { d.armedBySomebody() },
			Ends:  []End{{Image: 3, Result: "updated"}}, Blames: sickBlames},
	}
}

// armedBySomebody: slot B holds image 2, which nobody proved, and is on trial, and runs.
func (d *Device) armedBySomebody() {
	d.W.Poke("/dev/b", 0, d.p.image("rootfs", 2))
	delete(d.proven, "B")
	d.somebodyArms("B")
	if slot, err := d.l.boot(d.W, d.tries); err != nil || slot != "B" {
		panic("internal error: the loader does not start what was armed")
	}
	d.W.Restart()
	d.W.SetRunning("/dev/b", "B")
}

// failIn makes the first n openings of the metadata for writing fail in a phase.
func failIn(p life.Phase, n int) func(*Device, string, hal.Access) error {
	return func(d *Device, path string, a hal.Access) error {
		if a != hal.ReadOnly && d.metadata(strings.TrimSuffix(path, ".new")) && d.rec.Phase == p &&
			d.fired["failed"] < n {
			d.fired["failed"]++
			return errIO
		}
		return nil
	}
}

// cycleAgain is what the event "power cycle" does.
func cycleAgain(d *Device) { d.powerCycle(d.fired["power cycle"]) }

// cycledInTrial is a person who power-cycles the device in every trial boot.
var cycledInTrial = Event{Name: "power cycle", Times: 9, When: inPhase(life.Trial), Do: cycleAgain}

// recount fills the tries of an image on trial, as if the loader's counting were lost in each boot.
func recount(d *Device) {
	if d.Image() == 2 && d.rec.Phase != life.Reverting && d.rec.Phase != life.Idle {
		d.somebodyArms(d.Runs())
	}
}

// recountEnds: the agent's own count ends the trial.
var recountEnds = []End{{Image: 1, Result: "reverted", Reason: reason.TrialBootsExhausted},
	{Image: 1, Result: "reverted", Reason: reason.FellBack, Cut: true}}
