package stage

import (
	"fmt"
	"sort"
	"strings"

	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// StoryLine says a record of evidence in the words of the timeline; "" for those that say nothing to a spectator.
func StoryLine(r evidence.Record) string {
	why := ""
	if r.Reason != reason.None {
		why = " (" + string(r.Reason) + ")"
	}
	switch r.Kind {
	case evidence.KindStart:
		return fmt.Sprintf("agent starts in slot %s, phase %s", r.Detail["running"], r.Detail["phase"])
	case evidence.KindDecision:
		return fmt.Sprintf("offer %d: %s%s", r.Sequence, r.To, why)
	case evidence.KindPhase:
		return fmt.Sprintf("%s -> %s%s", r.From, r.To, why)
	case evidence.KindProgress:
		return fmt.Sprintf("%s: %s bytes in slot %s, %s fetched, resumed from %s", r.Component, r.Detail["written"],
			r.Slot, r.Detail["fetched"], r.Detail["resumed-from"])
	case evidence.KindHealth:
		if r.From == "" {
			var not []string
			for name, text := range r.Detail {
				not = append(not, name+": "+text)
			}
			sort.Strings(not)
			return strings.TrimSuffix("health "+r.To+": "+strings.Join(not, "; "), ": ")
		}
		return fmt.Sprintf("%s -> %s, health proven%s", r.From, r.To, why)
	case evidence.KindVerdict:
		return fmt.Sprintf("%s -> %s%s %s", r.From, r.To, why, r.Detail["result"])
	case evidence.KindBoot:
		if r.From != r.To {
			return fmt.Sprintf("%s -> %s%s", r.From, r.To, why)
		}
	case "forged":
		return "a record that does not verify: " + r.Detail["why"]
	}
	return ""
}
