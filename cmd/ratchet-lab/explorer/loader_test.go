package explorer_test

import (
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/cmd/ratchet-lab/explorer"
)

// TestAgentJudgesLayouts: `ratchet slots` calls a layout power-safe where the explorer proves it. Where that hangs
// on something that the agent cannot see, its text names it.
func TestAgentJudgesLayouts(t *testing.T) {
	unseen := map[string]string{ // what the text names
		"grub-4k":       "unless the medium writes sectors of 4096 bytes",
		"grub-torn":     "which the medium must write whole",
		"grub-spoilt":   "which the medium must write whole",
		"sdboot-torn":   "which the medium must write whole",
		"sdboot-spoilt": "which the medium must write whole",
		"sdboot-apart":  "loader/entries in one sector", // the names would fit, the folder's sectors are not looked at
	}
	for _, l := range explorer.Loaders() {
		c, err := l.Caps(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", l.Name, err)
		}
		said, hidden := unseen[l.Name]
		if (c.PowerSafe == l.PowerSafe) == hidden || !strings.Contains(c.Layout+": "+c.Weakness, said) {
			t.Errorf("%s (%s): explored as power-safe %v, the agent says %+v", l.Name, l.Layout, l.PowerSafe, c)
		}
	}
}
