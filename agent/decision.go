package agent

import (
	"slices"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// facts are what this device is now, for a decision about the target.
func (a *Agent) facts(m manifest.Manifest, target SlotDef) policy.Facts {
	supply := a.o.Power.Supply()
	f := policy.Facts{ID: a.o.Device, Device: a.o.Facts, Rules: a.o.Rules, Metered: a.o.Metered(), Own: a.own(),
		SlotSize: map[string]int64{}, Running: map[string]manifest.Digest{},
		Battery: supply.Battery, Mains: supply.Mains, SupplyKnown: supply.Known}
	f.Now, _ = a.wall()
	f.Device.Now, f.Device.TimeKnown = f.Now.Wall, f.Now.Known
	f.Device.BatteryMWh = supply.BatteryMWh
	f.Device.Components = map[string]manifest.Target{}
	for c, path := range target.Parts {
		f.Device.Components[c] = manifest.Target{Slot: target.Index}
		if dev := a.held[c]; dev != nil {
			f.SlotSize[c] = dev.Size()
		} else if dev, err := a.o.Blocks.OpenMedium(path); err == nil {
			f.SlotSize[c] = dev.Size()
			_ = dev.Close()
		} else {
			a.log.Warn("target cannot be measured", "slot", target.Name, "component", c, "error", err)
		}
	}
	if floor := a.s.Floor; floor.Digest != "" || floor.Sequence > 0 {
		f.Floor.Sequence = floor.Sequence
		f.Floor.Manifest, _ = manifest.ParseDigest(floor.Digest)
	}
	if a.o.Sequence > f.Floor.Sequence {
		// What the running image knows of itself counts when the journal does not (amnesia).
		f.Floor = policy.Floor{Sequence: a.o.Sequence}
		if m.Sequence() == a.o.Sequence {
			f.Floor.Manifest = m.Digest()
		}
	}
	f.Bound = func(seq uint64) (manifest.Digest, bool) {
		s, ok := a.st.Bound(seq)
		if !ok {
			return manifest.Digest{}, false
		}
		d, err := manifest.ParseDigest(s)
		return d, err == nil
	}
	f.Quarantined = func(d manifest.Digest) (reason.Reason, bool) {
		return a.q.Find(d.String())
	}
	if c, ok := a.st.Content(a.s.Run); ok && c.Confirmed {
		for _, i := range c.Images {
			f.Running[i.Component] = manifest.Digest{Alg: i.Alg, Sum: string(i.Digest)}
		}
	}
	f.Approved = a.st.Approved() == m.Digest().String()
	return f
}

// own is what only the agent knows of its own state. Whether an image is being judged is asked of a new
// offer only, see decideOffer.
func (a *Agent) own() policy.Own {
	o := policy.Own{Hold: a.s.Hold != "" || a.s.Run == "", Stayed: a.s.Stayed, Journal: policy.Room{Needs: minJournal}}
	if len(a.s.Safe) > 0 {
		o.Safe = a.s.Safe[0]
	}
	o.Journal.Free, _ = a.st.Free() // an error is no room
	return o
}

func (a *Agent) decideOn(o policy.Offer, f policy.Facts) policy.Decision {
	return policy.Decide(o, a.standing(), a.permit, f)
}

// minJournal is what must be free in the journal before an update begins: its phases and evidence fit.
const minJournal = 128 << 10

// summary is the first finding as reason, and all of them as text and evidence detail. What a permit
// lifted is in the detail too, and is the reason where nothing else stands against the offer.
func summary(d policy.Decision) (reason.Reason, string, map[string]string) {
	if len(d.Findings)+len(d.Lifted) == 0 {
		return reason.None, "", nil
	}
	why := reason.Permitted
	if len(d.Findings) > 0 {
		why = d.Findings[0].Reason
	}
	for _, f := range d.Findings {
		if d.Outcome == policy.Refuse && f.Final {
			why = f.Reason
			break
		}
	}
	var said []string
	detail := map[string]string{}
	for _, f := range d.Findings {
		s := string(f.Reason)
		if f.Detail != "" {
			s += " (" + f.Detail + ")"
		}
		said = append(said, s)
		if len(detail) < evidence.MaxDetails {
			detail[string(f.Reason)] = f.Detail
		}
	}
	for _, f := range d.Lifted {
		if len(detail) < evidence.MaxDetails {
			detail["lifted-"+string(f.Reason)] = f.Detail
		}
	}
	return why, strings.Join(said, "; "), detail
}

// rules names the findings without their figures, which change all the time (a charge, bytes left):
// a decision is on record again when these change.
func rules(d policy.Decision) string {
	var all []string
	for _, f := range d.Findings {
		if !slices.Contains(all, string(f.Reason)) {
			all = append(all, string(f.Reason))
		}
	}
	return strings.Join(all, " ")
}

// retryAfter is when the earliest finding may have gone: at least a minute, 15 minutes when nobody says.
func retryAfter(d policy.Decision) time.Duration {
	var t time.Duration
	for _, f := range d.Findings {
		if f.Retry > 0 && (t == 0 || f.Retry < t) {
			t = f.Retry
		}
	}
	if t == 0 {
		t = 15 * time.Minute
	}
	return max(t, time.Minute)
}
