package console

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/internal/view"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// Status is the whole device at one moment, for people and their tools. It may be called at any
// time from any goroutine.
func (c *Console) Status(ctx context.Context) control.Status {
	s := c.o.View.Snapshot()
	wall, q := c.o.Clock.Wall()
	st := control.Status{Schema: control.Schema, Device: c.o.Device, Agent: c.o.Version,
		Mode: control.ModeNormal, Phase: string(s.Phase),
		Time: control.TimeStatus{Wall: wall, Quality: q.String(),
			UptimeSeconds: int64(c.o.Clock.Uptime() / time.Second)}}
	if len(s.Safe) > 0 {
		st.Mode, st.ModeReason, st.ModeWhy = control.ModeBootSafe, reason.BootSafeMode, strings.Join(s.Safe, "; ")
	}
	all := c.Slots(ctx)
	st.Boot = all.Boot
	for _, x := range all.Slots {
		if x.Running {
			st.Running = x
		} else {
			st.Other = x
		}
	}
	st.Update = c.updateStatus(s)
	if o, ok := c.o.Store.Outcome(); ok {
		st.Last = last(o)
	}
	online, since := c.o.Online()
	st.Broker = control.BrokerStatus{Configured: c.o.Network, Online: online, Since: since}
	if !online {
		st.Broker.Error = errText(c.o.Offline())
	}
	st.Floor = floorStatus(c.floors())
	st.Counter = c.o.Counter(ctx)
	st.Trust = trusts(c.o.View.Trust())
	head := c.o.Store.Head()
	st.Evidence = control.EvidenceStatus{Seq: head.Seq, Chain: fmt.Sprintf("%x", head.Chain), Sent: c.o.Store.Sent()}
	free, err := c.o.Store.Free()
	st.Journal.FreeBytes = free
	if !c.o.Journal {
		st.Journal.FreeBytes, st.Journal.Error = -1,
			"there is no journal; what happens now is lost when the daemon ends"
	} else if err != nil {
		st.Journal.FreeBytes, st.Journal.Error = -1, err.Error()
	} else if t := c.o.View.Trouble(); t != nil && t.Journal {
		st.Journal.Error = t.Text
	}
	st.Reset = control.ResetStatus{Cause: string(c.o.Reset.Is()), Source: c.o.Reset.Source,
		Panics: c.o.Reset.Panics.Count}
	for _, p := range c.o.Problems() {
		st.Problems, st.ProblemReasons = append(st.Problems, p.Text), append(st.ProblemReasons, p.Reason)
	}
	st.Advice = c.advice(s, st)
	return st
}

func (c *Console) floors() life.Floors {
	var dev life.Device
	for i, s := range c.o.Slots {
		dev.Slots[i] = s.Name
		dev.Parts = slices.Sorted(maps.Keys(s.Parts))
	}
	return c.o.Store.Floors(dev)
}

func floorStatus(f life.Floors) control.FloorStatus {
	out := control.FloorStatus{Sequence: f.Highest().Sequence}
	if !f.Same() {
		out.Components = map[string]uint64{}
		for _, x := range f {
			out.Components[x.Component] = x.Sequence
		}
	}
	return out
}

// trusts is whom the device trusts, for people.
func trusts(t view.Trust) control.TrustStatus {
	u := t.Under
	out := control.TrustStatus{Root: t.Root, Version: u.Root, Keys: t.Keys, Problem: t.Problem, Why: t.Why}
	if u.Newest > u.Root {
		out.Newest = u.Newest
	}
	if t.Plan != "" {
		out.Plan = &control.PlanStatus{Sequence: u.Plan, Digest: t.Plan, Pulse: u.Pulse, State: t.State, Phase: t.Phase}
	}
	return out
}

// last is an outcome for people.
func last(o store.Outcome) *control.Outcome {
	info := o.Reason.Info()
	l := &control.Outcome{Result: o.Result, Reason: o.Reason, Slot: string(o.Slot), Sequence: o.Sequence,
		Manifest: o.Manifest, Version: o.Version, When: o.Wall, TimeQuality: o.Quality, Says: info.Says,
		Advice: info.Advice}
	switch {
	case o.Reason != reason.None && o.Detail != "":
		l.Says += " (" + o.Detail + ")"
	case o.Reason == reason.None && o.Result == "updated":
		l.Says, l.Advice = "The update was installed, proven healthy and confirmed.", ""
	case o.Reason == reason.None:
		l.Says, l.Advice = "", ""
	}
	return l
}

