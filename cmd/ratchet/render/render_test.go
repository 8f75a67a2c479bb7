package render_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ratchet-ota/ratchet/agent/control"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
	"github.com/ratchet-ota/ratchet/cmd/ratchet/render"
)

// golden compares text with testdata/name; UPDATE_GOLDEN=1 rewrites it.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (UPDATE_GOLDEN=1 writes it)", err)
	}
	if string(want) != text {
		t.Errorf("%s differs (UPDATE_GOLDEN=1 rewrites it)\n--- got\n%s--- want\n%s", name, text, want)
	}
}

func at(s string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", s)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

func digest(c string) string { return "sha256:" + strings.Repeat(c, 64) }

// quiet is a device on which nothing happens. The others are made of it.
func quiet() control.Status {
	return control.Status{
		Schema: 1, Device: "gw-0042", Agent: "0.1.0", Mode: control.ModeNormal, Phase: "idle",
		Running: control.SlotStatus{Name: "A", Running: true, Bootable: true, Confirmed: true, Tries: 3,
			State: "confirmed", Devices: []string{"rootfs=/dev/mmcblk0p2"},
			Holds: &control.SlotHolds{Version: "2.4.1", Sequence: 17, Manifest: digest("a"), Image: digest("b")}},
		Other: control.SlotStatus{Name: "B", Bootable: true, Confirmed: true, Tries: 3, State: "confirmed",
			Devices: []string{"rootfs=/dev/mmcblk0p3"},
			Holds:   &control.SlotHolds{Version: "2.4.0", Sequence: 16, Manifest: digest("c")}},
		Last: &control.Outcome{Result: control.ResultUpdated,
			Says: "The update was installed, proven healthy and confirmed.", Slot: "A", Sequence: 17, Version: "2.4.1",
			Manifest: digest("a"), When: at("2026-11-20 09:12:30"), TimeQuality: "synced"},
		Broker:   control.BrokerStatus{Configured: true, Online: true, Since: at("2026-11-22 08:30:00")},
		Boot:     control.BootStatus{Backend: "u-boot", Layout: "redundant environment", PowerSafe: true, Next: "A"},
		Floor:    control.FloorStatus{Sequence: 17},
		Counter:  control.CounterStatus{Kind: "tpm2-nv", Value: 1},
		Trust:    control.TrustStatus{Keys: []string{strings.Repeat("3fa7", 16), strings.Repeat("91c0", 16)}},
		Evidence: control.EvidenceStatus{Seq: 412, Sent: 412},
		Journal:  control.JournalStatus{FreeBytes: 3 << 20},
		Time:     control.TimeStatus{Wall: at("2026-11-22 10:00:00"), Quality: "synced", UptimeSeconds: 5460},
	}
}

func update() *control.UpdateStatus {
	return &control.UpdateStatus{Manifest: digest("d"), Sequence: 18, Version: "2.5.0",
		Since: at("2026-11-22 09:58:20"), ETASeconds: -1}
}

func TestStatusText(t *testing.T) {
	tests := []struct {
		name   string
		width  int
		change func(s *control.Status)
	}{
		{"quiet", 80, func(*control.Status) {}},
		{"narrow", 40, func(*control.Status) {}},
		{"writing", 80, func(s *control.Status) {
			s.Phase, s.Update = "writing", update()
			s.Update.Component, s.Update.Percent, s.Update.Written, s.Update.Size = "rootfs", 42, 113<<20, 256<<20
			s.Update.RateBytes, s.Update.ETASeconds = 1<<20, 143
			s.Other = control.SlotStatus{Name: "B", State: "being written"}
			s.Evidence.Seq = 415
		}},
		{"ready", 80, func(s *control.Status) {
			s.Phase, s.Update = "ready", update()
			s.Update.Reason, s.Update.WaitingFor = "outside-window", "the maintenance window opens at 02:00"
			s.Other.State = "written and checked, waiting to be armed"
		}},
		{"trial", 80, func(s *control.Status) {
			s.Phase, s.Update = "trial", update()
			s.Running, s.Other = s.Other, s.Running
			s.Running.Running, s.Other.Running, s.Running.Confirmed, s.Running.Tries, s.Running.State = true, false,
				false, 2, "on trial"
			s.Running.Holds = &control.SlotHolds{Version: "2.5.0", Sequence: 18}
			s.Boot.Next = "B"
			s.Update.Trial = &control.TrialStatus{Boots: 1, MaxBoots: 3, SoakSeconds: 60, SoakLeftSeconds: 42,
				DeadlineLeftSeconds: 560,
				Checks: []control.CheckStatus{{Name: "unit app.service", OK: true},
					{Name: "broker", OK: true}}}
		}},
		{"trial-failing", 80, func(s *control.Status) {
			s.Phase, s.Update = "trial", update()
			s.Running, s.Other = s.Other, s.Running
			s.Running.Running, s.Other.Running, s.Running.Confirmed, s.Running.Tries, s.Running.State = true, false,
				false, 1, "on trial"
			s.Reset = control.ResetStatus{Cause: "power-on", Source: "rstc says \"regular power-up\"", Panics: 2}
			s.Update.Trial = &control.TrialStatus{Boots: 2, MaxBoots: 3, SoakSeconds: 60, SoakLeftSeconds: 60,
				DeadlineLeftSeconds: 95,
				Checks: []control.CheckStatus{
					{Name: "unit app.service", Error: "unit app.service is failed"},
					{Name: "http 127.0.0.1:8080",
						Error: "connection refused by the machine at the other end of the wire, which is rather long"},
					{Name: "broker"}}}
		}},
		{"reverting", 80, func(s *control.Status) {
			s.Phase, s.Update = "reverting", update()
			s.Update.Reason = "health-failed"
		}},
		{"reverted", 80, func(s *control.Status) {
			s.Last = &control.Outcome{Result: control.ResultReverted, Reason: "health-failed",
				Says:   "The new system was started but its health checks did not hold. (unit app.service: is failed)",
				Advice: "Read the health records with ratchet history, and repair the release.", Slot: "B",
				Sequence: 18, Version: "2.5.0", When: at("2026-11-22 09:40:00"), TimeQuality: "synced"}
			s.Other.State, s.Other.Bootable, s.Other.Confirmed = "disabled", false, false
		}},
		{"refused", 80, func(s *control.Status) {
			s.Last = &control.Outcome{Result: control.ResultRefused, Reason: "signer-unknown",
				Says:     "No key that this device trusts has signed the envelope.",
				Advice:   "Sign it with a key that the device trusts.",
				Manifest: digest("e"), When: at("2026-11-22 09:59:58"), TimeQuality: "local"}
		}},
		{"waiting", 80, func(s *control.Status) {
			s.Update = &control.UpdateStatus{Manifest: digest("d"), Sequence: 18, Reason: "approval-required",
				WaitingFor: "a person has to agree", ETASeconds: -1, NextSeconds: 840}
			s.Advice = []string{"Agree with: ratchet approve"}
		}},
		{"boot-safe", 80, func(s *control.Status) {
			s.Mode, s.ModeReason, s.ModeWhy = control.ModeBootSafe, "config-invalid",
				`/etc/ratchet/ratchet.toml:12: unknown key "slot"`
			s.Advice = []string{`Boot-safe mode: correct the configuration, check it with "ratchet daemon ` +
				`--check-config", and restart the daemon.`}
		}},
		{"boot-safe-bare", 80, func(s *control.Status) {
			*s = control.Status{Schema: 1, Device: "gw-0042", Agent: "0.1.0", Mode: control.ModeBootSafe,
				ModeReason: "config-invalid", Phase: "idle", Running: control.SlotStatus{Tries: -1},
				Journal: control.JournalStatus{FreeBytes: -1},
				Time:    control.TimeStatus{Wall: at("2026-11-22 10:00:00"), Quality: "local", UptimeSeconds: 70}}
		}},
		{"running-unknown", 80, func(s *control.Status) {
			s.Running = control.SlotStatus{}
			s.Advice = []string{"What runs is not proven: the root device is none of the slots. Nothing is installed."}
		}},
		{"unconfirmed",
			80, func(s *control.Status) { s.Running.Confirmed, s.Running.State = false, "bootable, never confirmed" }},
		{"boots-other", 80, func(s *control.Status) { s.Boot.Next = "B" }},
		{"no-clock", 80, func(s *control.Status) {
			s.Time = control.TimeStatus{Wall: at("1970-01-01 00:01:10"), Quality: "unknown", UptimeSeconds: 70}
			s.Last.TimeQuality = "unknown"
			s.Broker.Since = at("1970-01-01 00:00:20")
			s.Advice = []string{"The clock is not set; rules that need the time make updates wait."}
		}},
		{"weak", 80, func(s *control.Status) {
			s.Boot = control.BootStatus{Backend: "grub", Layout: "environment block",
				Weakness: "GRUB writes the block in two sectors without a checksum", Next: ""}
			s.Counter = control.CounterStatus{Kind: "file", Value: 1, Weak: true}
			s.Trust = control.TrustStatus{Root: "acme.example", Version: 3}
			s.Broker = control.BrokerStatus{}
			s.Evidence = control.EvidenceStatus{Seq: 3}
			s.Journal = control.JournalStatus{FreeBytes: -1, Error: "no space left on device"}
			s.Last, s.Floor.Sequence = nil, 0
			s.Other = control.SlotStatus{Name: "B", Tries: -1, State: "disabled"}
		}},
		{"hostile", 80, func(s *control.Status) {
			s.Device = "gw\x1b[2J\u202e\u009b31m"
			s.Last.Says = "line one\nline two\x07\x1b]0;title\x07"
			s.Running.Holds.Version = "1.0\x1b[1A"
			s.Reset = control.ResetStatus{Cause: "gremlins\x1b[2J", Source: "\x1b[2J\u202e"}
			s.Advice = []string{strings.Repeat("x", 200) + "\r- forged"}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := quiet()
			tt.change(&s)
			got := render.Status(s, tt.width)
			golden(t, "status-"+tt.name+".txt", got)
			for _, r := range got {
				if r != '\n' && !screen.Harmless(r) {
					t.Errorf("%q reaches the terminal", r)
				}
			}
			for line := range strings.Lines(got) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > tt.width && tt.name != "hostile" {
					t.Errorf("%d characters are more than %d: %q", n, tt.width, line)
				}
			}
		})
	}
}

