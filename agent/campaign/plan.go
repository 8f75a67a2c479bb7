// Package campaign has the documents by which people let updates go out, and what a device remembers of
// them: plans (who may take which manifest, and when), pulses (whether a plan goes on now), permits
// with the challenges that they answer, and Memory, against which replay is seen.
//
// Each document is a trust document: signed by a role of the trust root, deterministic CBOR, bounded in
// size. The package verifies and reads them, builds them for those who sign, and decides nothing about an
// update: package policy does. It is pure. Memory is a value that the caller makes durable, see there.
package campaign

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// Limits of plans, pulses and permits, and of what a device remembers of them. Their bytes are
// bounded by trust.MaxMessage.
const (
	MaxPhases      = 16                  // phases of one plan
	MaxPlanIDs     = 8                   // classes that one plan names
	MaxDevices     = 512                 // devices that one plan names
	MaxChannel     = 64                  // bytes of a channel's name, and of a device id
	MaxPulseLife   = 31 * 24 * time.Hour // from a pulse's issue to its expiry
	SaltSize       = 16                  // bytes
	MaxPermitted   = 16                  // rules that one permit lifts
	MaxChallenge   = 1024                // bytes of a challenge as text
	MaxChannels    = 8                   // channels that a device remembers
	MaxWithdrawals = 64                  // withdrawn plans that a device remembers
	MaxMemory      = 32 << 10            // bytes of a device's Memory
)

// Campaign is a verified plan: who may take which manifest, and when. Only VerifyPlan makes one; the
// zero value is no plan and admits nobody. It is a pointer to what never changes, as a Pulse and a Permit are.
//
// A plan is signed offline by the role campaign. It says nothing about now: a Pulse does, signed
// online by the role pulse, which can stop or hasten what the plan allows and change nothing of it.
type Campaign struct{ verified *plan }

type plan struct {
	spec    PlanSpec
	digest  manifest.Digest
	signers []string
}

var noPlan plan

//go:noinline
func (c Campaign) says() *plan { return cmp.Or(c.verified, &noPlan) }

// PlanSpec is what a plan says. The document is of kind "plan"; its payload is a CBOR map:
// 1 generation, 2 channel, 3 sequence, 4 manifest "sha256:<hex>", 5 its sequence, 6 classes (16 bytes
// each, ascending), 7 device ids (ascending), 8 salt, 9 phases [[basis points, not-before] ...],
// 10 issued, 11 valid-until. Times are seconds since 1970; a not-before of 0 is none.
type PlanSpec struct {
	Generation       uint64 // of the role campaign, see trust.Root.Generation
	Channel          string // which stream of updates; a device follows one
	Sequence         uint64 // within generation and channel: a higher one voids the lower ones
	Manifest         manifest.Digest
	ManifestSequence uint64
	Classes          []manifest.UUID // one of them must be the device's; none: any
	Devices          []string        // the device must be one of them; none: any
	Salt             []byte          // SaltSize random bytes: who comes first differs from plan to plan
	Phases           []Phase
	Issued           time.Time
	ValidUntil       time.Time
}

// Phase is a part of a campaign: it holds the devices whose position is below BasisPoints, so it
// contains those of the phase before it.
type Phase struct {
	BasisPoints int       // 1 to 10000
	NotBefore   time.Time // zero: none
}

type (
	wirePlan struct {
		Generation       uint64      `cbor:"1,keyasint"`
		Channel          string      `cbor:"2,keyasint"`
		Sequence         uint64      `cbor:"3,keyasint"`
		Manifest         string      `cbor:"4,keyasint"`
		ManifestSequence uint64      `cbor:"5,keyasint"`
		Classes          [][]byte    `cbor:"6,keyasint"`
		Devices          []string    `cbor:"7,keyasint"`
		Salt             []byte      `cbor:"8,keyasint"`
		Phases           []wirePhase `cbor:"9,keyasint"`
		Issued           uint64      `cbor:"10,keyasint"`
		ValidUntil       uint64      `cbor:"11,keyasint"`
	}
	wirePhase struct {
		_           struct{} `cbor:",toarray"`
		BasisPoints uint64
		NotBefore   uint64
	}
)

