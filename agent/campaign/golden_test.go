package campaign_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ratchet-ota/ratchet/agent/campaign"
	"github.com/ratchet-ota/ratchet/agent/campaign/campaigntest"
	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

var update = flag.Bool("update", false, "rewrite the vectors")

const goldenDir = "../../testdata/trust"

// TestGolden: a plan, a pulse and a permit under the published test root, byte for byte.
func TestGolden(t *testing.T) {
	anchor, err := os.ReadFile(filepath.Join(goldenDir, "root-1.cbor"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := trust.Anchor(anchor)
	if err != nil {
		t.Fatal(err)
	}
	seed := func(name string) []byte {
		s := sha256.Sum256([]byte("ratchet test key " + name))
		return s[:]
	}
	signed := func(kind, name string, msg []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		s, err := trust.NewSigner(ed25519.NewKeyFromSeed(seed(name)))
		if name == "recovery" {
			var k *ecdsa.PrivateKey
			if k, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), seed(name)); err == nil {
				s, err = trust.NewSigner(k)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if msg, err = trust.SignDocument(kind, msg, s); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(goldenDir, kind+".cbor")
		if *update {
			if err := os.WriteFile(path, msg, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(path); err != nil || !bytes.Equal(msg, want) {
			t.Errorf("%s differs (%v)", path, err)
		}
		return msg
	}
	msg, err := campaign.BuildPlan(campaign.PlanSpec{Generation: 1, Channel: "stable", Sequence: 3,
		Manifest: manifest.Sum([]byte("manifest")), ManifestSequence: 7, Classes: []manifest.UUID{class},
		Devices: []string{"gw-1", "gw-2"}, Salt: bytes.Repeat([]byte{7}, campaign.SaltSize),
		Phases: []campaign.Phase{{BasisPoints: 100}, {BasisPoints: 10000, NotBefore: noon.Add(48 * time.Hour)}},
		Issued: noon, ValidUntil: noon.AddDate(0, 0, 14)})
	c, err := campaign.VerifyPlan(r, signed("plan", "campaign", msg, err))
	if err != nil {
		t.Fatal(err)
	}
	msg, err = campaign.BuildPulse(campaign.PulseSpec{Generation: 1, Plan: c.Digest(), Sequence: 2,
		State: campaign.StateOpen, Phase: 1, Issued: noon, Expires: noon.Add(time.Hour)})
	if _, err := campaign.VerifyPulse(r, signed("pulse", "pulse", msg, err)); err != nil {
		t.Error(err)
	}
	msg, err = campaign.BuildPermit(campaign.PermitSpec{Generation: 1, Challenge: campaigntest.Challenge(),
		Manifest: manifest.Sum([]byte("manifest")),
		Lifts:    []reason.Reason{reason.Quarantined, reason.SequenceBelowFloor}, Issued: noon})
	if _, err := campaign.VerifyPermit(r, signed("permit", "recovery", msg, err),
		campaigntest.Challenge()); err != nil {
		t.Error(err)
	}
}
