package render

import (
	"fmt"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
)

// label is the width of the left column of "ratchet status".
const label = 12

// page collects labelled lines.
type page struct {
	b     strings.Builder
	width int
}

// line adds a labelled text; one without text is left out.
func (p *page) line(name, text string) {
	if text != "" {
		p.b.WriteString(screen.Wrap(fmt.Sprintf("%-*s", label, name), strings.Repeat(" ", label), text, p.width))
	}
}

//go:noinline
func (p *page) blank() { p.b.WriteByte('\n') }

// Status is the whole of "ratchet status": what the device does, what is in its slots, what
// happened last and why, what to do.
func Status(s control.Status, width int) string {
	p := page{width: width}
	p.b.WriteString(screen.Wrap("", "  ", screen.Plain(s.Device)+": "+headline(s), width))
	p.blank()
	p.line("Running", slotLine(s.Running, "it is not known which slot runs"))
	p.line("Other slot", slotLine(s.Other, "not known"))
	if blind(s) {
		p.blank()
		p.line("Clock", clockLine(s.Time))
		p.line("Agent", screen.Plain(s.Agent))
		p.line("The rest", "not known without a configuration that can be used")
		todo(&p, s)
		return p.b.String()
	}
	p.line("Update", updateLine(s))
	if s.Update != nil && s.Update.Trial != nil {
		trialLines(&p, *s.Update.Trial)
	}
	lastLines(&p, s)
	p.blank()
	p.line("Boots next", bootLine(s.Boot))
	if !s.Boot.PowerSafe && s.Boot.Backend != "" {
		p.line("", "not safe against a power cut while it is written: "+orWord(s.Boot.Weakness, "no reason given"))
	}
	if s.Boot.Damaged != "" {
		p.line("", "one copy of the boot metadata cannot be used: "+screen.Plain(s.Boot.Damaged))
	}
	if s.Boot.Unlocked != "" {
		p.line("", "read without a lock: "+screen.Plain(s.Boot.Unlocked))
	}
	p.line("Broker", brokerLine(s))
	for _, x := range s.Processes {
		p.line("Process", processLine(x))
	}
	p.line("Evidence", evidenceLine(s.Evidence))
	p.line("Floor", floorLine(s))
	p.line("Trusts", trustLine(s.Trust))
	p.line("Journal", journalLine(s.Journal))
	p.line("Clock", clockLine(s.Time))
	p.line("Started", resetLine(s.Reset))
	p.line("Agent", screen.Plain(s.Agent))
	todo(&p, s)
	return p.b.String()
}

// resetLine is why the machine was started; nothing where nobody says.
func resetLine(r control.ResetStatus) string {
	text := map[string]string{"power-on": "when the power came back", "watchdog": "by the watchdog",
		"panic": "after a kernel panic", "software": "by software"}[r.Cause]
	switch {
	case r.Source == "" && r.Panics == 0:
		return ""
	case text == "":
		text = "it is not known why"
	}
	if r.Source != "" {
		text += " (" + screen.Plain(r.Source) + ")"
	}
	if r.Panics > 0 {
		text += fmt.Sprintf("; records of kernel panics: %d", r.Panics)
	}
	return text
}

// processLine is a process of the daemon's, and what it is confined by.
func processLine(x control.ProcessStatus) string {
	name := screen.Plain(x.Name)
	switch {
	case x.Error != "":
		return name + " does not run: " + screen.Plain(x.Error)
	case !x.Running && x.Starts == 0:
		return name + " is not needed yet"
	case !x.Running:
		return name + " does not run"
	}
	var on, off []string
	for _, f := range x.Sandbox {
		if f.On {
			on = append(on, screen.Plain(f.Name))
		} else {
			off = append(off, screen.Plain(f.Name)+bracket(screen.Plain(f.Detail)))
		}
	}
	text := name + ", confined by " + orWord(strings.Join(on, ", "), "nothing")
	if len(off) > 0 {
		text += "; without " + strings.Join(off, ", ")
	}
	if x.Starts > 1 {
		text += fmt.Sprintf("; started %d times", x.Starts)
	}
	if x.Ended != "" {
		text += ", the last time because " + screen.Plain(x.Ended)
	}
	return text
}

// blind tells whether the daemon knows nothing of the device, for want of a configuration.
func blind(s control.Status) bool {
	return s.Mode == control.ModeBootSafe && s.Boot == (control.BootStatus{}) && s.Evidence.Seq == 0
}

