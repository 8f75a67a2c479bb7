package agent

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/internal/store"
	"github.com/ratchet-ota/ratchet/agent/internal/view"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/bootctl"
)

// Status is the whole device at one moment, for people and their tools. It may be called at any
// time from any goroutine.
func (a *Agent) Status(ctx context.Context) control.Status {
	s := a.view.Snapshot()
	wall, q := a.o.Clock.Wall()
	st := control.Status{Schema: control.Schema, Device: a.o.Device, Agent: a.o.Version, Mode: control.ModeNormal, Phase: string(s.Phase),
		Time: control.TimeStatus{Wall: wall, Quality: q.String(), UptimeSeconds: int64(a.o.Clock.Uptime() / time.Second)}}
	if len(s.Safe) > 0 {
		st.Mode, st.ModeReason, st.ModeWhy = control.ModeBootSafe, reason.BootSafeMode, strings.Join(s.Safe, "; ")
	}
	all := a.Slots(ctx)
	st.Boot = all.Boot
	for _, x := range all.Slots {
		if x.Running {
			st.Running = x
		} else {
			st.Other = x
		}
	}
	st.Update = a.updateStatus(s)
	if o, ok := a.st.Outcome(); ok {
		st.Last = last(o)
	}
	online, since := a.o.Online()
	st.Broker = control.BrokerStatus{Configured: a.o.Inbox != nil, Online: online, Since: since}
	st.Floor.Sequence = a.st.Floor().Sequence
	st.Counter = a.counterNow(ctx)
	head := a.st.Head()
	st.Evidence = control.EvidenceStatus{Seq: head.Seq, Chain: fmt.Sprintf("%x", head.Chain), Sent: a.st.Sent()}
	free, err := a.st.Free()
	st.Journal.FreeBytes = free
	if a.o.Journal == nil {
		st.Journal.FreeBytes, st.Journal.Error = -1, "there is none; what happens now is forgotten with this process"
	} else if err != nil {
		st.Journal.FreeBytes, st.Journal.Error = -1, err.Error()
	} else if t := a.view.Trouble(); t != nil && t.Journal {
		st.Journal.Error = t.Text
	}
	st.Advice = a.advice(s, st)
	return st
}

