package policy_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

func TestRules(t *testing.T) {
	given := map[reason.Reason]bool{}
	night := []policy.Window{{From: 2 * 60, To: 4 * 60}}
	priority := int64(3)
	for _, c := range []struct {
		name   string
		change func(s *situation)
		want   string // reasons at Download
		arm    string // and at Arm
	}{
		{"nothing is wrong", func(*situation) {}, "", ""},
		{"vendor", func(s *situation) { s.facts.Device.Vendors = nil }, "wrong-vendor", "wrong-vendor"},
		{"class",
			func(s *situation) { s.facts.Device.Classes = []manifest.UUID{vendor} }, "wrong-class", "wrong-class"},
		{"vendor and class", func(s *situation) { s.facts.Device.Vendors, s.facts.Device.Classes = nil, nil },
			"wrong-vendor wrong-class", "wrong-vendor wrong-class"},
		{"device", func(s *situation) { s.release.DeviceID = &vendor }, "wrong-device", "wrong-device"},
		{"this device", func(s *situation) { s.release.DeviceID = &device }, "", ""},

		{"version", func(s *situation) {
			s.release.Versions = []manifest.VersionCondition{{Compare: manifest.CompareGreaterOrEqual,
				Version: []int64{1, 5}}}
		}, "version-condition", "version-condition"},
		{"version holds", func(s *situation) {
			s.release.Versions = []manifest.VersionCondition{{Compare: manifest.CompareGreaterOrEqual,
				Version: []int64{1, 4}}}
		}, "", ""},
		{"version unknown", func(s *situation) {
			s.facts.Device.Version = nil
			s.release.Versions = []manifest.VersionCondition{{Compare: manifest.CompareEqual, Version: []int64{1}}}
		}, "version-condition", "version-condition"},

		{"expired", func(s *situation) { s.release.UseBefore = noon }, "expired", "expired"},
		{"not expired", func(s *situation) { s.release.UseBefore = noon.Add(time.Second) }, "", ""},
		{"expiry, clock unknown", func(s *situation) { s.release.UseBefore = noon.Add(time.Hour); s.now.Known = false },
			"clock-unknown", "clock-unknown"},
		{"expiry, clock unknown, may go on", func(s *situation) {
			s.release.UseBefore = noon.Add(time.Hour)
			s.now, s.rules.UnknownTimeWaits = policy.Now{Wall: time.Unix(100, 0)}, false
		}, "", ""},
		{"expired even by an unknown clock", func(s *situation) {
			s.release.UseBefore = noon
			s.now.Known, s.rules.UnknownTimeWaits = false, false
		}, "expired", "expired"},
		{"no expiry, clock unknown", func(s *situation) { s.now = policy.Now{} }, "", ""},

		{"slot of the other",
			func(s *situation) { s.release.Components[0].Images[0].Slot = 0 }, "wrong-slot", "wrong-slot"},
		{"manifest demands charge",
			func(s *situation) { s.release.MinBatteryMWh = 5001 }, "low-battery", "low-battery"},
		{"manifest demands charge, mains",
			func(s *situation) { s.release.MinBatteryMWh = 5001; s.facts.Mains = true }, "low-battery", "low-battery"},
		{"manifest demands charge, unknown",
			func(s *situation) { s.release.MinBatteryMWh = 1; s.facts.Device.BatteryMWh = -1 },
			"low-battery", "low-battery"},
		{"manifest demands charge that is there", func(s *situation) { s.release.MinBatteryMWh = 5000 }, "", ""},
		{"manifest asks", func(s *situation) {
			s.release.Priority = &priority
			s.facts.Device.Authorized = func(p int64) bool { return p < 3 }
		}, "approval-required", "approval-required"},
		{"manifest asks, granted", func(s *situation) {
			s.release.Priority = &priority
			s.facts.Device.Authorized = func(p int64) bool { return p == 3 }
		}, "", ""},
		{"manifest asks, local", func(s *situation) {
			s.release.Priority = &priority
			s.facts.Device.Authorized, s.local = func(int64) bool { return false }, true
		}, "", ""},

		{"below the floor",
			func(s *situation) { s.floor(8) }, "sequence-below-floor", "sequence-below-floor"},
		{"at the floor, another",
			func(s *situation) { s.floor(7) }, "sequence-reused", "sequence-reused"},
		{"at the floor, the same", func(s *situation) {
			m := s.manifest(t)
			s.m, s.facts.Floors = &m, map[string]policy.Floor{"rootfs": {Sequence: 7, Manifest: m.Digest()}}
		}, "", ""},
		{"at the floor, whose manifest is not known",
			func(s *situation) { s.facts.Floors = map[string]policy.Floor{"rootfs": {Sequence: 7}} }, "", ""},
		{"bound to another", func(s *situation) {
			s.facts.Bound = func(_ string, n uint64) (manifest.Digest, bool) { return other, n == 7 }
		}, "sequence-reused", "sequence-reused"},
		{"bound to this", func(s *situation) {
			m := s.manifest(t)
			s.m, s.facts.Bound = &m, func(_ string, n uint64) (manifest.Digest, bool) { return m.Digest(), n == 7 }
		}, "", ""},
		{"another component's floor",
			func(s *situation) { s.facts.Floors["app"] = policy.Floor{Sequence: 99, Manifest: other} }, "", ""},
		{"bound for another component", func(s *situation) {
			s.facts.Bound = func(c string, n uint64) (manifest.Digest, bool) { return other, c == "app" && n == 7 }
		}, "", ""},
		{"below the floor of one of two", func(s *situation) {
			s.two()
			s.facts.Floors[s.release.Components[1].Name] = policy.Floor{Sequence: 8}
		}, "sequence-below-floor", "sequence-below-floor"},
		{"binding of another number", func(s *situation) {
			s.facts.Bound = func(_ string, n uint64) (manifest.Digest, bool) { return other, n == 6 }
		}, "", ""},
		{"nothing confirmed yet", func(s *situation) { s.facts.Floors = nil; s.facts.Running = nil }, "", ""},

		{"quarantined image", func(s *situation) {
			s.facts.Quarantined = func(d manifest.Digest) (reason.Reason, bool) {
				return reason.HealthFailed, d == image("new")
			}
		}, "quarantined", "quarantined"},
		{"quarantined manifest", func(s *situation) {
			m := s.manifest(t)
			s.m, s.facts.Quarantined = &m, func(d manifest.Digest) (reason.Reason, bool) {
				return reason.HealthFailed, d == m.Digest()
			}
		}, "quarantined", "quarantined"},
		{"quarantine of another", func(s *situation) {
			s.facts.Quarantined = func(d manifest.Digest) (reason.Reason, bool) {
				return reason.HealthFailed, d == image("old")
			}
		}, "", ""},

		{"already installed",
			func(s *situation) { s.facts.Running["rootfs"] = part("new") }, "already-installed", "already-installed"},
		{"one of two installed", func(s *situation) { s.two(); s.facts.Running["rootfs"] = part("new") }, "", ""},
		{"both installed", func(s *situation) {
			s.two()
			s.facts.Running = map[string]policy.Part{"rootfs": part("new"), "app": part("app")}
		}, "already-installed", "already-installed"},

		{"half of the slot", func(s *situation) {
			s.facts.Device.Components["app"], s.facts.SlotSize["app"] = manifest.Target{Slot: 1}, 50
		}, "slot-incomplete", "slot-incomplete"},
		{"too large", func(s *situation) { s.facts.SlotSize["rootfs"] = 999 }, "image-too-large", "image-too-large"},
		{"second too large",
			func(s *situation) { s.two(); s.facts.SlotSize["app"] = 1 }, "image-too-large", "image-too-large"},
		{"not measured", func(s *situation) { s.facts.SlotSize = nil }, "slot-busy", "slot-busy"},
		{"no such component", func(s *situation) { s.facts.Device.Components = map[string]manifest.Target{"boot": {}} },
			"slot-missing", "slot-missing"},

		{"battery low",
			func(s *situation) { s.rules.MinBattery, s.facts.Battery = 50, 49 }, "low-battery", "low-battery"},
		{"battery enough", func(s *situation) { s.rules.MinBattery, s.facts.Battery = 50, 50 }, "", ""},
		{"battery low, mains",
			func(s *situation) { s.rules.MinBattery, s.facts.Battery, s.facts.Mains = 50, 1, true }, "", ""},
		{"no battery, mains",
			func(s *situation) { s.rules.MinBattery, s.facts.Battery, s.facts.Mains = 50, -1, true }, "", ""},
		{"battery unknown",
			func(s *situation) { s.rules.MinBattery, s.facts.Battery = 50, -1 }, "low-battery", "low-battery"},
		{"supply unknown",
			func(s *situation) { s.rules.MinBattery, s.facts.Mains, s.facts.SupplyKnown = 50, true, false },
			"low-battery", "low-battery"},
		{"supply unknown, no rule", func(s *situation) { s.facts.Battery, s.facts.SupplyKnown = -1, false }, "", ""},
		{"battery low, local", func(s *situation) { s.rules.MinBattery, s.facts.Battery, s.local = 50, 49, true },
			"low-battery", "low-battery"},

		{"outside of the window", func(s *situation) { s.rules.Windows = night }, "", "outside-window"},
		{"outside, covers download", func(s *situation) { s.rules.Windows, s.rules.WindowCoversDownload = night, true },
			"outside-window", "outside-window"},
		{"inside", func(s *situation) {
			s.rules.Windows, s.rules.WindowCoversDownload = night, true
			s.now.Wall = noon.Add(15 * time.Hour)
		}, "", ""},
		{"window, clock unknown",
			func(s *situation) { s.rules.Windows = night; s.now.Known = false }, "", "clock-unknown"},
		{"window, clock unknown, may go on", func(s *situation) {
			s.rules.Windows, s.rules.UnknownTimeWaits, s.now.Known = night, false, false
		}, "", "clock-unknown"},
		{"window, local", func(s *situation) {
			s.rules.Windows, s.rules.WindowCoversDownload, s.local, s.now.Known = night, true, true, false
		}, "", ""},

		{"metered", func(s *situation) { s.facts.Metered = true }, "link-metered", ""},
		{"metered, allowed", func(s *situation) { s.facts.Metered, s.rules.AllowMetered = true, true }, "", ""},
		{"metered, local", func(s *situation) { s.facts.Metered, s.local = true, true }, "", ""},
		{"metered, image in the envelope", func(s *situation) {
			s.facts.Metered = true
			i := &s.release.Components[0].Images[0]
			i.URI, i.Content, i.Size, i.Digest = "#rootfs", []byte("content"), 7, image("content")
		}, "", ""},

		{"approval for download",
			func(s *situation) { s.rules.Approval = policy.ApprovalDownload }, "approval-required", ""},
		{"approval for install",
			func(s *situation) { s.rules.Approval = policy.ApprovalInstall }, "", "approval-required"},
		{"no approval needed", func(s *situation) { s.rules.Approval = policy.ApprovalNone }, "", ""},
		{"approved", func(s *situation) { s.rules.Approval, s.facts.Approved = policy.ApprovalInstall, true }, "", ""},
		{"approval, local", func(s *situation) { s.rules.Approval, s.local = policy.ApprovalDownload, true }, "", ""},
		{"approval by no known word",
			func(s *situation) { s.rules.Approval = "sometimes" }, "approval-required", "approval-required"},

		{"aborts", func(s *situation) { m := crafted(t, 14, 15); s.m = &m }, "condition-failed", "condition-failed"},
		{"installs nothing",
			func(s *situation) { m := crafted(t, 1, 15); s.m = &m }, "manifest-unsupported", "manifest-unsupported"},

		{"decommissioned", func(s *situation) { s.facts.Decommissioned = true }, "decommissioned", "decommissioned"},
		{"decommissioned, local",
			func(s *situation) { s.facts.Decommissioned, s.local = true, true }, "decommissioned", "decommissioned"},

		{"much at once", func(s *situation) {
			s.facts.Decommissioned, s.facts.Metered = true, true
			s.floor(9)
			s.facts.SlotSize["rootfs"], s.rules.MinBattery, s.facts.Battery = 1, 50, 3
			s.rules.Windows, s.rules.WindowCoversDownload, s.rules.Approval = night, true, policy.ApprovalDownload
		},
			"decommissioned sequence-below-floor image-too-large low-battery outside-window " +
				"link-metered approval-required",
			"decommissioned sequence-below-floor image-too-large low-battery outside-window"},
		{"a final one and one that would pass",
			func(s *situation) { s.floor(9); s.facts.Metered = true },
			"sequence-below-floor link-metered", "sequence-below-floor"},
		{"already installed and outside", func(s *situation) {
			s.facts.Running["rootfs"], s.rules.Windows = part("new"), night
		}, "already-installed", "already-installed outside-window"},
		{"other device, and the rest is still told",
			func(s *situation) { s.facts.Device.Vendors, s.facts.Metered = nil, true },
			"wrong-vendor link-metered", "wrong-vendor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := good()
			c.change(s)
			for stage, want := range map[policy.Stage]string{policy.Download: c.want, policy.Arm: c.arm} {
				s.stage = stage
				d := s.decide(t)
				if got := told(d); got != want {
					t.Errorf("at stage %d: %q, want %q", stage, got, want)
				}
				for _, f := range d.Findings {
					given[f.Reason] = true
				}
			}
		})
	}
	// The list of rules says which reasons there are; all of them were met, and no other.
	listed := map[reason.Reason]bool{}
	for _, reasons := range policy.Reasons() {
		for _, why := range reasons {
			listed[why] = true
		}
	}
	if !maps.Equal(given, listed) {
		t.Errorf("given %v, listed by the rules %v", given, listed)
	}
}