func todo(p *page, s control.Status) {
	p.blank()
	list := todoList(s)
	if len(list) == 0 {
		p.b.WriteString("Nothing needs to be done.\n")
		return
	}
	p.b.WriteString("To do:\n")
	for _, t := range list {
		p.b.WriteString(screen.Wrap("  - ", "    ", t, p.width))
	}
}

// Line is the status on one line, for a log.
func Line(s control.Status) string { return screen.Plain(s.Device) + ": " + headline(s) }

// headline says what the device does, or what is wrong with it.
func headline(s control.Status) string {
	u := s.Update
	if u == nil {
		u = &control.UpdateStatus{ETASeconds: -1}
	}
	what := orWord(release(u.Version, u.Sequence, u.Manifest), "an update")
	switch {
	case s.Mode == control.ModeBootSafe:
		return "BOOT-SAFE MODE, nothing is installed: " + orWord(s.ModeWhy, string(s.ModeReason))
	case s.Phase == "preparing":
		return "UPDATING, preparing slot " + s.Other.Name + " for " + what
	case s.Phase == "writing" || s.Phase == "checking":
		return fmt.Sprintf("UPDATING, %s slot %s, %d %% of %s", s.Phase, s.Other.Name, u.Percent, what)
	case s.Phase == "ready":
		return "READY to reboot into " + what
	case s.Phase == "arming" || s.Phase == "rebooting":
		return "REBOOTING into " + what
	case s.Phase == "trial":
		return "ON TRIAL, " + what + trialLeft(u.Trial)
	case s.Phase == "confirming" || s.Phase == "sealing":
		return "CONFIRMING " + what
	case s.Phase == "reverting":
		return "GOING BACK from " + what + bracket(string(u.Reason))
	case s.Running.Name == "" || !s.Running.Running:
		return "ATTENTION, it is not known which slot runs"
	case s.Boot.Error != "":
		return "ATTENTION, the boot metadata cannot be read"
	case !s.Running.Confirmed:
		return "ATTENTION, slot " + s.Running.Name + " runs and is not confirmed"
	case !s.Running.Bootable:
		return "ATTENTION, the bootloader would not start the running slot " + s.Running.Name + " again"
	case s.Boot.Next != "" && s.Boot.Next != s.Running.Name:
		return "ATTENTION, the bootloader would start slot " + screen.Plain(s.Boot.Next) + " next, and slot " +
			screen.Plain(s.Running.Name) + " runs"
	case s.Journal.Error != "":
		return "ATTENTION, the journal has trouble"
	case s.Update != nil:
		return "runs; " + what + " waits" + bracket(string(u.Reason))
	case s.Last != nil && s.Last.Result != control.ResultUpdated:
		return "runs; the last update " + resultWord(s.Last.Result) + bracket(string(s.Last.Reason))
	}
	if len(s.Advice) > 0 {
		return "runs; there is something to do"
	}
	return "in order"
}

func trialLeft(t *control.TrialStatus) string {
	switch {
	case t == nil:
		return ""
	case t.SoakLeftSeconds < t.SoakSeconds || allHold(t.Checks):
		return ": healthy so far, " + screen.Seconds(t.SoakLeftSeconds) + " to go"
	}
	return ": not healthy yet, " + screen.Seconds(t.DeadlineLeftSeconds) + " until it goes back"
}

func allHold(checks []control.CheckStatus) bool {
	for _, c := range checks {
		if !c.OK {
			return false
		}
	}
	return true
}

func slotLine(s control.SlotStatus, unknown string) string {
	if s.Name == "" {
		return unknown
	}
	holds := "its content is not known"
	if s.Holds != nil {
		holds = orWord(release(s.Holds.Version, s.Holds.Sequence, s.Holds.Manifest), holds)
	}
	return fmt.Sprintf("slot %s, %s: %s%s", screen.Plain(s.Name), holds, orWord(s.State, "state not known"), tries(s))
}

func tries(s control.SlotStatus) string {
	if s.Tries < 0 || s.Confirmed || !s.Bootable {
		return ""
	}
	if s.Tries == 1 {
		return ", 1 boot attempt left"
	}
	return fmt.Sprintf(", %d boot attempts left", s.Tries)
}

