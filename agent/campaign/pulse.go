package campaign

import (
	"cmp"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// State is what a pulse says of its plan.
type State string

const (
	StateOpen      State = "open"
	StatePaused    State = "paused"    // nobody goes further; what was loaded is kept
	StateHalted    State = "halted"    // something is wrong: as paused, for people to look at
	StateWithdrawn State = "withdrawn" // for good: nothing opens this plan again
)

// Pulse is a verified pulse: whether a plan goes on now. Only VerifyPulse makes one; the zero value
// is no pulse.
type Pulse struct{ verified *pulse }

type pulse struct {
	spec   PulseSpec
	digest manifest.Digest
}

var noPulse pulse

//go:noinline
func (p Pulse) says() *pulse { return cmp.Or(p.verified, &noPulse) }

// PulseSpec is what a pulse says. The document is of kind "pulse"; its payload is a CBOR map:
// 1 generation, 2 plan "sha256:<hex>", 3 sequence, 4 state, 5 phase, 6 issued, 7 expires.
type PulseSpec struct {
	Generation uint64          // of the role pulse, see trust.Root.Generation
	Plan       manifest.Digest // Campaign.Digest
	Sequence   uint64          // within generation and plan
	State      State
	Phase      int // index into the plan's phases
	Issued     time.Time
	Expires    time.Time // at most MaxPulseLife after Issued
}

type wirePulse struct {
	Generation uint64 `cbor:"1,keyasint"`
	Plan       string `cbor:"2,keyasint"`
	Sequence   uint64 `cbor:"3,keyasint"`
	State      string `cbor:"4,keyasint"`
	Phase      uint64 `cbor:"5,keyasint"`
	Issued     uint64 `cbor:"6,keyasint"`
	Expires    uint64 `cbor:"7,keyasint"`
}

// VerifyPulse checks that enough signers of the role pulse for this device have signed a pulse of
// their present generation. An error is one of package trust, or a *Refusal.
func VerifyPulse(r trust.Root, msg []byte) (Pulse, error) {
	payload, _, err := r.Verify(trust.RolePulse, "pulse", msg)
	if err != nil {
		return Pulse{}, err
	}
	s, err := readPulse(payload)
	if err != nil {
		return Pulse{}, errorf("cannot read pulse: %w: %w", trust.ErrMalformed, err)
	}
	if s.Generation != r.Generation(trust.RolePulse) {
		return Pulse{}, refuse(reason.PulseVoid, "it is of generation %d, and the role pulse is at %d",
			s.Generation, r.Generation(trust.RolePulse))
	}
	return Pulse{&pulse{s, manifest.Sum(payload)}}, nil
}

// Digest names the pulse: the SHA-256 of its payload, whoever has signed it.
func (p Pulse) Digest() manifest.Digest { return p.says().digest }

// Spec returns what the pulse says.
func (p Pulse) Spec() PulseSpec { return p.says().spec }

// IsZero tells whether there is no pulse.
func (p Pulse) IsZero() bool { return p.says().digest.IsZero() }

// BuildPulse makes a pulse that nobody has signed yet: sign it with trust.SignDocument("pulse", ...).
func BuildPulse(s PulseSpec) ([]byte, error) {
	if err := s.validate(); err != nil {
		return nil, errorf("cannot build pulse: %w", err)
	}
	payload, err := trust.Encode(wirePulse{Generation: s.Generation, Plan: s.Plan.String(), Sequence: s.Sequence,
		State: string(s.State), Phase: uint64(s.Phase), Issued: seconds(s.Issued), Expires: seconds(s.Expires)})
	if err != nil {
		return nil, err
	}
	return trust.BuildDocument("pulse", payload)
}

// ReadPulse shows what a pulse says without a look at its signatures: for people, never for a device.
func ReadPulse(msg []byte) (PulseSpec, error) {
	payload, _, err := trust.Payload("pulse", msg)
	if err != nil {
		return PulseSpec{}, err
	}
	s, err := readPulse(payload)
	if err != nil {
		return PulseSpec{}, errorf("cannot read pulse: %w", err)
	}
	return s, nil
}

func readPulse(payload []byte) (PulseSpec, error) {
	var w wirePulse
	if err := trust.Decode(payload, &w); err != nil {
		return PulseSpec{}, err
	}
	if w.Phase >= MaxPhases {
		return PulseSpec{}, errorf("phase %d", w.Phase)
	}
	s := PulseSpec{Generation: w.Generation, Sequence: w.Sequence, State: State(w.State), Phase: int(w.Phase)}
	var err error
	if s.Plan, err = manifest.ParseDigest(w.Plan); err != nil {
		return PulseSpec{}, err
	}
	if s.Issued, err = instant(w.Issued); err != nil {
		return PulseSpec{}, err
	}
	if s.Expires, err = instant(w.Expires); err != nil {
		return PulseSpec{}, err
	}
	return s, s.validate()
}

func (s PulseSpec) validate() error {
	switch {
	case s.Generation == 0 || s.Sequence == 0:
		return errorf("generation %d, sequence %d: both start at 1", s.Generation, s.Sequence)
	case s.Plan.IsZero() || s.Plan.Alg != manifest.SHA256:
		return errorf("it names no plan")
	case s.State != StateOpen && s.State != StatePaused && s.State != StateHalted && s.State != StateWithdrawn:
		return errorf("state %.40q: want %s, %s, %s or %s",
			s.State, StateOpen, StatePaused, StateHalted, StateWithdrawn)
	case s.Phase < 0 || s.Phase >= MaxPhases:
		return errorf("phase %d", s.Phase)
	case !timeOK(s.Issued) || !timeOK(s.Expires) || !s.Issued.Before(s.Expires):
		return errorf("issued and expires must be whole seconds, and issued comes first")
	case s.Expires.Sub(s.Issued) > MaxPulseLife:
		return errorf("it is valid for %s: want at most %s", s.Expires.Sub(s.Issued), MaxPulseLife)
	}
	return nil
}
