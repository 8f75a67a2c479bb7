package explorer

import (
	"context"
	"crypto/sha256"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/ratchet-ota/ratchet/agent"
	"github.com/ratchet-ota/ratchet/agent/console"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/journal"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/hal"
	"github.com/ratchet-ota/ratchet/slots"
	"github.com/ratchet-ota/ratchet/transport"
)

// What many scenarios share.
var (
	offer2  = []Release{{Sequence: 2, Image: 2}}
	updated = []End{{Image: 2, Result: "updated"}}
	sickEnd = []End{
		{Image: 1, Result: "reverted", Reason: reason.HealthFailed},
		{Image: 1, Result: "reverted", Reason: reason.TrialBootsExhausted, Cut: true},
		{Image: 1, Result: "reverted", Reason: reason.FellBack, Cut: true},
	}
	sickBlames = []reason.Reason{reason.HealthFailed, reason.Quarantined, reason.TrialBootsExhausted}
)

func inPhase(p life.Phase) func(*Device) bool {
	return func(d *Device) bool { return d.rec.Phase == p }
}

// quiet: idle, with the last update ended as said.
func quiet(result string) func(*Device) bool {
	return func(d *Device) bool { return d.rec.Phase == life.Idle && d.outcome().Result == result }
}

// deferred: idle, with an offer that waits.
func deferred(d *Device) bool {
	waits := false
	_ = d.mem.View(func(tx journal.Tx) error { waits = tx.Get(journal.State, "waiting") != nil; return nil })
	return waits && d.rec.Phase == life.Idle
}

// Scenarios are all stories, in the order in which they are explored.
func Scenarios() []Scenario {
	var all []Scenario
	people := personScenarios()
	for i := range people {
		people[i].Asked = true
	}
	for _, part := range [][]Scenario{goodScenarios(), badScenarios(), people, fleetScenarios(),
		troubleScenarios(), bootScenarios(),
		timeScenarios(), factoryScenarios(), retryScenarios(),
		laterScenarios()} {
		all = append(all, part...)
	}
	return all
}

func goodScenarios() []Scenario {
	return []Scenario{
		{Name: "update", Says: "a healthy image is installed and confirmed", Bricks: []int{7, 13}, Deep: true,
			Quick: true, Offers: offer2, Ends: updated},
		{Name: "divided", Says: "the same, and a process of its own holds the connections, which is killed at each " +
			"of its messages in turn", Divided: true, Few: true, Offers: offer2, Ends: updated,
			Options: func(_ *Device, o *agent.Options) { o.RetryMax = 5 * time.Minute }},
		{Name: "told-cuts", Says: "the machine tells of each loss of power: none in a trial is taken for a bad image",
			Tells: true, Deep: true, Offers: offer2,
			Ends: append([]End{{Image: 1, Result: "reverted", Reason: reason.PowerLost, Cut: true}}, updated...)},
		{Name: "first-update",
			Says: "the same, into a slot that was never written", Blank: true, Offers: offer2, Ends: updated},
		{Name: "two-updates", Says: "one update after the other, into one slot and back into the other", Deep: true,
			OffersNow: func(d *Device) []Release {
				if d.Image() == 1 {
					return offer2
				}
				return []Release{{Sequence: 3, Image: 3}}
			},
			Events: []Event{{Name: "the next release is published",
				When: func(d *Device) bool { return quiet("updated")(d) && d.Image() == 2 }, Times: 2,
				Do: func(d *Device) { d.offerNow(Release{Sequence: 3, Image: 3}) }}},
			Ends: []End{{Image: 3, Result: "updated"}}},
		{Name: "two-components", Says: "rootfs and boot switch together", Bricks: []int{26}, Both: true,
			Offers: []Release{{Sequence: 2, Image: 2, Both: true}}, Ends: updated},
		{Name: "carried", Says: "a release of rootfs alone: the other part is carried over from the running slot",
			Deep: true, Both: true, Carries: true, Setup: confirmedParts(1), Offers: offer2, Ends: updated},
		{Name: "carried-changed", Both: true, Carries: true, Setup: confirmedParts(3), Offers: offer2,
			Says: "the same, and the running slot does not hold what was confirmed: nothing is written",
			OnPhase: func(d *Device, _, to life.Phase) {
				if to == life.Writing {
					d.breach("I9", "the target is written beside a part that is not what was confirmed")
				}
			},
			Ends: []End{{Image: 1, Result: "failed", Reason: reason.SlotIncomplete}}},
		{Name: "idle", Says: "nothing to do for a day", Bricks: []int{13}, Ends: []End{{Image: 1}}},
		{Name: "window", Says: "an update waits two hours for its window, held and read back again", Bricks: []int{9},
			Offers: offer2, Ends: updated,
			Clocked: true, Options: twoOClock, Events: []Event{patient}},
		{Name: "superseded", Few: true,
			Says: "a newer release comes while one waits for its window", Clocked: true, Options: twoOClock,
			OffersNow: func(d *Device) []Release {
				if d.fired["a newer release is published"] > 0 {
					return []Release{{Sequence: 3, Image: 3}}
				}
				return offer2
			},
			Events: []Event{patient, {Name: "a newer release is published", Times: 3,
				When: func(d *Device) bool { return d.rec.Phase == life.Ready && d.rec.Ext.Sequence == 2 },
				Do:   func(d *Device) { d.offerNow(Release{Sequence: 3, Image: 3}) }}},
			Ends: []End{{Image: 3, Result: "updated"}}},
		{Name: "reporting-fails", Few: true,
			Says: "evidence cannot be handed over: nothing else changes (I7)", Offers: offer2,
			Ends: updated, Report: true},
	}
}

