package manifest_test

import (
	"slices"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
)

// TestParseVersion: draft-ietf-suit-update-management section 3.1; every form reads as it is written.
func TestParseVersion(t *testing.T) {
	for s, want := range map[string][]int64{"1": {1}, "1.2.3": {1, 2, 3}, "1.2-rc.3": {1, 2, -1, 3},
		"1.2-beta":      {1, 2, -2},
		"1.2.3-alpha.4": {1, 2, 3, -3, 4}, "2025.12.6": {2025, 12, 6}} {
		if got, err := manifest.ParseVersion(s); err != nil || !slices.Equal(got, want) {
			t.Errorf("ParseVersion(%q) = %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "1.", "v1", "1.2.3.4", "01", "-1", "1.-2", "1-rc.", "1-gamma", "1.2-rc.3.4", "1 ",
		"99999999999999999999"} {
		if got, err := manifest.ParseVersion(s); err == nil {
			t.Errorf("ParseVersion(%q) = %v, want an error", s, got)
		}
	}
}