// Slots tells what both slots are.
func (c *Console) Slots(ctx context.Context) control.Slots {
	s := c.o.View.Snapshot()
	out := control.Slots{Schema: control.Schema}
	st, err := c.o.Boot.State(ctx)
	out.Boot = control.BootStatus{Backend: st.Caps.Backend, Layout: st.Caps.Layout, PowerSafe: st.Caps.PowerSafe,
		Weakness: st.Caps.Weakness, Damaged: st.Caps.Damaged, Unlocked: strings.Join(st.Unlocked, "; "),
		Next: string(st.Next)}
	if err != nil {
		out.Boot.Error = err.Error()
	}
	for _, def := range c.o.Slots {
		b := st.Slots[def.Name]
		x := control.SlotStatus{Name: string(def.Name), Running: def.Name == s.Running && s.Running != "",
			Bootable: b.Bootable, Confirmed: b.Confirmed, Tries: b.Tries}
		for component, p := range def.Parts {
			x.Devices = append(x.Devices, component+"="+p)
		}
		if known, ok := c.o.Store.Content(def.Name); ok {
			x.Holds = &control.SlotHolds{Version: known.Version, Sequence: known.Sequence, Manifest: known.Manifest}
			if len(known.Images) > 0 {
				x.Holds.Image = known.Images[0].Text()
			}
			x.Holds.Parts = parts(known)
		}
		x.State = slotState(s, def.Name, b, err)
		out.Slots = append(out.Slots, x)
	}
	return out
}

// parts is what is on record of a slot of several parts.
func parts(c life.Content) (out []control.PartHolds) {
	if len(c.Images) < 2 {
		return nil
	}
	for _, i := range c.Images {
		seq, _ := i.Of(c.Sequence, c.Manifest)
		out = append(out, control.PartHolds{Component: i.Component, Image: i.Text(), Sequence: seq, Carried: i.Carried})
	}
	return out
}

func slotState(s view.Snapshot, name bootctl.Slot, b bootctl.SlotState, err error) string {
	target := s.Rec.Target == name
	switch {
	case err != nil:
		return "the boot metadata cannot be read"
	case target && s.Phase == life.Trial:
		return "on trial"
	case target && s.Phase == life.Writing:
		return "being written"
	case target && s.Phase == life.Checking:
		return "being checked"
	case target && s.Phase == life.Ready:
		return "written and checked, waiting to be armed"
	case target && (s.Phase == life.Arming || s.Phase == life.Rebooting):
		return "armed for its trial"
	case target && s.Phase == life.Reverting:
		return "being left"
	case b.Confirmed && b.Bootable:
		return "confirmed"
	case b.Bootable:
		return "bootable, never confirmed"
	case b.Exhausted:
		return "given up by the bootloader"
	}
	return "disabled"
}

func (c *Console) updateStatus(s view.Snapshot) *control.UpdateStatus {
	if s.Phase == life.Idle {
		w, ok := c.o.Store.Waiting()
		if !ok {
			return nil
		}
		return &control.UpdateStatus{Manifest: w.Digest, Sequence: w.Sequence, Reason: w.Reason,
			WaitingFor: w.Said, ETASeconds: -1, NextSeconds: c.next(s)}
	}
	p := c.nowProgress()
	u := &control.UpdateStatus{Manifest: s.Rec.Digest, Sequence: s.Rec.Ext.Sequence, Version: s.Rec.Ext.Version,
		Component: p.Component, Percent: max(p.Percent, 0), Written: p.Done, Size: p.Size, RateBytes: p.RateBytes,
		ETASeconds: p.ETASeconds, NextSeconds: -1, Since: s.Wall, Reason: s.Wait, WaitingFor: s.WaitFor}
	if s.Phase == life.Reverting {
		u.Reason = s.Rec.Ext.Cause
	}
	if t := c.o.View.Trial(); t != nil {
		u.Trial = &control.TrialStatus{Boots: t.Boots, MaxBoots: t.MaxBoots, SoakSeconds: int64(t.Soak / time.Second),
			SoakLeftSeconds:     int64(t.Round.SoakLeft / time.Second),
			DeadlineLeftSeconds: int64(t.Round.DeadlineLeft / time.Second)}
		for _, r := range t.Round.Results {
			u.Trial.Checks = append(u.Trial.Checks,
				control.CheckStatus{Name: r.Name, OK: r.Err == nil, Error: errText(r.Err)})
		}
	}
	return u
}

// next is in how many seconds the offer that waits is decided again; -1 when nothing is due.
func (c *Console) next(s view.Snapshot) int64 {
	if s.Retry == 0 {
		return -1
	}
	return int64(max(s.Retry-c.o.Clock.Uptime(), 0) / time.Second)
}