// confirmedParts is a device that has a record of what slot A holds: image 1, and of boot image n.
func confirmedParts(n byte) func(*Device) {
	return func(d *Device) {
		held := life.Content{Manifest: "sha256:" + strings.Repeat("0", 64), Sequence: 1, Version: "1.0.0",
			Confirmed: true}
		for c, n := range map[string]byte{"boot": n, "rootfs": 1} {
			img := d.p.image(c, n)
			sum := sha256.Sum256(img)
			held.Images = append(held.Images,
				life.SlotImage{Component: c, Alg: slots.SHA256, Digest: sum[:], Size: int64(len(img)),
					Anywhere: true})
		}
		slices.SortFunc(held.Images, func(a, b life.SlotImage) int { return strings.Compare(a.Component, b.Component) })
		b, err := cbor.Marshal(held)
		if err == nil {
			err = d.mem.Update(func(tx journal.Tx) error { return tx.Put(journal.State, "slot/A", b) })
		}
		if err != nil {
			d.breach("rest", "the record of slot A cannot be made: %v", err)
		}
	}
}

func twoOClock(_ *Device, o *agent.Options) {
	o.Rules.Windows = []policy.Window{{Days: [7]bool{true, true, true, true, true, true, true}, From: 120,
		To: 240, Zone: time.UTC}}
}

var patient = Event{Name: "hours pass", Times: 8,
	When: func(d *Device) bool { return d.patience == 0 && d.Image() == 1 }, Do: func(*Device) {}}