func TestSlotsText(t *testing.T) {
	s := quiet()
	weak := control.Slots{Slots: []control.SlotStatus{{Name: "A", Running: true, Bootable: true,
		Tries: 2, State: "on trial"}, {Name: "B", Tries: -1}},
		Boot: control.BootStatus{Backend: "grub", Weakness: "two sectors"}}
	broken := control.Slots{Boot: control.BootStatus{Error: "both copies have a bad checksum"}}
	good := control.Slots{Slots: []control.SlotStatus{s.Running, s.Other}, Boot: s.Boot}
	golden(t, "slots.txt", render.Slots(good, 80)+"=====\n"+render.Slots(weak, 80)+"=====\n"+render.Slots(broken, 80))
}

func TestHistoryText(t *testing.T) {
	h := control.History{Older: true, Entries: []control.HistoryEntry{
		{Seq: 41, Chain: "aa", When: at("1970-01-01 00:00:09"), Quality: "unknown", Kind: "start",
			Text: "agent started in phase idle, slot A runs"},
		{Seq: 42, Chain: "aa", When: at("2026-11-22 09:00:01"), Quality: "local", Kind: "decision",
			Reason: "signer-unknown", Text: "offer unverified: refused", Actor: "mqtt:ratchet/v1/offer/stable"},
		{Seq: 1, Chain: "bb", When: at("2026-11-22 09:10:00"), Quality: "synced", Kind: "chain", Reason: "journal-lost",
			Text: "evidence begins"},
		{Seq: 2, Chain: "bb", When: at("2026-11-22 09:11:00"), Quality: "synced", Kind: "operator",
			Reason: "operator-revert", Text: "ready -> reverting", Actor: "uid 0 (pid 77)"},
		{Seq: 3, Chain: "bb", When: at("2026-11-22 09:11:02"), Quality: "synced", Kind: "health",
			Reason: "health-failed",
			Text:   "health fails (unit app.service: is failed; http 127.0.0.1:8080: connection refused)\x1b[2J"},
	}}
	golden(t, "history.txt", render.History(h, 80)+"=====\n"+render.History(control.History{}, 80))
}

