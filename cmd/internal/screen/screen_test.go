package screen_test

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
)

func TestWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 400 * time.Millisecond: "0 s", 59 * time.Second: "59 s", 61 * time.Second: "1 min 1 s",
		time.Hour: "1 h", 25*time.Hour + 30*time.Minute: "1 d 1 h", -time.Hour: "0 s", time.Hour + 5*time.Second: "1 h",
	} {
		if got := screen.Lasting(d); got != want {
			t.Errorf("Lasting(%v) = %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 bytes", 1023: "1023 bytes", 1536: "1.5 KiB", 256 << 20: "256.0 MiB",
		3 << 30: "3.00 GiB", -1: "unknown size"} {
		if got := screen.Size(n); got != want {
			t.Errorf("Size(%d) = %q, want %q", n, got, want)
		}
	}
	if got := screen.Wrap("- ", "  ", "aa bb  cc\ndd eeeeeeeeeeeeee ff", 8); got != "- aa bb\n  cc dd\n"+
		"  eeeeeeeeeeeeee\n  ff\n" {
		t.Errorf("Wrap: %q", got)
	}
}

func TestSafe(t *testing.T) {
	hostile := "a\x1b[2Jb\u202ec\td\x9bé"
	if got := screen.Plain(hostile); got != "a?[2Jb?c d?é" {
		t.Errorf("Plain: %q", got)
	}
	for _, text := range []string{screen.Lines("one\n" + hostile), screen.Wrap("", "", hostile, 10)} {
		for _, r := range text {
			if r != '\n' && r != '\ufffd' && !screen.Harmless(r) {
				t.Errorf("%q reaches the terminal in %q", r, text)
			}
		}
	}
	if got := screen.Lines("one\ntwo"); got != "one\n  two" {
		t.Errorf("Lines: %q", got)
	}
}

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		screen.Plural(1, "device"): "1 device", screen.Plural(0, "device"): "0 devices",
		screen.Plural(12, "device"): "12 devices", screen.Cut("äöü", 3): "äöü", screen.Cut("äöüx", 3): "äöü…",
		screen.Exact(1000): "1000 bytes", screen.Exact(2048): "2048 bytes (2.0 KiB)",
		screen.Upper("étage"): "Étage", screen.Join(", ", "a", "", "b"): "a, b",
		screen.ShortDigest("sha256:0123456789abcdef"): "sha256:0123456789ab...",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	at := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	for got, want := range map[string]string{
		screen.Moment(at, "network", at.Add(time.Minute), "network"): "1 min ago (2026-01-02 03:04 UTC)",
		screen.Moment(at, "network", at.Add(time.Minute), "unknown"): "on 2026-01-02 03:04 UTC",
		screen.Moment(at, "unknown", at, "network"):                  "when the clock was not set",
		screen.Moment(time.Time{}, "", at, ""):                       "at an unknown time",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestNoTerminal: a file and a pipe are not drawn on, and get lines of the usual width.
func TestNoTerminal(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	t.Setenv("TERM", "xterm")
	for _, w := range []io.Writer{f, null, &bytes.Buffer{}} {
		if screen.Terminal(w) || screen.Drawable(w) || screen.Colours(w) || screen.Width(w) != 80 ||
			screen.Height(w) != 0 {
			t.Errorf("%T is taken for a terminal", w)
		}
	}
	var out strings.Builder
	bar := screen.NewBar(&out, "copying", 10)
	if n, err := bar.Write([]byte("12345")); n != 5 || err != nil {
		t.Errorf("Write: %d, %v", n, err)
	}
	if bar.End(); out.Len() > 0 {
		t.Errorf("a bar without a terminal: %q", out.String())
	}
}