func TestPlan(t *testing.T) {
	s := good()
	s.two()
	d := s.decide(t)
	var got []string
	for _, i := range d.Plan.Installs() {
		got = append(got, fmt.Sprint(i.Component, " ", i.Size, " ",
			i.Image == image(map[string]string{"rootfs": "new", "app": "app"}[i.Component])))
	}
	if !slices.Equal(got, []string{"rootfs 1000 true", "app 50 true"}) || d.Plan.Manifest().Sequence() != 7 {
		t.Errorf("plan: %v of sequence %d", got, d.Plan.Manifest().Sequence())
	}
	d.Plan.Installs()[0].Component = "changed by the caller"
	if d.Plan.Installs()[0].Component != "rootfs" {
		t.Error("a caller can change the plan")
	}
}

// TestNoManifest: the zero Manifest is not one that Verify made.
func TestNoManifest(t *testing.T) {
	s := good()
	s.m = &manifest.Manifest{}
	d := s.under(t, policy.Standing{}, campaign.Permit{})
	if d.Outcome != policy.Refuse || !d.Plan.IsZero() || !strings.Contains(told(d), "manifest-unsupported") ||
		strings.Contains(fmt.Sprint(d.Findings), "it installs nothing") {
		t.Errorf("%s: %s", d.Outcome, told(d))
	}
}