// VerifyPlan checks that enough signers of the role campaign for this device (trust.Root.At) have
// signed a plan of their present generation. An error is one of package trust, or a *Refusal.
func VerifyPlan(r trust.Root, msg []byte) (Campaign, error) {
	payload, signers, err := r.Verify(trust.RoleCampaign, "plan", msg)
	if err != nil {
		return Campaign{}, err
	}
	s, err := readPlan(payload)
	if err != nil {
		return Campaign{}, errorf("cannot read plan: %w: %w", trust.ErrMalformed, err)
	}
	if s.Generation != r.Generation(trust.RoleCampaign) {
		return Campaign{}, refuse(reason.PlanVoid, "it is of generation %d, and the role campaign is at %d",
			s.Generation, r.Generation(trust.RoleCampaign))
	}
	return Campaign{&plan{s, manifest.Sum(payload), signers}}, nil
}

// Digest names the plan in its pulses: the SHA-256 of its payload, whoever has signed it.
func (c Campaign) Digest() manifest.Digest { return c.says().digest }

// Spec returns what the plan says.
func (c Campaign) Spec() PlanSpec { return c.says().spec.clone() }

// Signers are those of the role campaign who have signed.
func (c Campaign) Signers() []string { return slices.Clone(c.says().signers) }

// IsZero tells whether there is no plan.
func (c Campaign) IsZero() bool { return c.says().digest.IsZero() }

// Position is a device's place in a plan, 0 to 9999: SHA-256(salt || device id), as one big number,
// modulo 10000. Nobody needs to assign it, and it never changes.
func Position(salt []byte, device string) int {
	h := sha256.New()
	h.Write(salt)
	h.Write([]byte(device))
	p := 0
	for _, b := range h.Sum(nil) {
		p = (p<<8 | int(b)) % 10000
	}
	return p
}

// BuildPlan makes a plan that nobody has signed yet: sign it with trust.SignDocument("plan", ...).
func BuildPlan(s PlanSpec) ([]byte, error) {
	if err := s.validate(); err != nil {
		return nil, errorf("cannot build plan: %w", err)
	}
	w := wirePlan{Generation: s.Generation, Channel: s.Channel, Sequence: s.Sequence, Manifest: s.Manifest.String(),
		ManifestSequence: s.ManifestSequence, Devices: s.Devices, Salt: s.Salt,
		Issued: seconds(s.Issued), ValidUntil: seconds(s.ValidUntil)}
	for _, c := range s.Classes {
		w.Classes = append(w.Classes, slices.Clone(c[:]))
	}
	for _, p := range s.Phases {
		w.Phases = append(w.Phases, wirePhase{BasisPoints: uint64(p.BasisPoints), NotBefore: seconds(p.NotBefore)})
	}
	payload, err := trust.Encode(w)
	if err != nil {
		return nil, err
	}
	if _, err := readPlan(payload); err != nil {
		return nil, errorf("internal error: cannot read back plan: %w", err)
	}
	return trust.BuildDocument("plan", payload)
}

// ReadPlan shows what a plan says without a look at its signatures: for people, never for a device.
func ReadPlan(msg []byte) (PlanSpec, manifest.Digest, error) {
	payload, _, err := trust.Payload("plan", msg)
	if err != nil {
		return PlanSpec{}, manifest.Digest{}, err
	}
	s, err := readPlan(payload)
	if err != nil {
		return PlanSpec{}, manifest.Digest{}, errorf("cannot read plan: %w", err)
	}
	return s, manifest.Sum(payload), nil
}

func readPlan(payload []byte) (PlanSpec, error) {
	var w wirePlan
	if err := trust.Decode(payload, &w); err != nil {
		return PlanSpec{}, err
	}
	s := PlanSpec{Generation: w.Generation, Channel: w.Channel, Sequence: w.Sequence,
		ManifestSequence: w.ManifestSequence, Devices: w.Devices, Salt: w.Salt}
	var err error
	if s.Manifest, err = manifest.ParseDigest(w.Manifest); err != nil {
		return PlanSpec{}, err
	}
	for _, c := range w.Classes {
		if len(c) != 16 {
			return PlanSpec{}, errorf("class of %d bytes", len(c))
		}
		s.Classes = append(s.Classes, manifest.UUID(c))
	}
	for _, p := range w.Phases {
		if p.BasisPoints > 10000 {
			return PlanSpec{}, errorf("phase of %d basis points", p.BasisPoints)
		}
		t, err := instant(p.NotBefore)
		if err != nil {
			return PlanSpec{}, err
		}
		s.Phases = append(s.Phases, Phase{BasisPoints: int(p.BasisPoints), NotBefore: t})
	}
	if s.Issued, err = instant(w.Issued); err != nil {
		return PlanSpec{}, err
	}
	if s.ValidUntil, err = instant(w.ValidUntil); err != nil {
		return PlanSpec{}, err
	}
	return s, s.validate()
}