func (c *Console) nowProgress() control.Progress {
	s := c.o.View.Snapshot()
	out := control.Progress{Phase: string(s.Phase), Percent: -1, ETASeconds: -1, Says: s.WaitFor}
	if p := c.o.View.Progress(); p != nil && p.Size > 0 {
		out.Component, out.Done, out.Size, out.RateBytes = p.Component, p.Done, p.Size, p.Rate
		out.Percent = int(p.Done * 100 / p.Size)
		if p.Rate > 0 {
			out.ETASeconds = (p.Size - p.Done) / p.Rate
		}
	}
	return out
}

// advice is what a person should do now, most urgent first.
func (c *Console) advice(s view.Snapshot, st control.Status) []string {
	var out []string
	if s.Hold != "" {
		out = append(out, s.Hold.Info().Says+" "+s.Hold.Info().Advice)
	}
	if len(s.Safe) > 0 {
		out = append(out, "Boot-safe mode: "+s.Safe[0]+". "+
			"Nothing is installed until this is corrected. Files are read again every minute; for anything else "+
			"restart the daemon.")
	}
	if p := st.Trust.Problem; p != "" {
		out = append(out, fmt.Sprintf("%s (%s) %s", p.Info().Says, st.Trust.Why, p.Info().Advice))
	}
	for i, p := range st.Problems {
		if why := st.ProblemReasons[i]; why != reason.PartMissing {
			out = append(out, fmt.Sprintf("%s (%s) %s", why.Info().Says, p, why.Info().Advice))
			continue
		}
		out = append(out, "Missing or not usable, and looked for again every minute: "+p)
	}
	out = append(out, bootAdvice(st)...)
	if st.Journal.Error != "" {
		out = append(out, "The journal has trouble: "+st.Journal.Error)
	} else if t := c.o.View.Trouble(); t != nil && (st.Boot.Error == "" || !strings.HasSuffix(t.Text, st.Boot.Error)) {
		out = append(out, "It is tried again: "+t.Text)
	}
	if o, ok := c.o.Store.Noted(); ok && o.Result == "refused" {
		what := "an offer"
		if o.Sequence > 0 {
			what = "the offer with sequence " + seq(o.Sequence)
		}
		out = append(out, "The device has refused "+what+": "+last(o).Says+" "+last(o).Advice)
	}
	if w, ok := c.o.Store.Waiting(); ok && s.Phase == life.Idle && w.Budget.Failures > 0 {
		out = append(out, "An update failed and waits: "+w.Reason.Info().Advice+
			" It is tried again by itself; at once with `ratchet retry`.")
	}
	if st.Last != nil && st.Last.Result == "stuck" {
		out = append(out, st.Last.Advice)
	}
	if st.Time.Quality == "unknown" {
		out = append(out, "The clock is not set; rules that need the time make updates wait.")
	}
	return append(out, c.barred(s)...)
}

// bootAdvice is what a person should do about the boot metadata.
func bootAdvice(st control.Status) (out []string) {
	b := st.Boot
	if b.Error != "" {
		out = append(out, "The boot metadata cannot be read: "+b.Error)
	}
	if b.Damaged != "" {
		out = append(out, "One copy of the boot metadata cannot be used: "+b.Damaged+". It is written anew when the "+
			"running slot is refreshed. If it stays so, correct the configured place, or suspect the storage.")
	}
	if r := st.Running.Name; b.Next != "" && r != "" && b.Next != r && b.Next != st.Other.Name {
		out = append(out, fmt.Sprintf("The bootloader knows a slot %q, which the configuration does not have: let "+
			"slots.NAME be the names that the boot script uses.", b.Next))
	}
	return out
}

// barred says what is quarantined, and how it comes out again.
func (c *Console) barred(s view.Snapshot) (out []string) {
	for _, b := range s.Barred {
		out = append(out, "Quarantined on this device: "+b)
	}
	for _, digest := range slices.Sorted(maps.Keys(s.Back)) {
		left := max(s.Back[digest]-c.o.Clock.Uptime(), 0)
		text := fmt.Sprintf("%d days", left/(24*time.Hour))
		if left < 48*time.Hour {
			text = fmt.Sprintf("%d hours", (left+time.Hour-1)/time.Hour)
		}
		out = append(out, fmt.Sprintf("What failed of %.15s... may have been the power: it is tried again when this "+
			"system has been well for another %s.", digest, text))
	}
	if len(s.Barred) > 0 {
		out = append(out, "What was quarantined last is tried again at once, all the same, with `ratchet retry`.")
	}
	return out
}
