package render

import (
	"fmt"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
)

// Check is what the daemon says of an envelope before it is installed.
func Check(c control.InstallCheck, width int) string {
	var b strings.Builder
	what := orWord(release(c.Version, c.Sequence, c.Manifest), "an update")
	if c.Target != "" {
		what += " for slot " + screen.Plain(c.Target)
	}
	b.WriteString(screen.Wrap("", "  ", screen.Upper(what)+", the signature is good.", width))
	for line := range strings.Lines(c.Description) {
		b.WriteString(screen.Wrap("  ", "  ", line, width))
	}
	for _, s := range c.Signers {
		b.WriteString(screen.Wrap("  ", "    ", "signed by key "+s, width))
	}
	for _, p := range c.Need {
		text := "needs " + p.Name
		if p.Component != "" {
			text += " for " + p.Component
		}
		if p.Bytes > 0 {
			text += ", " + screen.Size(p.Bytes)
		}
		b.WriteString(screen.Wrap("  ", "    ", text, width))
	}
	for _, k := range c.Carry {
		text := fmt.Sprintf("keeps %s of sequence %d: %s are copied from the running slot", k.Component, k.Sequence,
			screen.Size(k.Bytes))
		b.WriteString(screen.Wrap("  ", "    ", text, width))
	}
	switch c.Outcome {
	case control.OutcomeDefer:
		b.WriteString("It cannot be installed now:\n")
	case control.OutcomeRefuse:
		b.WriteString("It is refused:\n")
	}
	for _, f := range c.Findings {
		b.WriteString(screen.Wrap("  - ", "    ", orWord(f.Says, string(f.Reason))+bracket(string(f.Reason)), width))
		if f.Advice != "" {
			b.WriteString(screen.Wrap("    ", "    ", f.Advice, width))
		}
	}
	return b.String()
}

// Done is the result of a verb that changed something.
func Done(d control.Done, width int) string {
	text := screen.Wrap("", "", orWord(d.Says, "Done.")+bracket(string(d.Reason)), width)
	if d.Advice != "" {
		text += screen.Wrap("  ", "  ", d.Advice, width)
	}
	if d.Reboots {
		text += screen.Wrap("", "", "The machine reboots in a moment. Look again then: ratchet status", width)
	}
	return text
}

// Export tells what was exported; to is the file, "" for standard output.
func Export(e control.EvidenceExport, to string, width int) string {
	text := "No records."
	if e.Records > 0 {
		text = fmt.Sprintf("%d records, %d to %d, %s", e.Records, e.First, e.Last, screen.Size(e.Bytes))
		if to != "" {
			text += ", in " + to
		}
		text += "."
	}
	if e.Unsigned > 0 {
		text += fmt.Sprintf(" %d records are left out: the device has not signed them.", e.Unsigned)
	}
	return screen.Wrap("", "", text, width)
}

// Revert tells a person what "ratchet revert" would do, as one text that is not wrapped.
func Revert(s control.Status) string {
	switch s.Phase {
	case "idle", "":
		return fmt.Sprintf("No update is in progress. "+
			"Slot %s, %s, will be checked, and the machine reboots into it for a trial.",
			orWord(s.Other.Name, "?"), holdsWord(s.Other))
	case "preparing", "writing", "checking", "ready":
		return fmt.Sprintf("The update that is in progress (%s) is ended; slot %s goes on running.",
			s.Phase, orWord(s.Running.Name, "?"))
	}
	return fmt.Sprintf("The trial of slot %s is ended, and the machine reboots into slot %s, %s.",
		orWord(s.Running.Name, "?"), orWord(s.Other.Name, "?"), holdsWord(s.Other))
}

func holdsWord(x control.SlotStatus) string {
	if x.Holds == nil {
		return "whose content is not known"
	}
	return "which holds " + orWord(release(x.Holds.Version, x.Holds.Sequence, x.Holds.Manifest), "something unknown")
}

// Approve tells a person what would be approved, as one text that is not wrapped.
// target is the slot, "" when it is not known.
func Approve(u control.UpdateStatus, target string) string {
	text := "Waiting: " + orWord(release(u.Version, u.Sequence, ""), "an update")
	if target != "" {
		text += " for slot " + screen.Plain(target)
	}
	text += ", manifest " + screen.ShortDigest(u.Manifest)
	if u.WaitingFor != "" {
		text += "; " + screen.Plain(u.WaitingFor)
	}
	return text + bracket(string(u.Reason))
}
