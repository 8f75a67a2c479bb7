package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
)

// campaignVerbs are those about plans, pulses and permits.
func campaignVerbs() []cli.Verb {
	return []cli.Verb{campaignPlanVerb(), campaignPulseVerb(), permitVerb()}
}

// planFile is a plan as people write it.
type planFile struct {
	Channel    string      `toml:"channel"`
	Sequence   *uint64     `toml:"sequence"`
	Manifest   string      `toml:"manifest"`
	Classes    []string    `toml:"classes"`
	Devices    []string    `toml:"devices"`
	ValidUntil time.Time   `toml:"valid-until"`
	Phase      []phaseFile `toml:"phase"`
}

type phaseFile struct {
	Percent   float64   `toml:"percent"`
	NotBefore time.Time `toml:"not-before"`
}

func campaignPlanVerb() cli.Verb {
	return cli.Verb{
		Name: "campaign plan", Args: "[flags] PLAN.toml",
		Short: "make a plan: which devices may take which manifest, in which phases",
		Long: `
Makes a plan from PLAN.toml, as plan.cbor beside it, and signs it where --key is given; others add
their signatures with "sign". The envelope that it names is verified against the trust root first.
PLAN.toml:

  manifest = "release.suit"            # a signed envelope
  channel = "stable"                   # default: broker.channel of the release directory
  sequence = 12                        # default: seconds since 1970; higher than every plan before
  classes = ["gateway-v1"]             # default: vendor.classes; devices of one of these
  devices = []                         # and, where any is named, only these
  valid-until = 2027-03-01T00:00:00Z
  [[phase]]
  percent = 1.0                        # of the devices; each phase holds those before it
  [[phase]]
  percent = 100.0
  not-before = 2027-02-01T00:00:00Z

A plan does nothing without a pulse; see "campaign pulse".`,
		Examples: []string{"ratchet-release campaign plan --key keys/campaign.pem plan.toml"},
		Exits:    "2 the envelope is refused, or a device would refuse such a plan",
		Setup: func(fs *flag.FlagSet) cli.Action {
			dir := dirFlag(fs)
			bundle := fs.String("bundle", "", "trust root bundle `FILE` (default: root-bundle.cbor of the release directory)")
			key := fs.String("key", "", "private key `PEM`, or a TOML file that names a signing command")
			out := fs.String("o", "", "write the plan to `FILE` (default: as PLAN.toml, .cbor)")
			return func(_ context.Context, c cli.Console, args []string) error {
				if len(args) != 1 {
					return cli.Usage("one plan file, please")
				}
				if *out == "" {
					*out = strings.TrimSuffix(args[0], ".toml") + ".cbor"
				}
				return makePlan(c, args[0], *dir, orBundle(*bundle, *dir), *key, *out, time.Now())
			}
		},
	}
}

func orBundle(bundle, dir string) string {
	if bundle != "" {
		return bundle
	}
	return filepath.Join(dir, bundleName)
}

func makePlan(c cli.Console, path, dir, bundle, key, out string, now time.Time) error {
	root, err := readTrusted(bundle)
	if err != nil {
		return err
	}
	d, err := findDesk(dir)
	if err != nil {
		return err
	}
	var f planFile
	doc, err := conf.Read(path, &f)
	if err != nil {
		return fmt.Errorf("cannot read plan file: %w", err)
	}
	s := campaign.PlanSpec{Generation: root.Generation(trust.RoleCampaign), Channel: f.Channel, Devices: slices.Sorted(slices.Values(f.Devices)),
		Salt: make([]byte, campaign.SaltSize), Issued: now.UTC().Truncate(time.Second), ValidUntil: f.ValidUntil.UTC()}
	if s.Generation == 0 {
		return documentRefused("plan", fmt.Errorf("the root gives nobody the role campaign: %w", trust.ErrNoSigner))
	}
	if s.Channel == "" {
		s.Channel = d.Broker.Channel
	}
	if s.Sequence = uint64(s.Issued.Unix()); f.Sequence != nil {
		s.Sequence = *f.Sequence
	}
	if f.ValidUntil.IsZero() {
		return doc.Errorf("valid-until", "is missing: name the time at which the plan ends")
	}
	if len(f.Classes) == 0 && len(f.Devices) == 0 {
		f.Classes = d.Vendor.Classes
	}
	var vendors []manifest.UUID
	if d.Vendor.Domain != "" {
		v, err := conf.VendorUUID(d.Vendor.Domain)
		if err != nil {
			return err
		}
		vendors = append(vendors, v)
	}
	for _, name := range f.Classes {
		id, err := manifest.ParseUUID(name)
		if err != nil && len(vendors) > 0 {
			id, err = conf.ClassUUID(vendors[0], name)
		}
		if err != nil {
			return doc.Errorf("classes", "%q: give its UUID, or name vendor.domain in %s", manifest.Printable(name), deskName)
		}
		s.Classes = append(s.Classes, id)
	}
	slices.SortFunc(s.Classes, func(a, b manifest.UUID) int { return bytes.Compare(a[:], b[:]) })
	for i, p := range f.Phase {
		bp := math.Round(p.Percent * 100)
		if math.Abs(p.Percent*100-bp) > 1e-6 || bp < 1 || bp > 10000 {
			return doc.Errorf(fmt.Sprintf("phase.%d.percent", i), "%g: want 0.01 to 100, two decimals at most", p.Percent)
		}
		phase := campaign.Phase{BasisPoints: int(bp)}
		if !p.NotBefore.IsZero() {
			phase.NotBefore = p.NotBefore.UTC()
		}
		s.Phases = append(s.Phases, phase)
	}
	if f.Manifest == "" {
		return doc.Errorf("manifest", "is missing: name a signed envelope")
	}
	if !filepath.IsAbs(f.Manifest) {
		f.Manifest = filepath.Join(filepath.Dir(path), f.Manifest)
	}
	m, err := releasable(c, f.Manifest, root, vendors, s.Classes)
	if err != nil {
		return err
	}
	s.Manifest, s.ManifestSequence = m.Digest(), m.Sequence()
	if _, err := rand.Read(s.Salt); err != nil {
		return err
	}
	msg, err := campaign.BuildPlan(s)
	if err != nil {
		return documentRefused("plan", err)
	}
	return finishDocument(c, "plan", msg, out, key, bundle)
}