// last is an outcome for people.
func last(o store.Outcome) *control.Outcome {
	info := o.Reason.Info()
	l := &control.Outcome{Result: o.Result, Reason: o.Reason, Slot: string(o.Slot), Sequence: o.Sequence, Manifest: o.Manifest,
		Version: o.Version, When: o.Wall, TimeQuality: o.Quality, Says: info.Says, Advice: info.Advice}
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
func (a *Agent) Slots(ctx context.Context) control.Slots {
	s := a.view.Snapshot()
	out := control.Slots{Schema: control.Schema}
	st, err := a.o.Boot.State(ctx)
	out.Boot = control.BootStatus{Backend: st.Caps.Backend, Layout: st.Caps.Layout, PowerSafe: st.Caps.PowerSafe, Weakness: st.Caps.Weakness, Next: string(st.Next)}
	if err != nil {
		out.Boot.Error = err.Error()
	}
	for _, def := range a.o.Slots {
		b := st.Slots[def.Name]
		x := control.SlotStatus{Name: string(def.Name), Running: def.Name == s.Running && s.Running != "",
			Bootable: b.Bootable, Confirmed: b.Confirmed, Tries: b.Tries}
		for c, p := range def.Parts {
			x.Devices = append(x.Devices, c+"="+p)
		}
		if c, ok := a.st.Content(def.Name); ok {
			x.Holds = &control.SlotHolds{Version: c.Version, Sequence: c.Sequence, Manifest: c.Manifest}
			if len(c.Images) > 0 {
				x.Holds.Image = c.Images[0].Text()
			}
		}
		x.State = slotState(s, def.Name, b, err)
		out.Slots = append(out.Slots, x)
	}
	return out
}

func slotState(s view.Snapshot, name bootctl.Slot, b bootctl.SlotState, err error) string {
	target := s.Rec.Target == name
	switch {
	case err != nil:
		return "unknown: the boot metadata cannot be read"
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

func (a *Agent) updateStatus(s view.Snapshot) *control.UpdateStatus {
	if s.Phase == life.Idle {
		w, ok := a.st.Waiting()
		if !ok {
			return nil
		}
		return &control.UpdateStatus{Manifest: w.Digest, Sequence: w.Sequence, Reason: w.Reason, WaitingFor: w.Said, ETASeconds: -1}
	}
	p := a.nowProgress()
	u := &control.UpdateStatus{Manifest: s.Rec.Digest, Sequence: s.Rec.Ext.Sequence, Version: s.Rec.Ext.Version, Component: p.Component, Percent: max(p.Percent, 0),
		Written: p.Done, Size: p.Size, RateBytes: p.RateBytes, ETASeconds: p.ETASeconds, Since: s.Wall, Reason: s.Wait, WaitingFor: s.WaitFor}
	if s.Phase == life.Reverting {
		u.Reason = s.Rec.Ext.Cause
	}
	if t := a.view.Trial(); t != nil {
		u.Trial = &control.TrialStatus{Boots: t.Boots, MaxBoots: t.MaxBoots, SoakSeconds: int64(t.Soak / time.Second),
			SoakLeftSeconds: int64(t.Round.SoakLeft / time.Second), DeadlineLeftSeconds: int64(t.Round.DeadlineLeft / time.Second)}
		for _, r := range t.Round.Results {
			c := control.CheckStatus{Name: r.Name, OK: r.Err == nil}
			if r.Err != nil {
				c.Error = r.Err.Error()
			}
			u.Trial.Checks = append(u.Trial.Checks, c)
		}
	}
	return u
}

func (a *Agent) nowProgress() control.Progress {
	s := a.view.Snapshot()
	out := control.Progress{Phase: string(s.Phase), Percent: -1, ETASeconds: -1, Says: s.WaitFor}
	if p := a.view.Progress(); p != nil && p.Size > 0 {
		out.Component, out.Done, out.Size, out.RateBytes = p.Component, p.Done, p.Size, p.Rate
		out.Percent = int(p.Done * 100 / p.Size)
		if p.Rate > 0 {
			out.ETASeconds = (p.Size - p.Done) / p.Rate
		}
	}
	return out
}

// advice is what a person should do now, most urgent first.
func (a *Agent) advice(s view.Snapshot, st control.Status) []string {
	var out []string
	if s.Hold != "" {
		out = append(out, s.Hold.Info().Says+" "+s.Hold.Info().Advice)
	}
	if len(s.Safe) > 0 {
		out = append(out, "Boot-safe mode: "+s.Safe[0]+". Nothing is installed until this is corrected and the daemon restarted.")
	}
	if st.Boot.Error != "" {
		out = append(out, "The boot metadata cannot be read: "+st.Boot.Error)
	}
	if st.Journal.Error != "" {
		out = append(out, "The journal has trouble: "+st.Journal.Error)
	} else if t := a.view.Trouble(); t != nil {
		out = append(out, "It is tried again: "+t.Text)
	}
	if o, ok := a.st.Noted(); ok && o.Result == "refused" {
		what := "an offer"
		if o.Sequence > 0 {
			what = "the offer with sequence " + seq(o.Sequence)
		}
		out = append(out, "The device has refused "+what+": "+last(o).Says)
	}
	if st.Last != nil && st.Last.Result == "stuck" {
		out = append(out, st.Last.Advice)
	}
	if st.Time.Quality == "unknown" {
		out = append(out, "The clock is not set; rules that need the time make updates wait.")
	}
	for _, b := range s.Barred {
		out = append(out, "Quarantined on this device: "+b)
	}
	return out
}

// History returns the last n records, oldest first.
func (a *Agent) History(n int) (control.History, error) {
	head := a.st.Head()
	from := uint64(1)
	if head.Seq > uint64(n) {
		from = head.Seq - uint64(n) + 1
	}
	out := control.History{Schema: control.Schema, Entries: []control.HistoryEntry{}, Older: from > 1}
	err := a.st.Records(from, func(_ uint64, rec []byte) bool {
		r, err := evidence.Decode(rec)
		if err == nil {
			out.Entries = append(out.Entries, entry(r))
		}
		return true
	})
	return out, err
}

func entry(r evidence.Record) control.HistoryEntry {
	return control.HistoryEntry{Seq: r.Seq, Chain: fmt.Sprintf("%x", r.Chain), When: r.Wall, Quality: r.Quality, Kind: string(r.Kind),
		Reason: r.Reason, Text: text(r), From: r.From, To: r.To, Slot: r.Slot, Component: r.Component, Sequence: r.Sequence,
		Manifest: r.Manifest, Actor: r.Actor}
}

// text is one record as a sentence.
func text(r evidence.Record) string {
	var b strings.Builder
	switch r.Kind {
	case evidence.KindChain:
		b.WriteString("evidence begins")
	case evidence.KindStart:
		fmt.Fprintf(&b, "agent started in phase %s, slot %s runs", r.Detail["phase"], orNone(r.Detail["running"]))
	case evidence.KindDecision:
		fmt.Fprintf(&b, "offer %s: %s", seq(r.Sequence), map[string]string{"install": "taken", "defer": "deferred", "refuse": "refused"}[r.To])
	case evidence.KindVerdict:
		switch result := r.Detail["result"]; {
		case r.Detail["confirmed"] != "":
			fmt.Fprintf(&b, "slot %s confirmed", r.Slot)
		case result == "reverted" && r.Reason == reason.OperatorRevert && r.From == string(life.Sealing):
			fmt.Fprintf(&b, "went back to update %s in slot %s", seq(r.Sequence), r.Slot)
		case result == "":
			b.WriteString("verdict")
		default:
			fmt.Fprintf(&b, "update %s %s", seq(r.Sequence), result)
		}
	case evidence.KindHealth:
		switch r.To {
		case "holds":
			b.WriteString("health holds")
		case "fails":
			var failing []string
			for check, err := range r.Detail {
				failing = append(failing, check+": "+err)
			}
			sort.Strings(failing)
			b.WriteString("health fails: " + strings.Join(failing, "; "))
			return b.String()
		default:
			fmt.Fprintf(&b, "slot %s proven healthy", r.Slot)
		}
	case evidence.KindProgress:
		fmt.Fprintf(&b, "%s written: %s bytes, %s fetched, resumed from %s", r.Component, r.Detail["written"], r.Detail["fetched"], r.Detail["resumed-from"])
	case evidence.KindBoot:
		b.WriteString("boot")
		for _, k := range []string{"armed", "tries", "trial", "trial-boot", "reboot", "disabled", "restored"} {
			if v := r.Detail[k]; v != "" {
				fmt.Fprintf(&b, " %s=%s", k, v)
			}
		}
	case evidence.KindPhase:
		fmt.Fprintf(&b, "%s -> %s", r.From, r.To)
	default:
		b.WriteString(string(r.Kind))
	}
	if why := r.Detail["why"]; why != "" {
		fmt.Fprintf(&b, " (%s)", why)
	}
	return b.String()
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func seq(n uint64) string {
	if n == 0 {
		return "unverified"
	}
	return strconv.FormatUint(n, 10)
}
