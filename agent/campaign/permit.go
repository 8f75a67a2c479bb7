package campaign

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/ratchet-ota/ratchet/agent/manifest"
	"github.com/ratchet-ota/ratchet/agent/reason"
	"github.com/ratchet-ota/ratchet/agent/trust"
)

// Challenge is what a device shows on its console when somebody wants to do what a rule forbids. It
// is new each time: the device keeps the one that is open and forgets it with the permit that answers
// it, or with the next challenge.
type Challenge struct {
	Device      string
	Nonce       [16]byte // random
	RootVersion uint64   // of the trusted root
	Journal     [16]byte // the evidence chain: a device that lost its journal has another one
}

type wireChallenge struct {
	Device      string   `cbor:"1,keyasint"`
	Nonce       [16]byte `cbor:"2,keyasint"`
	RootVersion uint64   `cbor:"3,keyasint"`
	Journal     [16]byte `cbor:"4,keyasint"`
}

// challengePrefix begins the text of a challenge.
const challengePrefix = "RC1-"

func (c Challenge) encode() ([]byte, error) {
	if !idOK(c.Device) || c.Nonce == [16]byte{} {
		return nil, errors.New("a challenge has a device id and a nonce")
	}
	return trust.Encode(wireChallenge(c))
}

func decodeChallenge(b []byte) (Challenge, error) {
	var w wireChallenge
	if err := trust.Decode(b, &w); err != nil {
		return Challenge{}, err
	}
	c := Challenge(w)
	_, err := c.encode()
	return c, err
}

// Text is the challenge as a person copies it: a prefix and base64url, with four bytes of SHA-256 at
// the end against slips of the hand.
func (c Challenge) Text() (string, error) {
	b, err := c.encode()
	if err != nil {
		return "", errorf("cannot write challenge: %w", err)
	}
	sum := sha256.Sum256(b)
	return challengePrefix + base64.RawURLEncoding.EncodeToString(append(b, sum[:4]...)), nil
}