// releasable verifies an envelope as a device of these classes under this root would: signatures,
// thresholds for each component, revocation and the range of sequences.
func releasable(c cli.Console, path string, root trust.Root, vendors, classes []manifest.UUID) (manifest.Manifest, error) {
	e, err := readEnvelope(c, path)
	if err != nil {
		return manifest.Manifest{}, err
	}
	device := manifest.Device{Vendors: vendors, Classes: classes}
	m, err := manifest.Verify(e, root.Release(policy.Scope(device)))
	if err != nil {
		return m, refused(path, err)
	}
	if against := policy.Releasable(root, m, device); len(against) > 0 {
		return m, &cli.Refusal{What: path, Reason: against[0].Reason, Err: errors.New(against[0].Detail)}
	}
	return m, nil
}

func campaignPulseVerb() cli.Verb {
	return cli.Verb{
		Name: "campaign pulse", Args: "[flags] PLAN.cbor",
		Short: "say whether a plan goes on now: open, paused, halted or withdrawn",
		Long: `
Makes a pulse for the plan PLAN.cbor, as pulse.cbor, and signs it with --key. A pulse is short: when
none comes any more, devices stop. It can hold or hasten what the plan allows, and nothing else.
"withdrawn" is final: devices never take that plan again.`,
		Examples: []string{
			"ratchet-release campaign pulse --key keys/pulse.pem --phase 2 plan.cbor",
			"ratchet-release campaign pulse --key keys/pulse.pem --state halted plan.cbor",
		},
		Exits: "2 a device would refuse such a pulse",
		Setup: func(fs *flag.FlagSet) cli.Action {
			dir := dirFlag(fs)
			bundle := fs.String("bundle", "", "trust root bundle `FILE` (default: root-bundle.cbor of the release directory)")
			key := fs.String("key", "", "private key `PEM`, or a TOML file that names a signing command")
			out := fs.String("o", "pulse.cbor", "write the pulse to `FILE`")
			state := fs.String("state", "open", "`STATE` of the plan: open, paused, halted or withdrawn")
			phase := fs.Int("phase", 1, "`NUMBER` of the plan's phase that it is in, from 1")
			life := fs.Duration("for", 24*time.Hour, "the pulse holds for this `DURATION`")
			sequence := fs.String("sequence", "", "`NUMBER` of the pulse (default: seconds since 1970)")
			return func(_ context.Context, c cli.Console, args []string) error {
				if len(args) != 1 {
					return cli.Usage("one plan, please")
				}
				return makePulse(c, args[0], orBundle(*bundle, *dir), *key, *out, *state, *phase, *life, *sequence, time.Now())
			}
		},
	}
}

