package console_test

import (
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/console"
	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/agent/evidence"
	"github.com/ratchet-ota/ratchet/agent/reason"
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
		{evidence.Event{Kind: evidence.KindOperator, To: "approved", Detail: map[string]string{"note": "by phone"}},
			`an update is approved, note: "by phone"`},
		{evidence.Event{Kind: evidence.KindOperator, To: "retry"}, "an update is to be tried again"},
		{evidence.Event{Kind: evidence.KindOperator, To: "revert"}, "the update in progress is to be ended"},
		{evidence.Event{Kind: evidence.KindOperator, From: "trial", To: "confirming", Reason: reason.OperatorConfirm},
			"the system on trial is to be kept"},
		{evidence.Event{Kind: evidence.KindOperator, From: "trial", To: "reverting", Slot: "B",
			Reason: reason.OperatorRevert}, "the trial of slot B is to be ended"},
		{evidence.Event{Kind: evidence.KindOperator, From: "idle", To: "checking", Slot: "A",
			Reason: reason.OperatorRevert}, "slot A is to run again"},
		{evidence.Event{Kind: evidence.KindOperator, To: "of-later"}, "operator"},
		{evidence.Event{Kind: evidence.KindProgress, Component: "rootfs", Detail: map[string]string{"written": "7",
			"fetched": "5", "resumed-from": "0"}}, "rootfs written: 7 bytes, 5 fetched, resumed from 0"},
		{evidence.Event{Kind: evidence.KindProgress, Component: "rootfs", Detail: map[string]string{"written": "7",
			"fetched": "0", "resumed-from": "0", "carried-from": "A"}},
			"rootfs copied from slot A: 7 bytes, resumed from 0"},
	} {
		if got := console.Text(evidence.Record{Event: tt.event}); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.event, got, tt.want)
		}
	}
}

// TestBootAdvice: what is wrong with the boot metadata is something to do: a copy that cannot be used, and a loader
// whose slots have other names than the configuration's.
func TestBootAdvice(t *testing.T) {
	st := control.Status{Running: control.SlotStatus{Name: "A"}, Other: control.SlotStatus{Name: "B"},
		Boot: control.BootStatus{Next: "B"}}
	if got := console.BootAdvice(st); len(got) != 0 {
		t.Errorf("nothing is wrong: %q", got)
	}
	st.Boot.Next, st.Boot.Damaged = "system0", "/dev/env at 0x400: too short"
	got := strings.Join(console.BootAdvice(st), "\n")
	for _, want := range []string{`a slot "system0"`, "slots.NAME", "/dev/env at 0x400: too short. "} {
		if !strings.Contains(got, want) {
			t.Errorf("%q does not say %q", got, want)
		}
	}
}
