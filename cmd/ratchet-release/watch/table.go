package watch

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/ratchet-ota/ratchet/cmd/internal/fleet"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
)

// table lays devices out as text of at most height lines (0 = any), the last one a summary.
func table(list []fleet.View, t fleet.Totals, height int, colour bool) string {
	rows := [][]string{{"DEVICE", "SLOT", "VERSION", "PHASE", "LAST UPDATE", "ONLINE", "EVIDENCE", "SIGNED"}}
	shown := list
	if height > 3 && len(list) > height-3 {
		shown = list[:height-3]
	}
	for _, v := range shown {
		rows = append(rows, cells(v))
	}
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, cell := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for n, r := range rows {
		var line strings.Builder
		for i, cell := range r {
			text := cell
			if i < len(r)-1 {
				text += strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2)
			}
			if colour {
				text = tint(n, i, cell) + text + screen.EscPlain
			}
			line.WriteString(text)
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	if more := len(list) - len(shown); more > 0 {
		fmt.Fprintf(&b, "... and %s\n", screen.Plural(more, "more device"))
	}
	b.WriteString(summary(t) + "\n")
	return b.String()
}

// cells is one row.
func cells(v fleet.View) []string {
	phase := v.Phase
	if v.Progress > 0 && phase != "idle" {
		phase += fmt.Sprintf(" %d%%", v.Progress)
	}
	if v.Phase != "" && v.Phase != "idle" && v.Sequence > 0 {
		phase += fmt.Sprintf(" (%d)", v.Sequence)
	}
	if v.Problem != "" {
		phase += " ! " + v.Problem
	}
	last := ""
	if l := v.Last; l != nil {
		last = l.Result
		if l.Sequence > 0 {
			last += fmt.Sprintf(" %d", l.Sequence)
		}
		if l.Reason != "" {
			last += ": " + l.Reason
		}
	}
	online := map[string]string{"online": "yes", "offline": "no", "unknown": "-"}[v.Presence]
	record := ""
	if v.Evidence > 0 {
		record = fmt.Sprint(v.Evidence)
	}
	row := []string{v.Device, v.Running, v.Version, phase, last, online, record, v.Trust}
	for i, cell := range row {
		row[i] = screen.Cut(strings.ReplaceAll(cell, "\n", " "), 40)
		if row[i] == "" {
			row[i] = "-"
		}
	}
	return row
}

// tint chooses a cell's colour.
func tint(row, column int, cell string) string {
	switch {
	case row == 0:
		return screen.EscDim
	case column == 4 && strings.HasPrefix(cell, "updated"), column == 7 && cell == fleet.TrustVerified:
		return screen.EscGreen
	case column == 4 && strings.HasPrefix(cell, "deferred"), column == 7 && cell == fleet.TrustUnverified,
		column == 5 && cell == "no":
		return screen.EscYellow
	case column == 4 && cell != "-", column == 7 && cell == fleet.TrustBad,
		column == 3 && strings.Contains(cell, " ! "):
		return screen.EscRed
	}
	return ""
}

// summary is the last line.
func summary(t fleet.Totals) string {
	s := fmt.Sprintf("%s: %d updated, %d failed, %d reverted, %d in progress, %d waiting; %d silent, %d unverified",
		screen.Plural(t.Devices, "device"), t.Updated, t.Failed, t.Reverted, t.InProgress, t.Waiting,
		t.Silent, t.Unverified)
	if t.Garbage > 0 {
		s += fmt.Sprintf("; %s ignored", screen.Plural(t.Garbage, "message"))
	}
	return s
}
