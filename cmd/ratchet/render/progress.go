package render

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
)

// Meter shows the progress of an installation: one line that is redrawn on a terminal, otherwise a
// line for each phase and each tenth of it.
type Meter struct {
	w     io.Writer
	tty   bool
	last  string // plain: what was said last
	phase string
	tenth int
	drawn bool
}

// NewMeter makes one for w, which is drawn on where it is a terminal.
func NewMeter(w io.Writer) *Meter { return &Meter{w: w, tty: screen.Terminal(w), tenth: -1} }

// Show shows one answer of the daemon.
func (m *Meter) Show(p control.Progress) {
	if m.tty {
		// The terminal may have been resized; one column stays free, so that no line breaks.
		fmt.Fprintf(m.w, "\r%s\x1b[K", Progress(p, screen.Width(m.w)-1))
		m.drawn = true
		return
	}
	part := screen.Join(" ", p.Phase, p.Component)
	tenth := p.Percent / 10
	line := Progress(p, 0)
	if part == m.phase && tenth == m.tenth && (p.Size > 0 || line == m.last) {
		return
	}
	m.phase, m.tenth, m.last = part, tenth, line
	fmt.Fprintln(m.w, line)
}

// End leaves the last line standing.
func (m *Meter) End() {
	if m.drawn {
		fmt.Fprintln(m.w)
		m.drawn = false
	}
}

// Progress is one line of progress of at most width characters; 0 is no limit, and no bar. What
// does not fit is left out, least important first: bar, time left, rate, bytes.
func Progress(p control.Progress, width int) string {
	head := screen.Plain(screen.Join(" ", p.Phase, p.Component))
	if p.Size <= 0 {
		if p.Percent >= 0 {
			head += fmt.Sprintf("  %d %%", p.Percent)
		}
		if p.Says != "" {
			head += ": " + screen.Plain(p.Says)
		}
		return fit(head, width)
	}
	percent := fmt.Sprintf("%3d %%", min(max(p.Percent, 0), 100))
	parts := []string{screen.Size(p.Done) + " of " + screen.Size(p.Size)}
	if p.RateBytes > 0 {
		parts = append(parts, screen.Size(p.RateBytes)+"/s")
	}
	if p.ETASeconds >= 0 {
		parts = append(parts, screen.Seconds(p.ETASeconds)+" left")
	}
	for n := len(parts); ; n-- {
		tail := "  " + screen.Join("  ", append([]string{percent}, parts[:n]...)...)
		free := width - utf8.RuneCountInString(head+tail)
		switch {
		case width == 0:
			return head + tail
		case free >= 13 && n == len(parts):
			return head + "  " + bar(p.Done, p.Size, min(free-2, 40)) + tail
		case free >= 0:
			return head + tail
		case n == 0:
			return fit(head+tail, width)
		}
	}
}

// bar is a bar of n characters, its ends included.
func bar(done, size int64, n int) string {
	inner := n - 2
	full := int(float64(inner) * float64(min(max(done, 0), size)) / float64(size))
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", inner-full) + "]"
}

// fit cuts s to width characters; 0 is no limit.
func fit(s string, width int) string {
	r := []rune(s)
	if width > 0 && len(r) > width {
		return string(r[:width])
	}
	return s
}