func badScenarios() []Scenario {
	return []Scenario{
		{Name: "sick", Says: "the new system fails its health check and is left", Deep: true, Quick: true,
			Offers: offer2, Sick: []byte{2}, Ends: sickEnd, Blames: sickBlames},
		{Name: "panic", Says: "the new kernel panics, or hangs until the loader's watchdog resets it", Bricks: []int{6},
			Deep: true, Quick: true, Offers: offer2, Dies: []byte{2},
			Ends: []End{{Image: 1, Result: "reverted", Reason: reason.TrialBootsExhausted},
				{Image: 1, Result: "reverted", Reason: reason.FellBack}},
			Blames: sickBlames},
		{Name: "unloadable", Says: "the loader cannot load the new kernel, and goes on to the old slot at once",
			Bricks: []int{6}, Offers: offer2, Unloads: []byte{2},
			Ends: []End{{Image: 1, Result: "reverted", Reason: reason.TrialBootsExhausted},
				{Image: 1, Result: "reverted", Reason: reason.FellBack}},
			Blames: sickBlames},
		{Name: "told-panic", Says: "the same, on a machine that tells of each loss of power: the image is to blame",
			Tells: true, Offers: offer2, Dies: []byte{2},
			Ends: []End{{Image: 1, Result: "reverted", Reason: reason.TrialBootsExhausted},
				{Image: 1, Result: "reverted", Reason: reason.FellBack},
				{Image: 1, Result: "reverted", Reason: reason.PowerLost, Cut: true}},
			Blames: sickBlames},
		{Name: "sick-then-fixed", Few: true, Says: "after a sick image its correction is published", Sick: []byte{2},
			OffersNow: func(d *Device) []Release {
				if d.outcome().Result == "reverted" || d.fired["the correction is published"] > 0 {
					return []Release{{Sequence: 3, Image: 3}}
				}
				return offer2
			},
			Events: []Event{{Name: "the correction is published", When: quiet("reverted"), Times: 3,
				Do: func(d *Device) { d.offerNow(Release{Sequence: 3, Image: 3}) }}},
			Ends: []End{{Image: 3, Result: "updated"}}, Blames: sickBlames},
		{Name: "broker-outage", Few: true,
			Says:   "the broker is away in the trial and longer: the image is not to blame, and is installed later",
			Bricks: []int{24}, Broker: true, Offers: offer2,
			OnBoot: func(d *Device) {
				if d.Image() == 2 && d.fired["the broker is back"] == 0 {
					d.Online = false
				}
			},
			Events: []Event{{Name: "the broker is back", When: func(d *Device) bool {
				return !d.Online && d.Image() == 1 && d.rec.Phase == life.Idle && d.W.Clock().Uptime() >= 2*time.Minute
			}, Do: func(d *Device) { d.Online = true; d.offerNow(Release{Sequence: 2, Image: 2}) }}},
			Ends: updated, Blames: []reason.Reason{reason.HealthUnreachable}},
		{Name: "broker-sick", Few: true,
			Says:   "only the new system does not reach the broker: it is not to blame, and tried again later",
			Broker: true, Offers: offer2,
			OnBoot: func(d *Device) { d.Online = d.Image() != 2 },
			Ends:   append([]End{{Image: 1, Result: "reverted", Reason: reason.HealthUnreachable}}, sickEnd[1:]...),
			Blames: []reason.Reason{reason.HealthUnreachable, reason.TrialBootsExhausted}},
		{Name: "refused",
			Says: "garbage, a foreign class and a stranger's signature",
			Offers: []Release{{Bytes: "garbage"}, {Sequence: 5, Image: 3, Foreign: true},
				{Sequence: 6, Image: 3, Stranger: true}}, Ends: []End{{Image: 1}},
			MustSay: []reason.Reason{reason.EnvelopeMalformed, reason.WrongClass, reason.SignerUnknown}},
		{Name: "wrong-bytes", Few: true, Says: "the server sends another image than the manifest names", Offers: offer2,
			Serve: func(d *Device, _ string, off int64) (io.ReadCloser, error) {
				return serve(d, uri("rootfs", 8), off)
			}, Rots: true,
			Ends:   []End{{Image: 1, Result: "failed", Reason: reason.ImageCorrupt}},
			Blames: []reason.Reason{reason.ImageCorrupt}},
		{Name: "broken-network", Few: true,
			Says: "the connection breaks again and again: writing resumes", Offers: offer2, Quick: true,
			Serve: func(d *Device, u string, off int64) (io.ReadCloser, error) {
				body, err := serve(d, u, off)
				if err == nil && d.broken < 3 && len(d.opened) > 1 {
					d.broken++
					return io.NopCloser(io.MultiReader(io.LimitReader(body, 30_000), failing{})), nil
				}
				return body, err
			}, Ends: updated},
		{Name: "server-away", Few: true,
			Says: "the server does not answer, and has no such image, and then has it", Offers: offer2,
			Serve: func(d *Device, u string, off int64) (io.ReadCloser, error) {
				if d.broken++; d.broken < 4 {
					return nil, []error{errBroken, transport.ErrGone, errBroken}[d.broken-1]
				}
				return serve(d, u, off)
			}, Ends: updated},
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }

func personScenarios() []Scenario {
	return []Scenario{
		{Name: "local-install", Says: "a technician installs from a file, again where it was " +
			"interrupted", Events: []Event{{Name: "install", Times: 8,
			When: func(d *Device) bool {
				return d.rec.Phase == life.Idle && d.Image() == 1 && d.fired["since the start"] < 2
			},
			Do: func(d *Device) {
				d.fired["since the start"]++
				env, err := d.p.envelope(offer2[0])
				if err != nil {
					panic("internal error: " + err.Error())
				}
				files := map[string]slots.Source{console.PayloadName(uri("rootfs", 2)): source{d, uri("rootfs", 2)}}
				d.do(func(ctx context.Context, c *console.Console) {
					l := console.LocalInstall{Envelope: env, Name: "update.ratchet", Actor: "uid 0", Payloads: files}
					_, _ = c.Check(ctx, l)
					_, _ = c.Install(ctx, l, func(control.Progress) {})
				})
			}}}, OnBoot: func(d *Device) { delete(d.fired, "since the start") }, Ends: updated},
		{Name: "confirm-by-hand",
			Says: "a person confirms a system whose health check fails", Offers: offer2, Sick: []byte{2},
			Events: []Event{{Name: "confirm", Times: 5, When: inPhase(life.Trial), Do: func(d *Device) {
				d.do(func(ctx context.Context, c *console.Console) { _, _ = c.Confirm(ctx, "uid 0", "") })
			}}}, Ends: []End{{Image: 2, Result: "updated", Reason: reason.OperatorConfirm},
				{Image: 2, Result: "updated", Cut: true}}},
		{Name: "revert-in-trial", Says: "a person ends the trial", Offers: offer2,
			Events: []Event{{Name: "revert", Times: 5, When: inPhase(life.Trial), Do: func(d *Device) {
				d.do(func(ctx context.Context, c *console.Console) { _, _ = c.Revert(ctx, "uid 0", "") })
			}}}, Ends: []End{{Image: 1, Result: "reverted", Reason: reason.OperatorRevert}}},
		{Name: "revert-to-factory", Says: "a person goes back from idle to a slot that was never written by the agent",
			Bricks: []int{25}, Quick: true,
			Events: []Event{goBack(1)}, Ends: []End{{Image: oldImage, Result: "reverted",
				Reason: reason.OperatorRevert},
				// The cut used up the only try of a slot of which nothing else is known.
				{Image: 1, Result: "failed", Reason: reason.TrialBootsExhausted, Cut: true, OneTry: true},
				{Image: 1, Result: "failed", Reason: reason.FellBack, Cut: true, OneTry: true}}},
		{Name: "revert-to-known",
			Says:   "a person goes back from idle to an image that the agent wrote, after it was read back",
			Bricks: []int{25},
			OffersNow: func(d *Device) []Release {
				if d.fired["revert"] > 0 {
					return nil
				}
				if d.Image() == 1 {
					return offer2
				}
				return []Release{{Sequence: 3, Image: 3}}
			},
			Events: []Event{{Name: "the next release is published",
				When:  func(d *Device) bool { return quiet("updated")(d) && d.Image() == 2 && d.fired["revert"] == 0 },
				Times: 2, Do: func(d *Device) { d.offerNow(Release{Sequence: 3, Image: 3}) }}, goBack(3)},
			Ends: []End{{Image: 2, Result: "reverted", Reason: reason.OperatorRevert}}},
		{Name: "approval", Says: "an update waits until somebody agrees", Offers: offer2,
			Options: func(_ *Device, o *agent.Options) { o.Rules.Approval = policy.ApprovalInstall },
			Events: []Event{{Name: "approve", Times: 5, When: inPhase(life.Ready), Do: func(d *Device) {
				d.do(func(ctx context.Context, c *console.Console) { _, _ = c.Approve(ctx, "", "uid 0", "") })
			}}}, Ends: updated},
	}
}

// fleetScenarios are those of a device with a trust root.
func fleetScenarios() []Scenario {
	return []Scenario{
		{Name: "campaign", Few: true,
			Says: "a device with a trust root follows a plan and its pulse", Rooted: true, Ends: updated},
		{Name: "key-rotation", Few: true,
			Says:   "the release key is rotated in the middle of an update, which goes on under the new one",
			Rooted: true,
			Serve: midway(rotated, 0, func(d *Device) {
				d.retain(transport.Root, d.fleet().roots[1])
				d.retain(transport.Offer, d.fleet().offers[1])
			}), Ends: updated},
		{Name: "withdrawn",
			Says: "the campaign is withdrawn midway: the target is not armed", Bricks: []int{9}, Rooted: true,
			Serve: midway(withdrawn, 0, func(d *Device) { d.retain(transport.Pulse, d.pulse()) }),
			Ends:  []End{{Image: 1, Result: "failed", Reason: reason.PlanWithdrawn}}},
		{Name: "paused-while-written", Few: true, Bricks: []int{9}, Rooted: true,
			Says:  "the campaign is paused while an image is written: the write stops, and goes on later",
			Serve: midway(paused, 50_000, func(d *Device) { d.retain(transport.Pulse, d.pulse()) }),
			Events: []Event{{Name: resumed, When: func(d *Device) bool {
				return d.fired[paused] > 0 && (deferred(d) || d.rec.Phase == life.Ready)
			},
				Do: func(d *Device) { d.retain(transport.Pulse, d.pulse()) }}, patient},
			Ends: updated},
		{Name: "rotated-while-written", Few: true, Rooted: true,
			Says: "the release key is rotated while its image is written: what the new one signed is installed",
			Serve: midway(rotated, 50_000, func(d *Device) {
				d.retain(transport.Root, d.fleet().roots[1])
				d.retain(transport.Offer, d.fleet().offers[1])
			}), Ends: updated},
		{Name: "paused", Says: "the campaign is paused midway and goes on an hour later", Rooted: true,
			Serve: midway(paused, 0, func(d *Device) { d.retain(transport.Pulse, d.pulse()) }),
			Events: []Event{{Name: resumed, When: func(d *Device) bool {
				return d.fired[paused] > 0 && (deferred(d) || d.rec.Phase == life.Ready)
			},
				Do: func(d *Device) { d.retain(transport.Pulse, d.pulse()) }}, patient},
			Ends: updated},
	}
}

// goBack is a person who goes back from image n.
func goBack(n byte) Event {
	return Event{Name: "revert", Times: 6, When: func(d *Device) bool {
		return d.rec.Phase == life.Idle && d.Image() == n
	},
		Do: func(d *Device) {
			d.do(func(ctx context.Context, c *console.Console) { _, _ = c.Revert(ctx, "uid 0", "") })
		}}
}

func troubleScenarios() []Scenario {
	return []Scenario{
		{Name: "full-disk",
			Says: "the journal has no room for an update, then it has", Bricks: []int{12}, Offers: offer2,
			Setup: func(d *Device) { d.mem.SetLimit(100 << 10) },
			Events: []Event{{Name: "somebody makes room", When: deferred,
				Do: func(d *Device) { d.mem.SetLimit(1 << 40) }}},
			Ends: updated},
		{Name: "journal-unwritable", Says: "the journal cannot be written in the trial; it can again in the old system",
			Bricks: []int{12}, Offers: offer2, Unwritable: true,
			OnBoot: func(d *Device) {
				d.mem.SetFault(nil)
				if d.Image() == 2 && d.fired["healed"] == 0 {
					d.mem.SetFault(journal.ErrReadOnly)
				} else if d.Image() == 1 {
					d.fired["healed"]++
				}
			},
			Ends: []End{{Image: 2, Result: "updated"}, {Image: 1, Result: "reverted",
				Reason: reason.TrialBootsExhausted}, {Image: 1, Result: "reverted", Reason: reason.FellBack}},
			// The agent of the trial cannot write down why it gives up: the old one sees used-up tries.
			Blames: []reason.Reason{reason.TrialBootsExhausted, reason.Quarantined}},
		{Name: "journal-lost", Says: "the journal is lost in the trial of a healthy system", Bricks: []int{11, 19},
			Offers: offer2, OnBoot: loseJournal, Ends: []End{{Image: 2, Result: "updated"},
				// Without a mark that the state lasts, what runs is not installed into the other slot, too.
				{Image: 2, Result: "refused", Reason: reason.AlreadyInstalled, Cut: true}},
			Blames: []reason.Reason{reason.JournalLost}},
		{Name: "journal-lost-sick",
			Says: "the journal is lost in the trial of a sick system: it is not installed for ever", Bricks: []int{11},
			Offers: offer2, Sick: []byte{2}, OnBoot: loseJournal,
			Ends: append([]End{{Image: 1, Result: "refused", Reason: reason.Quarantined},
				{Image: 1, Result: "reverted", Reason: reason.JournalLost}}, sickEnd...),
			Blames: append([]reason.Reason{reason.JournalLost}, sickBlames...)},
		{Name: "evidence-pruned", Says: "the journal keeps little evidence: the chain stays whole from where it begins",
			Bricks: []int{19}, Offers: offer2,
			Options: func(_ *Device, o *agent.Options) { o.EvidenceMax = 3000 }, Ends: updated},
		{Name: "lying-medium", Says: "the slot changes a byte after it was written: it is read back before it is armed",
			Bricks: []int{23}, Quick: true, Offers: offer2, Rots: true,
			OnPhase: func(d *Device, from, to life.Phase) {
				if to == life.Checking && d.fired["rot"] == 0 {
					d.fired["rot"]++
					d.W.Poke(d.parts(string(d.rec.Target))["rootfs"], 40_000, []byte("rot"))
				}
			}, Ends: updated, Blames: []reason.Reason{reason.ReadBackMismatch}},
		{Name: "window-rot", Says: "the slot changes while it waits for the window: it is read back again",
			Bricks: []int{23}, Offers: offer2, Rots: true, Clocked: true, Options: twoOClock,
			Events: []Event{patient, {Name: "rot", When: func(d *Device) bool {
				now, _ := d.W.Clock().Wall()
				return d.rec.Phase == life.Ready && now.Hour() == 0 && now.Minute() < 30
			}, Do: func(d *Device) {
				d.W.Poke(d.parts(string(d.rec.Target))["rootfs"], 40_000, []byte("rot"))
			}}}, Ends: updated, Blames: []reason.Reason{reason.ReadBackMismatch}},
		{Name: "low-battery",
			Says:   "an offer that was handed over once is deferred, and looked at again when the battery is charged",
			Bricks: []int{21}, Offers: offer2, Once: true,
			Setup:   func(d *Device) { d.W.SetSupply(hal.Supply{Battery: 10, BatteryMWh: -1, Known: true}) },
			Options: func(_ *Device, o *agent.Options) { o.Rules.MinBattery = 30 },
			Events: []Event{{Name: "charged", When: deferred, Do: func(d *Device) {
				d.W.SetSupply(hal.Supply{Battery: 80, BatteryMWh: -1, Mains: true, Known: true})
			}}, patient}, Ends: updated},
		{Name: "clock-jump", Says: "the clock stands at 1970 and jumps in the trial", Bricks: []int{20}, Offers: offer2,
			Setup: func(d *Device) { d.W.SetWall(time.Unix(0, 0), hal.TimeUnknown) },
			Events: []Event{{Name: "time comes", When: inPhase(life.Trial), Do: func(d *Device) {
				d.W.SetWall(time.Date(2031, 5, 1, 0, 0, 0, 0, time.UTC), hal.TimeSynced)
			}}}, Ends: updated},
		{Name: "no-counter", Says: "the rollback counter is not there", Bricks: []int{22}, Offers: offer2,
			Setup: func(d *Device) { d.W.SetCounter(0, false) },
			Ends:  []End{{Image: 2, Result: "updated", Reason: reason.FloorPending}}},
		{Name: "counter-late",
			Says: "the counter cannot be raised after confirm, and later it can", Bricks: []int{18, 22}, Offers: offer2,
			Setup: func(d *Device) { d.W.SetCounter(0, false) },
			Events: []Event{{Name: "the counter is back",
				When: func(d *Device) bool { return quiet("updated")(d) && d.rec.Ext.Pending != "" },
				Do:   func(d *Device) { d.W.SetCounter(0, true); d.powerCycle(0) }}},
			Ends: []End{{Image: 2, Result: "updated", Reason: reason.FloorPending}}},
		{Name: "newer-record", Says: "a newer agent left a record that this one does not know", Bricks: []int{2},
			Offers: offer2, Rests: []life.Phase{"staging"},
			Setup: func(d *Device) {
				b, err := cbor.Marshal(life.Record{Phase: "staging", Target: "B", Digest: "sha256:00"})
				if err == nil {
					err = d.mem.Update(func(tx journal.Tx) error { return tx.Put(journal.State, "record", b) })
				}
				if err != nil {
					panic("internal error: " + err.Error())
				}
				d.rec.Phase = "staging"
			}, Ends: []End{{Image: 1}}},
	}
}

func loseJournal(d *Device) {
	if d.Image() != 2 || d.fired["lost"] > 0 {
		return
	}
	d.fired["lost"]++
	d.putJournal(journal.NewMemory().(*journal.Memory))
	d.lost = reason.JournalLost
	d.rec, d.seq, d.known = life.Record{Phase: life.Idle}, 0, nil
}

// laterScenarios need what is not built yet. They are listed, and not counted.
func laterScenarios() []Scenario {
	return []Scenario{
		{Name: "delta", Says: "a delta that is interrupted, and one whose base is not there", Needs: "delta payloads"},
	}
}
