package render_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/render"
)

func halfway() control.Progress {
	return control.Progress{Phase: "writing", Component: "rootfs", Percent: 50, Done: 128 << 20, Size: 256 << 20,
		RateBytes: 12 << 20, ETASeconds: 11}
}

func TestProgressLine(t *testing.T) {
	for _, tt := range []struct {
		name  string
		p     control.Progress
		width int
		want  string
	}{
		{"no limit", halfway(), 0, "writing rootfs   50 %  128.0 MiB of 256.0 MiB  12.0 MiB/s  11 s left"},
		{"wide", halfway(), 100,
			"writing rootfs  [############..............]   50 %  128.0 MiB of 256.0 MiB  12.0 MiB/s  11 s left"},
		{"no room for a bar", halfway(), 79, "writing rootfs   50 %  128.0 MiB of 256.0 MiB  12.0 MiB/s  11 s left"},
		{"no room for the time", halfway(), 60, "writing rootfs   50 %  128.0 MiB of 256.0 MiB  12.0 MiB/s"},
		{"no room for the rate", halfway(), 50, "writing rootfs   50 %  128.0 MiB of 256.0 MiB"},
		{"no room for bytes", halfway(), 25, "writing rootfs   50 %"},
		{"hardly any room", halfway(), 10, "writing ro"},
		{"no measure", control.Progress{Phase: "preparing", Percent: -1}, 80, "preparing"},
		{"waits", control.Progress{Phase: "ready", Percent: -1, Says: "the window opens at 02:00"}, 80,
			"ready: the window opens at 02:00"},
		{"beyond the end", control.Progress{Phase: "writing", Percent: 120, Done: 300, Size: 256, ETASeconds: -1}, 0,
			"writing  100 %  300 bytes of 256 bytes"},
		{"a bar beyond the end", control.Progress{Phase: "writing", Percent: 120, Done: 300, Size: 256, ETASeconds: -1},
			60, "writing  [##################]  100 %  300 bytes of 256 bytes"},
		{"hostile", control.Progress{Phase: "writing\r\x1b[2J", Percent: -1}, 0, "writing ?[2J"},
	} {
		got := render.Progress(tt.p, tt.width)
		if tt.name != "wide" && tt.name != "a bar beyond the end" && got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		if tt.width > 0 && utf8.RuneCountInString(got) > tt.width {
			t.Errorf("%s: %q is longer than %d", tt.name, got, tt.width)
		}
		if strings.Contains(tt.name, "wide") && (!strings.Contains(got, "[####") || !strings.Contains(got, "....]") ||
			utf8.RuneCountInString(got) != tt.width) {
			t.Errorf("%s: %q", tt.name, got)
		}
		if strings.Contains(tt.name, "bar beyond") && !strings.Contains(got, "#]") {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}

// Without a terminal there is a line for each phase and each tenth.
func TestMeterPlain(t *testing.T) {
	var b bytes.Buffer
	m := render.NewMeter(&b)
	m.Show(control.Progress{Phase: "preparing", Percent: -1})
	m.Show(control.Progress{Phase: "preparing", Percent: -1})
	for i := range 101 {
		m.Show(control.Progress{Phase: "writing", Component: "rootfs", Percent: i, Done: int64(i),
			Size: 100, ETASeconds: -1})
	}
	m.Show(control.Progress{Phase: "ready", Percent: -1, Says: "waits for the window"})
	m.Show(control.Progress{Phase: "ready", Percent: -1, Says: "waits for mains"})
	m.End()
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 1+11+2 || lines[0] != "preparing" || lines[1] != "writing rootfs    0 %  0 bytes of 100 bytes" ||
		lines[13] != "ready: waits for mains" {
		t.Errorf("%d lines: %q", len(lines), lines)
	}
}
