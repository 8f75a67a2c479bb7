package publish_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/publish"
)

// TestAnnouncement: a document says itself where it belongs; anything else is not published.
func TestAnnouncement(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := trust.Generate(trust.ESP256)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(kind string, b []byte, err error) []byte {
		t.Helper()
		if err == nil {
			b, err = trust.SignDocument(kind, b, key)
		}
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	digest := manifest.Sum([]byte("x"))
	plan, err := campaign.BuildPlan(campaign.PlanSpec{Generation: 1, Channel: "beta", Sequence: 1, Manifest: digest,
		ManifestSequence: 1, Devices: []string{"d"}, Salt: make([]byte, campaign.SaltSize),
		Phases: []campaign.Phase{{BasisPoints: 1}}, Issued: now, ValidUntil: now.Add(time.Hour)})
	plan = sign("plan", plan, err)
	pulse, err := campaign.BuildPulse(campaign.PulseSpec{Generation: 1, Plan: digest, Sequence: 1,
		State: campaign.StateOpen, Issued: now, Expires: now.Add(time.Hour)})
	pulse = sign("pulse", pulse, err)
	tests := []struct {
		name    string
		body    []byte
		channel string
		topic   string
		err     string
	}{
		{"plan", plan, "stable", "ratchet/v1/plan/beta", ""},
		{"pulse", pulse, "stable", "ratchet/v1/pulse/stable", ""},
		{"pulse without a channel", pulse, "", "", "--channel"},
		{"pulse on a wild channel", pulse, "a/#", "", "--channel"},
		{"garbage", []byte("garbage"), "stable", "", "neither"},
		{"empty", nil, "stable", "", "neither"},
		{"too large", make([]byte, 70000), "stable", "", "more than"},
	}
	for _, tt := range tests {
		p, err := publish.Document(write("doc", tt.body), tt.channel)
		switch {
		case tt.err == "" && (err != nil || p.Topic != tt.topic || string(p.Body) != string(tt.body)):
			t.Errorf("%s: topic %q, %v; want %q", tt.name, p.Topic, err, tt.topic)
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
		}
	}
}