func TestInstallTexts(t *testing.T) {
	c := control.InstallCheck{Outcome: control.OutcomeInstall, Manifest: digest("d"), Sequence: 18, Version: "2.5.0",
		Description: "Gateway 2.5.0\nFixes the modem.", Signers: []string{strings.Repeat("f0", 32)}, Target: "B",
		Need: []control.Payload{{Name: "rootfs.img", Component: "rootfs", Bytes: 256 << 20}}}
	out := render.Check(c, 80)
	c.Outcome, c.Need = control.OutcomeDefer, nil
	c.Findings = []control.Finding{{Reason: "low-battery", Says: "The battery is too low. (12 %, 30 % are needed)",
		Advice: "Charge the device."}}
	out += "=====\n" + render.Check(c, 80)
	c.Outcome, c.Version, c.Description = control.OutcomeRefuse, "", ""
	c.Findings = []control.Finding{{Reason: "wrong-class",
		Says: "The update is for another class of device.", Final: true}, {Reason: "sequence-below-floor", Final: true}}
	out += "=====\n" + render.Check(c, 80)
	out += "=====\n" + render.Done(
		control.Done{Says: "Slot B is armed; the machine reboots into it for its trial.", Reboots: true}, 80)
	out += render.Done(control.Done{Says: "It waits.", Reason: "outside-window", Advice: "Wait for the window."}, 80)
	out += "=====\n" + render.Export(control.EvidenceExport{Records: 412, First: 1, Last: 412,
		Bytes: 123456, Unsigned: 2}, "gw.evidence", 80)
	out += render.Export(control.EvidenceExport{}, "", 80)
	s := quiet()
	for _, phase := range []string{"idle", "writing", "trial"} {
		s.Phase = phase
		out += "=====\n" + screen.Wrap("", "", render.Revert(s), 80)
	}
	u := update()
	u.Reason, u.WaitingFor = "approval-required", "a person has to agree"
	out += "=====\n" + screen.Wrap("", "", render.Approve(*u, "B"), 80)
	golden(t, "install.txt", out)
}
