package campaign_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/campaign/campaigntest"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// What a permit may never lift, by name; and every other word of the table that is not in the list.
func TestPermitNeverLifts(t *testing.T) {
	for _, r := range []reason.Reason{
		reason.SignatureInvalid, reason.SignerUnknown, reason.SignersInsufficient, reason.DigestMismatch,
		reason.AlgorithmNotAllowed, reason.Revoked, reason.RootBehind, reason.CounterUnreadable, reason.WrongClass,
		reason.WrongVendor, reason.WrongDevice, reason.ReadBackMismatch, reason.ImageCorrupt, reason.ImageTooLarge,
		reason.SlotMissing, reason.RunningUnproven, reason.BootSafeMode, reason.Decommissioned, reason.VersionCondition,
		reason.Expired, reason.ConditionFailed, reason.EnvelopeMalformed, reason.None, "of-a-newer-version",
	} {
		if campaign.Liftable(r) {
			t.Errorf("%s can be lifted", r)
		}
		if _, err := campaign.BuildPermit(
			campaigntest.New(t).PermitSpec(campaigntest.Challenge(), image("m"), r)); err == nil {
			t.Errorf("a permit that lifts %q was built", r)
		}
	}
}

// Replay of a permit: it answers one challenge of one device, as the device is now.
func TestAttackPermitReplay(t *testing.T) {
	d := campaigntest.New(t)
	msg := d.Permit(t, d.PermitSpec(campaigntest.Challenge(), image("m"), reason.SequenceBelowFloor))
	if _, err := campaign.VerifyPermit(d.Root, msg, campaigntest.Challenge()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(c *campaign.Challenge){
		"consumed, none is open": func(c *campaign.Challenge) { *c = campaign.Challenge{} },
		"a newer challenge":      func(c *campaign.Challenge) { c.Nonce[0]++ },
		"another device":         func(c *campaign.Challenge) { c.Device = "gw-2" },
		"after a lost journal":   func(c *campaign.Challenge) { c.Journal[0]++ },
		"under another root":     func(c *campaign.Challenge) { c.RootVersion++ },
	} {
		c := campaigntest.Challenge()
		change(&c)
		var r *campaign.Refusal
		if _, err := campaign.VerifyPermit(d.Root, msg, c); !errors.As(err, &r) || r.Reason != reason.PermitVoid {
			t.Errorf("%s: %v", name, err)
		}
	}
	stolen, err := campaign.BuildPermit(d.PermitSpec(campaigntest.Challenge(), image("m"), reason.SequenceBelowFloor))
	if err != nil {
		t.Fatal(err)
	}
	if stolen, err = trust.SignDocument("permit", stolen, d.Keys[trust.RoleRelease]); err != nil {
		t.Fatal(err)
	}
	if _, err := campaign.VerifyPermit(d.Root, stolen, campaigntest.Challenge()); !errors.Is(err, trust.ErrNoSigner) {
		t.Errorf("by the release key: %v", err)
	}
	// The root moved on between the challenge and the answer.
	old := *d
	d.Amend(t, func(*trust.RootSpec) {})
	var r *campaign.Refusal
	if _, err := campaign.VerifyPermit(d.Root, msg, campaigntest.Challenge()); !errors.As(err, &r) ||
		r.Reason != reason.PermitVoid {
		t.Errorf("the root moved on: %v", err)
	}
	old.Rotate(t, trust.RoleRecovery)
	if _, err := campaign.VerifyPermit(old.Root, msg, campaigntest.Challenge()); !errors.Is(err, trust.ErrNoSigner) {
		t.Errorf("the role was rotated: %v", err)
	}
}

// A challenge is copied by people: white space does not matter, every other slip is seen.
func TestChallengeText(t *testing.T) {
	c := campaigntest.Challenge()
	text, err := c.Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{text, "  " + text + "\n", text[:20] + "\r\n " + text[20:]} {
		if got, err := campaign.ParseChallenge(s); err != nil || got != c {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
	}
	for i := range text {
		for _, with := range []string{"", "A", "b"} {
			s := text[:i] + with + text[i+1:]
			if _, err := campaign.ParseChallenge(s); err == nil && s != text {
				t.Fatalf("%q was taken", s)
			}
		}
	}
	for _, s := range []string{"", "RC1-", "RC2-" + text[4:], strings.Repeat("A", 2000)} {
		if _, err := campaign.ParseChallenge(s); err == nil {
			t.Errorf("%.20q was taken", s)
		}
	}
	if _, err := (campaign.Challenge{Device: "gw-1"}).Text(); err == nil {
		t.Error("a challenge without a nonce")
	}
}

func TestPermitRefusesToBe(t *testing.T) {
	d := campaigntest.New(t)
	for name, change := range map[string]func(p *campaign.PermitSpec){
		"generation 0":  func(p *campaign.PermitSpec) { p.Generation = 0 },
		"no challenge":  func(p *campaign.PermitSpec) { p.Challenge = campaign.Challenge{} },
		"no manifest":   func(p *campaign.PermitSpec) { p.Manifest = manifest.Digest{} },
		"lifts nothing": func(p *campaign.PermitSpec) { p.Lifts = nil },
		"out of order": func(p *campaign.PermitSpec) {
			p.Lifts = []reason.Reason{reason.SequenceReused, reason.LowBattery}
		},
		"twice":    func(p *campaign.PermitSpec) { p.Lifts = []reason.Reason{reason.LowBattery, reason.LowBattery} },
		"too many": func(p *campaign.PermitSpec) { p.Lifts = make([]reason.Reason, campaign.MaxPermitted+1) },
	} {
		s := d.PermitSpec(campaigntest.Challenge(), image("m"), reason.LowBattery)
		change(&s)
		if _, err := campaign.BuildPermit(s); err == nil {
			t.Errorf("%s: built", name)
		}
	}
}
