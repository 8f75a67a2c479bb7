package campaign

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/policy"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
	"github.com/ratchet-ota/ratchet/cmd/internal/cli"
	"github.com/ratchet-ota/ratchet/cmd/internal/files"
	"github.com/ratchet-ota/ratchet/cmd/internal/keys"
	"github.com/ratchet-ota/ratchet/cmd/internal/screen"
	"github.com/ratchet-ota/ratchet/cmd/ratchet-release/root"
)

// kindRole says which role signs which kind of document.
func kindRole() map[string]trust.Role {
	return map[string]trust.Role{"root": trust.RoleRoot, "plan": trust.RoleCampaign, "pulse": trust.RolePulse,
		"permit": trust.RoleRecovery}
}

// Kind tells whether a file is a document of ours (a tagged COSE_Sign), and of which kind.
func Kind(path string) (kind string, ok bool) {
	b, _ := files.Read(path, trust.MaxMessage, "document") // of nothing there is no payload
	for kind := range kindRole() {
		if _, _, err := trust.Payload(kind, b); err == nil {
			return kind, true
		}
	}
	return "", false
}

// Cosign adds a signature to a document of ours.
func Cosign(ctx context.Context, c cli.Console, kind, path, out string, key keys.Source) error {
	if kind == "root" {
		if out != path {
			return cli.Usage("a root is signed in its file, by all who sign it")
		}
		return root.Sign(ctx, c, path, "", key)
	}
	msg, err := files.Read(path, trust.MaxMessage, kind)
	if err != nil {
		return err
	}
	return finishDocument(ctx, c, kind, msg, out, key, root.Beside("", path))
}

// finishDocument signs a document where a key is given, writes it, and says who must still sign.
func finishDocument(ctx context.Context, c cli.Console, kind string, msg []byte, out string, key keys.Source,
	bundle string) error {
	what, scope, err := describeDocument(c, kind, msg)
	if err != nil {
		return documentRefused(kind, err)
	}
	if key.Path != "" {
		signer, err := keys.Private(ctx, c, key)
		if err != nil {
			return err
		}
		if msg, err = trust.SignDocument(kind, msg, signer); err != nil {
			return err
		}
		c.Say("  signed by   %s (%s)", keys.Short(signer.Key().ID()), keys.Algorithm(signer.Key().Alg()))
	}
	if err := files.Write(out, msg, 0o644); err != nil {
		return err
	}
	ch, err := root.ReadChain(bundle)
	if err != nil {
		return err
	}
	if ch.Last.IsZero() {
		c.Say("%s: %s written. Without %s it is not known who must sign.", out, what, filepath.Base(bundle))
		return nil
	}
	role := kindRole()[kind]
	q, err := ch.Last.At(scope).ReviewDocument(role, kind, msg)
	if err != nil {
		return documentRefused(kind, err)
	}
	if !q.Met() {
		c.Say("%s: %s written, signed by %d of %d needed%s.", out, what, len(q.Signed), q.Threshold, root.Missing(q))
		return nil
	}
	then := "Publish it."
	if kind == "permit" {
		then = "Take it to the device."
	}
	c.Say("%s: %s written, signed by enough of the role %s. %s", out, what, role, then)
	return nil
}

// describeDocument says what a document is, and for which devices.
func describeDocument(c cli.Console, kind string, msg []byte) (what string, scope trust.Scope, err error) {
	switch kind {
	case "plan":
		s, digest, err := campaign.ReadPlan(msg)
		if err != nil {
			return "", scope, err
		}
		describePlan(c, s, digest)
		return fmt.Sprintf("plan %d", s.Sequence), policy.Scope(manifest.Device{Classes: s.Classes}), nil
	case "pulse":
		s, err := campaign.ReadPulse(msg)
		if err != nil {
			return "", scope, err
		}
		c.Say("Pulse %d, %s, phase %d, until %s", s.Sequence, s.State, s.Phase+1, clock(s.Expires))
		c.Say("  plan        %s", s.Plan)
		return fmt.Sprintf("pulse %d", s.Sequence), scope, nil
	case "permit":
		s, err := campaign.ReadPermit(msg)
		if err != nil {
			return "", scope, err
		}
		c.Say("Permit for %s, under root %d", s.Challenge.Device, s.Challenge.RootVersion)
		c.Say("  manifest    %s", s.Manifest)
		for _, r := range s.Lifts {
			c.Say("  lifts       %s: %s", r, r.Info().Says)
		}
		return "permit for " + s.Challenge.Device, scope, nil
	}
	return "", scope, errors.New("unknown kind")
}

func describePlan(c cli.Console, s campaign.PlanSpec, digest manifest.Digest) {
	c.Say("Plan %d of channel %s, generation %d, until %s", s.Sequence, s.Channel, s.Generation, clock(s.ValidUntil))
	c.Say("  plan        %s", digest)
	c.Say("  manifest    %s, sequence %d", s.Manifest, s.ManifestSequence)
	for _, id := range s.Classes {
		c.Say("  class       %s", id)
	}
	if n := len(s.Devices); n > 0 {
		c.Say("  devices     %s: %s ...", screen.Plural(n, "device"), s.Devices[0])
	}
	for i, p := range s.Phases {
		begins := ""
		if !p.NotBefore.IsZero() {
			begins = ", not before " + clock(p.NotBefore)
		}
		c.Say("  phase %-5d %g %% of the devices%s", i+1, float64(p.BasisPoints)/100, begins)
	}
}

// documentRefused is a plan, a pulse or a permit that a device would refuse.
func documentRefused(kind string, err error) error {
	why := map[string]reason.Reason{"plan": reason.PlanVoid, "pulse": reason.PulseVoid,
		"permit": reason.PermitVoid}[kind]
	return &cli.Refusal{What: "the " + kind, Reason: why, Err: err,
		Advice: "A device would refuse it, and none has seen it: correct this here."}
}

// planFault is a plan file with which no plan can be made.
func planFault(err error) error {
	return &cli.Refusal{Reason: reason.PlanVoid, Err: err,
		Advice: "Correct the plan file. No device has seen the plan."}
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
