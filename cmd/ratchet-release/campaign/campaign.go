// Package campaign makes the documents of a roll-out and signs them: plans, pulses and permits. Each is held
// against the newest trust root, as a device would, before it is written.
package campaign

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/conf"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/release"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/root"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/workspace"
)

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

// Plan makes a plan from the plan file path and signs it when key is not "".
func Plan(ctx context.Context, c cli.Console, path, dir, bundle string, key keys.Source, out string,
	now time.Time) error {
	trusted, err := root.ReadTrusted(bundle)
	if err != nil {
		return err
	}
	d, err := workspace.Find(dir)
	if err != nil {
		return err
	}
	var f planFile
	doc, err := conf.Read(path, &f)
	if err != nil {
		return fmt.Errorf("cannot read plan file: %w", err)
	}
	s, vendors, err := f.spec(doc, d, trusted.Generation(trust.RoleCampaign), now)
	if err != nil {
		return err
	}
	if f.Manifest == "" {
		return doc.Errorf("manifest", "is missing: name a signed envelope")
	}
	if !filepath.IsAbs(f.Manifest) {
		f.Manifest = filepath.Join(filepath.Dir(path), f.Manifest)
	}
	m, err := releasable(c, f.Manifest, trusted, vendors, s.Classes)
	if errors.Is(err, fs.ErrNotExist) {
		return doc.Errorf("manifest", "%v", err)
	}
	if err != nil {
		return err
	}
	s.Manifest, s.ManifestSequence = m.Digest(), m.Sequence()
	_, _ = rand.Read(s.Salt) // never fails
	if len(s.Phases) == 0 {
		return planFault(doc.Errorf("phase", "is missing: name at least one [[phase]]"))
	}
	msg, err := campaign.BuildPlan(s)
	if err != nil {
		return planFault(fmt.Errorf("%s: %w", path, err))
	}
	return finishDocument(ctx, c, "plan", msg, out, key, bundle)
}

// spec makes the plan without its manifest, and returns the vendor of the desk, if it has one.
func (f planFile) spec(doc conf.Document, d workspace.Folder, generation uint64,
	now time.Time) (s campaign.PlanSpec, vendors []manifest.UUID, err error) {
	s = campaign.PlanSpec{Generation: generation, Channel: f.Channel,
		Devices: slices.Sorted(slices.Values(f.Devices)), Salt: make([]byte, campaign.SaltSize),
		Issued: now.UTC().Truncate(time.Second), ValidUntil: f.ValidUntil.UTC()}
	if s.Generation == 0 {
		return s, nil,
			documentRefused("plan", fmt.Errorf("the root gives nobody the role campaign: %w", trust.ErrNoSigner))
	}
	if s.Channel == "" {
		s.Channel = d.Broker.Channel
	}
	if s.Sequence = uint64(s.Issued.Unix()); f.Sequence != nil {
		s.Sequence = *f.Sequence
	}
	if f.ValidUntil.IsZero() {
		return s, nil, doc.Errorf("valid-until", "is missing: name the time at which the plan ends")
	}
	if !s.ValidUntil.After(s.Issued) {
		return s, nil, planFault(doc.Errorf("valid-until", "%s is past", clock(s.ValidUntil)))
	}
	if len(f.Classes) == 0 && len(f.Devices) == 0 {
		f.Classes = d.Vendor.Classes
	}
	if d.Vendor.Domain != "" {
		v, err := conf.VendorUUID(d.Vendor.Domain)
		if err != nil {
			return s, nil, err
		}
		vendors = append(vendors, v)
	}
	if s.Classes, err = f.classes(doc, vendors); err != nil {
		return s, nil, err
	}
	if s.Phases, err = f.phases(doc); err != nil {
		return s, nil, err
	}
	return s, vendors, nil
}

// classes are the ids of the classes that the plan is for. A class has a name only where its vendor is known.
func (f planFile) classes(doc conf.Document, vendors []manifest.UUID) (ids []manifest.UUID, err error) {
	for _, name := range f.Classes {
		id, err := manifest.ParseUUID(name)
		if len(vendors) > 0 {
			id, err = conf.ClassUUID(vendors[0], name)
		}
		if err != nil {
			return nil, doc.Errorf("classes", "%q: give its UUID, or name vendor.domain in %s",
				manifest.Printable(name), workspace.FileName)
		}
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b manifest.UUID) int { return bytes.Compare(a[:], b[:]) })
	return ids, nil
}

func (f planFile) phases(doc conf.Document) (phases []campaign.Phase, err error) {
	for i, p := range f.Phase {
		bp := math.Round(p.Percent * 100)
		if math.Abs(p.Percent*100-bp) > 1e-6 || bp < 1 || bp > 10000 {
			return nil, doc.Errorf(fmt.Sprintf("phase.%d.percent", i),
				"%g: want 0.01 to 100, two decimals at most", p.Percent)
		}
		phases = append(phases, campaign.Phase{BasisPoints: int(bp), NotBefore: p.NotBefore.UTC()})
		if i == 0 {
			continue
		}
		switch before := phases[i-1]; {
		case int(bp) < before.BasisPoints:
			return nil, planFault(doc.Errorf(fmt.Sprintf("phase.%d.percent", i),
				"%g is less than the %g of the phase before it: each phase holds those before it",
				p.Percent, f.Phase[i-1].Percent))
		case phases[i].NotBefore.Before(before.NotBefore):
			return nil, planFault(doc.Errorf(fmt.Sprintf("phase.%d.not-before", i),
				"it begins before the phase before it, at %s", clock(before.NotBefore)))
		}
	}
	return phases, nil
}