func TestDetailAndRetry(t *testing.T) {
	s := good()
	s.stage = policy.Arm
	s.rules.MinBattery, s.facts.Battery = 50, 12
	s.rules.Windows = []policy.Window{{From: 22 * 60, To: 60, Days: days(time.Saturday)}}
	s.floor(9)
	want := []policy.Finding{
		{reason.SequenceBelowFloor, "rootfs: sequence 7 is lower than 9, which was confirmed", true, 0},
		{reason.LowBattery, "the charge is 12 %, and 50 % is required", false, 10 * time.Minute},
		{reason.OutsideWindow, "the next window opens at 2026-11-28 22:00Z", false, (5*24 + 10) * time.Hour},
	}
	if d := s.decide(t); !slices.Equal(d.Findings, want) {
		t.Errorf("%+v", d.Findings)
	}
}

// TestCharge: what is said of a charge that is too low tells an empty battery from an unknown one.
func TestCharge(t *testing.T) {
	for _, c := range []struct {
		charge, least int
		want          string
	}{
		{0, 1, "the charge is 0 %, and 1 % is required"},
		{-1, 1, "the charge is not known, and 1 % is required"},
		{0, 50, "the charge is 0 %, and 50 % is required"},
	} {
		s := good()
		s.facts.Battery, s.rules.MinBattery = c.charge, c.least
		if d := s.decide(t); len(d.Findings) != 1 || d.Findings[0].Detail != c.want {
			t.Errorf("charge %d, at least %d: %+v, want %q", c.charge, c.least, d.Findings, c.want)
		}
	}
}

