package screen

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Bar shows how far a copy is, on a terminal only, four times a second.
type Bar struct {
	w          io.Writer // nil shows nothing
	what       string
	done, size int64
	start      time.Time
	next       time.Time
}

// NewBar begins one on w. The copy is of size bytes and is called what.
func NewBar(w io.Writer, what string, size int64) *Bar {
	b := &Bar{what: what, size: size, start: time.Now()}
	if Drawable(w) && size > 0 {
		b.w = w
	}
	return b
}

// Write counts bytes.
func (b *Bar) Write(p []byte) (int, error) {
	b.done += int64(len(p))
	if now := time.Now(); b.w != nil && now.After(b.next) {
		b.next = now.Add(250 * time.Millisecond)
		rate := float64(b.done) / max(now.Sub(b.start).Seconds(), 0.001) / (1 << 20)
		fmt.Fprintf(b.w, "\r%s  %3d%%  %.0f MiB/s ", b.what, b.done*100/b.size, rate)
	}
	return len(p), nil
}

// End removes the line.
func (b *Bar) End() {
	if b.w != nil {
		fmt.Fprintf(b.w, "\r%s\r", strings.Repeat(" ", len(b.what)+24))
	}
}