// releasable verifies an envelope as a device of these classes under this root would: signatures,
// thresholds for each component, revocation and the range of sequences.
func releasable(c cli.Console, path string, root trust.Root,
	vendors, classes []manifest.UUID) (manifest.Manifest, error) {
	e, err := release.Read(c, path)
	if err != nil {
		return manifest.Manifest{}, err
	}
	device := manifest.Device{Vendors: vendors, Classes: classes}
	m, err := manifest.Verify(e, root.Release(policy.Scope(device)))
	if err != nil {
		return m, release.Refuse(path, err)
	}
	if against := policy.Releasable(root, m, device); len(against) > 0 {
		return m, &cli.Refusal{What: path, Reason: against[0].Reason, Err: errors.New(against[0].Detail)}
	}
	return m, nil
}

// Pulse makes a pulse for the plan path: its state, the phase from 1 on, and how long it holds.
func Pulse(ctx context.Context, c cli.Console, path, bundle string, key keys.Source, out, state string, phase int,
	life time.Duration, sequence string, now time.Time) error {
	trusted, err := root.ReadTrusted(bundle)
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
	s := campaign.PulseSpec{Generation: trusted.Generation(trust.RolePulse), Plan: digest, Sequence: uint64(now.Unix()),
		State: campaign.State(state), Phase: phase - 1, Issued: now, Expires: now.Add(life.Truncate(time.Second))}
	if sequence != "" {
		if s.Sequence, err = strconv.ParseUint(sequence, 10, 64); err != nil {
			return cli.Usage("--sequence %q is not a number", sequence)
		}
	}
	states := []campaign.State{campaign.StateOpen, campaign.StatePaused, campaign.StateHalted, campaign.StateWithdrawn}
	switch {
	case !slices.Contains(states, s.State):
		return cli.Usage("--state %q: want open, paused, halted or withdrawn", state)
	case life < time.Second || life > campaign.MaxPulseLife:
		return cli.Usage("--for %s: want 1s to %s", life, hours(campaign.MaxPulseLife))
	case s.Sequence == 0:
		return cli.Usage("--sequence 0: pulses count from 1")
	case s.Generation == 0:
		return documentRefused("pulse", fmt.Errorf("the root gives nobody the role pulse: %w", trust.ErrNoSigner))
	case phase < 1 || phase > len(plan.Phases):
		return cli.Usage("--phase %d: the plan has %s", phase, screen.Plural(len(plan.Phases), "phase"))
	case plan.Generation != trusted.Generation(trust.RoleCampaign):
		return documentRefused("plan", fmt.Errorf("it is of generation %d, the role campaign is at %d: make the "+
			"plan again", plan.Generation, trusted.Generation(trust.RoleCampaign)))
	}
	if msg, err = campaign.BuildPulse(s); err != nil {
		return documentRefused("pulse", err)
	}
	return finishDocument(ctx, c, "pulse", msg, out, key, bundle)
}

// Permit makes a permit for a device that showed challenge: which manifest, by its digest or envelope, and which
// reasons it lifts.
func Permit(ctx context.Context, c cli.Console, what, bundle string, key keys.Source, out, challenge string,
	lifts []string, now time.Time) error {
	trusted, err := root.ReadTrusted(bundle)
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
	s := campaign.PermitSpec{Generation: trusted.Generation(trust.RoleRecovery),
		Issued: now.UTC().Truncate(time.Second)}
	if s.Challenge, err = campaign.ParseChallenge(challenge); err != nil {
		return cli.Usage("%v", err)
	}
	switch {
	case s.Generation == 0:
		return documentRefused("permit", fmt.Errorf("the root gives nobody the role recovery: %w", trust.ErrNoSigner))
	case s.Challenge.RootVersion != trusted.Version():
		return documentRefused("permit", fmt.Errorf("the device is at root %d, the bundle ends at %d: give the "+
			"device the bundle, or use that of its root", s.Challenge.RootVersion, trusted.Version()))
	}
	if s.Manifest, err = manifest.ParseDigest(what); err != nil {
		e, err := release.Read(c, what)
		if err != nil {
			return err
		}
		s.Manifest = e.ClaimedDigest() // the device verifies the envelope; no permit helps a false one
	}
	if s.Lifts, err = liftable(lifts); err != nil {
		return err
	}
	msg, err := campaign.BuildPermit(s)
	if err != nil {
		return documentRefused("permit", err)
	}
	return finishDocument(ctx, c, "permit", msg, out, key, bundle)
}

// liftable are the reasons that a permit is to lift, in their order.
func liftable(words []string) (lifts []reason.Reason, err error) {
	for _, word := range words {
		if !campaign.Liftable(reason.Reason(word)) {
			return nil, cli.Usage("--lift %q: no permit can lift that", manifest.Printable(word))
		}
		lifts = append(lifts, reason.Reason(word))
	}
	slices.Sort(lifts)
	if lifts = slices.Compact(lifts); len(lifts) > campaign.MaxPermitted {
		return nil, cli.Usage("--lift: a permit lifts at most %d rules", campaign.MaxPermitted)
	}
	return lifts, nil
}

// hours writes a duration as --for takes it.
func hours(d time.Duration) string { return fmt.Sprintf("%dh", int(d.Hours())) }