// ParseChallenge reads what Text wrote, with any white space in it.
func ParseChallenge(text string) (Challenge, error) {
	if len(text) > MaxChallenge {
		return Challenge{}, errors.New("cannot read challenge: too long")
	}
	text, ok := strings.CutPrefix(strings.Join(strings.Fields(text), ""), challengePrefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(b) < 4 {
		return Challenge{},
			errorf("cannot read challenge: want %s and then letters, digits, - and _, as the device shows it",
				challengePrefix)
	}
	sum := sha256.Sum256(b[:len(b)-4])
	if !bytes.Equal(sum[:4], b[len(b)-4:]) {
		return Challenge{}, errors.New("cannot read challenge: a character is wrong")
	}
	c, err := decodeChallenge(b[:len(b)-4])
	if err != nil {
		return Challenge{}, errorf("cannot read challenge: %w", err)
	}
	return c, nil
}

// Permit is a verified permit: this device may take this manifest although the named rules forbid it.
// Only VerifyPermit makes one.
type Permit struct{ verified *permit }

type permit struct {
	spec    PermitSpec
	signers []string
}

var noPermit permit

//go:noinline
func (p Permit) says() *permit { return cmp.Or(p.verified, &noPermit) }

// PermitSpec is what a permit says. The document is of kind "permit"; its payload is a CBOR map:
// 1 generation, 2 challenge (a byte string, CBOR), 3 manifest "sha256:<hex>", 4 the reasons that it
// lifts (ascending), 5 issued.
type PermitSpec struct {
	Generation uint64 // of the role recovery, see trust.Root.Generation
	Challenge  Challenge
	Manifest   manifest.Digest
	Lifts      []reason.Reason
	Issued     time.Time
}

type wirePermit struct {
	Generation uint64   `cbor:"1,keyasint"`
	Challenge  []byte   `cbor:"2,keyasint"`
	Manifest   string   `cbor:"3,keyasint"`
	Lifts      []string `cbor:"4,keyasint"`
	Issued     uint64   `cbor:"5,keyasint"`
}

// Liftable tells whether a permit can lift a rule. What says that something is genuine, meant for
// this device, not revoked, and able to run here can never be lifted: no reason of that kind is in
// the list, and a new reason is not in it until somebody puts it there.
//
//go:noinline
func Liftable(r reason.Reason) bool {
	switch r {
	case reason.SequenceBelowFloor, reason.SequenceReused, reason.SequenceOutOfRange, reason.Quarantined,
		reason.AlreadyInstalled, reason.LowBattery, reason.OutsideWindow, reason.ClockUnknown, reason.LinkMetered,
		reason.ApprovalRequired,
		reason.PlanWithdrawn, reason.RootExpired:
		return true
	}
	return false
}

// VerifyPermit checks that enough signers of the role recovery for this device have signed a permit
// that answers exactly the open challenge. An error is one of package trust, or a *Refusal of
// permit-void. The caller forgets the challenge in the transaction that begins what the permit
// allows, so that it allows it once.
func VerifyPermit(r trust.Root, msg []byte, open Challenge) (Permit, error) {
	payload, signers, err := r.Verify(trust.RoleRecovery, "permit", msg)
	if err != nil {
		return Permit{}, err
	}
	s, err := readPermit(payload)
	if err != nil {
		return Permit{}, errorf("cannot read permit: %w: %w", trust.ErrMalformed, err)
	}
	switch {
	case s.Generation != r.Generation(trust.RoleRecovery):
		return Permit{}, refuse(reason.PermitVoid, "it is of generation %d, and the role recovery is at %d",
			s.Generation, r.Generation(trust.RoleRecovery))
	case open.Nonce == [16]byte{}:
		return Permit{}, refuse(reason.PermitVoid, "no challenge is open")
	case s.Challenge != open:
		return Permit{}, refuse(reason.PermitVoid, "it answers another challenge")
	case open.RootVersion != r.Version():
		return Permit{}, refuse(reason.PermitVoid, "the challenge is of root %d, and root %d is trusted",
			open.RootVersion, r.Version())
	}
	return Permit{&permit{s, signers}}, nil
}

// Spec returns what the permit says.
//
//go:noinline
func (p Permit) Spec() PermitSpec {
	s := p.says().spec
	s.Lifts = slices.Clone(s.Lifts)
	return s
}

// Signers are those of the role recovery who have signed.
func (p Permit) Signers() []string { return slices.Clone(p.says().signers) }

// IsZero tells whether there is no permit.
func (p Permit) IsZero() bool { return p.says().spec.Generation == 0 }

// BuildPermit makes a permit that nobody has signed yet: sign it with trust.SignDocument("permit", ...).
func BuildPermit(s PermitSpec) ([]byte, error) {
	if err := s.validate(); err != nil {
		return nil, errorf("cannot build permit: %w", err)
	}
	c, err := s.Challenge.encode()
	if err != nil {
		return nil, errorf("cannot build permit: %w", err)
	}
	w := wirePermit{Generation: s.Generation, Challenge: c, Manifest: s.Manifest.String(), Issued: seconds(s.Issued)}
	for _, r := range s.Lifts {
		w.Lifts = append(w.Lifts, string(r))
	}
	payload, err := trust.Encode(w)
	if err != nil {
		return nil, err
	}
	return trust.BuildDocument("permit", payload)
}

// ReadPermit shows what a permit says without a look at its signatures: for people, never for a
// device.
func ReadPermit(msg []byte) (PermitSpec, error) {
	payload, _, err := trust.Payload("permit", msg)
	if err != nil {
		return PermitSpec{}, err
	}
	s, err := readPermit(payload)
	if err != nil {
		return PermitSpec{}, errorf("cannot read permit: %w", err)
	}
	return s, nil
}

func readPermit(payload []byte) (PermitSpec, error) {
	var w wirePermit
	if err := trust.Decode(payload, &w); err != nil {
		return PermitSpec{}, err
	}
	s := PermitSpec{Generation: w.Generation}
	var err error
	if s.Challenge, err = decodeChallenge(w.Challenge); err != nil {
		return PermitSpec{}, err
	}
	if s.Manifest, err = manifest.ParseDigest(w.Manifest); err != nil {
		return PermitSpec{}, err
	}
	if s.Issued, err = instant(w.Issued); err != nil {
		return PermitSpec{}, err
	}
	for _, r := range w.Lifts {
		s.Lifts = append(s.Lifts, reason.Reason(r))
	}
	return s, s.validate()
}

func (s PermitSpec) validate() error {
	switch {
	case s.Generation == 0:
		return errors.New("generations start at 1")
	case s.Manifest.IsZero():
		return errors.New("it names no manifest")
	case !timeOK(s.Issued):
		return errors.New("issued must be in whole seconds")
	case len(s.Lifts) == 0 || len(s.Lifts) > MaxPermitted:
		return errorf("%d rules, want 1 to %d", len(s.Lifts), MaxPermitted)
	}
	for i, r := range s.Lifts {
		if !Liftable(r) {
			return errorf("a permit cannot lift %.48q", string(r))
		}
		if i > 0 && s.Lifts[i-1] >= r {
			return errorf("%s is out of order or listed twice", r)
		}
	}
	return nil
}