func (s PlanSpec) validate() error {
	switch {
	case s.Generation == 0 || s.Sequence == 0:
		return errorf("generation %d, sequence %d: both start at 1", s.Generation, s.Sequence)
	case !idOK(s.Channel):
		return errorf("channel %.80q: want 1 to %d of letters, digits, dots, underscores and hyphens",
			s.Channel, MaxChannel)
	case s.Manifest.IsZero():
		return errorf("it names no manifest")
	case len(s.Salt) != SaltSize:
		return errorf("salt of %d bytes, want %d", len(s.Salt), SaltSize)
	case len(s.Classes) == 0 && len(s.Devices) == 0:
		return errorf("it names neither a class nor a device")
	case len(s.Classes) > MaxPlanIDs || len(s.Devices) > MaxDevices:
		return errorf("%d classes and %d devices, at most %d and %d",
			len(s.Classes), len(s.Devices), MaxPlanIDs, MaxDevices)
	case len(s.Phases) == 0 || len(s.Phases) > MaxPhases:
		return errorf("%d phases, want 1 to %d", len(s.Phases), MaxPhases)
	case !timeOK(s.Issued) || !timeOK(s.ValidUntil) || !s.Issued.Before(s.ValidUntil):
		return errorf("issued and valid-until must be whole seconds, and issued comes first")
	}
	for i := 1; i < len(s.Classes); i++ {
		if strings.Compare(string(s.Classes[i-1][:]), string(s.Classes[i][:])) >= 0 {
			return errorf("classes are out of order, or one is listed twice")
		}
	}
	for i, d := range s.Devices {
		if !idOK(d) || i > 0 && s.Devices[i-1] >= d {
			return errorf("device %.80q is not a device id, is out of order, or is listed twice", d)
		}
	}
	for i, p := range s.Phases {
		if p.BasisPoints < 1 || p.BasisPoints > 10000 || !p.NotBefore.IsZero() && !timeOK(p.NotBefore) {
			return errorf("phase %d: want 1 to 10000 basis points, and a time in whole seconds", i+1)
		}
		if i > 0 && (p.BasisPoints < s.Phases[i-1].BasisPoints || p.NotBefore.Before(s.Phases[i-1].NotBefore)) {
			return errorf("phase %d is smaller or earlier than the one before it: phases add up", i+1)
		}
	}
	return nil
}

func (s PlanSpec) clone() PlanSpec {
	s.Classes, s.Devices = slices.Clone(s.Classes), slices.Clone(s.Devices)
	s.Salt, s.Phases = slices.Clone(s.Salt), slices.Clone(s.Phases)
	return s
}

// Refusal is a genuine document that is not taken.
type Refusal struct {
	Reason reason.Reason
	Detail string
}

// Error implements error.
func (e *Refusal) Error() string { return string(e.Reason) + ": " + e.Detail }

//go:noinline
func refuse(why reason.Reason, format string, args ...any) error {
	return &Refusal{Reason: why, Detail: fmt.Sprintf(format, args...)}
}

// idOK: the names that topics are made of.
func idOK(s string) bool {
	return s != "" && len(s) <= MaxChannel && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
	}) < 0
}

// seconds and instant turn a time into what a document says and back; 0 is no time.
func seconds(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.Unix())
}

func instant(n uint64) (time.Time, error) {
	if n == 0 {
		return time.Time{}, nil
	}
	t, ok := trust.Seconds(n)
	if !ok {
		return time.Time{}, errorf("time %d is beyond the year 9999", n)
	}
	return t, nil
}

func timeOK(t time.Time) bool {
	_, ok := trust.Seconds(uint64(t.Unix()))
	return ok && t.Unix() > 0 && t.Nanosecond() == 0
}
