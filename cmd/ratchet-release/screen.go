package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// terminal reports whether w is one that can be drawn on.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || env("TERM") == "dumb" {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

// colours reports whether colours are wanted (no-color.org).
func colours(w io.Writer) bool { return terminal(w) && env("NO_COLOR") == "" }

// Sequences for a terminal. They are the only ones that the program writes.
const (
	escHome   = "\x1b[H\x1b[J" // to the top, clear
	escGreen  = "\x1b[32m"
	escRed    = "\x1b[31m"
	escYellow = "\x1b[33m"
	escDim    = "\x1b[2m"
	escPlain  = "\x1b[0m"
)

// bar shows how far a copy is, on a terminal only, four times a second.
type bar struct {
	w          io.Writer // nil shows nothing
	what       string
	done, size int64
	start      time.Time
	next       time.Time
}

func newBar(w io.Writer, what string, size int64) *bar {
	b := &bar{what: what, size: size, start: time.Now()}
	if terminal(w) && size > 0 {
		b.w = w
	}
	return b
}

// Write counts bytes.
func (b *bar) Write(p []byte) (int, error) {
	b.done += int64(len(p))
	if now := time.Now(); b.w != nil && now.After(b.next) {
		b.next = now.Add(250 * time.Millisecond)
		rate := float64(b.done) / max(now.Sub(b.start).Seconds(), 0.001) / (1 << 20)
		fmt.Fprintf(b.w, "\r%s  %3d%%  %.0f MiB/s ", b.what, b.done*100/b.size, rate)
	}
	return len(p), nil
}

// end removes the line.
func (b *bar) end() {
	if b.w != nil {
		fmt.Fprintf(b.w, "\r%s\r", strings.Repeat(" ", len(b.what)+24))
	}
}

// table lays devices out as text of at most height lines (0 = any), the last one a summary.
func table(list []view, t totals, height int, colour bool) string {
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
				text = tint(n, i, cell) + text + escPlain
			}
			line.WriteString(text)
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	if more := len(list) - len(shown); more > 0 {
		fmt.Fprintf(&b, "... and %s\n", plural(more, "more device"))
	}
	b.WriteString(t.line() + "\n")
	return b.String()
}

// cells is one row.
func cells(v view) []string {
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
		row[i] = cut(strings.ReplaceAll(cell, "\n", " "), 40)
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
		return escDim
	case column == 4 && strings.HasPrefix(cell, "updated"), column == 7 && cell == trustVerified:
		return escGreen
	case column == 4 && strings.HasPrefix(cell, "deferred"), column == 7 && cell == trustUnverified, column == 5 && cell == "no":
		return escYellow
	case column == 4 && cell != "-", column == 7 && cell == trustBad, column == 3 && strings.Contains(cell, " ! "):
		return escRed
	}
	return ""
}

// line is the summary.
func (t totals) line() string {
	s := fmt.Sprintf("%s: %d updated, %d failed, %d reverted, %d in progress, %d waiting; %d silent, %d unverified",
		plural(t.Devices, "device"), t.Updated, t.Failed, t.Reverted, t.InProgress, t.Waiting, t.Silent, t.Unverified)
	if t.Garbage > 0 {
		s += fmt.Sprintf("; %s ignored", plural(t.Garbage, "message"))
	}
	return s
}
