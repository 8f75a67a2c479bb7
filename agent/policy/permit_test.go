package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

func challenge() policy.Challenge {
	return policy.Challenge{Device: "gw-1", Nonce: [16]byte{1, 2, 3}, RootVersion: 1, Journal: [16]byte{9}}
}

func (d *desk) permitSpec(c policy.Challenge, m manifest.Digest, lifts ...reason.Reason) policy.PermitSpec {
	return policy.PermitSpec{Generation: d.root.Generation(trust.RoleRecovery), Challenge: c, Manifest: m, Lifts: lifts, Issued: noon}
}

func (d *desk) permit(t testing.TB, s policy.PermitSpec) []byte {
	t.Helper()
	msg, err := policy.BuildPermit(s)
	return d.sign(t, trust.RoleRecovery, "permit", msg, err)
}

// A permit lifts the rules that it names, for the manifest that it names, and nothing else.
func TestPermitLifts(t *testing.T) {
	d := newDesk(t)
	c := good()
	c.facts.Floor.Sequence, c.facts.Battery, c.rules.MinBattery = 9, 10, 50
	m := c.manifest(t)
	c.m = &m
	verified := func(lifts ...reason.Reason) policy.Permit {
		p, err := policy.VerifyPermit(d.root, d.permit(t, d.permitSpec(challenge(), m.Digest(), lifts...)), challenge())
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	both := verified(reason.LowBattery, reason.SequenceBelowFloor)
	c.local = true
	got := c.under(t, policy.Standing{}, both)
	if got.Outcome != policy.Install || got.Plan.IsZero() || len(got.Plan.Installs()) != 1 || len(both.Signers()) != 1 {
		t.Errorf("%+v", got)
	}
	wants(t, "left", got.Findings)
	wants(t, "lifted", got.Lifted, reason.SequenceBelowFloor, reason.LowBattery)
	if got.Lifted[0].Detail != "sequence 7, confirmed is 9" {
		t.Errorf("the figures of what was lifted: %q", got.Lifted[0].Detail)
	}
	got = c.under(t, policy.Standing{}, verified(reason.LowBattery))
	if got.Outcome != policy.Refuse || !got.Plan.IsZero() {
		t.Errorf("one of two rules lifted: %+v", got)
	}
	wants(t, "left", got.Findings, reason.SequenceBelowFloor)
	wants(t, "lifted", got.Lifted, reason.LowBattery)

	// What the root says is lifted like a rule where it can be, and else stays.
	d.amend(t, func(s *trust.RootSpec) { s.Revoked = []string{m.Digest().String()} })
	got = c.under(t, policy.Standing{Root: d.root}, both)
	if got.Outcome != policy.Refuse || !got.Plan.IsZero() {
		t.Errorf("revoked: %+v", got)
	}
	wants(t, "revoked", got.Findings, reason.Revoked, reason.SignersInsufficient)
	wants(t, "revoked, lifted", got.Lifted, reason.SequenceBelowFloor, reason.LowBattery)

	// What the agent has against any install is no rule, and not lifted.
	c.facts.Own.Safe = "the configuration is bad"
	got = c.under(t, policy.Standing{}, both)
	if got.Outcome != policy.Defer || !got.Plan.IsZero() {
		t.Errorf("in boot-safe mode: %+v", got)
	}
	wants(t, "in boot-safe mode", got.Findings, reason.BootSafeMode)
	c.facts.Own = policy.Own{}

	lifts := func(what string, p policy.Permit) {
		t.Helper()
		if got := c.under(t, policy.Standing{}, p); got.Outcome != policy.Refuse || len(got.Lifted) > 0 || !got.Plan.IsZero() {
			t.Errorf("%s: %+v", what, got)
		}
	}
	lifts("no permit", policy.Permit{})
	c.local = false
	lifts("an offer of the network", both)
	c.local = true
	c.facts.Device.Classes = nil
	lifts("a manifest whose own conditions fail", both)
	c.facts.Device.Classes, c.release.Sequence = []manifest.UUID{class}, 8
	c.m = nil
	lifts("another manifest", both)
}

// What a permit may never lift, by name; and every other word of the table that is not in the list.
func TestPermitNeverLifts(t *testing.T) {
	for _, r := range []reason.Reason{
		reason.SignatureInvalid, reason.SignerUnknown, reason.SignersInsufficient, reason.DigestMismatch, reason.AlgorithmNotAllowed,
		reason.Revoked, reason.RootBehind, reason.CounterUnreadable, reason.WrongClass, reason.WrongVendor, reason.WrongDevice, reason.ReadBackMismatch,
		reason.ImageCorrupt, reason.ImageTooLarge, reason.SlotMissing, reason.RunningUnproven, reason.BootSafeMode, reason.Decommissioned,
		reason.VersionCondition, reason.Expired, reason.ConditionFailed, reason.EnvelopeMalformed, reason.None, "of-a-newer-version",
	} {
		if policy.Liftable(r) {
			t.Errorf("%s can be lifted", r)
		}
		if _, err := policy.BuildPermit(newDesk(t).permitSpec(challenge(), image("m"), r)); err == nil {
			t.Errorf("a permit that lifts %q was built", r)
		}
	}
}

// Replay of a permit: it answers one challenge of one device, as the device is now.
func TestAttackPermitReplay(t *testing.T) {
	d := newDesk(t)
	msg := d.permit(t, d.permitSpec(challenge(), image("m"), reason.SequenceBelowFloor))
	if _, err := policy.VerifyPermit(d.root, msg, challenge()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(c *policy.Challenge){
		"consumed, none is open": func(c *policy.Challenge) { *c = policy.Challenge{} },
		"a newer challenge":      func(c *policy.Challenge) { c.Nonce[0]++ },
		"another device":         func(c *policy.Challenge) { c.Device = "gw-2" },
		"after a lost journal":   func(c *policy.Challenge) { c.Journal[0]++ },
		"under another root":     func(c *policy.Challenge) { c.RootVersion++ },
	} {
		c := challenge()
		change(&c)
		var r *policy.Refusal
		if _, err := policy.VerifyPermit(d.root, msg, c); !errors.As(err, &r) || r.Reason != reason.PermitVoid {
			t.Errorf("%s: %v", name, err)
		}
	}
	stolen, err := policy.BuildPermit(d.permitSpec(challenge(), image("m"), reason.SequenceBelowFloor))
	if err != nil {
		t.Fatal(err)
	}
	if stolen, err = trust.SignDocument("permit", stolen, d.keys[trust.RoleRelease]); err != nil {
		t.Fatal(err)
	}
	if _, err := policy.VerifyPermit(d.root, stolen, challenge()); !errors.Is(err, trust.ErrNoSigner) {
		t.Errorf("by the release key: %v", err)
	}
	// The root moved on between the challenge and the answer.
	old := *d
	d.amend(t, func(*trust.RootSpec) {})
	var r *policy.Refusal
	if _, err := policy.VerifyPermit(d.root, msg, challenge()); !errors.As(err, &r) || r.Reason != reason.PermitVoid {
		t.Errorf("the root moved on: %v", err)
	}
	old.rotate(t, trust.RoleRecovery)
	if _, err := policy.VerifyPermit(old.root, msg, challenge()); !errors.Is(err, trust.ErrNoSigner) {
		t.Errorf("the role was rotated: %v", err)
	}
}

// A challenge is copied by people: white space does not matter, every other slip is seen.
func TestChallengeText(t *testing.T) {
	c := challenge()
	text, err := c.Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{text, "  " + text + "\n", text[:20] + "\r\n " + text[20:]} {
		if got, err := policy.ParseChallenge(s); err != nil || got != c {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
	}
	for i := range text {
		for _, with := range []string{"", "A", "b"} {
			s := text[:i] + with + text[i+1:]
			if _, err := policy.ParseChallenge(s); err == nil && s != text {
				t.Fatalf("%q was taken", s)
			}
		}
	}
	for _, s := range []string{"", "RC1-", "RC2-" + text[4:], strings.Repeat("A", 2000)} {
		if _, err := policy.ParseChallenge(s); err == nil {
			t.Errorf("%.20q was taken", s)
		}
	}
	if _, err := (policy.Challenge{Device: "gw-1"}).Text(); err == nil {
		t.Error("a challenge without a nonce")
	}
}

func TestPermitRefusesToBe(t *testing.T) {
	d := newDesk(t)
	for name, change := range map[string]func(p *policy.PermitSpec){
		"generation 0":  func(p *policy.PermitSpec) { p.Generation = 0 },
		"no challenge":  func(p *policy.PermitSpec) { p.Challenge = policy.Challenge{} },
		"no manifest":   func(p *policy.PermitSpec) { p.Manifest = manifest.Digest{} },
		"lifts nothing": func(p *policy.PermitSpec) { p.Lifts = nil },
		"out of order":  func(p *policy.PermitSpec) { p.Lifts = []reason.Reason{reason.SequenceReused, reason.LowBattery} },
		"twice":         func(p *policy.PermitSpec) { p.Lifts = []reason.Reason{reason.LowBattery, reason.LowBattery} },
		"too many":      func(p *policy.PermitSpec) { p.Lifts = make([]reason.Reason, policy.MaxPermitted+1) },
	} {
		s := d.permitSpec(challenge(), image("m"), reason.LowBattery)
		change(&s)
		if _, err := policy.BuildPermit(s); err == nil {
			t.Errorf("%s: built", name)
		}
	}
}
