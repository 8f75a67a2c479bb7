package watch

import (
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/internal/fleet"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
)

func TestTable(t *testing.T) {
	var list []fleet.View
	for i := range 20 {
		list = append(list, fleet.View{Device: string(rune('a' + i)), Presence: "online", Trust: fleet.TrustVerified,
			Problem: "slot-busy", Last: &fleet.OutcomeView{Result: "failed", Reason: strings.Repeat("x", 60)}})
	}
	text := table(list, fleet.Totals{Devices: 20}, 10, true)
	if n := strings.Count(text, "\n"); n != 10 {
		t.Errorf("%d lines on a terminal of 10", n)
	}
	for _, part := range []string{"... and 13 more devices", screen.EscRed, screen.EscGreen, "…"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
	if text := table(list, fleet.Totals{Devices: 20}, 0, false); strings.Contains(text, "\x1b") ||
		strings.Count(text, "\n") != 22 {
		t.Errorf("without colours:\n%s", text)
	}
}
