package policy_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
)

// flaw makes one fact bad.
type flaw struct {
	reason        reason.Reason
	make          func(r *rand.Rand, s *situation)
	image         bool // found by looking at the images, which a manifest has only when its conditions hold
	demand        bool // a condition of the manifest that does not hold
	download, arm bool
	console       bool // holds for an install at the console too
}

var flaws = []flaw{
	{reason.Decommissioned, func(_ *rand.Rand, s *situation) { s.facts.Decommissioned = true },
		false, false, true, true, true},
	{reason.WrongVendor, func(_ *rand.Rand, s *situation) { s.facts.Device.Vendors = []manifest.UUID{class} },
		false, true, true, true, true},
	{reason.WrongClass, func(_ *rand.Rand, s *situation) { s.facts.Device.Classes = nil },
		false, true, true, true, true},
	{reason.WrongDevice, func(_ *rand.Rand, s *situation) { s.facts.Device.Devices = []manifest.UUID{vendor} },
		false, true, true, true, true},
	{reason.VersionCondition, func(r *rand.Rand, s *situation) { s.facts.Device.Version = []int64{1, r.Int64N(4)} },
		false, true, true, true, true},
	{reason.Expired, func(r *rand.Rand, s *situation) {
		s.now.Wall = s.release.UseBefore.Add(time.Duration(r.IntN(1e6)) * time.Second)
		s.rules.Windows = nil
	}, false, true, true, true, true},
	{reason.LowBattery, func(r *rand.Rand, s *situation) { s.facts.Device.BatteryMWh = r.Int64N(1001) - 1 },
		false, true, true, true, true},
	{reason.SequenceBelowFloor, func(r *rand.Rand, s *situation) { s.floor(8 + r.Uint64N(1e9)) },
		false, false, true, true, true},
	{reason.SequenceReused, func(r *rand.Rand, s *situation) {
		if r.IntN(2) == 0 {
			s.facts.Floors = map[string]policy.Floor{"rootfs": {Sequence: 7, Manifest: other}}
		} else {
			s.floor(6)
		}
		s.facts.Bound = func(string, uint64) (manifest.Digest, bool) { return other, true }
	}, false, false, true, true, true},
	{reason.Quarantined, func(_ *rand.Rand, s *situation) {
		s.facts.Quarantined = func(d manifest.Digest) (reason.Reason, bool) {
			return reason.FellBack, d == image("new")
		}
	}, true, false, true, true, true},
	{reason.AlreadyInstalled, func(_ *rand.Rand, s *situation) { s.facts.Running["rootfs"] = part("new") },
		true, false, true, true, true},
	{reason.ImageTooLarge, func(r *rand.Rand, s *situation) { s.facts.SlotSize["rootfs"] = r.Int64N(1000) },
		true, false, true, true, true},
	{reason.LowBattery, func(r *rand.Rand, s *situation) {
		s.rules.MinBattery, s.facts.Mains = 40+r.IntN(60), false
		s.facts.Battery, s.facts.SupplyKnown = r.IntN(41)-1, r.IntN(4) > 0
	}, false, false, true, true, true},
	{reason.OutsideWindow, func(r *rand.Rand, s *situation) {
		s.now.Wall = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		s.rules.Windows = []policy.Window{{From: 721 + r.IntN(600), To: r.IntN(720)}}
	}, false, false, false, true, false},
	{reason.LinkMetered, func(_ *rand.Rand, s *situation) { s.facts.Metered, s.rules.AllowMetered = true, false },
		false, false, true, false, false},
	{reason.ApprovalRequired, func(_ *rand.Rand, s *situation) {
		s.rules.Approval, s.facts.Approved = policy.ApprovalDownload, false
	}, false, false, true, false, false},
	{reason.ApprovalRequired, func(_ *rand.Rand, s *situation) {
		s.rules.Approval, s.facts.Approved = policy.ApprovalInstall, false
	}, false, false, false, true, false},
}

// TestNeverInstallsDespiteAFlaw: whatever else is the case, one bad fact is enough, each is told,
// and without one nothing is in the way.
func TestNeverInstallsDespiteAFlaw(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	demanding := good() // its manifest demands all that a manifest can
	demanding.release.Versions = []manifest.VersionCondition{{Compare: manifest.CompareGreater, Version: []int64{1, 3}}}
	demanding.release.UseBefore, demanding.release.MinBatteryMWh, demanding.release.DeviceID = noon.AddDate(1, 0, 0),
		1001, &device
	m := demanding.manifest(t)
	for range 4000 {
		s := good()
		s.release, s.m = demanding.release, &m
		if r.IntN(2) == 0 {
			s.stage = policy.Arm
		}
		s.local = r.IntN(3) == 0
		// What is harmless varies too.
		s.facts.Metered, s.rules.AllowMetered = r.IntN(2) == 0, true
		s.rules.Approval, s.facts.Approved = []string{"", policy.ApprovalNone, policy.ApprovalInstall}[r.IntN(3)], true
		s.rules.MinBattery, s.facts.Mains, s.facts.Battery = r.IntN(101), true, r.IntN(102)-1
		s.rules.UnknownTimeWaits = r.IntN(2) == 0
		if r.IntN(2) == 0 {
			s.rules.Windows = []policy.Window{{From: r.IntN(720), To: 721 + r.IntN(700)}}
		}
		var applied []flaw
		demand := false
		for n := r.IntN(4); n > 0; n-- {
			f := flaws[r.IntN(len(flaws))]
			f.make(r, s)
			applied = append(applied, f)
			demand = demand || f.demand
		}
		d := s.decide(t)
		got := " " + told(d) + " "
		want := 0
		for _, f := range applied {
			if undone(f, applied) || (s.local && !f.console) || (s.stage == policy.Download && !f.download) ||
				(s.stage == policy.Arm && !f.arm) {
				continue
			}
			want++
			if (!f.image || !demand) && !strings.Contains(got, " "+string(f.reason)+" ") {
				t.Fatalf("seed %d: %s is not told, but%s", seed, f.reason, got)
			}
		}
		if (d.Outcome == policy.Install) != (want == 0) {
			t.Fatalf("seed %d: %d flaws, outcome %s:%s", seed, want, d.Outcome, got)
		}
	}
}

// undone tells whether another flaw sets the facts of f to something else: the two say the same
// thing about the sequence, the time, or the approval, and the last one counts.
func undone(f flaw, applied []flaw) bool {
	groups := [][]reason.Reason{
		{reason.SequenceBelowFloor, reason.SequenceReused}, {reason.Expired, reason.OutsideWindow},
		{reason.ApprovalRequired},
		{reason.LowBattery},
	}
	last := f
	for _, g := range groups {
		in := func(x reason.Reason) bool { return strings.Contains(" "+join(g)+" ", " "+string(x)+" ") }
		if !in(f.reason) {
			continue
		}
		for _, a := range applied {
			if in(a.reason) {
				last = a
			}
		}
	}
	return f.reason == reason.ApprovalRequired && last.arm != f.arm || last.reason != f.reason
}

func join(rs []reason.Reason) string {
	var out []string
	for _, r := range rs {
		out = append(out, string(r))
	}
	return strings.Join(out, " ")
}