func makePulse(c cli.Console, path, bundle, key, out, state string, phase int, life time.Duration, sequence string, now time.Time) error {
	root, err := readTrusted(bundle)
	if err != nil {
		return err
	}
	msg, err := files.Read(path, trust.MaxMessage, "plan")
	if err != nil {
		return err
	}
	plan, digest, err := campaign.ReadPlan(msg)
	if err != nil {
		return documentRefused("plan", err)
	}
	now = now.UTC().Truncate(time.Second)
	s := campaign.PulseSpec{Generation: root.Generation(trust.RolePulse), Plan: digest, Sequence: uint64(now.Unix()), State: campaign.State(state),
		Phase: phase - 1, Issued: now, Expires: now.Add(life.Truncate(time.Second))}
	if sequence != "" {
		if s.Sequence, err = strconv.ParseUint(sequence, 10, 64); err != nil {
			return cli.Usage("--sequence %q is no number", sequence)
		}
	}
	switch {
	case s.Generation == 0:
		return documentRefused("pulse", fmt.Errorf("the root gives nobody the role pulse: %w", trust.ErrNoSigner))
	case phase < 1 || phase > len(plan.Phases):
		return cli.Usage("--phase %d: the plan has %s", phase, screen.Plural(len(plan.Phases), "phase"))
	case plan.Generation != root.Generation(trust.RoleCampaign):
		return documentRefused("plan", fmt.Errorf("it is of generation %d, the role campaign is at %d: make the plan again", plan.Generation, root.Generation(trust.RoleCampaign)))
	}
	if msg, err = campaign.BuildPulse(s); err != nil {
		return documentRefused("pulse", err)
	}
	return finishDocument(c, "pulse", msg, out, key, bundle)
}

func permitVerb() cli.Verb {
	return cli.Verb{
		Name: "permit", Args: "[flags] ENVELOPE",
		Short: "let one device take a manifest although a rule forbids it",
		Long: `
Answers the challenge that "ratchet recover" shows on a device's console: makes a permit, as
permit.cbor, with which that device, and no other, may take the manifest of ENVELOPE (or a digest,
"sha256:...") once, although the rules named with --lift forbid it. Rules that say that something is
genuine, made for that class of device, not revoked, and correctly written can never be lifted.`,
		Examples: []string{
			"ratchet-release permit --challenge RC1-... --lift sequence-below-floor --key keys/recovery.pem old.suit",
			"ratchet-release permit --challenge - --lift quarantined sha256:1f2e... < challenge.txt",
		},
		Exits: "2 a device would refuse such a permit",
		Setup: func(fs *flag.FlagSet) cli.Action {
			dir := dirFlag(fs)
			bundle := fs.String("bundle", "", "trust root bundle `FILE` (default: root-bundle.cbor of the release directory)")
			key := fs.String("key", "", "private key `PEM`, or a TOML file that names a signing command")
			out := fs.String("o", "permit.cbor", "write the permit to `FILE`")
			challenge := fs.String("challenge", "", "`TEXT` that the device shows; \"-\" reads it from standard input")
			lifts := cli.Repeated(fs, "lift", "`RULE` to lift, by its reason; may be repeated")
			return func(_ context.Context, c cli.Console, args []string) error {
				if len(args) != 1 || *challenge == "" || len(*lifts) == 0 {
					return cli.Usage("an envelope or digest, the --challenge, and the rules to --lift, please")
				}
				return makePermit(c, args[0], orBundle(*bundle, *dir), *key, *out, *challenge, *lifts, time.Now())
			}
		},
	}
}

func makePermit(c cli.Console, what, bundle, key, out, challenge string, lifts []string, now time.Time) error {
	root, err := readTrusted(bundle)
	if err != nil {
		return err
	}
	if challenge == "-" {
		b, err := files.ReadInput(c.In, "-", 4096, "challenge")
		if err != nil {
			return err
		}
		challenge = string(b)
	}
	s := campaign.PermitSpec{Generation: root.Generation(trust.RoleRecovery), Issued: now.UTC().Truncate(time.Second)}
	if s.Challenge, err = campaign.ParseChallenge(challenge); err != nil {
		return cli.Usage("%v", err)
	}
	switch {
	case s.Generation == 0:
		return documentRefused("permit", fmt.Errorf("the root gives nobody the role recovery: %w", trust.ErrNoSigner))
	case s.Challenge.RootVersion != root.Version():
		return documentRefused("permit", fmt.Errorf("the device is at root %d, the bundle ends at %d: give the device the bundle, or use that of its root", s.Challenge.RootVersion, root.Version()))
	}
	if s.Manifest, err = manifest.ParseDigest(what); err != nil {
		e, err := readEnvelope(c, what)
		if err != nil {
			return err
		}
		s.Manifest = e.ClaimedDigest() // the device verifies the envelope; no permit helps a false one
	}
	for _, l := range lifts {
		s.Lifts = append(s.Lifts, reason.Reason(l))
	}
	slices.Sort(s.Lifts)
	msg, err := campaign.BuildPermit(s)
	if err != nil {
		return documentRefused("permit", err)
	}
	return finishDocument(c, "permit", msg, out, key, bundle)
}
