package console

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/life"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// History returns the last n records, oldest first.
func (c *Console) History(n int) (control.History, error) {
	head := c.o.Store.Head()
	from := uint64(1)
	if head.Seq > uint64(n) {
		from = head.Seq - uint64(n) + 1
	}
	out := control.History{Schema: control.Schema, Entries: []control.HistoryEntry{}, Older: from > 1}
	err := c.o.Store.Records(from, func(_ uint64, rec []byte) bool {
		r, err := evidence.Decode(rec)
		if err == nil {
			out.Entries = append(out.Entries, entry(r))
		}
		return true
	})
	return out, err
}

func entry(r evidence.Record) control.HistoryEntry {
	return control.HistoryEntry{Seq: r.Seq, Chain: fmt.Sprintf("%x", r.Chain), When: r.Wall, Quality: r.Quality,
		Kind: string(r.Kind), Reason: r.Reason, Text: text(r), From: r.From, To: r.To, Slot: r.Slot,
		Component: r.Component, Sequence: r.Sequence,
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
		b.WriteString(decided(r))
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
		b.WriteString(wrote(r))
	case evidence.KindBoot:
		b.WriteString(boot(r))
	case evidence.KindConfig:
		b.WriteString(taken(r))
	case evidence.KindOperator:
		b.WriteString(asked(r))
	case evidence.KindPhase:
		fmt.Fprintf(&b, "%s -> %s", r.From, r.To)
	default:
		b.WriteString(string(r.Kind))
	}
	if why := r.Detail["why"]; why != "" {
		fmt.Fprintf(&b, " (%s)", why)
	}
	if note := r.Detail["note"]; note != "" {
		fmt.Fprintf(&b, ", note: %q", note)
	}
	return b.String()
}

// decided says what became of an offer or of a document.
func decided(r evidence.Record) string {
	became := map[string]string{"install": "taken", "defer": "deferred", "refuse": "refused"}[r.To]
	if doc := r.Detail["document"]; doc != "" {
		return doc + " " + became
	}
	return "offer " + seq(r.Sequence) + ": " + became
}

// wrote says what was written of a part, and where it came from.
func wrote(r evidence.Record) string {
	d := r.Detail
	if from := d["carried-from"]; from != "" {
		return fmt.Sprintf("%s copied from slot %s: %s bytes, resumed from %s", r.Component, from, d["written"],
			d["resumed-from"])
	}
	return fmt.Sprintf("%s written: %s bytes, %s fetched, resumed from %s", r.Component, d["written"], d["fetched"],
		d["resumed-from"])
}

// asked says what a person has asked for. Where it moved the update, To is a phase.
func asked(r evidence.Record) string {
	switch {
	case r.To == "approved":
		return "an update is approved"
	case r.To == "retry":
		return "an update is to be tried again"
	case r.To == "revert":
		return "the update in progress is to be ended"
	case r.To == "challenge":
		return "a recovery challenge is shown"
	case r.To == "permitted":
		return "a recovery permit is taken"
	case r.Reason == reason.OperatorConfirm:
		return "the system on trial is to be kept"
	case r.Reason == reason.OperatorRevert && r.From == string(life.Trial):
		return fmt.Sprintf("the trial of slot %s is to be ended", r.Slot)
	case r.Reason == reason.OperatorRevert:
		return fmt.Sprintf("slot %s is to run again", r.Slot)
	}
	return string(r.Kind)
}

// boot says what was done about the next boot, or what was booted.
func boot(r evidence.Record) string {
	d := r.Detail
	switch {
	case d["armed"] != "" && d["tries"] != "":
		return fmt.Sprintf("slot %s armed, tries: %s", r.Slot, d["tries"])
	case d["trial-boot"] != "":
		return fmt.Sprintf("slot %s booted, boot %s of its trial", r.Slot, d["trial-boot"])
	case d["trial"] != "":
		return fmt.Sprintf("slot %s runs unconfirmed, its trial begins", r.Slot)
	case d["reboot"] != "":
		return "reboot asked for"
	case d["disabled"] != "":
		return fmt.Sprintf("slot %s disabled: %s", r.Slot, d["disabled"])
	case d["restored"] != "":
		return "boot metadata restored: " + d["restored"]
	}
	return "boot"
}

// taken says which document holds from now on.
func taken(r evidence.Record) string {
	d := r.Detail
	if r.To == "void" {
		return fmt.Sprintf("the stored %s does not verify any more", d["document"])
	}
	switch d["document"] {
	case "root":
		return fmt.Sprintf("root %s taken, after root %s", d["to-version"], d["from-version"])
	case "plan":
		return fmt.Sprintf("plan %s taken", d["sequence"])
	case "pulse":
		phase, _ := strconv.Atoi(d["phase"])
		return fmt.Sprintf("pulse %s taken: %s, phase %d", d["sequence"], d["state"], phase+1) // as the desk counts
	}
	return string(r.Kind)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func seq(n uint64) string {
	if n == 0 {
		return "(not verified)"
	}
	return "of sequence " + strconv.FormatUint(n, 10)
}