// TestNeeds: a technician is told of each file, and of none for what comes in the envelope.
func TestNeeds(t *testing.T) {
	s := good()
	s.two()
	s.release.Components[0].Images[0].PayloadSize = 1000
	app := &s.release.Components[1].Images[0]
	app.URI, app.Content, app.Size, app.Digest = "#app", []byte("content"), 7, image("content")
	want := []policy.Payload{{URI: "https://example.com/rootfs.img", Component: "rootfs", Bytes: 1000}}
	if d := s.decide(t); d.Outcome != policy.Install || !slices.Equal(d.Needs, want) {
		t.Errorf("%s, needs %+v, want %+v", told(d), d.Needs, want)
	}
}

func TestOutcomeWords(t *testing.T) {
	for o, want := range map[policy.Outcome]string{policy.Install: "install", policy.Defer: "defer",
		policy.Refuse: "refuse"} {
		if o.String() != want {
			t.Errorf("%d is %q", o, o)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, ok := range []policy.Rules{{},
		{MinBattery: 100, Approval: policy.ApprovalInstall, Windows: []policy.Window{{From: 1439, To: 1440}, {}}}} {
		if err := ok.Validate(); err != nil {
			t.Error(err)
		}
	}
	if err := (policy.Rules{Windows: []policy.Window{{}, {From: -1}}}).Validate(); err == nil ||
		!strings.Contains(err.Error(), "window 2") {
		t.Errorf("the second window is bad: %v", err)
	}
	for _, r := range []policy.Rules{
		{MinBattery: 101}, {MinBattery: -1}, {Approval: "maybe"},
		{Windows: []policy.Window{{From: -1}}}, {Windows: []policy.Window{{To: -1}}},
		{Windows: []policy.Window{{From: 1440}}}, {Windows: []policy.Window{{To: 1441}}},
	} {
		if r.Validate() == nil {
			t.Errorf("%+v is accepted", r)
		}
	}
}

// TestOwn: what the agent's own state has against any install, at the console too: it waits, and a
// technician is told what to bring all the same.
func TestOwn(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(o *policy.Own)
		want   []policy.Finding
	}{
		{"nothing", func(*policy.Own) {}, nil},
		{"boot-safe mode", func(o *policy.Own) { o.Safe = "100% wrong" },
			[]policy.Finding{{Reason: reason.BootSafeMode, Detail: "100% wrong", Retry: time.Hour}}},
		{"a hold",
			func(o *policy.Own) { o.Hold = true },
			[]policy.Finding{{Reason: reason.RunningUnproven, Retry: time.Hour}}},
		{"stayed", func(o *policy.Own) { o.Stayed = true }, []policy.Finding{{Reason: reason.RunningUnconfirmed,
			Detail: "its trial failed, and there is no slot to go back to", Retry: time.Hour}}},
		{"room", func(o *policy.Own) { o.Journal = policy.Room{Free: 9, Needs: 9} }, nil},
		{"no room", func(o *policy.Own) { o.Journal = policy.Room{Free: 8, Needs: 9} },
			[]policy.Finding{{Reason: reason.NoSpace, Detail: "the journal has 8 bytes left", Retry: time.Hour}}},
	} {
		for _, local := range []bool{false, true} {
			s := good()
			s.local = local
			c.change(&s.facts.Own)
			d := s.decide(t)
			if !slices.Equal(d.Findings, c.want) {
				t.Errorf("%s, local %t: %+v", c.name, local, d.Findings)
			}
			needs := []policy.Payload{{URI: "https://example.com/rootfs.img", Component: "rootfs"}}
			if !slices.Equal(d.Needs, needs) {
				t.Errorf("%s, local %t: needs %+v", c.name, local, d.Needs)
			}
			s.facts.Battery, s.rules.MinBattery = 1, 2
			want := "low-battery"
			for _, f := range c.want {
				want += " " + string(f.Reason)
			}
			if d = s.decide(t); told(d) != want || len(d.Needs) > 0 {
				t.Errorf("%s, local %t, and a rule: %+v", c.name, local, d)
			}
			s.floor(9)
			if d = s.decide(t); told(d) != "sequence-below-floor low-battery" || len(d.Needs) > 0 {
				t.Errorf("%s, local %t, and it is refused: %+v", c.name, local, d)
			}
		}
	}
}
