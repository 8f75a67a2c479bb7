package main

import (
	"fmt"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/control"
)

// checkText is what the daemon says of an envelope before it is installed.
func checkText(c control.InstallCheck, width int) string {
	var b strings.Builder
	what := orWord(release(c.Version, c.Sequence, c.Manifest), "an update")
	if c.Target != "" {
		what += " for slot " + plainText(c.Target)
	}
	b.WriteString(wrapped("", "  ", upper(what)+", the signature is good.", width))
	for line := range strings.Lines(c.Description) {
		b.WriteString(wrapped("  ", "  ", line, width))
	}
	for _, s := range c.Signers {
		b.WriteString(wrapped("  ", "    ", "signed by key "+s, width))
	}
	for _, p := range c.Need {
		text := "needs " + p.Name
		if p.Component != "" {
			text += " for " + p.Component
		}
		if p.Bytes > 0 {
			text += ", " + sized(p.Bytes)
		}
		b.WriteString(wrapped("  ", "    ", text, width))
	}
	switch c.Outcome {
	case control.OutcomeDefer:
		b.WriteString("It cannot be installed now:\n")
	case control.OutcomeRefuse:
		b.WriteString("It is refused:\n")
	}
	for _, f := range c.Findings {
		b.WriteString(wrapped("  - ", "    ", orWord(f.Says, string(f.Reason))+bracket(string(f.Reason)), width))
		if f.Advice != "" {
			b.WriteString(wrapped("    ", "    ", f.Advice, width))
		}
	}
	return b.String()
}

// doneText is the result of a verb that changed something.
func doneText(d control.Done, width int) string {
	text := wrapped("", "", orWord(d.Says, "Done.")+bracket(string(d.Reason)), width)
	if d.Advice != "" {
		text += wrapped("  ", "  ", d.Advice, width)
	}
	if d.Reboots {
		text += wrapped("", "", "The machine reboots in a moment. Look again then: ratchet status", width)
	}
	return text
}

// exportText tells what was exported.
func exportText(e control.EvidenceExport, to string, width int) string {
	text := "No records."
	if e.Records > 0 {
		text = fmt.Sprintf("%d records, %d to %d, %s", e.Records, e.First, e.Last, sized(e.Bytes))
		if to != "" {
			text += ", in " + to
		}
		text += "."
	}
	if e.Unsigned > 0 {
		text += fmt.Sprintf(" %d records are left out: the device has not signed them.", e.Unsigned)
	}
	return wrapped("", "", text, width)
}

// revertSays tells a person what "revert" would do.
func revertSays(s control.Status) string {
	switch s.Phase {
	case "idle", "":
		return fmt.Sprintf("No update is in progress. Slot %s, %s, will be checked, and the machine reboots into it for a trial.",
			orWord(s.Other.Name, "?"), holdsWord(s.Other))
	case "preparing", "writing", "checking", "ready":
		return fmt.Sprintf("The update that is in progress (%s) is ended; slot %s goes on running.", s.Phase, orWord(s.Running.Name, "?"))
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

// approveSays tells a person what would be approved.
func approveSays(u control.UpdateStatus, target string) string {
	text := "Waiting: " + orWord(release(u.Version, u.Sequence, ""), "an update")
	if target != "" {
		text += " for slot " + plainText(target)
	}
	text += ", manifest " + shortDigest(u.Manifest)
	if u.WaitingFor != "" {
		text += "; " + plainText(u.WaitingFor)
	}
	return text + bracket(string(u.Reason))
}
