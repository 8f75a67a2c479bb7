package render

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
)

func bootLine(b control.BootStatus) string {
	if b.Error != "" {
		return "not known: " + screen.Plain(b.Error)
	}
	if b.Backend == "" {
		return "not known"
	}
	next := "no slot: the bootloader would start nothing"
	if b.Next != "" {
		next = "slot " + screen.Plain(b.Next)
	}
	return next + screen.Join("", " (", screen.Join(", ", screen.Plain(b.Backend), screen.Plain(b.Layout)), ")")
}

func brokerLine(s control.Status) string {
	b := s.Broker
	if !b.Configured {
		return "none configured; updates come from files"
	}
	word := "not connected"
	if b.Online {
		word = "connected"
	}
	if !b.Since.IsZero() && s.Time.Quality != "unknown" {
		word += " for " + screen.Lasting(s.Time.Wall.Sub(b.Since))
	}
	if b.Error != "" {
		word += ": " + screen.Plain(b.Error)
	}
	return word
}

func evidenceLine(e control.EvidenceStatus) string {
	if e.Seq == 0 {
		return "no records yet"
	}
	text := fmt.Sprintf("%d records, ", e.Seq)
	switch {
	case e.Sent >= e.Seq:
		return text + "all sent"
	case e.Sent == 0:
		return text + "none sent"
	}
	return text + fmt.Sprintf("%d waiting to be sent", e.Seq-e.Sent)
}

func floorLine(s control.Status) string {
	text := "no update was confirmed yet, so any sequence number is accepted"
	if s.Floor.Sequence > 0 {
		text = fmt.Sprintf("sequence numbers below %d are refused", s.Floor.Sequence)
	}
	if of := s.Floor.Components; len(of) > 0 {
		var each []string
		for _, c := range slices.Sorted(maps.Keys(of)) {
			each = append(each, fmt.Sprintf("below %d for %s", of[c], screen.Plain(c)))
		}
		text = "sequence numbers are refused " + strings.Join(each, ", ")
	}
	if c := s.Counter; c.Error != "" {
		text += fmt.Sprintf("; counter %s NOT READABLE: %s", screen.Plain(c.Kind), screen.Plain(c.Error))
	} else if c.Kind != "" {
		text += fmt.Sprintf("; counter %d (%s", c.Value, screen.Plain(c.Kind))
		if c.Weak {
			text += ", weak: whoever holds the disk can turn it back"
		}
		text += ")"
	}
	return text
}

// trustLine names the keys by the start of their ids, as ratchet-release does.
func trustLine(t control.TrustStatus) string {
	if t.Root != "" {
		text := fmt.Sprintf("trust root %s, version %d", screen.Plain(t.Root), t.Version)
		if t.Newest > t.Version {
			text += fmt.Sprintf(", BEHIND version %d, which was verified here", t.Newest)
		}
		if p := t.Plan; p != nil {
			text += fmt.Sprintf("; plan %d", p.Sequence)
			if p.Pulse > 0 {
				text += fmt.Sprintf(", pulse %d: %s, phase %d", p.Pulse, screen.Plain(p.State), p.Phase)
			}
		}
		return text + bracket(string(t.Problem))
	}
	var keys []string
	for _, id := range t.Keys {
		keys = append(keys, fmt.Sprintf("%.16s", screen.Plain(id)))
	}
	if len(keys) == 0 {
		return "nobody: there is no usable release key and no trust root"
	}
	return screen.Plural(len(keys), "release key") + ": " + strings.Join(keys, ", ")
}

func journalLine(j control.JournalStatus) string {
	switch {
	case j.Error != "":
		return "trouble: " + screen.Plain(j.Error)
	case j.FreeBytes < 0:
		return "not known"
	}
	return screen.Size(j.FreeBytes) + " free"
}

