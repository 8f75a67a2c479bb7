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
		became := map[string]string{"install": "taken", "defer": "deferred", "refuse": "refused"}
		fmt.Fprintf(&b, "offer %s: %s", seq(r.Sequence), became[r.To])
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
		fmt.Fprintf(&b, "%s written: %s bytes, %s fetched, resumed from %s", r.Component,
			r.Detail["written"], r.Detail["fetched"], r.Detail["resumed-from"])
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