func updateLine(s control.Status) string {
	u := s.Update
	if u == nil {
		return "none in progress"
	}
	text := orWord(release(u.Version, u.Sequence, u.Manifest), "unknown")
	if s.Phase == "idle" || s.Phase == "" {
		text += ", waiting"
	} else {
		text += ", " + s.Phase
	}
	if u.Component != "" {
		text += " " + screen.Plain(u.Component)
	}
	if u.Size > 0 && (s.Phase == "writing" || s.Phase == "checking") {
		text += fmt.Sprintf(": %d %%, %s of %s", u.Percent, screen.Size(u.Written), screen.Size(u.Size))
		if u.RateBytes > 0 {
			text += ", " + screen.Size(u.RateBytes) + "/s"
		}
		if u.ETASeconds >= 0 {
			text += ", " + screen.Seconds(u.ETASeconds) + " left"
		}
	}
	if !u.Since.IsZero() && s.Time.Quality != "unknown" {
		text += fmt.Sprintf(" (for %s)", screen.Lasting(s.Time.Wall.Sub(u.Since)))
	}
	switch {
	case u.WaitingFor != "":
		text += "; " + screen.Plain(u.WaitingFor) + bracket(string(u.Reason))
	case u.Reason != "":
		text += bracket(string(u.Reason))
	}
	if u.NextSeconds > 0 {
		text += "; again in " + screen.Seconds(u.NextSeconds)
	}
	return text
}

func trialLines(p *page, t control.TrialStatus) {
	p.line("Trial", fmt.Sprintf("boot %d of %d; all checks must hold for %s, %s to go; it goes back in %s",
		t.Boots, t.MaxBoots, screen.Seconds(t.SoakSeconds), screen.Seconds(t.SoakLeftSeconds),
		screen.Seconds(t.DeadlineLeftSeconds)))
	for _, c := range t.Checks {
		word := "waits  "
		if c.OK {
			word = "holds  "
		} else if c.Error != "" {
			word = "fails  "
		}
		text := word + screen.Plain(c.Name)
		if c.Error != "" {
			text += ": " + c.Error
		}
		p.b.WriteString(screen.Wrap(strings.Repeat(" ", label), strings.Repeat(" ", label+7), text, p.width))
	}
}

func lastLines(p *page, s control.Status) {
	l := s.Last
	if l == nil {
		p.line("Last", "no update yet")
		return
	}
	when := screen.Moment(l.When, l.TimeQuality, s.Time.Wall, s.Time.Quality)
	p.line("Last", screen.Join(" ", strings.TrimPrefix(resultWord(l.Result), "was "), when)+": "+
		orWord(release(l.Version, l.Sequence, l.Manifest), "an update")+bracket(string(l.Reason)))
	p.line("", l.Says)
}

// resultWord continues "the last update ...".
func resultWord(result string) string {
	switch result {
	case control.ResultUpdated:
		return "was installed"
	case control.ResultReverted:
		return "was reverted"
	case control.ResultFailed:
		return "failed"
	case control.ResultRefused:
		return "was refused"
	case control.ResultDeferred:
		return "was deferred"
	case "":
		return "ended"
	}
	return "ended: " + screen.Plain(result)
}

// todoList is what a person should do, most urgent first.
func todoList(s control.Status) []string {
	out := append([]string(nil), s.Advice...)
	if l := s.Last; l != nil && l.Result != control.ResultUpdated && l.Advice != "" {
		for _, known := range out {
			if strings.Contains(known, l.Advice) {
				return out
			}
		}
		out = append(out, l.Advice)
	}
	if h := headline(s); len(out) == 0 && (s.Mode == control.ModeBootSafe || strings.HasPrefix(h, "ATTENTION")) {
		out = append(out, "See what happened: ratchet history, and the daemon's log: journalctl -u ratchet")
	}
	return out
}

func bracket(reason string) string {
	if reason == "" {
		return ""
	}
	return " [" + screen.Plain(reason) + "]"
}

func orWord(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return screen.Plain(s)
}

// release names what a manifest brings: its version, or at least its number.
func release(version string, sequence uint64, manifest string) string {
	switch {
	case version != "" && sequence != 0:
		return fmt.Sprintf("version %s (sequence %d)", screen.Plain(version), sequence)
	case version != "":
		return "version " + screen.Plain(version)
	case sequence != 0:
		return fmt.Sprintf("sequence %d", sequence)
	case manifest != "":
		return "manifest " + screen.ShortDigest(manifest)
	}
	return ""
}