func clockLine(t control.TimeStatus) string {
	text := t.Wall.UTC().Format("2006-01-02 15:04:05 UTC")
	switch t.Quality {
	case "synced":
		text += ", synchronised"
	case "local":
		text += ", not synchronised"
	default:
		text += " is not the time: the clock is not set"
	}
	return text + "; up for " + screen.Seconds(t.UptimeSeconds)
}

// Slots is the whole of "ratchet slots".
func Slots(s control.Slots, width int) string {
	p := page{width: width}
	for _, x := range s.Slots {
		head := "Slot " + screen.Plain(x.Name)
		if x.Running {
			head += ", running"
		}
		p.b.WriteString(head + "\n")
		p.line("  State", orWord(x.State, "not known")+tries(x))
		p.line("  Boots", bootsWord(x))
		if h := x.Holds; h == nil {
			p.line("  Holds", "not known")
		} else {
			p.line("  Holds", orWord(release(h.Version, h.Sequence, ""), "not known"))
			p.line("  Manifest", h.Manifest)
			if len(h.Parts) == 0 {
				p.line("  Image", h.Image)
			}
			for _, part := range h.Parts {
				text := fmt.Sprintf("%s of sequence %d, %s", part.Component, part.Sequence, part.Image)
				if part.Carried {
					text += ", carried over"
				}
				p.line("  Part", text)
			}
			if !h.Since.IsZero() {
				p.line("  Since", h.Since.UTC().Format("2006-01-02 15:04 UTC"))
			}
		}
		p.line("  Devices", strings.Join(x.Devices, ", "))
		p.blank()
	}
	p.b.WriteString("Bootloader\n")
	p.line("  Next", bootLine(s.Boot))
	switch {
	case s.Boot.Error != "" || s.Boot.Backend == "":
	case s.Boot.PowerSafe:
		p.line("  Power cut", "every change is old or new, never torn")
	default:
		p.line("  Power cut", "NOT SAFE: "+orWord(s.Boot.Weakness, "no reason given"))
	}
	if s.Boot.Damaged != "" {
		p.line("  Copies", "one cannot be used: "+screen.Plain(s.Boot.Damaged))
	}
	if s.Boot.Unlocked != "" {
		p.line("  Locks", "gone on without: "+screen.Plain(s.Boot.Unlocked))
	}
	return p.b.String()
}

// bootsWord says what the bootloader would do with a slot.
func bootsWord(x control.SlotStatus) string {
	switch {
	case !x.Bootable:
		return "no"
	case x.Confirmed:
		return "yes"
	}
	return "on trial only"
}

// History is the whole of "ratchet history": the newest record at the bottom.
func History(h control.History, width int) string {
	if len(h.Entries) == 0 {
		return "There are no records yet.\n"
	}
	var b strings.Builder
	if h.Older {
		b.WriteString("(there are older ones: -n)\n")
	}
	const when = "2006-01-02 15:04:05"
	unsure := false
	chain := h.Entries[0].Chain
	for _, e := range h.Entries {
		if e.Chain != chain {
			chain = e.Chain
			b.WriteString("--- a new chain of evidence begins ---\n")
		}
		at := fmt.Sprintf("%-*s", len(when)+1, "clock not set")
		if e.Quality != "unknown" && !e.When.IsZero() {
			at = e.When.UTC().Format(when) + " "
			if e.Quality != "synced" {
				at = at[:len(when)] + "~"
				unsure = true
			}
		}
		head := fmt.Sprintf("%6d  %s  %-9s ", e.Seq, at, screen.Plain(e.Kind))
		text := e.Text + bracket(string(e.Reason))
		switch {
		case strings.HasPrefix(e.Actor, "mqtt:"):
			text += ", from " + e.Actor // a topic does nothing itself
		case e.Actor != "":
			text += ", by " + e.Actor
		}
		b.WriteString(screen.Wrap(head, strings.Repeat(" ", 8), text, width))
	}
	if unsure {
		b.WriteString("Times are UTC; ~ means that the clock was not synchronised.\n")
	} else {
		b.WriteString("Times are UTC.\n")
	}
	return b.String()
}
