package intake

import (
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// facts are what this device is now, for a decision about the target; machine is what is around that.
func (in *Intake) facts(s life.State, m manifest.Manifest, machine Machine) policy.Facts {
	f := policy.Facts{ID: in.o.Device, Device: in.o.Facts, Rules: in.o.Rules, Metered: machine.Metered,
		Own: in.own(s, machine), SlotSize: map[string]int64{}, SlotUnread: machine.Unread,
		Running: map[string]policy.Part{},
		Battery: machine.Supply.Battery, Mains: machine.Supply.Mains, SupplyKnown: machine.Supply.Known}
	f.Now = in.wall()
	f.Device.Now, f.Device.TimeKnown = f.Now.Wall, f.Now.Known
	f.Device.BatteryMWh = machine.Supply.BatteryMWh
	f.Device.Components = map[string]manifest.Target{}
	for c, size := range machine.Sizes {
		f.Device.Components[c] = manifest.Target{Slot: machine.Index}
		if size != Unmeasured {
			f.SlotSize[c] = size
		}
	}
	f.Floors = map[string]policy.Floor{}
	for _, floor := range s.Floors {
		of := policy.Floor{Sequence: floor.Sequence}
		of.Manifest, _ = manifest.ParseDigest(floor.Digest)
		f.Floors[floor.Component] = of
	}
	if in.o.Sequence > f.Floors[in.o.RootComponent].Sequence {
		// What the running image knows of itself counts when the journal does not (amnesia).
		of := policy.Floor{Sequence: in.o.Sequence}
		if m.Sequence() == in.o.Sequence {
			of.Manifest = m.Digest()
		}
		f.Floors[in.o.RootComponent] = of
	}
	f.Bound = func(component string, seq uint64) (manifest.Digest, bool) {
		digest, ok := in.o.Store.Bound(component, seq)
		if !ok {
			return manifest.Digest{}, false
		}
		d, err := manifest.ParseDigest(digest)
		return d, err == nil
	}
	f.Quarantined = func(d manifest.Digest) (reason.Reason, bool) {
		return in.o.Quarantined(d.String())
	}
	if c, ok := in.o.Store.Content(s.Run); ok && c.Confirmed {
		for _, i := range c.Images {
			seq, m := i.Of(c.Sequence, c.Manifest)
			part := policy.Part{Image: manifest.Digest{Alg: i.Alg, Sum: string(i.Digest)}, Size: i.Size, Sequence: seq,
				Anywhere: i.Anywhere}
			part.Manifest, _ = manifest.ParseDigest(m)
			f.Running[i.Component] = part
		}
	}
	f.Approved = in.o.Store.Approved() == m.Digest().String()
	return f
}

// own is what only the agent knows of its own state.
func (in *Intake) own(s life.State, m Machine) policy.Own {
	o := policy.Own{Hold: s.Hold != "" || s.Run == "", Moved: m.StateMoved, Stayed: s.Stayed,
		Journal: policy.Room{Needs: minJournal}}
	if len(s.Safe) > 0 {
		o.Safe = s.Safe[0]
	}
	o.Journal.Free, _ = in.o.Store.Free() // an error is no room
	return o
}

// minJournal is what must be free in the journal before an update begins: its phases and evidence fit.
const minJournal = 128 << 10
