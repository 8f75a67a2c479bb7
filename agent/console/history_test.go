package console_test

import (
	"testing"

	"github.com/ratchet-ota/ratchet/agent/console"
	"github.com/ratchet-ota/ratchet/agent/evidence"
)

// TestText: what happened is told as a sentence, with what it happened to.
func TestText(t *testing.T) {
	for _, tt := range []struct {
		event evidence.Event
		want  string
	}{
		{evidence.Event{Kind: evidence.KindDecision, To: "refuse", Sequence: 60}, "offer of sequence 60: refused"},
		{evidence.Event{Kind: evidence.KindDecision, To: "refuse", Detail: map[string]string{"why": "bad"}},
			"offer (not verified): refused (bad)"},
		{evidence.Event{Kind: evidence.KindDecision, To: "refuse",
			Detail: map[string]string{"document": "plan", "why": "void"}}, "plan refused (void)"},
		{evidence.Event{Kind: evidence.KindConfig, To: "taken",
			Detail: map[string]string{"document": "root", "from-version": "1", "to-version": "2"}},
			"root 2 taken, after root 1"},
		{evidence.Event{Kind: evidence.KindConfig, To: "taken",
			Detail: map[string]string{"document": "plan", "sequence": "7"}}, "plan 7 taken"},
		{evidence.Event{Kind: evidence.KindConfig, To: "taken",
			Detail: map[string]string{"document": "pulse", "sequence": "8", "state": "open", "phase": "1"}},
			"pulse 8 taken: open, phase 2"},
		{evidence.Event{Kind: evidence.KindBoot, Slot: "B", Detail: map[string]string{"armed": "yes", "tries": "3"}},
			"slot B armed, tries: 3"},
		{evidence.Event{Kind: evidence.KindBoot, Slot: "B", Detail: map[string]string{"trial-boot": "2"}},
			"slot B booted, boot 2 of its trial"},
		{evidence.Event{Kind: evidence.KindBoot, Slot: "B", Detail: map[string]string{"disabled": "it was armed"}},
			"slot B disabled: it was armed"},
		{evidence.Event{Kind: evidence.KindBoot, Detail: map[string]string{"reboot": "asked"}}, "reboot asked for"},
		{evidence.Event{Kind: evidence.KindBoot, Detail: map[string]string{"of-later": "x"}}, "boot"},
	} {
		if got := console.Text(evidence.Record{Event: tt.event}); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.event, got, tt.want)
		}
	}
}
